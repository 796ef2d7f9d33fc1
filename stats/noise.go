package stats

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Noise is how much the errors of one network differ between trainings with different seeds.
type Noise struct {
	Networks  int // with two trainings or more
	Trainings int // of these
	// StdDev is the pooled standard deviation of trainings of one network, percentage points, with the interval that it would have were
	// they normal: √(ν·s²/χ²) of ν = Trainings − Networks degrees of freedom.
	StdDev Estimate
	// Share is the part of the variance between the errors of a population, each of one training, that is noise, [0, 1]; what is left
	// is the variance between networks. NaN if the population does not vary.
	Share float64
}

// Rerun measures the noise of errors: trainings has those of every network that was trained more than once, of the
// networks of the population errs or some of them (see Searle, Casella and McCulloch, Variance Components, 1992, on one-way layouts). It is an ErrEmpty
// if no network was.
func Rerun(trainings [][]float64, errs []float64, level float64) (Noise, error) {
	var n Noise
	sum := 0.0
	for _, all := range trainings {
		if err := check(all); err != nil {
			return n, err
		}
		if len(all) < 2 {
			continue
		}
		n.Networks++
		n.Trainings += len(all)
		sum += squares(all)
	}
	free := float64(n.Trainings - n.Networks)
	if free == 0 {
		return n, fmt.Errorf("noise of reruns: %w", ErrEmpty)
	}
	if err := check(errs); err != nil {
		return n, err
	}
	if !(level > 0 && level < 1) {
		return n, errors.New("stats: a level lies between 0 and 1")
	}
	chi := distuv.ChiSquared{K: free}
	n.StdDev = Estimate{Value: math.Sqrt(sum / free), Lo: math.Sqrt(sum / chi.Quantile((1+level)/2)), Hi: math.Sqrt(sum / chi.Quantile((1-level)/2))}
	n.Share = math.NaN()
	if all := squares(errs) / float64(max(1, len(errs)-1)); all > 0 {
		n.Share = min(1, sum/free/all)
	}
	return n, nil
}

// squares is the sum of squared deviations from the mean.
func squares(x []float64) float64 {
	mean := 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	sum := 0.0
	for _, v := range x {
		sum += (v - mean) * (v - mean)
	}
	return sum
}
