package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"netspace/analysis"
	"netspace/internal/atomicfile"
	"netspace/report"
)

type refineOptions struct {
	source sourceFlags
	space  string
	from   string
	by     string
	out    string
	figure string
	o      analysis.RefineOptions
}

func newRefineCmd(a *app) *cobra.Command {
	var o refineOptions
	c := &cobra.Command{
		Use:   "refine DIR|FILE",
		Short: "Propose rules that a population supports, without training anything",
		Long: `Compare, for each of many rules that a space could have, the networks of its
population that satisfy the rule by chance with the others: the effect on mean,
median and area, with intervals that hold for all rules at once; how much smaller
the space gets; how many networks support it; and how many fresh ones a decision
takes. The rules: one bottleneck ratio, one group width; widths, depths that never
decrease; bounds of how widths grow; ranges in which the best networks lie; quantised
linear widths; your own expressions. Where too few networks satisfy a rule, its
effect is estimated by a regression, and marked. docs/statistics.md explains every number.

Populations that were trained elsewhere (docs/populations.md) are read, too: --from
states the space that they were drawn from; where there is one population, --space may.

With --json there is one line per candidate, the best first.`,
		Example: `  netspace refine out/demo --space anynetx-a
  netspace refine out/demo --space anynetx-a -o refined --figure rules.svg
  netspace refine out/demo --space anynetx-a --rule 'stages[2].width <= 256' --json
  netspace refine sweep.json --space regnetx`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), a, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.space, "space", "", "the population's `SPACE`; may be left out where there is one")
	f.StringVar(&o.from, "from", "", "the `SPACE` that the population was drawn from, by name or file, where it is not known or another")
	f.StringArrayVar(&o.o.Rules, "rule", nil, "a further candidate, as an `EXPRESSION`; may be repeated")
	f.StringVarP(&o.out, "out", "o", "", "`FOLDER` to write each candidate to as a space file")
	f.StringVar(&o.figure, "figure", "", "`FILE` to draw the candidates to, as SVG")
	f.StringVar(&o.by, "by", string(analysis.ByArea), "what ranks and decides: area, mean or median")
	f.Float64Var(&o.o.EMax, "emax", 0, "error in percent up to which the area under an EDF is taken\n(default the third quartile of all errors, rounded up)")
	f.Float64Var(&o.o.Delta, "delta", analysis.DefaultDelta, "margin of what is not worse, and of decisions, in percentage points")
	f.Float64Var(&o.o.Alpha, "alpha", 0.05, "error rate of a decision with fresh networks")
	f.Float64Var(&o.o.Power, "power", 0.8, "power of a decision with fresh networks")
	f.Uint64Var(&o.o.Seed, "seed", 0, "seed of the bootstrap, and of which networks choose ranges")
	o.source.add(f)
	_ = c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"area", "mean", "median"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// check refuses what makes no sense before anything is read.
func (o *refineOptions) check() error {
	if o.o.By = analysis.Measure(o.by); !slices.Contains(analysis.Measures(), o.o.By) {
		return usagef("--by %s: must be area, mean or median", o.by)
	}
	if !(o.o.EMax >= 0 && o.o.EMax <= 100) {
		return usagef("--emax %v: must be above 0 and at most 100, or 0 for the default", o.o.EMax)
	}
	if !(o.o.Delta > 0) || math.IsInf(o.o.Delta, 0) {
		return usagef("--delta %v: must be above 0", o.o.Delta)
	}
	for _, x := range []struct {
		flag string
		v    float64
	}{{"alpha", o.o.Alpha}, {"power", o.o.Power}} {
		if !(x.v > 0 && x.v < 1) {
			return usagef("--%s %v: must be between 0 and 1", x.flag, x.v)
		}
	}
	return nil
}

func (o *refineOptions) run(ctx context.Context, a *app, dir string) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.from != "" {
		var err error
		if o.o.Space, err = loadSpace(o.from); err != nil {
			return err
		}
	}
	source, err := o.source.load(ctx, a, dir)
	if err != nil {
		return err
	}
	r, err := analysis.Refine(ctx, source, o.space, o.o)
	var none *analysis.NoPopulationError
	switch {
	case errors.As(err, &none):
		return usagef("%w: give --space one of %s", err, strings.Join(none.Has, ", "))
	case errors.Is(err, analysis.ErrUnknownSpace):
		return usagef("%w; --from states it", err)
	case err != nil:
		return studyError(unfinished(err, []string{dir}))
	}
	files := make([]string, len(r.Candidates))
	if o.out != "" {
		if err := o.write(r, files); err != nil {
			return err
		}
	}
	if o.figure != "" {
		if err := writeSVG(o.figure, report.Refine(r)); err != nil {
			return err
		}
	}
	if !a.json {
		if err := report.RefineText(a.out, r); err != nil {
			return err
		}
		if o.out != "" {
			a.note("spaces: %s", displayPath(o.out))
		}
		return nil
	}
	for i, c := range r.Candidates {
		line, err := r.JSON(c)
		if err != nil {
			return err
		}
		line.File = files[i]
		if err := a.emit(line); err != nil {
			return fmt.Errorf("print the candidates: %w", err)
		}
	}
	return nil
}

// write writes the space of each candidate to a file, and notes their paths.
func (o *refineOptions) write(r analysis.Refinement, files []string) error {
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	for i, c := range r.Candidates {
		text, err := c.Space.MarshalYAML()
		if err != nil {
			return err
		}
		files[i] = filepath.Join(o.out, c.FileName())
		if err := atomicfile.WriteFile(files[i], text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
