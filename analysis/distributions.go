package analysis

import (
	"math"

	"netspace/metric"
	"netspace/stats"
	"netspace/study"
)

// Span is a range of numbers.
type Span struct {
	Lo float64 `json:"lo"`
	Hi float64 `json:"hi"`
}

// shown is the range of errors that is worth seeing, in percent: from the best
// to the worst that is no outlier by Tukey's fence (half again the middle half
// above it), and at least to where areas end. Failures, at the error of chance,
// stay out of it.
func (c Comparison) shown() Span {
	var done []float64
	for _, s := range c.Spaces {
		for _, t := range s.Finished {
			if t.State == study.Done {
				done = append(done, t.Error)
			}
		}
	}
	f, err := stats.NewEDF(done, nil)
	if err != nil { // only failures
		return Span{0, 100}
	}
	q1, q3 := f.Quantile(0.25), f.Quantile(0.75)
	span := Span{f.X[0], c.EMax}
	for _, e := range f.X {
		if e <= q3+1.5*(q3-q1) {
			span.Hi = math.Max(span.Hi, e)
		}
	}
	return span
}

// Distribution is an empirical distribution function of errors (stats.EDF): F[i]
// is the share of networks with at most the error X[i].
type Distribution struct {
	X []float64 `json:"x"` // percent, ascending
	F []float64 `json:"f"`
	// The band that holds the true distribution everywhere at once with Level
	// confidence (stats.DKW), half as wide as Epsilon, within 0 and 1; none where
	// networks are weighed.
	Epsilon float64   `json:"epsilon,omitempty"`
	Lo      []float64 `json:"lo,omitempty"`
	Hi      []float64 `json:"hi,omitempty"`
}

func (s Space) distribution() (Distribution, error) {
	f, err := stats.NewEDF(s.Errors, nil)
	if err != nil {
		return Distribution{}, err
	}
	d := Distribution{X: f.X, F: f.F, Epsilon: stats.DKW(s.N, Level)}
	for _, v := range f.F {
		d.Lo = append(d.Lo, math.Max(0, v-d.Epsilon))
		d.Hi = append(d.Hi, math.Min(1, v+d.Epsilon))
	}
	return d, nil
}

// valuesOf a metric over the finished networks of a space.
func valuesOf(m metric.Metric, s Space) []float64 {
	out := make([]float64, len(s.Finished))
	for i, t := range s.Finished {
		out[i] = float64(m.Of(t.Complexity))
	}
	return out
}

// Relation is a metric of every network; its errors are
// Space.Errors.
type Relation struct {
	Measure string      `json:"measure"`
	Range   Span        `json:"range"`  // over all spaces
	Values  [][]float64 `json:"values"` // by space, in the order of Space.Finished
}

func (c Comparison) relation(m metric.Metric) Relation {
	r := Relation{Measure: m.Name, Range: Span{math.Inf(1), math.Inf(-1)}}
	for _, s := range c.Spaces {
		values := valuesOf(m, s)
		for _, v := range values {
			r.Range.Lo, r.Range.Hi = math.Min(r.Range.Lo, v), math.Max(r.Range.Hi, v)
		}
		r.Values = append(r.Values, values)
	}
	return r
}

// Normalised are the distributions of all spaces where they are of equal
// complexity (NDS §3; stats.Normalise).
type Normalised struct {
	Measure       string         `json:"measure"`
	Bins          int            `json:"bins"`          // of the range that all populations share
	SharedBins    int            `json:"shared_bins"`   // those that hold networks of every space
	Networks      int            `json:"networks"`      // in these, of all spaces
	Distributions []Distribution `json:"distributions"` // by space
}

// normalised is nil where it would not speak for the spaces: with one of them,
// with fewer than 15 networks in one, or if more than half of the networks lie
// in no bin that all share.
func (c Comparison) normalised(m metric.Metric) (*Normalised, error) {
	fewest, all := c.Spaces[0].N, 0
	var costs [][]float64
	for _, s := range c.Spaces {
		fewest, all = min(fewest, s.N), all+s.N
		costs = append(costs, valuesOf(m, s))
	}
	bins := min(10, fewest/5) // a handful of networks in each
	if len(c.Spaces) < 2 || bins < 3 {
		return nil, nil
	}
	w, err := stats.Normalise(costs, bins)
	if err != nil { // the populations share no complexity, or one is not positive
		return nil, nil
	}
	n := &Normalised{Measure: m.Name, Bins: bins, SharedBins: w.Bins}
	for _, used := range w.Used {
		n.Networks += used
	}
	if 2*n.Networks < all {
		return nil, nil
	}
	for i, s := range c.Spaces {
		f, err := stats.NewEDF(s.Errors, w.Weights[i])
		if err != nil {
			return nil, err
		}
		n.Distributions = append(n.Distributions, Distribution{X: f.X, F: f.F})
	}
	return n, nil
}

// Search is the efficiency of random search in a space (stats.SearchEfficiency):
// the expected error, in percent, of the best of K networks.
type Search struct {
	K    []int     `json:"k"`
	Mean []float64 `json:"mean"`
	Lo   []float64 `json:"lo"` // 2.5 percentile of that error
	Hi   []float64 `json:"hi"` // 97.5
}

// searchPoints bounds how many numbers of networks a Search is given for.
const searchPoints = 48

func (s Space) search() (Search, error) {
	e, err := stats.SearchEfficiency(s.Errors, spread(s.N, searchPoints))
	if err != nil {
		return Search{}, err
	}
	return Search(e), nil
}

// spread is at most about most whole numbers from 1 to n, evenly on a
// logarithmic scale, with both ends.
func spread(n, most int) []int {
	var ks []int
	for i := range most {
		k := int(math.Round(math.Pow(float64(n), float64(i)/float64(most-1))))
		if len(ks) == 0 || k > ks[len(ks)-1] {
			ks = append(ks, k)
		}
	}
	return ks
}
