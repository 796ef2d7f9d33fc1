package stats

import (
	"context"
	"fmt"
	"math"
)

// Summary describes one population of errors.
type Summary struct {
	N      int
	EMax   float64 // where Area ends, percent
	Min    Estimate
	Mean   Estimate
	Median Estimate
	Area   Estimate // under the EDF up to EMax, percentage points

	// Standard deviations, divisor n − 1; 0 for one value.
	StdDev     float64 // of the errors
	AreaStdDev float64 // of min(e, EMax), whose mean is EMax − Area
}

// Summarise describes a population of errors in percent (0 to 100) with
// bootstrap intervals: BCa, widened for small samples, for Mean and Area;
// percentile for Median and Min, where BCa has no footing. The interval of Min begins at Min itself: a resample cannot hold a value
// better than the best. It says how much of that best was luck, not how good
// the space's best is. One value has no intervals.
func Summarise(errs []float64, emax float64, o Options) (Summary, error) {
	if err := check(errs); err != nil {
		return Summary{}, err
	}
	o, err := o.defaults(len(errs))
	if err != nil {
		return Summary{}, err
	}
	if err := checkEMax(emax); err != nil {
		return Summary{}, err
	}
	return resample(context.Background(), errs, emax, o, 0).summary(emax, o.Level), nil
}

func (r *replicates) summary(emax, level float64) Summary {
	s := Summary{N: r.n, EMax: emax, StdDev: math.Sqrt(r.mean.variance * float64(r.n)), AreaStdDev: math.Sqrt(r.area.variance * float64(r.n))}
	if r.n == 1 {
		s.Min, s.Mean, s.Median, s.Area = unknown(r.min), unknown(r.mean.value), unknown(r.median), unknown(r.area.value)
		return s
	}
	s.Min = percentile(r.min, r.mins, level)
	s.Median = percentile(r.median, r.meds, level)
	s.Mean = accelerated(r.mean, r.means, level)
	s.Area = accelerated(r.area, r.areas, level)
	return s
}

// StdDev is the standard deviation of values, divisor n − 1; 0 of one value.
func StdDev(x []float64) float64 { return math.Sqrt(mean(x).variance * float64(len(x))) }

func checkEMax(emax float64) error {
	if !(emax > 0) || math.IsInf(emax, 0) {
		return fmt.Errorf("stats: the area under an EDF ends at a positive error, not at %v", emax)
	}
	return nil
}

// DefaultEMax is the end of the area for populations that are compared: the
// third quartile of all their errors together, rounded up to a whole percent.
// There the curves have parted but the failures, whose error is that of chance,
// do not yet weigh. It depends on the populations, so whoever prints an area
// prints its end.
func DefaultEMax(populations ...[]float64) (float64, error) {
	var all []float64
	for _, p := range populations {
		all = append(all, p...)
	}
	f, err := NewEDF(all, nil)
	if err != nil {
		return 0, err
	}
	return math.Max(1, math.Ceil(f.Quantile(0.75))), nil
}
