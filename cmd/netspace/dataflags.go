package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/dataset"
)

// dataFlags say which images to use.
type dataFlags struct {
	name       string
	train, val int
	resolution int
}

func (d *dataFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&d.name, "data", "", "data set: a `NAME` (fashion-mnist) or a folder of IDX files, CIFAR binary files, or images by class")
	f.IntVar(&d.train, "train-images", 0, "use the first `N` training images; 0: all that validation leaves")
	f.IntVar(&d.val, "val-images", 0, "validate on `N` images; 0: a tenth of the training images, or the data set's own validation images")
	f.IntVar(&d.resolution, "resolution", 0, "resize images to this many `PIXELS`; 0: what the model's file states, else as they are")
}

// open opens the data set for a network and checks that they agree.
func (d *dataFlags) open(ctx context.Context, spec arch.Spec, model string) (*dataset.Data, error) {
	if d.name == "" {
		return nil, usagef("--data is missing: the name of a data set (fashion-mnist) or a folder")
	}
	o := dataset.Options{Train: d.train, Val: d.val, Resolution: d.resolution}
	if o.Resolution == 0 {
		o.Resolution = spec.Resolution
	}
	data, err := dataset.OpenContext(ctx, d.name, o)
	var (
		missing *dataset.MissingError
		format  *dataset.FormatError
		option  *dataset.OptionError
	)
	if errors.As(err, &missing) || errors.As(err, &format) || errors.As(err, &option) {
		return nil, usage(err)
	}
	if err != nil {
		return nil, err
	}
	info := data.Info
	if spec.Channels != 0 && spec.Channels != info.Channels || spec.Classes != 0 && spec.Classes != info.Classes {
		return nil, errors.Join(usagef("model %s is for %d channels and %d classes; data set %s has %d and %d",
			model, spec.Channels, spec.Classes, info.Name, info.Channels, info.Classes), data.Close())
	}
	return data, nil
}

func inputOf(i dataset.Info) arch.Input {
	return arch.Input{Channels: i.Channels, Height: i.Height, Width: i.Width, Classes: i.Classes}
}
