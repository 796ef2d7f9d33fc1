package stats

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
)

// Difference is a statistic of population B less that of A.
type Difference struct {
	Estimate
	// Better is the bootstrap probability that B is better: the share of the
	// pairs of resamples in which B's statistic is (an area larger, the others
	// smaller), a tie counting half. 0.5 is even.
	Better float64
}

// Comparison is what two populations of errors say about each other. All
// differences are B − A in percentage points: negative is better for B, but for
// Area, where positive is.
type Comparison struct {
	NA, NB                  int
	EMax                    float64 // where the areas end, percent
	Min, Mean, Median, Area Difference
	KS                      KS
	// That B is not worse, on the means, and on the areas: in the second a
	// failure counts as no more than an error of EMax.
	NotWorse, NotWorseArea NotWorse
}

// Pair is the comparison of two of several populations, B against A.
type Pair struct {
	A, B int // places in the list of populations; A < B
	Comparison
}

// Compare describes independent populations of errors in percent, and compares
// each pair of them, in the order (0,1), (0,2), … (1,2), …. emax is where areas
// end. delta is the margin of the tests that B is not worse, in percentage
// points, not negative. Populations of one value have no intervals and no
// tests: Better and p-values are NaN.
//
// It ends soon after ctx is done, with its error. Every population is resampled once: the intervals of the summaries and of all
// pairs come from the same resamples.
func Compare(ctx context.Context, populations [][]float64, emax, delta float64, o Options) ([]Summary, []Pair, error) {
	largest := 0
	for _, p := range populations {
		largest = max(largest, len(p))
	}
	o, err := o.defaults(largest)
	if err := errors.Join(err, checkEMax(emax), checkDelta(delta)); err != nil {
		return nil, nil, err
	}
	for i, p := range populations {
		if err := check(p); err != nil {
			return nil, nil, fmt.Errorf("population %d: %w", i, err)
		}
	}
	boot := make([]*replicates, len(populations))
	var wait sync.WaitGroup
	for i, p := range populations {
		wait.Go(func() { boot[i] = resample(ctx, p, emax, o, uint64(i)) })
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}

	var pairs []Pair
	for i := range populations {
		for j := i + 1; j < len(populations); j++ {
			c, err := compare(boot[i], boot[j], emax, delta, o.Level)
			if err != nil {
				return nil, nil, err
			}
			if c.KS, err = KolmogorovSmirnov(populations[i], populations[j]); err != nil {
				return nil, nil, err
			}
			pairs = append(pairs, Pair{i, j, c})
		}
	}
	summaries := make([]Summary, len(populations))
	for i, r := range boot {
		summaries[i] = r.summary(emax, o.Level)
	}
	return summaries, pairs, nil
}

func compare(a, b *replicates, emax, delta, level float64) (Comparison, error) {
	c := Comparison{NA: a.n, NB: b.n, EMax: emax, NotWorse: NotWorse{delta, math.NaN()}, NotWorseArea: NotWorse{delta, math.NaN()}}
	if a.n == 1 || b.n == 1 {
		none := func(d float64) Difference { return Difference{unknown(d), math.NaN()} }
		c.Min, c.Median = none(b.min-a.min), none(b.median-a.median)
		c.Mean, c.Area = none(b.mean.value-a.mean.value), none(b.area.value-a.area.value)
		return c, nil
	}
	plain := func(va, vb float64, xa, xb []float64) Difference {
		d := minus(xb, xa)
		return Difference{percentile(vb-va, d, level), share(d, 0)}
	}
	c.Min = plain(a.min, b.min, a.mins, b.mins)
	c.Median = plain(a.median, b.median, a.meds, b.meds)

	d, boot := b.mean.minus(a.mean), minus(b.means, a.means)
	c.Mean = Difference{accelerated(d, boot, level), share(boot, 0)}
	c.NotWorse.P = notBelow(d, boot, delta)

	d, boot = b.area.minus(a.area), minus(b.areas, a.areas)
	c.Area = Difference{accelerated(d, boot, level), 1 - share(boot, 0)}
	// An area is emax less a mean: test the loss of area.
	c.NotWorseArea.P = notBelow(a.area.minus(b.area), minus(a.areas, b.areas), delta)
	return c, nil
}

// minus is b − a, value by value.
func minus(b, a []float64) []float64 {
	d := make([]float64, len(b))
	for i := range d {
		d[i] = b[i] - a[i]
	}
	return d
}
