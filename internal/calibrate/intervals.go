package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"netspace/stats"
)

// options of the bootstraps: fewer resamples than netspace compare draws, which cost a little coverage and much less time.
var options = stats.Options{Resamples: 1000}

const delta = 0.5 // percentage points

// named is a population with its name, and where areas end.
type named struct {
	name string
	population
	emax float64
}

func populations() ([]named, error) {
	trained, err := real()
	if err != nil {
		return nil, err
	}
	all := []named{{name: "skewed", population: made(20000, 0)}, {name: "failing", population: made(20000, 0.03)},
		{name: "anynetx-a", population: trained["anynetx-a"]}, {name: "regnetx", population: trained["regnetx"]}}
	for i := range all {
		if all[i].emax, err = stats.DefaultEMax(all[i].errors()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func within(e stats.Estimate, v float64) bool { return e.Lo <= v && v <= e.Hi }

// comparisons is the table of what netspace compare shows of one space, and of two that are alike, and of its test where B is worse by the margin.
func (s simulation) comparisons(ctx context.Context, w io.Writer) error {
	all, err := populations()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "**Compare.** Coverage of 95 %% intervals; how often tests at 5 %% reject that two spaces of the same networks are alike (area: its interval excludes 0; KS); "+
		"how often B, whose area is smaller by the margin of %g points, is found not to be worse; all in percent. *anynetx-a* and *regnetx* are resampled from 150 trained networks each.\n\n", delta)
	fmt.Fprintln(w, "| population | n | mean | median | area | difference of means | difference of areas | area ≠ 0 | KS | accepted |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, p := range all {
		worse := p.shifted(p.population, p.emax, delta)
		errs := slices.Sorted(slices.Values(p.errors()))
		median := (errs[(len(errs)-1)/2] + errs[len(errs)/2]) / 2
		for _, n := range []int{30, 100, 500} {
			var t tally
			err := s.each(ctx, func(_ int, rng *rand.Rand) error {
				o := options
				o.Seed = rng.Uint64()
				a, b := p.draw(rng, n), p.draw(rng, n)
				sums, pairs, err := stats.Compare(ctx, [][]float64{a.errors(), b.errors(), worse.draw(rng, n).errors()}, p.emax, delta, o)
				if err != nil {
					return err
				}
				t.count("mean", within(sums[0].Mean, p.mean(100)))
				t.count("median", within(sums[0].Median, median))
				t.count("area", within(sums[0].Area, p.emax-p.mean(p.emax)))
				t.count("means", within(pairs[0].Mean.Estimate, 0))
				t.count("areas", within(pairs[0].Area.Estimate, 0))
				t.count("ks", pairs[0].KS.P <= 0.05)
				t.count("accepted", pairs[1].NotWorseArea.P <= 0.05)
				return nil
			})
			if err != nil {
				return err
			}
			share := func(what string) float64 { return 100 * t.sums[what] / float64(s.runs) }
			fmt.Fprintf(w, "| %s | %d | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f |\n", p.name, n, share("mean"), share("median"), share("area"),
				share("means"), share("areas"), 100-share("areas"), share("ks"), share("accepted"))
		}
	}
	fmt.Fprintln(w)
	return nil
}

// power is the table of how often the test of non-inferiority accepts an equally good space.
func (s simulation) power(ctx context.Context, w io.Writer) error {
	all, err := populations()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "**Power.** How often the test accepts, with a margin of %g points on areas, a space that is as good, in percent, and how many networks of each space the formula for a power of 80 %% gives.\n\n", delta)
	fmt.Fprintln(w, "| population | n = 30 | 100 | 200 | 500 | formula |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---:|")
	for _, p := range all {
		fmt.Fprintf(w, "| %s |", p.name)
		for _, n := range []int{30, 100, 200, 500} {
			var t tally
			err := s.each(ctx, func(_ int, rng *rand.Rand) error {
				o := options
				o.Seed = rng.Uint64()
				clipped := func() (x []float64) {
					for _, e := range p.draw(rng, n).errors() {
						x = append(x, math.Min(e, p.emax))
					}
					return x
				}
				test, err := stats.TestNotWorse(clipped(), clipped(), delta, o)
				t.count("accepted", test.P <= 0.05)
				return err
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(w, " %.0f |", 100*t.sums["accepted"]/float64(s.runs))
		}
		var x []float64
		for _, e := range p.errors() {
			x = append(x, math.Min(e, p.emax))
		}
		needed, err := stats.ModelsNeeded(stats.StdDev(x), stats.StdDev(x), delta, 0.05, 0.8)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, " %d |\n", needed)
	}
	fmt.Fprintln(w)
	return nil
}

// selections is the table of what happens to a test when the rule that it is of was chosen by the data.
func (s simulation) selections(ctx context.Context, w io.Writer) error {
	const rules, n = 30, 200
	base := made(20000, 0)
	fmt.Fprintf(w, "**After a choice.** Of %d rules, each of which half of %d networks satisfy, the one is taken whose networks are best. "+
		"How often is it then found, at 5 %%, to make a space better although no rule matters, and how often not to be worse by %g points although every one is: by an interval as if it had been the only rule, "+
		"by the simultaneous intervals of `refine`, and on %d fresh networks of its own and of the rest; in percent.\n\n", rules, n, delta, n/2)
	fmt.Fprintln(w, "| wrong finding | same networks | same networks, simultaneous | fresh networks |")
	fmt.Fprintln(w, "|---|---:|---:|---:|")
	for _, c := range []struct {
		name  string
		worse float64 // the networks that satisfy a rule
	}{{"it makes better", 0}, {"it is not worse", delta}} {
		var t tally
		err := s.each(ctx, func(_ int, rng *rand.Rand) error {
			o := options
			o.Seed = rng.Uint64()
			errs := base.draw(rng, n).errors()
			effects := make([]stats.Effect, rules)
			for r := range effects {
				effects[r].Split = make(stats.Split, n)
				for i, k := range rng.Perm(n) {
					effects[r].Split[k] = stats.InRest
					if i < n/2 {
						effects[r].Split[k] = stats.InPart
						errs[k] += c.worse
					}
				}
			}
			contrasts, err := stats.Contrasts(ctx, errs, effects, 100, o)
			if err != nil {
				return err
			}
			best := 0
			for r, contrast := range contrasts {
				if contrast.Mean.Value < contrasts[best].Mean.Value {
					best = r
				}
			}
			var parts [2][]float64
			for i, place := range effects[best].Split {
				parts[place-stats.InPart] = append(parts[place-stats.InPart], errs[i])
			}
			// The whole population's spread belongs to the fresh networks, too: the other rules' worth is among it.
			others := func() (x []float64) {
				for _, e := range base.draw(rng, n/2).errors() {
					for range rules - 1 {
						e += c.worse * float64(rng.IntN(2))
					}
					x = append(x, e)
				}
				return x
			}
			fresh := [2][]float64{others(), others()}
			for i := range fresh[0] {
				fresh[0][i] += c.worse
			}
			found := func(part, rest []float64) (bool, error) {
				if c.worse == 0 {
					_, pairs, err := stats.Compare(ctx, [][]float64{rest, part}, 100, 0, o)
					if err != nil {
						return false, err
					}
					return pairs[0].Mean.Hi < 0, nil
				}
				test, err := stats.TestNotWorse(rest, part, c.worse, o)
				return test.P <= 0.05, err
			}
			same, err := found(parts[0], parts[1])
			if err != nil {
				return err
			}
			anew, err := found(fresh[0], fresh[1])
			t.count("same", same)
			t.count("simultaneous", contrasts[best].Mean.Hi < c.worse)
			t.count("fresh", anew)
			return err
		})
		if err != nil {
			return err
		}
		share := func(what string) float64 { return 100 * t.sums[what] / float64(s.runs) }
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %.1f |\n", c.name, share("same"), share("simultaneous"), share("fresh"))
	}
	fmt.Fprintln(w)
	return nil
}
