package study

import (
	"context"
	"errors"
	"fmt"
	"time"

	"netspace/arch"
	"netspace/space"
	"netspace/strict"
	"netspace/train"
	"netspace/trial"
)

// sampleNote is the time between two notes on a sampling that takes long.
const sampleNote = 5 * time.Second

// draw draws the population of a space. The first networks of a larger
// sample are those of a smaller one.
func draw(ctx context.Context, name string, s *space.Space, c Config, size int, study studyRecord, note func(string, ...any)) ([]trialRecord, error) {
	if err := CheckSpace(s); err != nil {
		return nil, &RequestError{err}
	}
	last := time.Now()
	networks, _, err := s.Sample(ctx, space.Config{
		Input: study.Input.Arch(), Network: c.Network, Regime: c.Regime, Seed: c.Seed,
		Progress: func(found int, candidates int64) {
			if now := time.Now(); now.Sub(last) >= sampleNote {
				last = now
				note("sampling %s: %d of %d networks in %d candidates", name, found, size, candidates)
			}
		},
	}, size)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var few *space.TooFewError
	if err != nil && !errors.As(err, &few) { // which names the space itself
		err = fmt.Errorf("space %s: %w", name, err)
	}
	if err != nil {
		return nil, &RequestError{err}
	}
	trials := make([]trialRecord, len(networks))
	for i, n := range networks {
		recipe, err := recipeOf(n.Spec, c.Recipe)
		if err != nil {
			return nil, &RequestError{fmt.Errorf("space %s: %w", name, err)}
		}
		t := trial.Task{Spec: n.Spec, Input: study.Input, DataKey: study.Data, Recipe: recipe, Engine: c.Engine, Trainer: c.Trainer}
		if err := t.Identify(c.Seed); err != nil {
			return nil, err
		}
		id, err := parseID(t.ID)
		if err != nil {
			return nil, err
		}
		trials[i] = trialRecord{Space: name, Index: i, ID: id, Seed: t.Seed, Spec: n.Spec, Asked: n.Asked, Complexity: n.Complexity}
	}
	return trials, nil
}

// Sample draws n networks of a space of the study, without training or remembering them: the first are those of its population. Where the space has fewer, or they are
// hard to find, there are fewer. The state of all is Pending.
func (s *Study) Sample(ctx context.Context, name string, n int) ([]Trial, error) {
	sp, err := space.ParseFiles(s.history.spaces[name].Files)
	if err != nil {
		return nil, fmt.Errorf("space %s: %w", name, err)
	}
	networks, _, err := sp.Sample(ctx, space.Config{Input: s.Input.Arch(), Network: s.Config.Network, Regime: s.Config.Regime, Seed: s.Config.Seed}, n)
	var few *space.TooFewError
	if err != nil && !errors.As(err, &few) {
		return nil, fmt.Errorf("space %s: %w", name, err)
	}
	trials := make([]Trial, len(networks))
	for i, d := range networks {
		trials[i] = Trial{Space: name, Index: i, Spec: d.Spec, Asked: d.Asked, Complexity: d.Complexity, State: Pending}
	}
	return trials, nil
}

// Task is a training of a network of the study: its first one, or a rerun, from 1, with another seed. No place is kept for the result.
func (s *Study) Task(t Trial, rerun int) (trial.Task, error) {
	if s.history.study == nil {
		return trial.Task{}, fmt.Errorf("%s: its settings cannot be read; running the study again writes them anew", s.Dir)
	}
	l := &lines{h: s.history}
	defer l.close()
	rec, err := l.sample(s.history.samples[t.Space][t.Index])
	if err != nil {
		return trial.Task{}, err
	}
	config := s.Config
	config.Engine = s.engine()
	return taskOf(rec, rerun, config, *s.history.study)
}

// CheckSpace reports parameters of a space that name no field of the recipe, or
// whose values the recipe does not allow, as a *strict.Error.
func CheckSpace(s *space.Space) error {
	base := train.DefaultRecipe()
	base.Epochs = manyEpochs
	return s.CheckRecipe(func(field string, v float64) error {
		_, err := train.DecodeFields(map[string]any{field: v}, "", base)
		var e *strict.Error
		if !errors.As(err, &e) {
			return err
		}
		for _, f := range e.Faults {
			if f.Path == "recipe."+field { // not of a field that this one does not suit: the study may state it
				return errors.New(f.Rule)
			}
		}
		return nil
	})
}

// manyEpochs lets any field pass that needs no more epochs.
const manyEpochs = 10_000

// recipeOf is the study's recipe with what the network's space draws of it.
func recipeOf(s arch.Spec, base train.Recipe) (train.Recipe, error) {
	if len(s.Recipe) == 0 {
		return base, nil
	}
	return train.DecodeFields(s.Recipe, "", base)
}
