package stats

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sort"
	"sync"
)

// The places of a value in a Split.
const (
	Outside int8 = iota // neither in the part nor in the rest
	InPart
	InRest
)

// Split divides a sample into a part and the rest: the place of each value.
type Split []int8

// Linear is an estimate that is about linear in the values of a sample, such as a
// coefficient of a regression.
type Linear struct {
	Value     float64
	Influence []float64 // of each value on the estimate; the sum of their squares is its variance
}

// Effect is one of several effects that are estimated from one sample: a part of
// it against the rest or, where Split is nil, estimates that were made elsewhere.
type Effect struct {
	Split      Split
	Mean, Area *Linear // nil: no such estimate
}

// Contrast is an estimated effect. For a Split it is the part less the rest: means
// and medians in the unit of the values, where less is better of errors, and areas
// under the EDFs, where more is. Intervals are simultaneous; NaN where there is none.
type Contrast struct {
	Part, Rest         int // values of each; 0 where there is no Split
	Mean, Median, Area Estimate
	// Standard deviations of the values and, for the area, of min(value, emax), in
	// part and rest, divisor n − 1; NaN of fewer than two values.
	StdDev, RestStdDev         float64
	AreaStdDev, RestAreaStdDev float64
}

// Contrasts estimates several effects from one sample of errors in percent, with
// intervals that hold all at once: with probability o.Level every true mean
// effect lies in its interval, and so for medians and for areas (up to emax).
//
// It is the balanced maximum-t bootstrap (Romano & Wolf 2010, §3, after Beran
// 1988): the values are drawn with replacement, which keeps how the effects
// depend on each other; each effect gives t* = (D* − D)/s* with the standard
// error of the resample; the interval is D ± c·s, the critical values c being
// exceeded by |t*| equally often for every effect, and such that the share of the
// resamples in which any is exceeded is at most 1 − level. A statistic with a
// heavy tail so makes its own interval wide and not those of the others. For
// medians, which have no simple standard error, s is the bootstrap's and s* = s.
//
// A part and a rest of two values at least have intervals. Where no resample
// moves an effect, its interval is a point. It ends soon after ctx is done, with
// its error.
func Contrasts(ctx context.Context, errs []float64, effects []Effect, emax float64, o Options) ([]Contrast, error) {
	if err := check(errs); err != nil {
		return nil, err
	}
	if err := checkEMax(emax); err != nil {
		return nil, err
	}
	o, err := o.defaults(len(errs) * max(1, len(effects)) / effectsShare)
	if err != nil {
		return nil, err
	}
	c := contraster{errs: errs, emax: emax, order: make([]int, len(errs))}
	for i := range c.order {
		c.order[i] = i
	}
	sort.SliceStable(c.order, func(i, j int) bool { return errs[c.order[i]] < errs[c.order[j]] })
	for i, e := range effects {
		f, err := c.effect(e)
		if err != nil {
			return nil, fmt.Errorf("effect %d: %w", i, err)
		}
		c.effects = append(c.effects, f)
	}
	if err := c.resample(ctx, o); err != nil {
		return nil, err
	}
	out := make([]Contrast, len(effects))
	for i, f := range c.effects {
		out[i] = f.contrast()
	}
	for s := range statistics {
		c.intervals(s, o.Level, out)
	}
	return out, nil
}

// effectsShare is how many effects cost about what one sample costs Compare, in
// the sense of Options.defaults.
const effectsShare = 20

// The statistics of an effect.
const (
	ofMean = iota
	ofMedian
	ofArea
	statistics
)

// contraster holds a sample in ascending order and the effects on it.
type contraster struct {
	errs    []float64
	emax    float64
	order   []int // places in errs, by value
	effects []*effect
}

// effect is prepared for resampling. Places are those in contraster.order.
type effect struct {
	parts  [2][]int32 // part and rest; nil for linear estimates
	values [2][]float64
	areas  [2][]float64 // max(0, emax − value)
	linear [statistics]*Linear
	psi    [statistics][]float64 // their influences by place
	plain  [statistics]moments   // the estimates
	draws  [statistics][]float64 // |t*| of each resample; for medians D* first
}

// moments are an estimate with its standard error; NaN for none.
type moments struct{ value, se float64 }

var noMoments = moments{math.NaN(), math.NaN()}

