package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"netspace/analysis"
	"netspace/arch"
	"netspace/graph"
	"netspace/metric"
	"netspace/report"
	"netspace/space"
)

type sampleOptions struct {
	flags     spaceFlags
	n         int
	seed      uint64
	workers   int
	effort    int64
	stats     bool
	out, plot string
}

func newSampleCmd(a *app) *cobra.Command {
	var o sampleOptions
	c := &cobra.Command{
		Use:   "sample SPACE [-n 500] [--flops 360M..400M]",
		Short: "Draw networks from a design space",
		Long: `Draw different networks from a design space, in one regime of complexity.

The distribution is the prior of the space conditional on its rules and the
regime, exactly. The same seed gives the same networks on every machine, and
more networks begin with the same ones. A space that has too few networks ends
with what rejects how much, after a stated effort.

SPACE is a built-in space (see netspace space) or a space file.`,
		Example: `  netspace sample regnetx -n 500 --flops 360M..400M
  netspace sample anynetx-e -n 100 --flops 4M..5M --stages 3 --stem cifar:16 --resolution 28 --channels 1 --classes 10
  netspace sample regnetx --flops 360M..400M --rule 'params_M <= 3 + 5.5 * flops_B' --stats
  netspace sample mine.yaml -n 1000 --out population --plot population.svg`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeSpaces,
	}
	f := c.Flags()
	f.IntVarP(&o.n, "networks", "n", 500, "how many networks")
	f.Uint64Var(&o.seed, "seed", 0, "of the random draws")
	f.BoolVar(&o.stats, "stats", false, "print at the end what rejected how much, the effective size, and the distribution of complexity")
	f.StringVarP(&o.out, "out", "o", "", "write a spec file per network and the table "+space.TableName+" to `DIR`")
	f.StringVar(&o.plot, "plot", "", "draw histograms of the parameters and the complexity to `FILE` (SVG)")
	f.IntVar(&o.workers, "workers", 0, "threads; 0: one per processor. The networks do not depend on it")
	f.Int64Var(&o.effort, "effort", space.DefaultEffort, "give up after `N` candidates, or a tenth of them without a new network")
	o.flags.add(c)
	c.RunE = func(c *cobra.Command, args []string) error { return runSample(c.Context(), a, args[0], o) }
	return c
}

// sampledNetwork is a line of sample --json.
type sampledNetwork struct {
	Spec arch.Spec `json:"spec"`
	graph.Complexity
}

func runSample(ctx context.Context, a *app, name string, o sampleOptions) error {
	if o.n < 1 {
		return usagef("-n %d: must be at least 1", o.n)
	}
	if o.workers < 0 || o.effort < 1 {
		return usagef("--workers %d and --effort %d must not be negative, and the effort at least 1", o.workers, o.effort)
	}
	if ext := filepath.Ext(o.plot); o.plot != "" && !strings.EqualFold(ext, ".svg") {
		return usagef("--plot %s: must end in .svg, the format that is drawn", o.plot)
	}
	s, err := loadSpace(name)
	if err != nil {
		return err
	}
	cfg, err := o.flags.config()
	if err != nil {
		return err
	}
	cfg.Seed, cfg.Workers, cfg.Effort = o.seed, o.workers, o.effort
	cfg.Progress = sampleProgress(a, o.n)
	networks, acceptance, err := s.Sample(ctx, cfg, o.n)
	if cfg.Progress != nil {
		fmt.Fprint(a.err, "\r\x1b[K")
	}
	if err != nil {
		return spaceError(err)
	}
	if o.out != "" {
		err := space.WriteDir(o.out, networks)
		if errors.Is(err, space.ErrNotEmpty) {
			return usagef("--out: %w", err)
		}
		if err != nil {
			return err
		}
	}
	if o.plot != "" {
		drawn, err := analysis.NewSample(s.Name, networks)
		if err != nil {
			return err
		}
		if err := writeSVG(o.plot, report.Sample(drawn)); err != nil {
			return err
		}
	}
	return printSample(a, networks, acceptance, o)
}

// sampleProgress shows on a terminal how far a sample is, once it takes a while.
func sampleProgress(a *app, n int) func(int, int64) {
	if a.quiet || !isTerminal(a.err) {
		return nil
	}
	last := time.Now()
	return func(networks int, candidates int64) {
		if time.Since(last) < time.Second/2 {
			return
		}
		last = time.Now()
		fmt.Fprintf(a.err, "\r\x1b[K%d of %d networks in %s candidates", networks, n, metric.Short(float64(candidates)))
	}
}

func printSample(a *app, networks []space.Network, acceptance space.Report, o sampleOptions) error {
	if a.json {
		for _, n := range networks {
			if err := a.emit(sampledNetwork{n.Spec, n.Complexity}); err != nil {
				return err
			}
		}
		if o.stats {
			return a.emit(map[string]any{"stats": acceptance})
		}
		return nil
	}
	if o.out == "" {
		w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(w, "%s\t\n", strings.ToUpper(metricNames()))
		for _, n := range networks {
			fmt.Fprintf(w, "%s\t  %s\n", perMetric(func(m metric.Metric) string { return m.Format(float64(m.Of(n.Complexity))) }), n)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	} else if !a.quiet {
		fmt.Fprintf(a.err, "%d networks of %s are in %s\n", len(networks), acceptance.Space, o.out)
	}
	if o.plot != "" && !a.quiet {
		fmt.Fprintf(a.err, "their histograms are in %s\n", o.plot)
	}
	if o.stats {
		return printStats(a, acceptance)
	}
	return nil
}

func printStats(a *app, r space.Report) error {
	fmt.Fprintf(a.out, "\n%d networks from %d candidates (%s kept), %d duplicates\n\n", r.Networks, r.Candidates,
		share2(float64(int64(r.Networks)+r.Duplicates)/float64(r.Candidates)), r.Duplicates)
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE OR BOUND\tTESTED\tREJECTED\tACCEPTED")
	for _, b := range r.Built {
		fmt.Fprintf(w, "%s\tby construction\t\t%s of the prior\n", b.Rule, share2(b.Share))
	}
	for _, t := range r.Tests {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", t.Rule, t.Tested, t.Rejected, share2(t.Accepted()))
	}
	fmt.Fprintln(w, "\nCOMPLEXITY\tMIN\t25 %\tMEDIAN\t75 %\tMAX\tMEAN")
	for _, m := range metric.Counted() {
		s := r.Complexity[m.ID]
		fmt.Fprint(w, m.Name)
		for _, v := range []float64{s.Min, s.Q25, s.Median, s.Q75, s.Max, s.Mean} {
			fmt.Fprintf(w, "\t%s", m.Format(v))
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	e := r.EffectiveSize
	if r.Duplicates == 0 {
		_, err := fmt.Fprintf(a.out, "\neffective size  over %s networks (no duplicate came)\n", metric.Short(e.Low))
		return err
	}
	_, err := fmt.Fprintf(a.out, "\neffective size  about %s networks (%s to %s)\n", metric.Short(e.Value), metric.Short(e.Low), metric.Short(e.High))
	return err
}
