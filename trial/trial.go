// Package trial says what is trained and by whom: a Task states one training of one
// network with all that decides its result, and a Trainer turns it into that.
//
// Trainers know nothing of studies. Who records the result (a worker, see package
// study) and where it runs (see package executor) are other concerns; `netspace train`
// uses the same trainers as the workers of a study.
package trial

import (
	"context"
	"fmt"

	"netspace/arch"
	"netspace/dataset"
	"netspace/engine"
	"netspace/graph"
	"netspace/train"
)

// Trainer turns tasks into results. It is safe for concurrent use.
//
// Train trains the network of a task. dir, if not "", is a folder that is the training's
// own, where it keeps checkpoints and goes on from one that is there (see Task.Fresh); it is made
// if need be. report is called on one goroutine, often, and must return soon.
//
// The same task gives the same result, up to the times, on machines of one type, also if it
// was interrupted and went on. A network that cannot be trained (it diverges, the
// engine refuses it) is a *Failure; a checkpoint that cannot be continued a
// *train.CheckpointError; when ctx is done Train returns soon, with a checkpoint in dir and an error
// that wraps ctx's. Any other error is not the network's fault (data, disk, engine): no other task would fare better.
type Trainer interface {
	Train(ctx context.Context, t Task, dir string, report func(train.Progress)) (train.Result, error)
	// Describe says what Train would compute a task with, as far as its results depend on it.
	Describe(t Task) (engine.Description, error)
}

// Task is one training of one network.
type Task struct {
	ID      string       `json:"id"` // identity, see Identify; "" for a training that belongs to no study
	Seed    uint64       `json:"seed"`
	Spec    arch.Spec    `json:"spec"`
	Input   Input        `json:"input"` // that the network is built for, unless it has a resolution of its own
	Data    Data         `json:"data"`
	DataKey string       `json:"data_key,omitempty"` // train.DataKey that the data must have; "": any
	Recipe  train.Recipe `json:"recipe"`
	Engine  string       `json:"engine,omitempty"` // of the built-in trainer; "": the default one
	Trainer Choice       `json:"trainer,omitzero"` // that trains

	Threads int    `json:"threads,omitempty"`  // of a training step; 0 means 1
	Memory  int64  `json:"memory,omitempty"`   // bytes that the training may take; 0: any number. More is a failure before the first step
	Init    string `json:"init,omitempty"`     // file of initial weights (see weights.ReadFile); "": drawn from the seed
	InitBGR bool   `json:"init_bgr,omitempty"` // they are for images of blue, green and red
	Steps   int    `json:"steps,omitempty"`    // end after so many, counted from the first; 0: after the last epoch
	Final   bool   `json:"final,omitempty"`    // evaluate the test images, too, at the end
	Weights string `json:"weights,omitempty"`  // safetensors file to write the final weights to; "": none
	// Fresh begins anew in place of what is in the training's folder.
	Fresh bool `json:"fresh,omitempty"`
}

// Input is what a network is built for.
type Input struct {
	Channels int `json:"channels"`
	Height   int `json:"height"`
	Width    int `json:"width"`
	Classes  int `json:"classes"`
}

// InputOf is the input that a data set's images make.
func InputOf(i dataset.Info) Input {
	return Input{Channels: i.Channels, Height: i.Height, Width: i.Width, Classes: i.Classes}
}

// Arch is i for package arch.
func (i Input) Arch() arch.Input {
	return arch.Input{Channels: i.Channels, Height: i.Height, Width: i.Width, Classes: i.Classes}
}

// String gives "1×28×28 images of 10 classes".
func (i Input) String() string {
	return fmt.Sprintf("%d×%d×%d images of %d classes", i.Channels, i.Height, i.Width, i.Classes)
}

// Data says which images are used (see dataset.Options).
type Data struct {
	Name       string `json:"name"`                 // of a known data set, or the path of a folder
	Train      int    `json:"train"`                // training images; 0: all that validation leaves
	Validation int    `json:"validation"`           // images held out of them; 0: the data set's default, -1: none, of a final training
	Resolution int    `json:"resolution,omitempty"` // pixels; 0: as the images are
	Labels     string `json:"labels,omitempty"`     // see dataset.Options; "": the usual ones
	// MaxCorrupt is the share of damaged images that is left out silently; 0: the
	// default of package dataset, negative: none.
	MaxCorrupt float64 `json:"max_corrupt,omitempty"`
}

// Open opens the images, those of the test set only for a final evaluation. Close them when they are not
// needed any more.
func (d Data) Open(ctx context.Context, final bool) (*dataset.Data, error) {
	return dataset.OpenContext(ctx, d.Name, dataset.Options{Train: d.Train, Val: d.Validation, NoTest: !final, Resolution: d.Resolution, Labels: d.Labels, MaxCorrupt: d.MaxCorrupt})
}

// Graph builds the task's network for images as they are.
func (t Task) Graph(images dataset.Info) (*graph.Graph, error) {
	r := t.Recipe
	return t.Spec.TrainingGraph(InputOf(images).Arch(), arch.FromRecipe{DropPath: r.DropPath, Dropout: r.Dropout, BNEpsilon: r.BNEpsilon})
}

// OtherDataError says that the images of a task are not those that it was made for.
type OtherDataError struct{ Name string }

func (e *OtherDataError) Error() string {
	return fmt.Sprintf("data set %s: the images or their labels are other ones than when the study was started", e.Name)
}

// InitError says why the initial weights of a task cannot be read.
type InitError struct{ Err error }

func (e *InitError) Error() string { return "initial weights: " + e.Err.Error() }
func (e *InitError) Unwrap() error { return e.Err }
