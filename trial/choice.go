package trial

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"netspace/engine"
	"netspace/engine/pytorch"
	"netspace/train"
)

// Choice says which trainer trains a task. The zero value is the built-in one.
type Choice struct {
	// Command is a program of the user's and its arguments, which keep to the protocol of docs/trainers.md. A relative
	// path starts at the folder that netspace runs in.
	Command []string `json:"command,omitempty"`
	// PyTorch, if not nil, trains with the engine of package engine/pytorch.
	PyTorch *PyTorch `json:"pytorch,omitempty"`
}

// PyTorch says which PyTorch trains, and on what.
type PyTorch struct {
	Python    string `json:"python,omitempty"`     // see pytorch.Config
	Device    string `json:"device,omitempty"`     // of pytorch.Devices; "" means pytorch.Auto
	Precision string `json:"precision,omitempty"`  // of pytorch.Precisions; "" means pytorch.Auto
	PerDevice int    `json:"per_device,omitempty"` // workers of a run for each GPU, unless a run is told how many; 0 means 1
}

// Config is what opens it.
func (p PyTorch) Config() pytorch.Config {
	return pytorch.Config{Python: p.Python, Device: p.Device, Precision: p.Precision}
}

// IsZero tells whether it is the built-in trainer.
func (c Choice) IsZero() bool { return c.Command == nil && c.PyTorch == nil }

// Deciding is what of a choice decides results: not where PyTorch is, nor how many workers share a GPU.
func (c Choice) Deciding() Choice {
	if c.PyTorch != nil {
		p := PyTorch{Device: c.PyTorch.Device, Precision: c.PyTorch.Precision}
		if p.Device == pytorch.Auto {
			p.Device = ""
		}
		if p.Precision == pytorch.Auto {
			p.Precision = ""
		}
		c.PyTorch = &p
	}
	return c
}

// Equal tells whether two choices give the same results.
func (c Choice) Equal(o Choice) bool {
	c, o = c.Deciding(), o.Deciding()
	if c.PyTorch != nil && o.PyTorch != nil && *c.PyTorch != *o.PyTorch {
		return false
	}
	return slices.Equal(c.Command, o.Command) && (c.PyTorch == nil) == (o.PyTorch == nil)
}

// Fits is an error if the trainer has no way to train by a recipe: activations in bfloat16 are those of our engines, and what
// a program keeps of its own cannot be seen.
func (c Choice) Fits(r train.Recipe) error {
	if r.Activations != train.Float32 && !c.IsZero() {
		return errors.New("goes with trainer builtin alone: the others keep activations in their own way")
	}
	return nil
}

// String names the trainer: "built-in", "pytorch", or the program with its arguments.
func (c Choice) String() string {
	switch {
	case c.PyTorch != nil:
		return pytorch.Name
	case c.Command != nil:
		return strings.Join(c.Command, " ")
	}
	return "built-in"
}

// Any is the Trainer that gives each task to the one that it asks for. Its zero value is ready to use; it must
// not be copied after.
type Any struct {
	Builtin Builtin

	mu      sync.Mutex
	pytorch map[pytorch.Config]*pytorch.Engine
}

// Train implements Trainer.
func (a *Any) Train(ctx context.Context, t Task, dir string, report func(train.Progress)) (train.Result, error) {
	return a.of(t).Train(ctx, t, dir, report)
}

// Describe implements Trainer.
func (a *Any) Describe(t Task) (engine.Description, error) { return a.of(t).Describe(t) }

func (a *Any) of(t Task) Trainer {
	switch c := t.Trainer; {
	case c.PyTorch != nil:
		b := a.Builtin
		b.Open = func(string) (engine.Engine, error) { return a.open(c.PyTorch.Config()) }
		return b
	case c.Command != nil:
		return Command{Argv: c.Command}
	}
	return a.Builtin
}

// open gives the one PyTorch of this process for a configuration: a worker starts it once for all its trials.
func (a *Any) open(c pytorch.Config) (*pytorch.Engine, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.pytorch[c]; e != nil {
		return e, nil
	}
	e, err := pytorch.Open(c)
	if err != nil {
		return nil, err
	}
	if a.pytorch == nil {
		a.pytorch = map[pytorch.Config]*pytorch.Engine{}
	}
	a.pytorch[c] = e
	return e, nil
}

// Workers is how many workers use this machine well with a trainer; 0 means one per core.
func (a *Any) Workers(c Choice) (int, error) {
	if c.PyTorch == nil {
		return 0, nil
	}
	e, err := a.open(c.PyTorch.Config())
	if err != nil {
		return 0, err
	}
	return e.GPUs() * cmp.Or(c.PyTorch.PerDevice, 1), nil
}
