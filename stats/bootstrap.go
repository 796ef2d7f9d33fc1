package stats

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// Options say how the bootstrap resamples.
type Options struct {
	Seed      uint64
	Resamples int     // 0: DefaultResamples, or fewer of samples of more than 5000 values
	Level     float64 // of the intervals, in (0, 1); 0: 0.95
}

// Defaults of Options. With 10000 resamples the ends of a 95 % interval move by
// about 2 % of its length from seed to seed.
const (
	DefaultResamples = 10000
	DefaultLevel     = 0.95
)

// Of large samples, whose intervals are short, so many values are drawn in all, and at least so many times.
const (
	largeDraws   = 50_000_000
	leastOfLarge = 2000
)

// defaults completes options for samples of which the largest has so many values.
func (o Options) defaults(largest int) (Options, error) {
	if o.Resamples == 0 {
		o.Resamples = min(DefaultResamples, max(leastOfLarge, largeDraws/max(1, largest)))
	}
	if o.Level == 0 {
		o.Level = DefaultLevel
	}
	if o.Resamples < 100 {
		return o, fmt.Errorf("stats: %d resamples; intervals need at least 100", o.Resamples)
	}
	if !(o.Level > 0 && o.Level < 1) {
		return o, fmt.Errorf("stats: level %v is not between 0 and 1", o.Level)
	}
	return o, nil
}

// linear is a mean, or a difference of two means, with what its sampling
// distribution is approximated by.
type linear struct {
	value    float64
	variance float64 // unbiased estimate of the variance of value
	freedom  float64 // degrees of freedom of that estimate (Welch–Satterthwaite)
	second   float64 // Σ of the squares of the values' influences: the bootstrap's variance
	third    float64 // Σ of their cubes
}

// mean describes the mean of x. The influence of a value is its distance from
// the mean over n.
func mean(x []float64) linear {
	n := float64(len(x))
	m := linear{value: average(x), freedom: n - 1}
	for _, v := range x {
		d := (v - m.value) / n
		m.second += d * d
		m.third += d * d * d
	}
	if n > 1 {
		m.variance = m.second * n / (n - 1)
	}
	return m
}

// minus is the difference of two independent means.
func (b linear) minus(a linear) linear {
	d := linear{
		value:    b.value - a.value,
		variance: b.variance + a.variance,
		second:   b.second + a.second,
		third:    b.third - a.third,
	}
	if v := b.variance*b.variance/b.freedom + a.variance*a.variance/a.freedom; v > 0 {
		d.freedom = d.variance * d.variance / v
	}
	return d
}

// replicates are the statistics of one sample and of its bootstrap resamples.
type replicates struct {
	n                        int
	min, median              float64
	mean, area               linear
	mins, meds, means, areas []float64
}

// resample draws the bootstrap of x: n values with replacement, o.Resamples
// times. The stream tells samples of one comparison apart: two samples that
// shared one would be drawn in step.
//
// The sample is sorted once and a resample is kept as the number of times each
// value was drawn, so that its median is a scan and not a sort.
func resample(ctx context.Context, x []float64, emax float64, o Options, stream uint64) *replicates {
	s := sorted(x)
	n := len(s)
	below := make([]float64, n) // the area is the mean of max(0, emax − e)
	for i, v := range s {
		below[i] = math.Max(0, emax-v)
	}
	r := &replicates{
		n: n, min: s[0], median: medianSorted(s), mean: mean(s), area: mean(below),
		mins: make([]float64, o.Resamples), meds: make([]float64, o.Resamples),
		means: make([]float64, o.Resamples), areas: make([]float64, o.Resamples),
	}
	counts := make([]int, n)
	rng := rand.New(rand.NewPCG(o.Seed, stream))
	for b := range o.Resamples {
		if ctx.Err() != nil {
			return r
		}
		clear(counts)
		for range n {
			counts[rng.IntN(n)]++
		}
		r.mins[b], r.meds[b], r.means[b], r.areas[b] = describe(s, below, counts)
	}
	return r
}

