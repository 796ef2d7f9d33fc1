package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netspace/analysis"
)

type planOptions struct {
	source sourceFlags
	o      analysis.PlanOptions
}

func newPlanCmd(a *app) *cobra.Command {
	var o planOptions
	c := &cobra.Command{
		Use:   "plan DIR [SHORTER…]",
		Short: "Say from pilots how many networks, epochs and images a decision takes",
		Long: `Say from a pilot, a study of a few networks, how many networks of each of two spaces it
takes to decide whether one is worse by a margin, and how many hours.

Further studies are pilots of the same networks (the same spaces, regime and seed) that
were trained for fewer epochs or on fewer images: how well their errors order the networks
as whole trainings do (rank correlation), by how many points they differ where whole
trainings differ by one, and what a decision by them costs. Without such, the first epochs
of the pilot's own trainings stand for short ones, marked as curve: their learning rate had
not come down, so that they tell less than short trainings would. With repeats in the
pilot's study file the noise of reruns is told, too.

All networks are planned for as if both spaces were equally good and all were trained
wholly; netspace decide stops earlier where it can. docs/statistics.md has the formulas.`,
		Example: `  netspace plan out/pilot --delta 0.5
  netspace plan out/pilot out/pilot-2-epochs out/pilot-2000-images --workers 8 --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), a, args) },
	}
	f := c.Flags()
	f.Float64Var(&o.o.Delta, "delta", analysis.DefaultDelta, "margin of the decision in percentage points")
	f.Float64Var(&o.o.Alpha, "alpha", 0.05, "chance of accepting a space that is worse by the margin")
	f.Float64Var(&o.o.Power, "power", 0.8, "chance of accepting a space that is as good")
	f.Float64Var(&o.o.EMax, "emax", 0, "error in percent that larger ones of whole trainings count as\n(default the third quartile of the pilot's, rounded up)")
	f.IntVar(&o.o.Workers, "workers", runtime.NumCPU(), "trainings at once")
	o.source.add(f)
	return c
}

func (o planOptions) run(ctx context.Context, a *app, dirs []string) error {
	if !(o.o.Delta > 0) || math.IsInf(o.o.Delta, 0) {
		return usagef("--delta %v: must be above 0", o.o.Delta)
	}
	for name, v := range map[string]float64{"alpha": o.o.Alpha, "power": o.o.Power} {
		if !(v > 0 && v < 1) {
			return usagef("--%s %v: must lie between 0 and 1", name, v)
		}
	}
	if !(o.o.EMax >= 0 && o.o.EMax <= 100) {
		return usagef("--emax %v: must be above 0 and at most 100, or 0 for the default", o.o.EMax)
	}
	if o.o.Workers < 1 {
		return usagef("--workers %d: must be at least 1", o.o.Workers)
	}
	var sources []analysis.Source
	for _, dir := range dirs {
		s, err := o.source.load(ctx, a, dir)
		if err != nil {
			return err
		}
		sources = append(sources, s)
	}
	p, err := analysis.PlanDecision(sources, o.o)
	if err != nil {
		return studyError(unfinished(err, dirs[:1]))
	}
	if a.json {
		return a.emit(p)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "epochs\timages\tbasis\tnetworks seen\trank correlation\t95 %\te_max\tpoints per point\tspread\tneeded of each\thours\t")
	for _, q := range p.Plans {
		needed, hours := "–", "–"
		if q.Needed > 0 {
			needed = fmt.Sprint(q.Needed)
		}
		if q.Hours > 0 {
			hours = fmt.Sprintf("%.2g", q.Hours)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.2f\t%.2f … %.2f\t%.4g\t%.2f\t%.2f\t%s\t%s\t\n", orDash(q.Epochs), orDash(q.Images), q.Basis, q.Networks, q.Rank, q.RankLo, q.RankHi, q.EMax, q.Slope, q.StdDev, needed, hours)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "\nto find with a power of %g that a space is not worse by %g points, at %g, if both are equally good, where errors above e_max count as that; hours for both spaces with %d workers\n", p.Power, p.Delta, p.Alpha, o.o.Workers)
	if n := p.Noise; n != nil {
		fmt.Fprintf(a.out, "trainings of one network differ by %.2f points (standard deviation, %d trainings of %d networks)", n.StdDev, n.Trainings, n.Networks)
		if n.Share != nil {
			fmt.Fprintf(a.out, ": %.0f %% of the variance is noise, and no training can order networks better than a rank correlation of about %.2f", 100**n.Share, math.Sqrt(1-*n.Share))
		}
		fmt.Fprintln(a.out)
	}
	return nil
}

func orDash(n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprint(n)
}