func (c *contraster) effect(e Effect) (*effect, error) {
	f := &effect{plain: [statistics]moments{noMoments, noMoments, noMoments}}
	if e.Split == nil {
		for s, l := range map[int]*Linear{ofMean: e.Mean, ofArea: e.Area} {
			if l == nil {
				continue
			}
			if len(l.Influence) != len(c.errs) {
				return nil, fmt.Errorf("stats: %d influences for %d values", len(l.Influence), len(c.errs))
			}
			square := 0.0
			for _, at := range c.order {
				v := l.Influence[at]
				f.psi[s] = append(f.psi[s], v)
				square += v * v
			}
			f.linear[s], f.plain[s] = l, moments{l.Value, math.Sqrt(square)}
		}
		return f, nil
	}
	if len(e.Split) != len(c.errs) {
		return nil, fmt.Errorf("stats: a split of %d values for %d", len(e.Split), len(c.errs))
	}
	for place, at := range c.order {
		if g := e.Split[at]; g == InPart || g == InRest {
			f.parts[g-InPart] = append(f.parts[g-InPart], int32(place))
			f.values[g-InPart] = append(f.values[g-InPart], c.errs[at])
			f.areas[g-InPart] = append(f.areas[g-InPart], math.Max(0, c.emax-c.errs[at]))
		}
	}
	if len(f.parts[0]) > 0 && len(f.parts[1]) > 0 {
		ones := make([]int32, len(c.errs))
		for i := range ones {
			ones[i] = 1
		}
		f.plain, _ = f.differences(ones)
	}
	return f, nil
}

// differences are part less rest where the value at each place occurs so many
// times; false if either has fewer than two values, and so no standard error.
func (f *effect) differences(counts []int32) (d [statistics]moments, ok bool) {
	var mean, area, median, meanVar, areaVar [2]float64
	ok = true
	for g, places := range f.parts {
		n, sum, square, below, belowSquare := int32(0), 0.0, 0.0, 0.0, 0.0
		shift := f.values[g][0] // variances about a value of the sample keep their digits
		for i, at := range places {
			if k := counts[at]; k > 0 {
				v, a, m := f.values[g][i]-shift, f.areas[g][i], float64(k)
				n, sum, square, below, belowSquare = n+k, sum+m*v, square+m*v*v, below+m*a, belowSquare+m*a*a
			}
		}
		if n == 0 {
			return d, false
		}
		ok = ok && n > 1
		w := float64(n)
		mean[g], area[g] = shift+sum/w, below/w
		meanVar[g] = math.Max(0, square-sum*sum/w) / (w * (w - 1))
		areaVar[g] = math.Max(0, belowSquare-below*below/w) / (w * (w - 1))
		median[g] = f.median(g, counts, n)
	}
	d[ofMean] = moments{mean[0] - mean[1], math.Sqrt(meanVar[0] + meanVar[1])}
	d[ofArea] = moments{area[0] - area[1], math.Sqrt(areaVar[0] + areaVar[1])}
	d[ofMedian] = moments{median[0] - median[1], math.NaN()} // from the resamples
	return d, ok
}

// median of a part or rest that has n values in all.
func (f *effect) median(g int, counts []int32, n int32) float64 {
	lower, seen := math.NaN(), int32(0)
	for i, at := range f.parts[g] {
		seen += counts[at]
		if math.IsNaN(lower) && seen > (n-1)/2 {
			lower = f.values[g][i]
		}
		if seen > n/2 {
			return (lower + f.values[g][i]) / 2
		}
	}
	return lower // not reached: the counts add up to n
}

