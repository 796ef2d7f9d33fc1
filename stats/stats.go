// Package stats holds the statistics with which populations of networks are
// compared: plain functions over numbers, which know nothing of networks.
//
// The numbers are errors in percent unless a comment says otherwise, and lower
// is better. A failed trial belongs to its population with the error of
// chance: callers pass it like any other, so nothing here drops a value. No
// function changes its arguments. Every function that draws random numbers
// takes a seed and gives the same bits for the same seed (PCG of
// math/rand/v2). Empty samples, and values that are NaN or infinite, are
// errors.
//
// docs/statistics.md states every formula with its source. DDS is Radosavovic
// et al., Designing Network Design Spaces (CVPR 2020); NDS is Radosavovic et
// al., On Network Design Spaces for Visual Recognition (ICCV 2019).
//
// Begin with Compare for populations side by side, NewEDF and Summarise for one.
package stats

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrEmpty says that a sample has no values.
var ErrEmpty = errors.New("stats: the sample is empty")

// check refuses empty samples and values that are not finite.
func check(x []float64) error {
	if len(x) == 0 {
		return ErrEmpty
	}
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("stats: value %d of %d is %v; a failed trial counts with the error of chance, not with %v", i, len(x), v, v)
		}
	}
	return nil
}

// sorted is an ascending copy of x.
func sorted(x []float64) []float64 {
	s := slices.Clone(x)
	slices.Sort(s)
	return s
}

// Estimate is a number with its confidence interval. Lo and Hi are NaN where
// there is none: one value says nothing about its spread.
type Estimate struct {
	Value, Lo, Hi float64
}

// Known reports whether the estimate has an interval.
func (e Estimate) Known() bool { return !math.IsNaN(e.Lo) && !math.IsNaN(e.Hi) }

// unknown is an estimate without an interval.
func unknown(v float64) Estimate { return Estimate{Value: v, Lo: math.NaN(), Hi: math.NaN()} }
