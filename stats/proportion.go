package stats

import "gonum.org/v1/gonum/stat/distuv"

// Proportion bounds a chance of which hits of n independent trials tell, by Jeffreys' interval of a level in (0, 1): shares in [0, 1]. n is at least 1.
func Proportion(hits, n int, level float64) (lo, hi float64) {
	b := distuv.Beta{Alpha: float64(hits) + 0.5, Beta: float64(n-hits) + 0.5}
	lo, hi = 0, 1
	if hits > 0 {
		lo = b.Quantile((1 - level) / 2)
	}
	if hits < n {
		hi = b.Quantile((1 + level) / 2)
	}
	return lo, hi
}
