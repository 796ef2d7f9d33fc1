package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"netspace/train"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// Finding is what came of one check of a program.
type Finding struct {
	Check   string  `json:"check"`
	OK      bool    `json:"ok"`
	Fault   string  `json:"fault,omitempty"` // what is wrong
	Log     string  `json:"log,omitempty"`   // last lines that the program wrote to standard error
	Seconds float64 `json:"seconds"`
}

// Check finds out whether a program keeps to the protocol of docs/trainers.md: it has the program train a task several times, interrupts
// it, and asks for the impossible. The task is short; its recipe has two epochs at least. dir is a folder for checkpoints. tell is told of each finding.
func Check(ctx context.Context, c Command, t Task, dir string, tell func(Finding)) error {
	k := checker{ctx: ctx, command: c, task: t, dir: dir}
	for _, check := range []struct {
		name string
		do   func() error
	}{
		{"trains a network and tells of it", k.trains},
		{"the same task gives the same result", k.repeats},
		{"stops within a second when it is asked to", k.stops},
		{"goes on from its checkpoint, to the same result", k.resumes},
		{"a training that cannot succeed ends with failed or a result", k.diverges},
		{"frozen tensors are in the final weights as they were in the initial ones, or the task is refused", k.freezes},
	} {
		began := time.Now()
		err := check.do()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var start *StartError
		if errors.As(err, &start) {
			return err
		}
		f := Finding{Check: check.name, OK: err == nil, Seconds: time.Since(began).Seconds()}
		if err != nil {
			f.Fault = err.Error()
			var lost *LostError
			var failure *Failure
			switch {
			case errors.As(err, &lost):
				f.Log = lost.Log
			case errors.As(err, &failure):
				f.Log = failure.Log
			}
		}
		tell(f)
	}
	return nil
}

// checker checks a program.
type checker struct {
	ctx     context.Context
	command Command
	task    Task
	dir     string

	result    train.Result
	stopped   bool
	stoppedAt int // epochs that were told when it was stopped
}

// train has the task trained in a folder and gives the epochs that were told, in order.
func (k *checker) train(ctx context.Context, t Task, dir string, see func(train.Progress)) (train.Result, []int, error) {
	var epochs []int
	last := -1.0
	var wrong error
	res, err := k.command.Train(ctx, t, filepath.Join(k.dir, dir), func(p train.Progress) {
		if p.Finished != nil {
			epochs = append(epochs, p.Finished.Epoch)
		}
		if p.Done > 0 && p.Done < last && wrong == nil {
			wrong = fmt.Errorf("progress goes backwards, from %v to %v", last, p.Done)
		}
		last = max(last, p.Done)
		if see != nil {
			see(p)
		}
	})
	if err == nil {
		err = wrong
	}
	return res, epochs, err
}

func (k *checker) trains() (err error) {
	var epochs []int
	if k.result, epochs, err = k.train(k.ctx, k.task, "first", nil); err != nil {
		return err
	}
	return k.all(epochs, 1)
}

// all checks that the epochs from one on were told.
func (k *checker) all(epochs []int, from int) error {
	var want []int
	for e := from; e <= k.task.Recipe.Epochs; e++ {
		want = append(want, e)
	}
	if !slices.Equal(epochs, want) {
		return fmt.Errorf("told of epochs %v, not %v", epochs, want)
	}
	return nil
}

// same checks that a result is that of the first training.
func (k *checker) same(r train.Result) error {
	if r.Error != k.result.Error || !slices.Equal(r.Epochs, k.result.Epochs) {
		return fmt.Errorf("an error of %v %% and a curve of %d epochs, where the first training had %v %% and %d epochs, or other values in them: is all chance from the seed?",
			r.Error, len(r.Epochs), k.result.Error, len(k.result.Epochs))
	}
	return nil
}

var errFirst = errors.New("the first training had no result to compare with")

func (k *checker) repeats() error {
	if k.result.Epochs == nil {
		return errFirst
	}
	r, _, err := k.train(k.ctx, k.task, "second", nil)
	if err != nil {
		return err
	}
	return k.same(r)
}

func (k *checker) stops() error {
	ctx, cancel := context.WithCancel(k.ctx)
	defer cancel()
	var asked time.Time
	_, epochs, err := k.train(ctx, k.task, "third", func(p train.Progress) {
		if p.Finished != nil && asked.IsZero() {
			asked = time.Now()
			cancel()
		}
	})
	took := time.Since(asked)
	k.stopped, k.stoppedAt = err != nil, len(epochs)
	switch {
	case err == nil:
		return errors.New("it went on to the end; or the task is too short to be interrupted")
	case !errors.Is(err, context.Canceled):
		return err
	case took > cmp.Or(k.command.Grace, time.Second):
		return fmt.Errorf("it took %.1f s and was ended", took.Seconds())
	}
	return nil
}

func (k *checker) resumes() error {
	switch {
	case k.result.Epochs == nil:
		return errFirst
	case !k.stopped:
		return errors.New("it was not interrupted before")
	}
	r, epochs, err := k.train(k.ctx, k.task, "third", nil)
	if err != nil {
		return err
	}
	if len(epochs) > 0 && epochs[0] == 1 {
		return fmt.Errorf("it began anew, though %d epochs were done and resume is true", k.stoppedAt)
	}
	return k.same(r)
}

func (k *checker) freezes() error {
	data, err := k.task.openData(k.ctx)
	if err != nil {
		return err
	}
	g, err := k.task.Graph(data.Info)
	if err := errors.Join(err, data.Close()); err != nil {
		return err
	}
	t := k.task
	t.Init, t.Weights = filepath.Join(k.dir, "initial.safetensors"), filepath.Join(k.dir, "final.safetensors")
	t.Recipe.Freeze = []string{"stem.*"}
	if err := safetensors.WriteFile(t.Init, weights.Initial(g, t.Seed, false)); err != nil {
		return err
	}
	_, _, err = k.train(k.ctx, t, "fifth", nil)
	var failure *Failure
	if errors.As(err, &failure) && failure.Cause == Refused {
		return nil
	}
	return err
}

func (k *checker) diverges() error {
	t := k.task
	t.Recipe.LR = 1e30
	_, _, err := k.train(k.ctx, t, "fourth", nil)
	var failure *Failure
	if errors.As(err, &failure) {
		return nil
	}
	return err
}
