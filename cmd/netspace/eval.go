package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/dataset"
	"netspace/engine/engines"
	"netspace/train"
	"netspace/weights"
)

type evalOptions struct {
	model   string
	weights weightsFlags
	data    dataFlags
	split   string
	batch   int
	engine  string
	threads int
	norm    string
}

func newEvalCmd(a *app) *cobra.Command {
	var o evalOptions
	c := &cobra.Command{
		Use:   "eval MODEL --weights FILE --data NAME|PATH",
		Short: "Measure the error of a network with given weights",
		Long: `Run a network with the weights of a file (safetensors or PyTorch's .pth, under the
names of pycls, timm or torchvision) on the validation images of a data set, and print the top-1 and top-5 error in
percent and the mean cross-entropy.

Images are normalised as they were when the weights were trained, which files
written by netspace state; --normalise data takes the data set's own numbers.
Test images are left to netspace train --final.`,
		Example: `  netspace eval RegNetX-200MF --weights runs/a/weights.safetensors --data fashion-mnist
  netspace eval net.yaml --weights w.safetensors --data ~/photos --split train --json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeModels,
	}
	o.data.add(c)
	o.weights.add(c)
	f := c.Flags()
	f.StringVar(&o.split, "split", "val", "val or train")
	f.IntVar(&o.batch, "batch", 128, "images at a time")
	f.StringVar(&o.engine, "engine", engines.Default, engines.Help())
	f.IntVar(&o.threads, "threads", 1, "threads")
	f.StringVar(&o.norm, "normalise", "weights", "weights: as the file of weights states, if it does; data: as the data set's training images say")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.model = args[0]
		return runEval(c, a, o)
	}
	return c
}

// evalLine is what eval prints with --json.
type evalLine struct {
	Model           string        `json:"model"`
	Data            string        `json:"data"`
	Split           string        `json:"split"`
	Images          int           `json:"images"`
	Error           float64       `json:"error"`
	Error5          float64       `json:"error5"`
	Loss            number        `json:"loss"` // null for weights that overflow
	Normalisation   normalisation `json:"normalisation"`
	ImagesPerSecond number        `json:"images_per_second"`
}

func runEval(c *cobra.Command, a *app, o evalOptions) (err error) {
	ctx := c.Context()
	switch {
	case o.weights.file == "":
		return usagef("--weights is missing: a file of weights")
	case o.split != "val" && o.split != "train":
		return usagef("--split %q: must be val or train; test images are evaluated by netspace train --final alone", o.split)
	case o.norm != "weights" && o.norm != "data":
		return usagef("--normalise %q: must be weights or data", o.norm)
	case o.batch < 1 || o.threads < 1:
		return usagef("--batch %d and --threads %d: must be at least 1", o.batch, o.threads)
	}
	model, err := a.resolve(o.model)
	if err != nil {
		return err
	}
	file, err := o.weights.read()
	if err != nil {
		return err
	}
	eng, err := openEngine(o.engine)
	if err != nil {
		return err
	}
	data, err := o.data.open(ctx, a, &model, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	info, epsilon := data.Info, 0.0
	if o.norm == "weights" {
		if info, epsilon, err = train.TrainedWith(file, info); err != nil {
			return usage(fmt.Errorf("--weights %s: %w", o.weights.file, err))
		}
	}
	net, err := model.Spec.TrainingGraph(inputOf(data.Info), arch.FromRecipe{BNEpsilon: epsilon})
	if err != nil {
		return usage(err)
	}
	if file, err = o.weights.ordered(file, net); err != nil {
		return err
	}
	var split dataset.Split = data.Val
	if o.split == "train" {
		split = data.Train
	}
	began := time.Now()
	m, err := train.Evaluate(ctx, train.Evaluation{
		Graph: net, Weights: file, Split: split, Info: info, Engine: eng, Batch: o.batch, Threads: o.threads,
	})
	var wrong *weights.MismatchError
	var twice *weights.AmbiguousError
	if errors.As(err, &wrong) || errors.As(err, &twice) {
		return usagef("--weights %s: %w", o.weights.file, err)
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.emit(evalLine{o.model, info.Name, o.split, m.Images, m.Error, m.Error5, number(m.Loss),
			normalisation{info.Mean, info.Std}, number(float64(m.Images) / time.Since(began).Seconds())})
	}
	_, err = fmt.Fprintf(a.out, "top-1 error %.2f %%, top-5 error %.2f %%, loss %.4f on %d images\n", m.Error, m.Error5, m.Loss, m.Images)
	return err
}
