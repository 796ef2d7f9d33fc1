// Package study runs populations of trials and remembers them in a folder:
//
//	study.yaml                      the study file as it was given
//	journal/*.jsonl                 what happened, one writer each; the truth
//	checkpoints/<trial>/<attempt>/  of the trials that are not done
//
// Everything else is derived from these. Open reads a folder and changes nothing in it;
// Start begins or continues the study.
//
//	run, err := study.Start(ctx, study.Request{File: "study.yaml"})
//	defer run.Close()
//	err = run.Execute(ctx, executor.Local{}, func(study.Event) {})
//	s, err := study.Open(ctx, run.Dir)
//	populations, err := s.Populations(ctx)
package study

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"netspace/trial"
)

// Names in a study folder.
const (
	fileName      = "study.yaml"
	checkpointDir = "checkpoints"
)

// Population is the trials of one space of one study, in sample order.
type Population struct {
	Study  string // name of the study
	Space  string
	Trials []Trial
}

// Study is a study folder as it was when it was opened: a snapshot that is safe
// for concurrent use.
type Study struct {
	Dir    string
	Config Config      // the study file in the folder
	Input  trial.Input // what its networks are built for
	// Images per epoch of training, and in the validation split.
	TrainImages, ValImages int

	history *history

	mu   sync.Mutex
	late []Damage // found since
}

// ErrNoStudy says that a folder holds no study.
var ErrNoStudy = errors.New("no study in this folder")

// Open reads a study folder. It only reads, and may be called while the study
// runs. The error wraps ErrNoStudy if there is none in dir. Damaged lines of journals are set aside: see Damage.
func Open(ctx context.Context, dir string) (*Study, error) {
	path := filepath.Join(dir, fileName)
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w (it has no %s)", dir, ErrNoStudy, fileName)
		}
		return nil, err
	}
	config, err := LoadConfig(path)
	if err != nil {
		return nil, err
	}
	h, err := readHistory(ctx, dir, hostName())
	if err != nil {
		return nil, err
	}
	s := &Study{Dir: dir, Config: config, history: h}
	if h.study != nil {
		s.Input = h.study.Input
		s.TrainImages, s.ValImages = h.study.TrainImages, h.study.ValImages
	}
	return s, nil
}

func (s *Study) path() string { return filepath.Join(s.Dir, fileName) }

// Damage lists what could not be read of the journals so far, and was set aside. Some lines
// are read wholly only when their trials are asked for.
func (s *Study) Damage() []Damage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.history.damage, s.late)
}

// Populations are the spaces of the study file, in its order, each with the
// trials of its sample so far, but those that no readable record tells of. A network that two spaces have in
// common is trained once and stands in both. It is empty before the first run has sampled.
func (s *Study) Populations(ctx context.Context) ([]Population, error) {
	all := make([]Population, len(s.Config.Spaces))
	for i, name := range s.Config.Spaces {
		all[i] = Population{Study: s.Config.Name, Space: name}
		err := s.each(ctx, s.population(name), func(t Trial) error {
			all[i].Trials = append(all[i].Trials, t)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Drawn are the first networks of a space, n of them if so many are drawn, with what is known of their trainings so far: as Populations gives them, and
// those that are trained for some epochs, or not at all.
func (s *Study) Drawn(ctx context.Context, space string, n int) (trials []Trial, err error) {
	all := s.history.samples[space]
	err = s.each(ctx, all[:min(len(all), n)], func(t Trial) error {
		trials = append(trials, t)
		return nil
	})
	return trials, err
}

// places gives the networks of a population by their places: as many as the study file, or a goal, asks for. Those of a search are all that were
// begun, since it trains few of them wholly.
func (s *Study) places(space string) iter.Seq2[int, sample] {
	full, any := s.history.extent(space, s.Config.Samples)
	if s.Config.Search != nil {
		full = any
	}
	all := s.history.samples[space]
	return func(yield func(int, sample) bool) {
		for index, place := range all[:min(len(all), full)] {
			if s.Config.Search != nil && s.history.epochsOf(space, index, 0) == 0 {
				continue
			}
			if !yield(index, place) {
				return
			}
		}
	}
}

// population are the networks that places gives.
func (s *Study) population(space string) (all []sample) {
	if s.Config.Search == nil {
		full, _ := s.history.extent(space, s.Config.Samples)
		all = s.history.samples[space]
		return all[:min(len(all), full)]
	}
	for _, place := range s.places(space) {
		all = append(all, place)
	}
	return all
}

// ChanceError is the top-k error in percent of guessing among the given number of
// classes: what a failed trial counts with.
func ChanceError(classes, k int) float64 {
	return 100 * (1 - float64(k)/float64(classes))
}