// describe gives minimum, median, mean and area of the sample in which the
// sorted values s occur counts times.
func describe(s, below []float64, counts []int) (lowest, median, mean, area float64) {
	n := len(s)
	lower, upper := math.NaN(), math.NaN() // the two values in the middle
	seen := 0
	for i, c := range counts {
		if c == 0 {
			continue
		}
		if seen == 0 {
			lowest = s[i]
		}
		if seen <= (n-1)/2 && (n-1)/2 < seen+c {
			lower = s[i]
		}
		if seen <= n/2 && n/2 < seen+c {
			upper = s[i]
		}
		seen += c
		mean += float64(c) * s[i]
		area += float64(c) * below[i]
	}
	return lowest, (lower + upper) / 2, mean / float64(n), area / float64(n)
}

func average(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// medianSorted is the middle of ascending values, or the mean of the middle two.
func medianSorted(s []float64) float64 {
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// percentile is the bootstrap percentile interval of value (Efron & Tibshirani,
// §13.3) from the statistics of its resamples.
func percentile(value float64, boot []float64, level float64) Estimate {
	boot = sorted(boot)
	alpha := (1 - level) / 2
	return Estimate{value, quantileSorted(boot, alpha), quantileSorted(boot, 1-alpha)}
}

// accelerated is the bias-corrected and accelerated interval (BCa; Efron 1987)
// of a mean or a difference of means from those of its resamples, widened for
// small samples: the normal quantile z is replaced by t·√(variance / second), as
// Hesterberg (2015) does for the percentile interval, because the bootstrap
// draws from a distribution that is narrower than the population by (n−1)/n.
// docs/statistics.md has the measurement that chose it: it covers like the
// bootstrap-t at a dozen values, and stays sensible with a few failures among
// them, where the bootstrap-t is many times too wide.
func accelerated(l linear, boot []float64, level float64) Estimate {
	if l.second == 0 {
		return Estimate{l.value, l.value, l.value}
	}
	b := newBCa(l, boot)
	return Estimate{l.value, b.end((1 - level) / 2), b.end((1 + level) / 2)}
}

// bca holds what the ends of all BCa intervals of one statistic depend on.
type bca struct {
	boot         []float64 // ascending
	bias, accel  float64   // z₀ and a
	t            distuv.StudentsT
	overdisperse float64
}

func newBCa(l linear, boot []float64) bca {
	return bca{
		boot:  sorted(boot),
		bias:  distuv.UnitNormal.Quantile(share(boot, l.value)),
		accel: l.third / (6 * math.Pow(l.second, 1.5)),
		t:     distuv.StudentsT{Mu: 0, Sigma: 1, Nu: l.freedom},

		overdisperse: math.Sqrt(l.variance / l.second),
	}
}

// end is the value below which the statistic's truth lies with confidence p.
func (b bca) end(p float64) float64 {
	z := b.bias + b.t.Quantile(p)*b.overdisperse
	scale := 1 - b.accel*z
	if scale <= 0 { // further out than the correction reaches
		if z > 0 {
			return b.boot[len(b.boot)-1]
		}
		return b.boot[0]
	}
	return quantileSorted(b.boot, distuv.UnitNormal.CDF(b.bias+z/scale))
}

// confidence is the inverse of end: how sure it is that the truth lies below v.
func (b bca) confidence(v float64) float64 {
	w := distuv.UnitNormal.Quantile(share(b.boot, v)) - b.bias
	scale := 1 + b.accel*w
	if scale <= 0 {
		if w > 0 {
			return 1
		}
		return 0
	}
	return b.t.CDF((w/scale - b.bias) / b.overdisperse)
}

// share is the share of the values below v, equal ones counting half; it stays
// half a value away from 0 and 1, which no number of resamples can show.
func share(values []float64, v float64) float64 {
	k := 0.0
	for _, x := range values {
		switch {
		case x < v:
			k++
		case x == v:
			k += 0.5
		}
	}
	n := float64(len(values))
	return math.Min(math.Max(k, 0.5), n-0.5) / n
}

// quantileSorted is the p-quantile of ascending values, interpolated linearly
// between order statistics (type 7 of Hyndman & Fan), which gonum's stat.Quantile does not offer.
func quantileSorted(s []float64, p float64) float64 {
	h := p * float64(len(s)-1)
	i := int(h)
	if i >= len(s)-1 {
		return s[len(s)-1]
	}
	return s[i] + (h-float64(i))*(s[i+1]-s[i])
}
