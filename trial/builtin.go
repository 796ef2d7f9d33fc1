package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"netspace/dataset"
	"netspace/engine"
	"netspace/engine/engines"
	"netspace/engine/pytorch"
	"netspace/graph"
	"netspace/train"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// Builtin is the Trainer that runs in this process, on engines of ours. Its zero value is ready to use.
type Builtin struct {
	// Open gives the engine of a task; nil means that of package engines.
	Open func(name string) (engine.Engine, error)
	// Data, if not nil, is the images of the task, opened already. They stay open.
	Data *dataset.Data
	// Warn, if not nil, is told of checkpoints that could not be written while the
	// training goes on; if it is nil they end it. It is told, too, where initial weights are for other classes.
	Warn func(error)
	// OnStep, if not nil, sees the program after every step. An error ends the training.
	OnStep func(train.StepStats) error
}

// Train implements Trainer.
func (b Builtin) Train(ctx context.Context, t Task, dir string, report func(train.Progress)) (train.Result, error) {
	result, err := b.train(ctx, t, dir, report)
	var died *pytorch.DiedError
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.As(err, &died):
		err = &LostError{Death{Cause: causeOf(died.State), Reason: died.Error(), Log: died.Log}}
	case ownFault(err):
		err = failureOf(err)
	}
	return result, err
}

func failureOf(err error) *Failure {
	var diverged *train.DivergedError
	switch {
	case errors.As(err, &diverged):
		return &Failure{Err: err, Cause: Diverged}
	case errors.Is(err, engine.ErrMemory):
		return &Failure{Err: err, Cause: OutOfMemory}
	}
	return &Failure{Err: err, Cause: Refused}
}

// Describe implements Trainer.
func (b Builtin) Describe(t Task) (engine.Description, error) {
	e, err := b.open(t.Engine)
	if err != nil {
		return engine.Description{}, err
	}
	return e.Describe(), nil
}

func (b Builtin) open(name string) (engine.Engine, error) {
	if b.Open != nil {
		return b.Open(name)
	}
	return engines.Open(engines.Config{Name: name})
}

func (b Builtin) train(ctx context.Context, t Task, dir string, report func(train.Progress)) (res train.Result, err error) {
	eng, err := b.open(t.Engine)
	if err != nil {
		return res, err
	}
	data := b.Data
	if data == nil {
		if data, err = t.openData(ctx); err != nil {
			return res, err
		}
		defer func() { err = errors.Join(err, data.Close()) }()
	}
	job := train.Job{
		Data: data, Recipe: t.Recipe, Seed: t.Seed, Engine: eng, Threads: t.Threads, Memory: t.Memory,
		MaxSteps: t.Steps, Final: t.Final, Weights: t.Weights, Dir: dir, Resume: !t.Fresh,
		Progress: report, Warn: b.Warn, OnStep: b.OnStep,
	}
	if job.Graph, err = t.Graph(data.Info); err != nil {
		return res, err
	}
	if t.Init != "" {
		if job.Init, err = t.initial(job.Graph, b.Warn); err != nil {
			return res, &InitError{err}
		}
	}
	return train.Run(ctx, job)
}

// initial reads the initial weights, for g.
func (t Task) initial(g *graph.Graph, warn func(error)) (*safetensors.File, error) {
	f, err := weights.ReadFile(t.Init)
	if err != nil {
		return nil, err
	}
	if t.InitBGR {
		if f, err = weights.SwapRedBlue(f, g); err != nil {
			return nil, err
		}
	}
	f, had, err := weights.FreshHead(f, g, t.Seed)
	if had > 0 && warn != nil {
		warn(fmt.Errorf("initial weights: they are for %d classes; the classifier for %d begins afresh", had, g.Output().C))
	}
	return f, err
}

// openData opens the images that a network is trained on: in its own resolution
// if it has one, else those that the task was made for.
func (t Task) openData(ctx context.Context) (*dataset.Data, error) {
	own := t.Spec.Resolution != 0
	if own {
		t.Data.Resolution = t.Spec.Resolution
	}
	data, err := t.Data.Open(ctx, t.Final)
	if err != nil || own || t.DataKey == "" {
		return data, err
	}
	key, err := train.DataKey(data)
	if err == nil && key != t.DataKey {
		err = &OtherDataError{Name: t.Data.Name}
	}
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return data, nil
}

// ownFault tells errors of a network from those of the disk, the data and the
// engine, after which no other network would fare better.
func ownFault(err error) bool {
	var (
		path       *fs.PathError
		link       *os.LinkError
		sys        *os.SyscallError
		missing    *dataset.MissingError
		format     *dataset.FormatError
		option     *dataset.OptionError
		other      *OtherDataError
		none       *engine.ErrUnavailable
		unknown    *engines.UnknownError
		checkpoint *train.CheckpointError
		initial    *InitError
	)
	return !(errors.As(err, &path) || errors.As(err, &link) || errors.As(err, &sys) ||
		errors.As(err, &missing) || errors.As(err, &format) || errors.As(err, &option) ||
		errors.As(err, &other) || errors.As(err, &none) || errors.As(err, &unknown) || errors.As(err, &checkpoint) || errors.As(err, &initial))
}
