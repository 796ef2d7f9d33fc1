package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/graph"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// weightsFlags name the weights of a network.
type weightsFlags struct{ file string }

func (o *weightsFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&o.file, "weights", "", "the weights: a safetensors `FILE`, with the names of pycls, timm or torchvision")
}

// read reads the file. Its errors are of the request.
func (o *weightsFlags) read() (*safetensors.File, error) {
	if o.file == "" {
		return nil, usagef("--weights is missing: a safetensors file")
	}
	f, err := safetensors.ReadFile(o.file)
	if err != nil {
		return nil, usage(fmt.Errorf("--weights: %w", err))
	}
	return f, nil
}

// trained is a network and its weights, for what these are for.
type trained struct {
	graph   *graph.Graph
	input   arch.Input
	file    *safetensors.File // with the graph's names
	naming  weights.Naming    // that its tensors had
	setting weights.Setting
}

// network builds a network for the images and classes that its weights are for: channels and classes
// by the shapes of the tensors, the size by the file's metadata, else by the spec.
func (o *weightsFlags) network(model string, spec arch.Spec) (trained, error) {
	f, err := o.read()
	if err != nil {
		return trained{}, err
	}
	t := trained{input: spec.Input()}
	wrong := func(err error) (trained, error) { return trained{}, usagef("--weights %s: %w", o.file, err) }
	if t.setting, err = weights.ReadSetting(f); err != nil {
		return wrong(err)
	}
	if t.setting.Height > 0 && spec.Resolution == 0 {
		t.input.Height, t.input.Width = t.setting.Height, t.setting.Width
	}
	from := arch.FromRecipe{BNEpsilon: t.setting.BNEpsilon}
	build := func() error {
		t.graph, err = spec.TrainingGraph(t.input, from)
		return usage(err)
	}
	if err := build(); err != nil {
		return trained{}, err
	}
	channels, classes, err := weights.Ends(f, t.graph)
	if err != nil {
		return wrong(err)
	}
	for _, x := range []struct {
		what        string
		stated, has int
		to          *int
	}{{"channels", spec.Channels, channels, &t.input.Channels}, {"classes", spec.Classes, classes, &t.input.Classes}} {
		if x.stated != 0 && x.has != 0 && x.stated != x.has {
			return wrong(fmt.Errorf("they are for %d %s, model %s is for %d", x.has, x.what, model, x.stated))
		}
		if x.has != 0 {
			*x.to = x.has
		}
	}
	if err := build(); err != nil {
		return trained{}, err
	}
	if t.file, t.naming, err = weights.Translate(f, t.graph); err != nil {
		return wrong(err)
	}
	if len(t.graph.Buffers) > 0 && len(t.file.Tensors) == len(t.graph.Params) {
		return wrong(errors.New("it has no BN statistics (running_mean, running_var)"))
	}
	return t, t.check(o.file)
}

// check says what in the metadata does not fit the tensors.
func (t trained) check(file string) error {
	var errs []error
	s := t.setting
	for what, n := range map[string]int{"mean": len(s.Mean), "std": len(s.Std)} {
		if n != 0 && n != t.input.Channels {
			errs = append(errs, usagef("--weights %s: its metadata state %d numbers as %s, the network takes %d channels", file, n, what, t.input.Channels))
		}
	}
	if n := len(s.Classes); n != 0 && n != t.input.Classes {
		errs = append(errs, usagef("--weights %s: its metadata name %d classes, the network has %d", file, n, t.input.Classes))
	}
	return errors.Join(errs...)
}
