package stats

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// EDF is an empirical distribution function (DDS §3.1): F(e) is the share of
// the sample with an error of at most e. It is right-continuous and steps by
// k/n at a value that occurs k times. (DDS writes e_i < e, the left-continuous
// twin: the two differ at the n steps alone, and have one area.)
type EDF struct {
	X []float64 // the distinct values, ascending
	F []float64 // F[i] = F(X[i]), in (0, 1]; the last is exactly 1
	N int       // values in the sample
}

// NewEDF is the EDF of a sample. With weights it is the weighted one of NDS §3,
// F(e) = Σ w_i·1[e_i ≤ e] / Σ w_i; nil weighs all values alike. Weights are not
// negative and not all zero; values of weight zero make no step.
func NewEDF(x, weights []float64) (EDF, error) {
	if err := check(x); err != nil {
		return EDF{}, err
	}
	if weights != nil && len(weights) != len(x) {
		return EDF{}, fmt.Errorf("stats: %d weights for %d values", len(weights), len(x))
	}
	total := float64(len(x))
	if weights != nil {
		total = 0
		for i, w := range weights {
			if !(w >= 0) || math.IsInf(w, 0) {
				return EDF{}, fmt.Errorf("stats: weight %d is %v; weights are finite and not negative", i, w)
			}
			total += w
		}
		if total == 0 {
			return EDF{}, fmt.Errorf("stats: all %d weights are zero", len(weights))
		}
	}
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	sort.SliceStable(order, func(i, j int) bool { return x[order[i]] < x[order[j]] })

	f := EDF{N: len(x)}
	sum := 0.0
	for _, i := range order {
		w := 1.0
		if weights != nil {
			w = weights[i]
		}
		if w == 0 {
			continue
		}
		sum += w
		if k := len(f.X); k > 0 && f.X[k-1] == x[i] {
			f.F[k-1] = sum / total
			continue
		}
		f.X = append(f.X, x[i])
		f.F = append(f.F, sum/total)
	}
	f.F[len(f.F)-1] = 1 // whatever the rounding of the weights' sum
	return f, nil
}

// At is F(e), in [0, 1].
func (f EDF) At(e float64) float64 {
	i, found := slices.BinarySearch(f.X, e)
	switch {
	case found:
		return f.F[i]
	case i == 0:
		return 0
	}
	return f.F[i-1]
}

// Quantile is the smallest value v of the sample with F(v) ≥ p, for p in (0, 1]. (gonum's
// stat.Quantile would add up the weights again, and has no slack for their rounding.)
func (f EDF) Quantile(p float64) float64 {
	// The slack keeps 0.3 from missing a step at 0.1+0.1+0.1.
	i := sort.Search(len(f.F), func(i int) bool { return f.F[i] >= p-1e-12 })
	return f.X[min(i, len(f.X)-1)]
}

// Area is the area under F from -∞ (0 for errors) up to emax,
//
//	∫ F(e) de = Σ w_i·max(0, emax − e_i) / Σ w_i,
//
// in the unit of the errors: percentage points. It is at most emax; more is
// better. A value at or above emax adds nothing, however bad it is, so that
// the area is robust against failures where the mean is not.
func (f EDF) Area(emax float64) float64 {
	area, last := 0.0, 0.0
	for i, x := range f.X {
		if x >= emax {
			break
		}
		area += (f.F[i] - last) * (emax - x)
		last = f.F[i]
	}
	return area
}

// DKW is the half-width ε of the Dvoretzky–Kiefer–Wolfowitz band with Massart's
// constant: the true distribution function of which n values were drawn lies
// within F ± ε everywhere at once with probability at least level, for every n
// and every distribution. ε = √(ln(2/(1−level)) / 2n). The band holds for
// unweighted EDFs only.
func DKW(n int, level float64) float64 {
	return math.Sqrt(math.Log(2/(1-level)) / (2 * float64(n)))
}
