package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"netspace/arch"
	"netspace/metric"
	"netspace/space"
	"netspace/strict"
	"netspace/study"
)

// spaceFlags say for what a space is sampled, beside the space itself.
type spaceFlags struct {
	network                       space.Template
	regime                        space.Regime
	stem                          string
	strides                       []int
	resolution, channels, classes int
}

func (o *spaceFlags) add(c *cobra.Command) {
	f := c.Flags()
	for _, m := range metric.Counted() {
		f.Var(&rangeFlag{&o.regime.Bounds[m.ID]}, m.Name, m.Unit+", as "+m.Example)
	}
	f.StringArrayVar(&o.regime.Rules, "rule", nil, "a further rule, as an `EXPRESSION` that must be true; may be repeated")
	f.IntVar(&o.network.Stages, "stages", 0, "number of stages; 0: the space's")
	f.StringVar(&o.network.Block, "block", "", strings.Join(space.BlockWords(), ", ")+"; empty: the space's")
	f.StringVar(&o.network.Activation, "activation", "", "relu or silu; empty: the space's")
	f.StringVar(&o.stem, "stem", "", "`TYPE[:WIDTH]`: simple, cifar, resnet or deep, as cifar:16; empty: the space's")
	f.IntSliceVar(&o.strides, "strides", nil, "of each stage's first block, as 1,2,2, or one for all; empty: the space's")
	f.IntVar(&o.resolution, "resolution", arch.ImageNet.Height, "side of the images in `PIXELS`")
	f.IntVar(&o.channels, "channels", arch.ImageNet.Channels, "channels of the images")
	f.IntVar(&o.classes, "classes", arch.ImageNet.Classes, "outputs of the networks")
	for name, words := range map[string][]string{
		"block": space.BlockWords(), "activation": {"relu", "silu"}, "stem": {"simple", "cifar", "resnet"},
	} {
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	}
}

// config checks the flags and makes what a space is sampled for.
func (o *spaceFlags) config() (space.Config, error) {
	cfg := space.Config{Network: o.network, Regime: o.regime}
	cfg.Network.Strides = o.strides
	if o.stem != "" {
		name, width, hasWidth := strings.Cut(o.stem, ":")
		cfg.Network.Stem.Type = name
		if hasWidth {
			w, err := strconv.Atoi(width)
			if err != nil || w < 1 {
				return cfg, usagef("--stem %s: the width must be a whole number from 1", o.stem)
			}
			cfg.Network.Stem.Width = w
		}
	}
	for _, x := range []struct {
		flag    string
		v, most int
	}{{"resolution", o.resolution, 8192}, {"channels", o.channels, 1024}, {"classes", o.classes, 1 << 20}} {
		if x.v < 1 || x.v > x.most {
			return cfg, usagef("--%s %d: must be from 1 to %d", x.flag, x.v, x.most)
		}
	}
	if o.network.Stages < 0 || o.network.Stages > space.MaxStages {
		return cfg, usagef("--stages %d: must be from 1 to %d, or 0 for the space's", o.network.Stages, space.MaxStages)
	}
	cfg.Input = arch.Input{Channels: o.channels, Height: o.resolution, Width: o.resolution, Classes: o.classes}
	return cfg, nil
}

// rangeFlag is a flag that holds a metric.Range.
type rangeFlag struct{ r *metric.Range }

func (f *rangeFlag) String() string {
	if f.r == nil {
		return ""
	}
	return f.r.String()
}
func (f *rangeFlag) Set(s string) (err error) { *f.r, err = metric.ParseRange(s); return err }
func (f *rangeFlag) Type() string             { return "RANGE" }

// loadSpace reads a built-in space or a space file.
func loadSpace(nameOrPath string) (*space.Space, error) {
	s, err := space.Load(nameOrPath)
	if err == nil {
		err = study.CheckSpace(s)
	}
	return s, usage(err)
}

// spaceError marks as wrong requests the errors that say so.
func spaceError(err error) error {
	var fault *strict.Error
	var few *space.TooFewError
	if errors.As(err, &fault) || errors.As(err, &few) {
		return usage(err)
	}
	return err
}

func completeSpaces(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return space.Names(), cobra.ShellCompDirectiveDefault
}
