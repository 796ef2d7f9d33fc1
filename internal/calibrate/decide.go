package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"

	"netspace/stats"
)

var design5 = stats.Sequential{Delta: delta, Alpha: 0.05, Power: 0.8}

// rules is the table of ways to look at a growing population, all with the plain means.
func (s simulation) rules(ctx context.Context, w io.Writer) error {
	p := made(20000, 0)
	emax, err := stats.DefaultEMax(p.errors())
	if err != nil {
		return err
	}
	var x []float64
	for _, e := range p.errors() {
		x = append(x, math.Min(e, emax))
	}
	needed, err := stats.ModelsNeeded(stats.StdDev(x), stats.StdDev(x), delta, 0.05, 0.8)
	if err != nil {
		return err
	}
	start, err := design5.Begin()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "**When to stop.** A skewed population without features, looked at at 10 networks of each space and whenever there are 15 %% more; the fixed comparison takes %d. "+
		"*Each look as if it were the only one* stops when a test at 5 %% rejects, or at %d; the confidence sequence is that of Waudby-Smith et al. (2024), tuned to half as many.\n\n", needed, 2*needed)
	fmt.Fprintln(w, "| rule | accepted if B is worse by δ, % | accepted if B is as good, % | networks of each space if B is worse by δ | if B is as good |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|")
	ways := []struct {
		name string
		over func(m *stats.Monitor, n int, d, v, expected, freedom float64) (accepted, over bool, err error)
	}{
		{"fixed", func(_ *stats.Monitor, n int, d, v, _, freedom float64) (bool, bool, error) {
			return n >= needed && d+quantile(0.95, freedom)*math.Sqrt(v) < delta, n >= needed, nil
		}},
		{"each look as if it were the only one", func(_ *stats.Monitor, n int, d, v, _, freedom float64) (bool, bool, error) {
			z := quantile(0.95, freedom) * math.Sqrt(v)
			worse := d-quantile(0.975, freedom)*math.Sqrt(v) > 0
			return d+z < delta, d+z < delta || worse || n >= 2*needed, nil
		}},
		{"confidence sequence", func(_ *stats.Monitor, n int, d, v, _, freedom float64) (bool, bool, error) {
			worse := d-sequence(n, needed/2, 0.05)*math.Sqrt(v) > 0
			z := sequence(n, needed/2, 0.1) * math.Sqrt(v)
			return d+z < delta, d+z < delta || worse || n >= 2*needed, nil
		}},
		{"group-sequential", func(m *stats.Monitor, n int, d, v, expected, freedom float64) (bool, bool, error) {
			j, err := m.Look(stats.Look{Difference: d, Variance: v, Expected: expected, Freedom: freedom, Share: math.Min(1, float64(n)/float64(2*needed))})
			return j.Finding == stats.NotWorseB || j.Finding == stats.BetterB, j.Over(), err
		}},
	}
	for _, way := range ways {
		var t tally
		for _, d := range []float64{delta, 0} {
			b := p.shifted(p, emax, d)
			err := s.each(ctx, func(_ int, rng *rand.Rand) error {
				m := *start
				var a, c stats.Networks
				spread := 0.0 // variance of one network, by the look before
				for n := 10; ; n = max(n+1, int(1.15*float64(n))) {
					if way.name == "fixed" {
						n = needed
					}
					for len(a.Final) < n {
						a.Final = append(a.Final, math.Min(emax, p[rng.IntN(len(p))].Error))
						c.Final = append(c.Final, math.Min(emax, b[rng.IntN(len(b))].Error))
					}
					e, err := stats.Control(a, c)
					if err != nil {
						return err
					}
					accepted, over, err := way.over(&m, n, e.Difference, e.Variance, spread/float64(n), e.Freedom)
					if err != nil {
						return err
					}
					spread = float64(n) * e.Variance
					if over {
						t.count(fmt.Sprint("accepted", d), accepted)
						t.add(fmt.Sprint("networks", d), float64(n))
						return nil
					}
				}
			})
			if err != nil {
				return err
			}
		}
		of := func(what string, d float64) float64 { return t.sums[fmt.Sprint(what, d)] / float64(s.runs) }
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %.0f | %.0f |\n", way.name, 100*of("accepted", delta), 100*of("accepted", 0), of("networks", delta), of("networks", 0))
	}
	fmt.Fprintln(w)
	return nil
}

func quantile(p, freedom float64) float64 {
	return distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile(p)
}

// sequence is how many standard errors wide a two-sided asymptotic confidence sequence is at n values, that is tuned to be short at best values.
func sequence(n, best int, alpha float64) float64 {
	l := -2 * math.Log(alpha)
	rho2 := (l + math.Log(l+1)) / float64(best)
	nr := float64(n) * rho2
	return math.Sqrt((nr + 1) / nr * 2 * math.Log(math.Sqrt(nr+1)/alpha))
}

