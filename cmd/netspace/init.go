package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"netspace/weights"
	"netspace/weights/safetensors"
)

type initOptions struct {
	model     string
	out       string
	seed      uint64
	zeroGamma bool
	channels  int
	classes   int
	data      string
}

func newInitCmd(a *app) *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init MODEL -o FILE",
		Short: "Write the initial weights of a network",
		Long: `Write the weights that a training with the same seed starts from, as safetensors
with PyTorch's names and layout.

Channels and classes are those of --data, else of the flags, else what the
model's file states, else 3 and 1000.`,
		Example: `  netspace init RegNetX-200MF -o w.safetensors --seed 1
  netspace init net.yaml -o w.safetensors --data fashion-mnist`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeModels,
	}
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "", "the `FILE` to write")
	f.Uint64Var(&o.seed, "seed", 0, "of the weights")
	f.BoolVar(&o.zeroGamma, "zero-gamma", false, "start the last BN of each residual branch at scale 0")
	f.IntVar(&o.channels, "channels", 0, "of the images: 1 or 3")
	f.IntVar(&o.classes, "classes", 0, "outputs of the network")
	f.StringVar(&o.data, "data", "", "take channels and classes from a data set: a `NAME` or a folder")
	c.RunE = func(c *cobra.Command, args []string) error {
		o.model = args[0]
		return runInit(c, a, o)
	}
	return c
}

func runInit(c *cobra.Command, a *app, o initOptions) error {
	if o.out == "" {
		return usagef("-o FILE is missing: where to write the weights")
	}
	model, err := a.resolve(o.model)
	if err != nil {
		return err
	}
	in := model.Spec.Input()
	if o.channels != 0 {
		in.Channels = o.channels
	}
	if o.classes != 0 {
		in.Classes = o.classes
	}
	if o.data != "" {
		if o.channels != 0 || o.classes != 0 {
			return usagef("--data states channels and classes: leave --channels and --classes out")
		}
		d := dataFlags{name: o.data}
		data, err := d.open(c.Context(), a, &model, false)
		if err != nil {
			return err
		}
		in = inputOf(data.Info)
		if err := data.Close(); err != nil {
			return err
		}
	}
	net, err := model.Spec.Graph(in)
	if err != nil {
		return usage(err)
	}
	f := weights.Initial(net, o.seed, o.zeroGamma)
	if err := safetensors.WriteFile(o.out, f); err != nil {
		return err
	}
	params := net.Complexity().Params
	if a.json {
		return a.emit(struct {
			Model   string `json:"model"`
			File    string `json:"file"`
			Tensors int    `json:"tensors"`
			Params  int64  `json:"params"`
			Seed    uint64 `json:"seed"`
		}{o.model, o.out, len(f.Tensors), params, o.seed})
	}
	_, err = fmt.Fprintf(a.out, "%s: %d tensors, %d parameters\n", o.out, len(f.Tensors), params)
	return err
}
