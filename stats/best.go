package stats

import "math"

// Normal is a normal distribution: what is believed of a number.
type Normal struct {
	Mean float64
	SD   float64 // above 0
}

// Best gives the chance of each of some independent numbers to be the lowest of all, and what the lowest is expected to be. It integrates, so that
// the same beliefs give the same chances. Of none it gives none, and NaN.
func Best(all []Normal) (chances []float64, lowest float64) {
	chances = make([]float64, len(all))
	if len(all) == 0 {
		return chances, math.NaN()
	}
	// The lowest lies below the upper end of each. Eight deviations hold all but 1e-15.
	const wide = 8
	lo, hi, narrow := math.Inf(1), math.Inf(1), math.Inf(1)
	for _, b := range all {
		lo, hi = math.Min(lo, b.Mean-wide*b.SD), math.Min(hi, b.Mean+wide*b.SD)
	}
	for _, b := range all {
		if b.Mean-wide*b.SD < hi {
			narrow = math.Min(narrow, b.SD)
		}
	}
	cells := int(math.Min(math.Max(400, 16*(hi-lo)/narrow), 10_000))
	step := (hi - lo) / float64(cells)
	lowest = lo
	hazards := make([]float64, len(all))
	for c := range cells { // by midpoints
		x := lo + (float64(c)+0.5)*step
		above := 1.0 // chance that all are
		for i, b := range all {
			z := (x - b.Mean) / b.SD
			s := 0.5 * math.Erfc(z/math.Sqrt2)
			hazards[i] = 0
			if s > 0 {
				hazards[i] = math.Exp(-z*z/2) / (math.Sqrt(2*math.Pi) * b.SD * s)
			}
			above *= s
		}
		for i, h := range hazards {
			chances[i] += h * above * step
		}
		lowest += above * step
	}
	return chances, lowest
}