// resample fills the draws of all effects. Each resample has a stream of its own,
// so that the result does not depend on how many are drawn at a time.
func (c *contraster) resample(ctx context.Context, o Options) error {
	for _, f := range c.effects {
		for s := range f.draws {
			if !math.IsNaN(f.plain[s].value) {
				f.draws[s] = make([]float64, o.Resamples)
			}
		}
	}
	n := len(c.errs)
	block := (o.Resamples + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	var wait sync.WaitGroup
	for from := 0; from < o.Resamples; from += block {
		wait.Go(func() {
			counts := make([]int32, n)
			for b := from; b < min(from+block, o.Resamples) && ctx.Err() == nil; b++ {
				rng := rand.New(rand.NewPCG(o.Seed, uint64(b)))
				clear(counts)
				for range n {
					counts[rng.IntN(n)]++
				}
				for _, f := range c.effects {
					f.draw(b, counts)
				}
			}
		})
	}
	wait.Wait()
	return ctx.Err()
}

// draw takes note of an effect in resample b.
func (f *effect) draw(b int, counts []int32) {
	if f.parts[0] != nil && f.parts[1] != nil {
		d, ok := f.differences(counts)
		for s := range d {
			switch {
			case f.draws[s] == nil:
			case s == ofMedian && d[s] == moments{}: // a part that was not drawn
				f.draws[s][b] = math.NaN()
			case s == ofMedian:
				f.draws[s][b] = d[s].value
			case !ok: // what tells nothing exceeds nothing
				f.draws[s][b] = 0
			default:
				f.draws[s][b] = studentised(d[s].value-f.plain[s].value, d[s].se)
			}
		}
		return
	}
	for s, psi := range f.psi {
		if psi == nil {
			continue
		}
		moved, square := 0.0, 0.0
		for at, v := range psi {
			k := float64(counts[at])
			moved, square = moved+(k-1)*v, square+k*v*v
		}
		f.draws[s][b] = studentised(moved, math.Sqrt(square))
	}
}

func studentised(moved, se float64) float64 {
	if moved == 0 {
		return 0
	}
	return math.Abs(moved) / se // infinite without a spread
}

// intervals gives all effects their interval of one statistic.
func (c *contraster) intervals(s int, level float64, out []Contrast) {
	var family []*effect
	for _, f := range c.effects {
		if s == ofMedian && f.draws[s] != nil {
			f.spread()
		}
		if f.draws[s] != nil && f.plain[s].se > 0 {
			family = append(family, f)
		}
	}
	critical := balanced(family, s, level)
	for i, f := range c.effects {
		e := unknown(f.plain[s].value)
		enough := f.linear[s] != nil || len(f.parts[0]) > 1 && len(f.parts[1]) > 1
		if p := f.plain[s]; p.se == 0 && enough {
			e.Lo, e.Hi = p.value, p.value
		} else if k := slices.Index(family, f); k >= 0 && enough && !math.IsInf(critical[k], 0) {
			e.Lo, e.Hi = p.value-critical[k]*p.se, p.value+critical[k]*p.se
		}
		*[statistics]*Estimate{&out[i].Mean, &out[i].Median, &out[i].Area}[s] = e
	}
}

// spread gives the median its standard error, that of its draws, and makes these |t*|.
func (f *effect) spread() {
	d := f.draws[ofMedian]
	n, sum, square := 0.0, 0.0, 0.0
	at := f.plain[ofMedian].value
	for _, v := range d {
		if !math.IsNaN(v) {
			n, sum, square = n+1, sum+(v-at), square+(v-at)*(v-at)
		}
	}
	f.plain[ofMedian].se = 0
	if n > 1 {
		f.plain[ofMedian].se = math.Sqrt(math.Max(0, square-sum*sum/n) / (n - 1))
	}
	for b, v := range d {
		if d[b] = 0; !math.IsNaN(v) && f.plain[ofMedian].se > 0 {
			d[b] = math.Abs(v-at) / f.plain[ofMedian].se
		}
	}
}

// balanced gives the critical value of each effect of a family: that which its
// |t*| reaches in m resamples, the same m for all, as large as it can be with any
// of them reaching theirs in a share of at most 1 − level of the resamples.
func balanced(family []*effect, s int, level float64) []float64 {
	if len(family) == 0 {
		return nil
	}
	n := len(family[0].draws[s])
	least := make([]int, n) // the least rank, from 0 for the largest |t*|, in each resample
	for b := range least {
		least[b] = n
	}
	critical := make([]float64, len(family))
	order := make([]int, n)
	for _, f := range family {
		for b := range order {
			order[b] = b
		}
		t := f.draws[s]
		sort.Slice(order, func(i, j int) bool {
			if t[order[i]] != t[order[j]] {
				return t[order[i]] > t[order[j]]
			}
			return order[i] < order[j]
		})
		for rank, b := range order {
			least[b] = min(least[b], rank)
		}
	}
	slices.Sort(least)
	allowed := int((1 - level) * float64(n))
	m := least[min(allowed, n-1)] // resamples of lesser rank than this are at most allowed
	for k, f := range family {
		t := sorted(f.draws[s])
		critical[k] = t[n-max(1, m)]
	}
	return critical
}

func (f *effect) contrast() Contrast {
	nan := math.NaN()
	c := Contrast{Part: len(f.parts[0]), Rest: len(f.parts[1]), StdDev: nan, RestStdDev: nan, AreaStdDev: nan, RestAreaStdDev: nan}
	for g, to := range [2][2]*float64{{&c.StdDev, &c.AreaStdDev}, {&c.RestStdDev, &c.RestAreaStdDev}} {
		if len(f.values[g]) > 1 {
			*to[0], *to[1] = StdDev(f.values[g]), StdDev(f.areas[g])
		}
	}
	return c
}