// decisions is the table of what netspace decide finds and what it costs.
func (s simulation) decisions(ctx context.Context, w io.Writer) error {
	trained, err := real()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "**Decide.** δ = %g, α = 5 %%, power 80 %%, up to 500 networks of each space, resampled from 150 trained ones; D is how much worse B is made. *Wrong* is what `decide` found wrongly: worse or better if D = 0, not worse or better if D ≥ δ, worse if D < 0. "+
		"*Accepted* is not worse or better. *Cost* is in whole trainings of each space, a short one by its epochs; *fixed* is how many the formula for the same power gives, and *at 100* is what the test of `compare` accepts with 100 networks of each. *Covered*: by the interval that `decide` gives. "+
		"*Futility*: the same with `futility: true`.\n\n", delta)
	fmt.Fprintln(w, "| A and B | D | wrong % | accepted % | worse % | undecided % | covered % | cost | fixed | cost / fixed | without regression | futility: accepted % | cost / fixed | at 100, accepted % |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	nothing := made(20000, 0)
	for _, c := range []struct {
		name string
		a, b population
	}{
		{"anynetx-a, anynetx-d", trained["anynetx-a"], trained["anynetx-d"]},
		{"anynetx-a, regnetx", trained["anynetx-a"], trained["regnetx"]},
		{"anynetx-d, anynetx-d", trained["anynetx-d"], trained["anynetx-d"]},
		{"skewed, no features", nothing, nothing},
	} {
		emax, err := stats.DefaultEMax(c.a.errors(), c.b.errors())
		if err != nil {
			return err
		}
		deviation := func(p population) float64 {
			var x []float64
			for _, e := range p.errors() {
				x = append(x, math.Min(e, emax))
			}
			return stats.StdDev(x)
		}
		for _, d := range []float64{-1, 0, delta, 1} {
			b := c.b.shifted(c.a, emax, d)
			needed, err := stats.ModelsNeeded(deviation(c.a), deviation(b), delta, 0.05, 0.8)
			if err != nil {
				return err
			}
			with, err := s.decide(ctx, c.a, b, emax, d, design5, true)
			if err != nil {
				return err
			}
			without, err := s.decide(ctx, c.a, b, emax, d, design5, false)
			if err != nil {
				return err
			}
			futility := design5
			futility.Futility = true
			futile, err := s.decide(ctx, c.a, b, emax, d, futility, true)
			if err != nil {
				return err
			}
			share := func(of map[string]float64, what string) float64 { return 100 * of[what] / float64(s.runs) }
			cost := func(of map[string]float64) float64 { return of["cost"] / float64(s.runs) }
			fixed := float64(needed)
			fmt.Fprintf(w, "| %s | %g | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %d | %.2f | %.2f | %.1f | %.2f | %.1f |\n", c.name, d, share(with, "wrong"), share(with, "accepted"), share(with, "worse"), share(with, "undecided"),
				share(with, "covered"), cost(with), needed, cost(with)/fixed, cost(without)/fixed, share(futile, "accepted"), cost(futile)/fixed, share(with, "at 100"))
		}
	}
	fmt.Fprintln(w)
	return nil
}

// decide simulates decisions between two spaces, of which one is worse by d, with or without the regressions.
func (s simulation) decide(ctx context.Context, a, b population, emax, d float64, question stats.Sequential, regression bool) (map[string]float64, error) {
	const most, drawn = 500, 2000
	o := stats.CourseOptions{Sequential: question, EMax: emax, Most: most, Epochs: len(a[0].Curve)}
	if !regression {
		o.ShortEpochs = o.Epochs
	}
	start, err := stats.NewCourse(o)
	if err != nil {
		return nil, err
	}
	var t tally
	err = s.each(ctx, func(_ int, rng *rand.Rand) error {
		course := *start
		ta, tb := a.draw(rng, drawn).trained(), b.draw(rng, drawn).trained()
		if !regression {
			ta.Known, tb.Known = nil, nil
		}
		for !course.Over() {
			if _, err := course.Look(ta, tb); err != nil {
				return err
			}
		}
		step := course.Steps()[len(course.Steps())-1]
		accepted := step.Finding == stats.NotWorseB || step.Finding == stats.BetterB
		t.count("accepted", accepted)
		t.count("worse", step.Finding == stats.WorseB)
		t.count("undecided", step.Finding == stats.Undecided)
		t.count("covered", within(step.Judgement.Difference, d))
		t.count("wrong", d >= delta && accepted || d >= 0 && step.Finding == stats.BetterB && d < delta || d <= 0 && step.Finding == stats.WorseB)
		t.add("cost", math.Round(course.Cost(step.Goal)*float64(o.Epochs))) // epochs: whole numbers add up to the same in any order
		if !regression {
			return nil
		}
		clipped := func(errs []float64) (x []float64) {
			for _, e := range errs[:100] {
				x = append(x, math.Min(e, emax))
			}
			return x
		}
		test, err := stats.TestNotWorse(clipped(ta.Final), clipped(tb.Final), delta, options)
		t.count("at 100", test.P <= 0.05)
		return err
	})
	t.sums["cost"] /= float64(o.Epochs)
	return t.sums, err
}
