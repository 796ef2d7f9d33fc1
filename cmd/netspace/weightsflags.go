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
type weightsFlags struct{ file, order string }

func (o *weightsFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&o.file, "weights", "", "the weights: a `FILE`, safetensors or PyTorch's .pth, with the names of pycls, timm or torchvision")
	addChannelOrder(c, &o.order)
}

func addChannelOrder(c *cobra.Command, order *string) {
	c.Flags().StringVar(order, "channel-order", "rgb", "of the images that the weights were trained on: rgb, or bgr as in old weights of the paper's authors")
}

// isBGR reads --channel-order.
func isBGR(order string) (bool, error) {
	if order != "rgb" && order != "bgr" {
		return false, usagef("--channel-order %q: must be rgb or bgr", order)
	}
	return order == "bgr", nil
}

// read reads the file. Its errors are of the request.
func (o *weightsFlags) read() (*safetensors.File, error) {
	if o.file == "" {
		return nil, usagef("--weights is missing: a file of weights")
	}
	if _, err := isBGR(o.order); err != nil {
		return nil, err
	}
	f, err := weights.ReadFile(o.file)
	if err != nil {
		return nil, usage(fmt.Errorf("--weights: %w", err))
	}
	return f, nil
}

// ordered gives weights for images of red, green and blue, once the network is known.
func (o *weightsFlags) ordered(f *safetensors.File, g *graph.Graph) (*safetensors.File, error) {
	bgr, err := isBGR(o.order)
	if err != nil || !bgr {
		return f, err
	}
	if f, err = weights.SwapRedBlue(f, g); err != nil {
		return nil, usagef("--weights %s: %w", o.file, err)
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
	if f, err = o.ordered(f, t.graph); err != nil {
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
