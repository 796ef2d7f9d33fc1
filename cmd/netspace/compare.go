package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"netspace/analysis"
	"netspace/interop"
	"netspace/report"
)

// compareFlags are what the commands that compare populations share.
type compareFlags struct {
	emax  float64
	delta float64
	seed  uint64
	force bool
	sourceFlags
}

// sourceFlags say how populations are read that were trained elsewhere.
type sourceFlags struct{ mapping []string }

func (o *sourceFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&o.mapping, "map", nil, "where the fields of records are that were trained elsewhere, as `FIELD=NAME,…`:\nerror=val_err, accuracy=top1, error_fraction=err, flops=macs, spec=net … (docs/populations.md)")
}

// load reads the populations of a study folder, or others' of a file or folder.
func (o *sourceFlags) load(ctx context.Context, a *app, path string) (analysis.Source, error) {
	mapping, err := interop.ParseMapping(o.mapping...)
	if err != nil {
		return analysis.Source{}, usagef("--map %w", err)
	}
	s, err := analysis.Open(ctx, path, mapping)
	if err != nil {
		return s, studyError(err)
	}
	a.noteDamage(s.Damage)
	a.noteImport(s)
	return s, nil
}

// noteImport says how populations were read that were trained elsewhere.
func (a *app) noteImport(s analysis.Source) {
	m := s.Imported
	if m == nil {
		return
	}
	for i, fault := range m.Faults[:min(len(m.Faults), 3)] {
		a.note("warning: left out %s", fault)
		if more := m.Bad - i - 1; i == 2 && more > 0 {
			a.note("warning: and %d more records", more)
		}
	}
	for _, note := range m.Notes {
		a.note("%s: %s", s.Dir, note)
	}
}

func (o *compareFlags) add(f *pflag.FlagSet) {
	f.Float64Var(&o.emax, "emax", 0, "error in percent up to which the area under an EDF is taken\n(default the third quartile of all errors, rounded up)")
	f.Float64Var(&o.delta, "delta", analysis.DefaultDelta, "margin in percentage points of the test that a space is not worse")
	f.Uint64Var(&o.seed, "seed", 0, "seed of the bootstrap")
	o.sourceFlags.add(f)
	f.BoolVar(&o.force, "force", false, "compare studies that differ in data, regime or recipe")
}

func (o compareFlags) options() (analysis.Options, error) {
	if !(o.emax >= 0 && o.emax <= 100) {
		return analysis.Options{}, usagef("--emax %v: must be above 0 and at most 100, or 0 for the default", o.emax)
	}
	if !(o.delta > 0) || math.IsInf(o.delta, 0) {
		return analysis.Options{}, usagef("--delta %v: must be above 0", o.delta)
	}
	return analysis.Options{EMax: o.emax, Delta: o.delta, Seed: o.seed}, nil
}

// load reads the studies in dirs and refuses those that cannot be compared.
func (o compareFlags) load(ctx context.Context, a *app, dirs []string) ([]analysis.Source, error) {
	var sources []analysis.Source
	for _, dir := range dirs {
		s, err := o.sourceFlags.load(ctx, a, dir)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	err := analysis.Comparable(sources)
	var different *analysis.DifferentError
	switch {
	case errors.As(err, &different) && !o.force:
		return nil, usagef("%w\n--force compares them nevertheless", err)
	case errors.As(err, &different):
		a.note("warning: %v", err)
	case err != nil:
		return nil, err
	}
	return sources, nil
}

// unfinished says what to do about studies without results.
func unfinished(err error, dirs []string) error {
	if errors.Is(err, analysis.ErrNothing) {
		return usagef("%s: %w; netspace study run trains them", strings.Join(dirs, ", "), err)
	}
	return err
}

func newCompareCmd(a *app) *cobra.Command {
	var o compareFlags
	c := &cobra.Command{
		Use:   "compare DIR…",
		Short: "Compare the spaces of studies by their error distributions",
		Long: `Compare the spaces of one study, or of several, side by side: number of networks,
how many failed, min, mean and median error, the area under the error distribution,
each with a 95 % bootstrap interval; then each pair of spaces: the differences, the
probability that one is better, the Kolmogorov-Smirnov test, and the test that one
is not worse by more than a margin. Failed networks count with the error of chance.
docs/statistics.md explains every number.

Studies of different data, regime or recipe are refused: their errors differ for
other reasons than their spaces. With --json there is one line per space, then one
per pair.`,
		Example: `  netspace compare out/demo
  netspace compare out/anynet out/regnet --emax 20 --delta 0.3
  netspace compare out/demo --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.compare(c.Context(), a, args) },
	}
	o.add(c.Flags())
	return c
}

func (o compareFlags) compare(ctx context.Context, a *app, dirs []string) error {
	options, err := o.options()
	if err != nil {
		return err
	}
	sources, err := o.load(ctx, a, dirs)
	if err != nil {
		return err
	}
	c, err := analysis.Compare(ctx, sources, options)
	if err != nil {
		return unfinished(err, dirs)
	}
	if !a.json {
		return report.Text(a.out, c)
	}
	for _, s := range c.Spaces {
		if err := a.emit(s.JSON()); err != nil {
			return fmt.Errorf("print the comparison: %w", err)
		}
	}
	for _, p := range c.Pairs {
		if err := a.emit(p.JSON()); err != nil {
			return fmt.Errorf("print the comparison: %w", err)
		}
	}
	return nil
}
