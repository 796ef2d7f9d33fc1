package stats

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// Range is where good values of a parameter likely lie.
type Range struct {
	Lo, Best, Hi float64 // the 2.5, 50 and 97.5 percentiles
}

// BestRange is the empirical bootstrap of the best (DDS §3.2, fig. 5): draw a
// quarter of the models with replacement, note the parameter of the one with
// the least error, repeat; the percentiles of what was noted are the likely
// range of good values.
//
// It is computed exactly, as if it had been repeated without end: of m draws
// from n models the best has rank r or worse with probability ((n−r+1)/n)^m, so
// the probability that each model wins is known, and no seed is needed. Models
// with equal errors share their probability. m is n/4 rounded up.
func BestRange(errs, param []float64) (Range, error) {
	win, err := winning(errs, (len(errs)+3)/4)
	if err != nil {
		return Range{}, err
	}
	if len(param) != len(errs) {
		return Range{}, fmt.Errorf("stats: %d values of the parameter for %d errors", len(param), len(errs))
	}
	f, err := NewEDF(param, win)
	if err != nil {
		return Range{}, err
	}
	return Range{f.Quantile(0.025), f.Quantile(0.5), f.Quantile(0.975)}, nil
}

// winning is the probability that each model is the best of m drawn with
// replacement.
func winning(errs []float64, m int) ([]float64, error) {
	if err := check(errs); err != nil {
		return nil, err
	}
	n := len(errs)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return errs[order[i]] < errs[order[j]] })
	win := make([]float64, n)
	atLeast := func(rank int) float64 { return math.Pow(float64(n-rank)/float64(n), float64(m)) }
	for lo := 0; lo < n; {
		hi := lo + 1
		for hi < n && errs[order[hi]] == errs[order[lo]] {
			hi++
		}
		share := (atLeast(lo) - atLeast(hi)) / float64(hi-lo)
		for _, i := range order[lo:hi] {
			win[i] = share
		}
		lo = hi
	}
	return win, nil
}

// Search is the efficiency of random search (NDS §5.3): what the best of K
// models drawn from a space is like.
type Search struct {
	K      []int     // number of models drawn
	Mean   []float64 // expected least error, percent
	Lo, Hi []float64 // 2.5 and 97.5 percentiles of the least error
}

// SearchEfficiency is the expected best error of k models for each k of ks, which
// lie in 1 … n (nil: all of them), exact by order statistics: of the subsets of k of the n errors, those whose least
// is the i-th smallest are C(n−i, k−1) of C(n, k). This is the unbiased estimate
// of the expected best of k fresh models; drawing with replacement would be
// biased upwards. At k = n it is the one best error and has no spread.
func SearchEfficiency(errs []float64, ks []int) (Search, error) {
	if err := check(errs); err != nil {
		return Search{}, err
	}
	x := sorted(errs)
	n := len(x)
	if ks == nil {
		for k := 1; k <= n; k++ {
			ks = append(ks, k)
		}
	}
	s := Search{K: ks, Mean: make([]float64, len(ks)), Lo: make([]float64, len(ks)), Hi: make([]float64, len(ks))}
	for at, k := range ks {
		if k < 1 || k > n {
			return Search{}, fmt.Errorf("stats: the best of %d models, drawn from %d", k, n)
		}
		// beyond is the probability that the least of k is after the first i values.
		beyond, mean := 1.0, 0.0
		lo, hi := math.NaN(), math.NaN()
		for i := 0; i <= n-k; i++ {
			next := beyond * float64(n-i-k) / float64(n-i)
			mean += (beyond - next) * x[i]
			if beyond = next; math.IsNaN(lo) && 1-beyond >= 0.025-1e-12 {
				lo = x[i]
			}
			if math.IsNaN(hi) && 1-beyond >= 0.975-1e-12 {
				hi = x[i]
			}
		}
		s.Mean[at], s.Lo[at], s.Hi[at] = mean, lo, hi
	}
	return s, nil
}

// Normalised are the weights of models for the normalised EDF.
type Normalised struct {
	Weights [][]float64 // per population and model; a population's sum to 1
	Used    []int       // models of each population with a weight above 0
	Bins    int         // bins in which every population has a model
}

// Normalise weighs the models of populations so that their complexities are
// distributed alike (NDS §3.3): spaces that differ in complexity can then be
// compared by the EDFs of NewEDF(errors, weights). complexity holds one positive
// number per model, of flops, params or acts.
//
// The range that all populations share is cut into the given number of bins of
// equal width on a logarithmic scale. Every bin in which each population has a
// model weighs the same, its models share that weight; the other bins, and what
// is outside the range, weigh nothing. It is an error if no bin is left:
// nothing can then be compared.
func Normalise(complexity [][]float64, bins int) (Normalised, error) {
	if bins < 1 {
		return Normalised{}, fmt.Errorf("stats: %d bins; at least 1", bins)
	}
	if len(complexity) == 0 {
		return Normalised{}, ErrEmpty
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	for i, c := range complexity {
		if err := check(c); err != nil {
			return Normalised{}, fmt.Errorf("population %d: %w", i, err)
		}
		if v := slices.Min(c); v <= 0 {
			return Normalised{}, fmt.Errorf("stats: population %d has a complexity of %v; it is positive", i, v)
		}
		lo, hi = math.Max(lo, slices.Min(c)), math.Min(hi, slices.Max(c))
	}
	if lo > hi {
		return Normalised{}, fmt.Errorf("stats: the populations share no range of complexity: one begins at %g, another ends at %g", lo, hi)
	}
	bin := func(c float64) int { // -1 outside
		switch {
		case c < lo || c > hi:
			return -1
		case lo == hi:
			return 0
		}
		return min(bins-1, int(float64(bins)*math.Log(c/lo)/math.Log(hi/lo)))
	}
	counts := make([][]int, len(complexity))
	for i, cs := range complexity {
		counts[i] = make([]int, bins)
		for _, c := range cs {
			if b := bin(c); b >= 0 {
				counts[i][b]++
			}
		}
	}
	shared := make([]bool, bins)
	out := Normalised{Weights: make([][]float64, len(complexity)), Used: make([]int, len(complexity))}
	for b := range shared {
		shared[b] = !slices.ContainsFunc(counts, func(k []int) bool { return k[b] == 0 })
		if shared[b] {
			out.Bins++
		}
	}
	if out.Bins == 0 {
		return Normalised{}, fmt.Errorf("stats: in none of the %d bins of complexity between %g and %g has every population a model", bins, lo, hi)
	}
	for i, cs := range complexity {
		out.Weights[i] = make([]float64, len(cs))
		for j, c := range cs {
			if b := bin(c); b >= 0 && shared[b] {
				out.Weights[i][j] = 1 / float64(out.Bins) / float64(counts[i][b])
				out.Used[i]++
			}
		}
	}
	return out, nil
}
