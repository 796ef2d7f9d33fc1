// Package analysis says what populations of networks show: which of them may be
// compared, how their error distributions compare, what the drawn numbers of
// good networks have in common, how networks trained, which were best.
//
// Everything is a value that marshals to JSON, in plain numbers: errors and
// their differences in percent and percentage points, complexities as counts,
// times in seconds; what is not known is null. How it is shown, as text, in
// figures or on a page, is the business of package report: nothing here knows
// of it, and nothing there computes.
//
// Everything derives from the populations. The same ones give the same values:
// there is no date in them, and what is resampled is seeded.
//
//	source, err := analysis.Load(ctx, "out/demo")
//	c, err := analysis.Compare(ctx, []analysis.Source{source}, analysis.Options{})
//	f, err := c.Findings()
//	err = report.Page(w, f)
package analysis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"netspace/space"
	"netspace/strict"
	"netspace/study"
)

// Source is where populations come from: a study folder, or anything else that
// gives networks and their errors.
type Source struct {
	Name string `json:"name"` // of the study
	Dir  string `json:"dir"`  // as the user named it
	// Protocol is under what conditions the errors were measured; nil: not known.
	Protocol *Protocol `json:"protocol,omitempty"`
	// Provenance is who made the results; nil: not known.
	Provenance *study.Provenance `json:"provenance,omitempty"`
	File       string            `json:"file,omitempty"` // the study file as it was given; "" if there is none
	// Spaces are the texts of the spaces as they were when they were first sampled; only those that are known.
	Spaces []SpaceText `json:"spaces,omitempty"`
	// Imported tells that the populations were trained elsewhere, and how they were read; nil: they were trained by a study.
	Imported *Imported `json:"imported,omitempty"`
	// Ladder is what a design loop came to; nil if the study is not one of such.
	Ladder *Ladder `json:"ladder,omitempty"`
	// Search is what a search came to; nil if the study is not one of such.
	Search *SearchLog `json:"search,omitempty"`
	// Damage is what could not be read of the journals.
	Damage      []study.Damage     `json:"damage,omitempty"`
	Populations []study.Population `json:"-"`
}

// SpaceText is the text of a space, and those of the spaces that it is based on.
type SpaceText struct {
	Name  string       `json:"name"` // in the study file
	Files []space.File `json:"files"`
}

// Load reads the study in a folder. It changes nothing there, and may be called
// while the study runs. The error is that of study.Open.
func Load(ctx context.Context, dir string) (Source, error) {
	s, err := study.Open(ctx, dir)
	if err != nil {
		return Source{}, err
	}
	populations, err := s.Populations(ctx)
	if err != nil {
		return Source{}, fmt.Errorf("%s: %w", dir, err)
	}
	file, err := strict.ReadFile(filepath.Join(dir, "study.yaml"))
	if err != nil {
		return Source{}, err
	}
	var ladder *Ladder
	if s.Config.Design != nil {
		l, err := ReadLadder(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Source{}, err
		}
		if err == nil {
			ladder = &l
		}
	}
	var search *SearchLog
	if s.Config.Search != nil {
		l, err := ReadSearchLog(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Source{}, err
		}
		if err == nil {
			search = &l
		}
	}
	made := s.Provenance()
	var spaces []SpaceText
	for _, name := range s.Config.Spaces {
		if files := s.SpaceFiles(name); len(files) > 0 {
			spaces = append(spaces, SpaceText{name, files})
		}
	}
	return Source{
		Spaces:     spaces,
		Ladder:     ladder,
		Search:     search,
		Damage:     s.Damage(),
		Provenance: &made,
		Name:       s.Config.Name, Dir: dir, File: string(file), Populations: populations,
		Protocol: &Protocol{
			Data: s.Config.Data, Input: s.Input, TrainImages: s.TrainImages, ValImages: s.ValImages,
			Settings: s.Config.Settings, Samples: s.Config.Samples,
		},
	}, nil
}

// Finished is how many networks of each population have a result, failed ones
// included.
func (s Source) Finished() []int {
	out := make([]int, len(s.Populations))
	for i, p := range s.Populations {
		out[i] = len(newSpace("", p).Finished)
	}
	return out
}

// ErrNothing says that no trial of the studies has finished yet.
var ErrNothing = errors.New("no trial has finished yet")

// DifferentError says that studies were made under different conditions, so
// that their errors do not tell spaces apart.
type DifferentError struct {
	A       string   `json:"a"`       // a folder
	B       string   `json:"b"`       // another
	Changes []string `json:"changes"` // "recipe.epochs: 5 in a, 10 in b"
}

func (e *DifferentError) Error() string {
	return fmt.Sprintf("%s and %s were not made under the same conditions, so a difference of their errors may come from these and not from the spaces:\n  %s",
		e.A, e.B, strings.Join(e.Changes, "\n  "))
}

// Comparable checks that all sources share data, complexity regime, recipe and
// engine; the error is a *DifferentError. (What their networks share, such as the
// stem or the number of stages, may be the very thing that is compared; and the
// seed only says which networks were drawn.) A source whose conditions are not
// known is comparable with others of its kind alone; of imported ones what is known
// must agree (Imported.Unknown says what is not).
func Comparable(sources []Source) error {
	for _, s := range sources[min(1, len(sources)):] {
		first := sources[0]
		if (first.Protocol == nil) != (s.Protocol == nil) {
			known, unknown := first, s
			if first.Protocol == nil {
				known, unknown = unknown, known
			}
			change := fmt.Sprintf("conditions: stated in %s, not stated in %s", known.Dir, unknown.Dir)
			if unknown.Imported != nil {
				change = fmt.Sprintf("conditions: stated in %s; %s was trained elsewhere", known.Dir, unknown.Dir)
				if not := unknown.Imported.Unknown(); len(not) > 0 {
					change += ", under a " + strings.Join(not, ", ") + " that is not known"
				}
			}
			return &DifferentError{first.Dir, s.Dir, []string{change}}
		}
		a, err := first.conditions()
		if err != nil {
			return err
		}
		b, err := s.conditions()
		if err != nil {
			return err
		}
		var changes []string
		for _, key := range unionKeys(a, b) {
			if a[key] != b[key] && (s.Protocol != nil || a[key] != "" && b[key] != "") {
				changes = append(changes, fmt.Sprintf("%s: %s in %s, %s in %s", key, orNone(a[key]), first.Dir, orNone(b[key]), s.Dir))
			}
		}
		if len(changes) > 0 {
			return &DifferentError{first.Dir, s.Dir, changes}
		}
	}
	return nil
}

// conditions are those that are known, by path.
func (s Source) conditions() (map[string]string, error) {
	switch {
	case s.Protocol != nil:
		return s.Protocol.conditions()
	case s.Imported != nil:
		return s.Imported.Conditions, nil
	}
	return nil, nil
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
