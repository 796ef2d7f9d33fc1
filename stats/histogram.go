package stats

import (
	"math"
	"slices"
)

// Histogram counts values in bars that lie side by side.
type Histogram struct {
	Edges  []float64 `json:"edges"`  // ascending; of all bars, one more than there are
	Counts []int     `json:"counts"` // of the bar from Edges[i] up to and without Edges[i+1]; with it for the last
	// Log: the bars have one width on a logarithmic axis.
	Log bool `json:"log,omitempty"`
}

// maxBars is the largest number of bars of a histogram.
const maxBars = 24

// NewHistogram counts values in at most 24 bars: one around each value if
// there are few, else bars of one width. The axis is logarithmic for powers of
// two and for values that span a factor of 16. Where the values are multiples of a
// quantum, the edges lie halfway between two of them, and each has a bar of its
// own where bars would be narrower: a bar that no value can fall into
// would look like a gap.
func NewHistogram(values []float64) (Histogram, error) {
	if err := check(values); err != nil {
		return Histogram{}, err
	}
	edges, log := bins(values)
	h := Histogram{Edges: edges, Counts: make([]int, len(edges)-1), Log: log}
	for _, v := range values {
		i, found := slices.BinarySearch(edges, v)
		if !found {
			i--
		}
		h.Counts[min(max(i, 0), len(h.Counts)-1)]++
	}
	return h, nil
}

func bins(values []float64) (edges []float64, logarithmic bool) {
	distinct := slices.Compact(sorted(values))
	lo, hi := distinct[0], distinct[len(distinct)-1]
	logarithmic = lo > 0 && (hi >= 16*lo || hi > lo && !slices.ContainsFunc(distinct, func(v float64) bool { m, _ := math.Frexp(v); return m != 0.5 }))
	to, from := func(v float64) float64 { return v }, func(v float64) float64 { return v }
	if logarithmic {
		to, from = math.Log, math.Exp
	}
	if len(distinct) <= maxBars {
		first, last := 0.5, 0.5
		if n := len(distinct); n > 1 {
			first, last = (to(distinct[1])-to(lo))/2, (to(hi)-to(distinct[n-2]))/2
		}
		edges = append(edges, from(to(lo)-first))
		for i := 1; i < len(distinct); i++ {
			edges = append(edges, from((to(distinct[i-1])+to(distinct[i]))/2))
		}
		return append(edges, from(to(hi)+last)), logarithmic
	}
	q := quantum(distinct)
	last := math.Inf(-1)
	for i := range maxBars {
		e := from(to(lo) + (to(hi)-to(lo))*float64(i)/maxBars)
		if q > 0 {
			e = lo + (math.Ceil((e-lo)/q-1e-9)-0.5)*q
		}
		if logarithmic && e <= 0 {
			e = lo / 2
		}
		if e > last*(1+1e-9) {
			edges, last = append(edges, e), e
		}
	}
	return append(edges, hi+q/2), logarithmic
}

// quantum is the number of which the differences of ascending values are
// multiples, if that is the smallest of the differences; else 0.
func quantum(ascending []float64) float64 {
	q := math.Inf(1)
	for i := 1; i < len(ascending); i++ {
		q = min(q, ascending[i]-ascending[i-1])
	}
	for i := 1; i < len(ascending); i++ {
		if k := (ascending[i] - ascending[i-1]) / q; math.Abs(k-math.Round(k)) > 1e-3 {
			return 0
		}
	}
	return q
}
