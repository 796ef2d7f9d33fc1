package trial

import (
	"context"
	"slices"
	"strings"

	"netspace/engine"
	"netspace/train"
)

// Choice says which trainer trains a task. The zero value is the built-in one.
type Choice struct {
	// Command is a program of the user's and its arguments, which keep to the protocol of docs/trainers.md. A relative
	// path starts at the folder that netspace runs in.
	Command []string `json:"command,omitempty"`
}

// IsZero tells whether it is the built-in trainer.
func (c Choice) IsZero() bool { return c.Command == nil }

// Equal tells whether two choices are the same.
func (c Choice) Equal(o Choice) bool { return slices.Equal(c.Command, o.Command) }

// String names the trainer: "built-in", or the program with its arguments.
func (c Choice) String() string {
	if c.IsZero() {
		return "built-in"
	}
	return strings.Join(c.Command, " ")
}

// Any is the Trainer that gives each task to the one that it asks for.
type Any struct {
	Builtin Builtin
}

// Train implements Trainer.
func (a Any) Train(ctx context.Context, t Task, dir string, report func(train.Progress)) (train.Result, error) {
	return a.of(t).Train(ctx, t, dir, report)
}

// Describe implements Trainer.
func (a Any) Describe(t Task) (engine.Description, error) { return a.of(t).Describe(t) }

func (a Any) of(t Task) Trainer {
	if t.Trainer.IsZero() {
		return a.Builtin
	}
	return Command{Argv: t.Trainer.Command}
}
