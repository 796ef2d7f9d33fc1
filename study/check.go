package study

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"netspace/train"
	"netspace/trial"
)

// Checked is what a check of a study found.
type Checked struct {
	Networks int      `json:"networks"` // of all populations that could be read
	Results  int      `json:"results"`  // done or failed, of these, reruns included
	Missing  int      `json:"missing"`  // places of samples that no readable record tells of
	Damage   []Damage `json:"damage"`

	Retrained []Retrained `json:"retrained,omitempty"`
	// Differing says why results that were trained again may differ in their last digits; "" if they may not.
	Differing string `json:"differing,omitempty"`
}

// Retrained is a trial that was trained again.
type Retrained struct {
	Space string  `json:"space"`
	Index int     `json:"index"`
	Rerun int     `json:"rerun,omitempty"` // see Task
	ID    string  `json:"id"`
	Error float64 `json:"error"` // percent, as the journal has it
	Again float64 `json:"again"` // percent, now
	Same  bool    `json:"same"`  // all numbers of the curve too
	Fault string  `json:"fault,omitempty"`
}

// CheckOptions say how much is checked.
type CheckOptions struct {
	Retrain int    // trials that are trained again, drawn at random of those that are done
	Seed    uint64 // of that draw
	// Trainer trains them; nil means trial.Any.
	Trainer trial.Trainer
	// Progress, if not nil, is told how far a training is.
	Progress func(r Retrained, p train.Progress)
}

// Check reads everything in the folder of a study, every checksum and every record, and on request trains some of its trials again
// and compares the results bit for bit. It changes nothing there.
func (s *Study) Check(ctx context.Context, o CheckOptions) (c Checked, err error) {
	var done []Trial
	err = s.Each(ctx, func(t Trial) error {
		c.Networks++
		for _, t := range append(t.Reruns, t) {
			switch t.State {
			case Done:
				done = append(done, Trial{Space: t.Space, Index: t.Index, Rerun: t.Rerun})
				c.Results++
			case Failed:
				c.Results++
			}
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	for _, name := range s.Config.Spaces {
		for _, place := range s.population(name) {
			if place.ref.length == 0 {
				c.Missing++
			}
		}
	}
	c.Damage = s.Damage()
	if o.Retrain == 0 {
		return c, nil
	}
	if o.Trainer == nil {
		o.Trainer = new(trial.Any)
	}
	engine, err := o.Trainer.Describe(trial.Task{Engine: s.engine(), Trainer: s.Config.Trainer})
	if err != nil {
		return c, err
	}
	c.Differing = differing(makerHere(engine, ""), s.history.provenance())
	rng := rand.New(rand.NewPCG(o.Seed, 0))
	rng.Shuffle(len(done), func(i, j int) { done[i], done[j] = done[j], done[i] })
	for _, t := range done[:min(o.Retrain, len(done))] {
		r, err := s.retrain(ctx, t, o)
		if err != nil {
			return c, err
		}
		c.Retrained = append(c.Retrained, r)
	}
	return c, nil
}

// engine is the one that the results were made with.
func (s *Study) engine() string {
	if s.history.study == nil {
		return ""
	}
	settings, err := s.history.study.settings()
	if err != nil {
		return ""
	}
	return settings.Engine
}

// retrain trains a trial again, in a folder that is removed then.
func (s *Study) retrain(ctx context.Context, t Trial, o CheckOptions) (r Retrained, err error) {
	l := &lines{h: s.history}
	defer l.close()
	place := s.history.samples[t.Space][t.Index]
	old, err := l.trial(place, s.Config)
	if err != nil {
		return r, err
	}
	if t.Rerun > 0 {
		old = old.Reruns[t.Rerun-1]
	}
	record, err := l.sample(place)
	if err != nil {
		return r, err
	}
	config := s.Config
	config.Engine = s.engine()
	task, err := taskOf(record, t.Rerun, config, *s.history.study)
	if err != nil {
		return r, err
	}
	r = Retrained{Space: t.Space, Index: t.Index, Rerun: t.Rerun, ID: old.ID, Error: old.Error}
	dir, err := os.MkdirTemp("", "netspace-check")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	result, err := o.Trainer.Train(ctx, task, filepath.Join(dir, "checkpoints"), func(p train.Progress) {
		if o.Progress != nil {
			o.Progress(r, p)
		}
	})
	switch {
	case ctx.Err() != nil:
		return r, ctx.Err()
	case err != nil:
		r.Fault = err.Error()
		return r, nil
	}
	r.Again = result.Error
	r.Same = old.Error == result.Error && old.Error5 == result.Error5 && slices.Equal(old.Epochs, epochsOf(result.Epochs))
	return r, nil
}

// OK tells whether nothing was found.
func (c Checked) OK() bool {
	return len(c.Damage) == 0 && c.Missing == 0 && !slices.ContainsFunc(c.Retrained, func(r Retrained) bool { return !r.Same })
}

// settings are those of the record.
func (s studyRecord) settings() (settings Settings, err error) {
	if err := json.Unmarshal(s.Settings, &settings); err != nil {
		return settings, fmt.Errorf("read the settings of the study: %w", err)
	}
	return settings, nil
}
