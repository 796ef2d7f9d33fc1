package stats

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Spearman is the rank correlation of pairs, ties at their mean ranks, with the interval of Fisher's transformation and the standard error
// 1.03/√(n − 3) (Fieller, Hartley and Pearson 1957), which assumes that no value is much more frequent than others. Fewer than 4 pairs have no interval; where
// one side does not vary the value is NaN.
func Spearman(x, y []float64, level float64) (Estimate, error) {
	switch {
	case len(x) != len(y) || len(x) < 2:
		return Estimate{}, errors.New("stats: a rank correlation takes two pairs or more")
	case !(level > 0 && level < 1):
		return Estimate{}, errors.New("stats: a level lies between 0 and 1")
	}
	r := stat.Correlation(meanRanks(x), meanRanks(y), nil)
	e := unknown(r)
	if n := float64(len(x)); n > 3 && !math.IsNaN(r) {
		half := distuv.UnitNormal.Quantile((1+level)/2) * 1.03 / math.Sqrt(n-3)
		z := math.Atanh(math.Max(-1+1e-12, math.Min(1-1e-12, r)))
		e.Lo, e.Hi = math.Tanh(z-half), math.Tanh(z+half)
	}
	return e, nil
}

// meanRanks are the ranks of values from 1, of equal ones their mean.
func meanRanks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	ranks := make([]float64, len(x))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && x[order[j]] == x[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			ranks[order[k]] = float64(i+j+1) / 2
		}
		i = j
	}
	return ranks
}
