package study

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"netspace/internal/atomicfile"
	"netspace/space"
	"netspace/strict"
	"netspace/train"
	"netspace/trial"
)

// A plan is a journal that is written at once, whole: the settings of the study, texts of spaces, networks. Plans
// are numbered, and each builds on those before it. Of two runs that write the same number one is refused, and
// makes its plan anew on the other's; so runs that start at one time agree on one study.
const planName = "plan.%d" + journalSuffix

var planNumber = regexp.MustCompile(`^plan\.([0-9]+)\` + journalSuffix + `$`)

// nextPlan is the number of the plan to come.
func (h *history) nextPlan() int {
	last := 0
	for file := range h.files {
		if m := planNumber.FindStringSubmatch(filepath.Base(file)); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				last = max(last, n)
			}
		}
	}
	return last + 1
}

// writePlan writes a plan of such lines; the error wraps fs.ErrExist if that number is taken.
func writePlan(dir string, number int, host string, lines []byte) error {
	header, err := encodeRecords(headerOf(host))
	if err != nil {
		return err
	}
	text := append(header, lines...)
	if err := atomicfile.Create(filepath.Join(dir, journalDir, fmt.Sprintf(planName, number)), text, 0o644); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

// prepare completes what the folder has planned, with the first samples or more of them, and brings the folder
// up to date. It gives the settings of the study.
func prepare(ctx context.Context, dir string, config Config, text []byte, h *history, req Request) (studyRecord, error) {
	found, err := describe(ctx, config, req.Note)
	if err != nil {
		return found, err
	}
	for {
		fresh, err := plan(ctx, dir, config, found, h, req)
		if err != nil {
			return found, err
		}
		for _, d := range []string{dir, filepath.Join(dir, journalDir), filepath.Join(dir, checkpointDir)} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				return found, fmt.Errorf("make the study folder: %w", err)
			}
		}
		if len(fresh) > 0 {
			err := writePlan(dir, h.nextPlan(), req.Host, fresh)
			if err != nil && !errors.Is(err, fs.ErrExist) {
				return found, err
			}
			if again := h.refresh(ctx); again != nil {
				return found, again
			}
			if err != nil {
				continue // another run was quicker
			}
		}
		file := filepath.Join(dir, fileName)
		if old, err := strict.ReadFile(file); err != nil || string(old) != string(text) {
			return found, atomicfile.WriteFile(file, text, 0o644)
		}
		return found, nil
	}
}

// describe is the record of a study's settings, with what its images are.
func describe(ctx context.Context, config Config, note func(string, ...any)) (s studyRecord, err error) {
	data, err := config.Data.Open(ctx, false)
	if err != nil {
		return s, &RequestError{err}
	}
	defer data.Close()
	if found := data.DescribeCorrupt(0); found != "" {
		note("warning: %s", found)
	}
	config.Trainer = config.Trainer.Deciding()
	settings, err := json.Marshal(config.Settings)
	if err != nil {
		return s, err
	}
	key, err := train.DataKey(data)
	if err != nil {
		return s, &RequestError{err}
	}
	s = studyRecord{Settings: settings, Data: key, Input: trial.InputOf(data.Info), TrainImages: data.Train.Len()}
	if data.Val != nil {
		s.ValImages = data.Val.Len()
	}
	if s.ValImages == 0 {
		return s, &RequestError{fmt.Errorf("data set %s: there are no validation images to compare networks on", config.Data.Name)}
	}
	if config.Recipe.Batch > s.TrainImages {
		return s, &RequestError{fmt.Errorf("recipe.batch is %d but there are only %d training images", config.Recipe.Batch, s.TrainImages)}
	}
	return s, nil
}

// plan is what must be added to the journals for a study to have all its networks: lines, since they take
// a fraction of the memory of networks.
func plan(ctx context.Context, dir string, config Config, found studyRecord, h *history, req Request) (fresh []byte, err error) {
	add := func(r record) error {
		lines, err := encodeRecords(r)
		fresh = append(fresh, lines...)
		return err
	}
	if h.study == nil {
		if err := add(record{Study: &found}); err != nil {
			return nil, err
		}
	} else if changes, err := found.changes(*h.study); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	} else if len(changes) > 0 {
		return nil, &RequestError{&ChangedError{Dir: dir, Changes: changes}}
	}
	for _, name := range slices.Sorted(maps.Keys(req.Goals)) {
		goal := req.Goals[name]
		if err := goal.check(); err != nil {
			return nil, &RequestError{fmt.Errorf("space %s: %w", name, err)}
		}
		if !slices.Contains(config.Spaces, name) {
			return nil, &RequestError{fmt.Errorf("%s is none of the spaces of the study: %s", name, strings.Join(config.Spaces, ", "))}
		}
		if !h.known(name, goal) {
			if err := add(record{Goal: &goalRecord{name, goal}}); err != nil {
				return nil, err
			}
		}
	}
	settingsLost := h.study == nil && len(h.samples) > 0
	for _, name := range config.Spaces {
		kept, known := h.spaces[name]
		var s *space.Space
		given := slices.IndexFunc(req.Spaces, func(s *space.Space) bool { return s.Name == name })
		if given >= 0 {
			s = req.Spaces[given]
		} else if known && req.File == "" { // a study that goes on from its folder alone has all it needs there
			s, err = space.ParseFiles(kept.Files)
		} else {
			s, err = space.Load(name)
		}
		if err != nil {
			return nil, &RequestError{fmt.Errorf("spaces: %w", err)}
		}
		edited := known && !sameTexts(s.Files(), kept.Files)
		have := h.sampled(name)
		size := max(config.Samples, req.Goals[name].Drawn)
		if have >= size && !edited && !settingsLost {
			continue
		}
		if have >= size { // only to see whether the networks are the same
			if !edited {
				size = 1
			}
		}
		req.Note("sampling %d networks from %s", size, name)
		all, err := draw(ctx, name, s, config, size, found, req.Note)
		if err != nil {
			return nil, err
		}
		if !known || edited {
			if err := add(record{Space: &spaceRecord{Name: name, Files: s.Files()}}); err != nil {
				return nil, err
			}
		}
		old := h.samples[name]
		for i := range all {
			switch {
			case i >= len(old) || old[i].ref.length == 0:
				if err := add(record{Trial: &all[i]}); err != nil {
					return nil, err
				}
			case old[i].id != all[i].ID:
				return nil, &RequestError{&ChangedError{Dir: dir, Changes: []string{fmt.Sprintf("space %s gives other networks than before, the first at place %d", name, i)}}}
			}
		}
	}
	return fresh, nil
}

// sameTexts tells whether two spaces are of the same texts, wherever these lay.
func sameTexts(a, b []space.File) bool {
	return slices.EqualFunc(a, b, func(a, b space.File) bool { return a.Text == b.Text })
}
