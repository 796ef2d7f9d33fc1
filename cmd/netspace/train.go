package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/dataset"
	"netspace/engine"
	"netspace/engine/engines"
	"netspace/engine/pytorch"
	"netspace/graph"
	"netspace/strict"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
	"netspace/weights"
)

// trainerHelp says what a trainer may be.
const trainerHelp = "builtin; pytorch, in the place of an engine of ours; or as a study file states it: '{pytorch: {device: cpu}}', '{command: [python3, train.py]}'"

type trainOptions struct {
	model     string
	data      dataFlags
	recipe    recipeFlags
	out       string
	seed      uint64
	engine    string
	trainer   string
	threads   int
	resume    bool
	restart   bool
	final     bool
	steps     int
	logSteps  bool
	init      string
	order     string
	weights   string
	gradients string
}

func newTrainCmd(a *app) *cobra.Command {
	var o trainOptions
	c := &cobra.Command{
		Use:   "train MODEL --data NAME|PATH [--out DIR]",
		Short: "Train one network",
		Long: `Train a network of the zoo or of a spec file on a data set, under a recipe.

The recipe is that of the paper's populations (10 epochs of SGD, cosine), changed
by the model's file, then by --recipe (a NAME or a FILE), then by flags. The error is that of
validation images, which are held out of the training images; --final also
evaluates the test images, once, at the end.

In DIR the training leaves result.json, curve.csv and weights.safetensors, and
while it runs a checkpoint. An interrupted training continues with --resume and
gives the same bits as one that was not interrupted.`,
		Example: `  netspace train RegNetX-200MF --data fashion-mnist --out runs/a
  netspace train net.yaml --data ~/photos --recipe recipe.yaml --lr 0.2 --out runs/b --resume
  netspace train net.yaml --data fashion-mnist --steps 10 --batch 64 --no-augment --no-shuffle --init w.safetensors --log-steps --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeModels,
	}
	f := c.Flags()
	f.SortFlags = false // the recipe's many flags come last, in their order
	o.data.add(c)
	f.StringVarP(&o.out, "out", "o", "", "keep the results and the checkpoint in `DIR`; without it nothing is kept")
	f.Uint64Var(&o.seed, "seed", 0, "of the initial weights, the order of the images and all other chance")
	f.StringVar(&o.engine, "engine", engines.Default, engines.Help())
	f.StringVar(&o.trainer, "trainer", "builtin", trainerHelp)
	f.IntVar(&o.threads, "threads", 1, "threads for one training step")
	f.BoolVar(&o.resume, "resume", false, "continue from the checkpoint in DIR, if there is one")
	f.BoolVar(&o.restart, "restart", false, "begin anew where DIR holds an unfinished training")
	f.BoolVar(&o.final, "final", false, "evaluate the test images, too, at the end")
	f.IntVar(&o.steps, "steps", 0, "end after `N` steps, counted from the first; 0: after the last epoch")
	f.BoolVar(&o.logSteps, "log-steps", false, "print a line per step: step (from 0), lr, loss")
	f.StringVar(&o.init, "init", "", "start from the weights in `FILE`: safetensors or PyTorch's .pth, with the names of pycls, timm or torchvision. Where they are for another number of classes the classifier begins afresh")
	addChannelOrder(c, &o.order)
	f.StringVar(&o.weights, "save-weights", "", "write the final weights to `FILE` (safetensors)")
	f.StringVar(&o.gradients, "save-gradients", "", "write the gradients of the first step to `FILE` (safetensors)")
	o.recipe.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		o.model = args[0]
		return runTrain(c, a, o)
	}
	return c
}

// trainStart is the first line of --json.
type trainStart struct {
	Event         string           `json:"event"` // "start"
	Model         string           `json:"model"`
	Network       string           `json:"network"` // identity of the adjusted network
	Spec          arch.Spec        `json:"spec"`    // adjusted
	Complexity    graph.Complexity `json:"complexity"`
	Engine        string           `json:"engine"` // or the program that trains, with its arguments
	Threads       int              `json:"threads"`
	Seed          uint64           `json:"seed"`
	Data          dataSummary      `json:"data"`
	Normalisation normalisation    `json:"normalisation"`
	Recipe        train.Recipe     `json:"recipe"` // resolved
	StepsPerEpoch int              `json:"steps_per_epoch"`
}

type dataSummary struct {
	Name       string   `json:"name"`
	Train      int      `json:"train"`
	Validation int      `json:"validation"`
	Test       int      `json:"test"`
	Channels   int      `json:"channels"`
	Height     int      `json:"height"`
	Width      int      `json:"width"`
	Classes    int      `json:"classes"`
	Corrupt    []string `json:"corrupt,omitempty"` // damaged images of a folder that are left out: file and reason
}

// normalisation is per channel, of values scaled to [0,1]: (x - mean) / std.
type normalisation struct {
	Mean []float32 `json:"mean"`
	Std  []float32 `json:"std"`
}

type stepLine struct {
	Event    string  `json:"event"` // "step"
	Step     int     `json:"step"`
	Epoch    int     `json:"epoch"` // from 0
	LR       float64 `json:"lr"`
	Loss     float64 `json:"loss"`
	GradNorm float64 `json:"grad_norm,omitempty"`
}

type epochLine struct {
	Event string `json:"event"` // "epoch"
	train.EpochStats
}

type resultLine struct {
	Event string `json:"event"` // "result"
	train.Result
	Weights string `json:"weights,omitempty"` // file
}

// trainRecord is what result.json holds.
type trainRecord struct {
	trainStart
	Event  string       `json:"event,omitempty"`
	Result train.Result `json:"result"`
}

func runTrain(c *cobra.Command, a *app, o trainOptions) (err error) {
	ctx := c.Context()
	model, err := a.resolve(o.model)
	if err != nil {
		return err
	}
	spec := model.Spec
	recipe, err := o.recipe.recipe(spec, o.model)
	if err != nil {
		return err
	}
	if o.resume && o.out == "" {
		return usagef("--resume needs --out DIR, where the checkpoint is")
	}
	if o.threads < 1 {
		return usagef("--threads %d: must be at least 1", o.threads)
	}
	bgr, err := isBGR(o.order)
	if err != nil {
		return err
	}
	if bgr && o.init == "" {
		return usagef("--channel-order is of --init FILE")
	}
	choice, eng, err := o.open(c)
	if err != nil {
		return err
	}
	if err := choice.Fits(recipe); err != nil {
		return usagef("recipe.activations: %s: %w", recipe.Activations, err)
	}
	data, err := o.data.open(ctx, a, &model, o.final)
	if err != nil {
		return err
	}
	spec = model.Spec
	defer func() { err = errors.Join(err, data.Close()) }()
	if o.steps > 0 && !o.recipe.stated(c.Flags(), "epochs", spec) {
		recipe = recipe.Covering(o.steps, data.Train.Len())
	}
	task := trial.Task{
		Seed: o.seed, Spec: spec, Input: trial.InputOf(data.Info), Data: o.data.of(model.Spec), Recipe: recipe, Engine: o.engine, Trainer: choice, Threads: o.threads,
		Init: o.init, InitBGR: bgr, Steps: o.steps, Final: o.final, Weights: o.weights, Fresh: !o.resume,
	}
	if o.out != "" && task.Weights == "" {
		task.Weights = filepath.Join(o.out, train.WeightsName)
	}
	net, err := task.Graph(data.Info)
	if err != nil {
		return usage(err)
	}
	if err := checkOut(o); err != nil {
		return err
	}
	start := startOf(o, spec, net, data, recipe)
	if start.Engine = choice.String(); eng != nil {
		start.Engine = eng.Describe().Name
	}
	p := newTrainPrinter(a, o)
	if err := p.start(start); err != nil {
		return err
	}
	var trainer trial.Trainer = trial.Builtin{
		Open: func(string) (engine.Engine, error) { return eng, nil }, Data: data,
		Warn: p.warn, OnStep: func(s train.StepStats) error { return p.step(s, net) },
	}
	if choice.Command != nil {
		trainer = trial.Command{Argv: choice.Command}
	}
	a.grace.Store(int64(withGrace))
	result, err := trainer.Train(ctx, task, o.out, p.progress)
	p.end()
	warnCorrupt(a, data, len(start.Data.Corrupt))
	if err != nil {
		return explainTrain(err, o)
	}
	if o.out != "" {
		if err := train.WriteResult(o.out, trainRecord{trainStart: start, Result: result}, result.Epochs); err != nil {
			return err
		}
	}
	if _, err := os.Stat(task.Weights); choice.Command != nil && err != nil {
		task.Weights = "" // the program writes none
	}
	return p.result(result, task.Weights)
}

// open finds out which trainer it is, and opens its engine; a program of the user's has none.
func (o trainOptions) open(c *cobra.Command) (choice trial.Choice, e engine.Engine, err error) {
	choice, err = study.ParseTrainer(o.trainer)
	switch {
	case err != nil:
		return choice, nil, usagef("--trainer: %w", err)
	case choice.IsZero():
		e, err = openEngine(o.engine)
		return choice, e, err
	case c.Flags().Changed("engine"):
		return choice, nil, usagef("--engine is of the built-in trainer")
	case choice.PyTorch != nil:
		e, err = pytorch.Open(choice.PyTorch.Config())
		return choice, e, usage(err)
	case c.Flags().Changed("channel-order"):
		return choice, nil, usagef("--channel-order goes with builtin and pytorch: a program reads the file of --init itself")
	case o.logSteps, o.gradients != "":
		return choice, nil, usagef("--log-steps and --save-gradients go with builtin and pytorch: a program tells of its steps in its own way")
	}
	_, err = trial.Command{Argv: choice.Command}.Describe(trial.Task{})
	return choice, nil, usage(err)
}

// checkOut refuses to lose an unfinished training.
func checkOut(o trainOptions) error {
	if o.out == "" || o.resume {
		return nil
	}
	unfinished, err := trial.Unfinished(o.out)
	if err != nil {
		return err
	}
	if unfinished && !o.restart {
		return usagef("%s holds an unfinished training: --resume continues it, --restart begins anew", o.out)
	}
	return nil
}

func startOf(o trainOptions, spec arch.Spec, net *graph.Graph, data *dataset.Data, recipe train.Recipe) trainStart {
	info := data.Info
	s := trainStart{
		Event: "start", Model: o.model, Network: spec.Key(), Spec: spec.Adjusted(), Complexity: net.Complexity(),
		Threads: o.threads, Seed: o.seed,
		Data:          dataSummary{Name: info.Name, Train: data.Train.Len(), Test: data.TestImages, Channels: info.Channels, Height: info.Height, Width: info.Width, Classes: info.Classes},
		Normalisation: normalisation{info.Mean, info.Std},
		Recipe:        recipe.Resolve(info),
		StepsPerEpoch: data.Train.Len() / recipe.Batch,
	}
	for _, e := range data.Corrupt() {
		s.Data.Corrupt = append(s.Data.Corrupt, e.Error())
	}
	if data.Val != nil {
		s.Data.Validation = data.Val.Len()
	}
	return s
}

// explainTrain adds what the user can do about an error, and its exit status.
func explainTrain(err error, o trainOptions) error {
	var (
		recipe     *strict.Error
		job        *train.JobError
		mismatch   *weights.MismatchError
		checkpoint *train.CheckpointError
		initial    *trial.InitError
		lost       *trial.LostError
	)
	switch {
	case errors.Is(err, context.Canceled) && o.out != "":
		return fmt.Errorf("%w; continue with:\n  %s", err, resumeCommand())
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w; nothing is kept without --out DIR", err)
	case errors.As(err, &mismatch):
		return usagef("--init %s: %w (netspace init %s --data %s -o FILE writes initial weights of this network)", o.init, err, shellescape.Quote(o.model), shellescape.Quote(o.data.name))
	case errors.As(err, &initial):
		return usagef("--init: %w", initial.Err)
	case errors.As(err, &checkpoint):
		return usagef("%w; --restart begins anew in its place", err)
	case errors.As(err, &recipe), errors.As(err, &job):
		return usage(err)
	case errors.As(err, &lost) && lost.Log != "":
		return fmt.Errorf("%w; its last lines:\n%s", err, lost.Log)
	}
	return err
}

// resumeCommand is the command line of this process with --resume.
func resumeCommand() string {
	words := []string{shellescape.Quote(os.Args[0])}
	for _, w := range os.Args[1:] {
		if w == "--restart" || w == "--resume" {
			continue
		}
		words = append(words, shellescape.Quote(w))
	}
	return strings.Join(append(words, "--resume"), " ")
}
