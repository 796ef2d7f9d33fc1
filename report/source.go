// Package report shows what studies found: a comparison of design spaces as
// numbers and as text, one self-contained HTML page, and the figures of that
// page as SVG files.
//
// Everything derives from the trials of the populations. The same folder gives
// the same bytes: a page has no date, and what is resampled is seeded.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netspace/study"
	"netspace/trial"
)

// Source is a study as this package needs it.
type Source struct {
	Dir                    string // as the user named it
	Config                 study.Config
	Input                  trial.Input // what the networks are built for
	TrainImages, ValImages int
	File                   string // the study file as it was given
	Populations            []study.Population
}

// Load reads the study in a folder. It changes nothing there, and may be called
// while the study runs.
func Load(dir string) (Source, error) {
	s, err := study.Open(dir)
	if err != nil {
		return Source{}, err
	}
	populations, err := s.Populations()
	if err != nil {
		return Source{}, fmt.Errorf("%s: %w", dir, err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "study.yaml"))
	if err != nil {
		return Source{}, err
	}
	return Source{
		Dir: dir, Config: s.Config, Input: s.Input,
		TrainImages: s.TrainImages, ValImages: s.ValImages,
		File: string(file), Populations: populations,
	}, nil
}

// ErrNothing says that no trial of the studies has finished yet.
var ErrNothing = errors.New("no trial has finished yet")

// DifferentError says that studies were made under different conditions, so
// that their errors do not tell spaces apart.
type DifferentError struct {
	A, B    string   // folders
	Changes []string // "recipe.epochs: 5 in a, 10 in b"
}

func (e *DifferentError) Error() string {
	return fmt.Sprintf("%s and %s were not made under the same conditions, so a difference of their errors may come from these and not from the spaces:\n  %s",
		e.A, e.B, strings.Join(e.Changes, "\n  "))
}

// Comparable checks that all sources share data, complexity regime and recipe;
// the error is a *DifferentError. (What their networks share, such as the stem
// or the number of stages, may be the very thing that is compared; and the seed
// only says which networks were drawn.)
func Comparable(sources []Source) error {
	for _, s := range sources[min(1, len(sources)):] {
		a, err := sources[0].conditions()
		if err != nil {
			return err
		}
		b, err := s.conditions()
		if err != nil {
			return err
		}
		var changes []string
		for _, key := range unionKeys(a, b) {
			if a[key] != b[key] {
				changes = append(changes, fmt.Sprintf("%s: %s in %s, %s in %s", key, orNone(a[key]), sources[0].Dir, orNone(b[key]), s.Dir))
			}
		}
		if len(changes) > 0 {
			return &DifferentError{sources[0].Dir, s.Dir, changes}
		}
	}
	return nil
}

// conditions are the settings that must agree, by path.
func (s Source) conditions() (map[string]string, error) {
	return leaves(map[string]any{
		"data":         s.Config.Data,
		"regime":       s.Config.Regime,
		"recipe":       s.Config.Recipe,
		"engine":       s.Config.Engine,
		"input":        s.Input,
		"train_images": s.TrainImages,
		"val_images":   s.ValImages,
	})
}

// leaves are the values in the JSON of v by their paths, texts without their
// quotes and without what is null.
func leaves(v any) (map[string]string, error) {
	all, err := study.Leaves(v)
	if err != nil {
		return nil, err
	}
	for path, value := range all {
		var text string
		switch {
		case value == "null":
			delete(all, path)
		case json.Unmarshal([]byte(value), &text) == nil:
			all[path] = text
		}
	}
	return all, nil
}

func unionKeys(a, b map[string]string) []string {
	var keys []string
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func orNone(s string) string {
	if s == "" {
		return "not stated"
	}
	return s
}
