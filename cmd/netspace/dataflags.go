package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/dataset"
	"netspace/interop"
	"netspace/trial"
)

// dataFlags say which images to use.
type dataFlags struct {
	name       string
	train, val int
	resolution int
	labels     string
	maxCorrupt float64
}

func (d *dataFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&d.name, "data", "", "data set: a `NAME` (fashion-mnist) or a folder of IDX files, CIFAR binary files, images by class, or .tar or .parquet files of images")
	f.IntVar(&d.train, "train-images", 0, "use the first `N` training images; 0: all that validation leaves")
	f.IntVar(&d.val, "val-images", 0, "validate on `N` images; 0: a tenth of the training images, or the data set's own validation images")
	f.IntVar(&d.resolution, "resolution", 0, "resize images to this many `PIXELS`; 0: what the model's file states, else as they are")
	f.StringVar(&d.labels, "labels", "", "the `COLUMN` of Parquet files, or member of the .json in tar archives, that has the classes (default label)")
	f.Float64Var(&d.maxCorrupt, "max-corrupt", 0.01, "leave out damaged images of a folder up to this `SHARE` of all")
}

// of is what the flags say for a network.
func (d *dataFlags) of(s arch.Spec) trial.Data {
	t := trial.Data{Name: d.name, Train: d.train, Validation: d.val, Resolution: d.resolution, Labels: d.labels, MaxCorrupt: d.maxCorrupt}
	if t.MaxCorrupt == 0 {
		t.MaxCorrupt = -1 // none; 0 would be the default
	}
	if t.Resolution == 0 {
		t.Resolution = s.Resolution
	}
	return t
}

// open opens the data set for a network, its test images for a final evaluation, and checks that they agree. Of a file
// of the paper authors' tool the classes belong to the data set that it names,
// or are the tool's default: those of the data replace them in m.
func (d *dataFlags) open(ctx context.Context, a *app, m *interop.Model, final bool) (*dataset.Data, error) {
	if d.name == "" {
		return nil, usagef("--data is missing: the name of a data set (fashion-mnist) or a folder")
	}
	if !(d.maxCorrupt >= 0 && d.maxCorrupt <= 1) {
		return nil, usagef("--max-corrupt %g: must be from 0 to 1", d.maxCorrupt)
	}
	data, err := d.of(m.Spec).Open(ctx, final)
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
	warnCorrupt(a, data, 0)
	info := data.Info
	if m.Format == interop.FormatPycls && m.Spec.Classes != info.Classes {
		if !a.quiet {
			fmt.Fprintf(a.err, "%s: %d classes, as data set %s has, in place of MODEL.NUM_CLASSES %d\n", m.Name, info.Classes, info.Name, m.Spec.Classes)
		}
		m.Spec.Classes = info.Classes
	}
	var wants, has []string
	for _, x := range []struct {
		what        string
		model, data int
	}{{"channels", m.Spec.Channels, info.Channels}, {"classes", m.Spec.Classes, info.Classes}} {
		if x.model != 0 && x.model != x.data {
			wants, has = append(wants, fmt.Sprintf("%d %s", x.model, x.what)), append(has, strconv.Itoa(x.data))
		}
	}
	if wants != nil {
		return nil, errors.Join(usagef("model %s is for %s; data set %s has %s", m.Name, strings.Join(wants, " and "), info.Name, strings.Join(has, " and ")), data.Close())
	}
	return data, nil
}

// warnCorrupt names the damaged images that were found after the first known
// ones, even with --quiet: results depend on them.
func warnCorrupt(a *app, data *dataset.Data, known int) {
	if found := data.DescribeCorrupt(known); found != "" {
		fmt.Fprintf(a.err, "netspace: warning: %s\n", found)
	}
}

func inputOf(i dataset.Info) arch.Input {
	return arch.Input{Channels: i.Channels, Height: i.Height, Width: i.Width, Classes: i.Classes}
}
