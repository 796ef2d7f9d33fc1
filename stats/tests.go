package stats

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// NotWorse is a test of non-inferiority.
type NotWorse struct {
	Delta float64 // the margin, percentage points
	P     float64 // small: B's mean error is not more than Delta above A's
}

// TestNotWorse tests whether the mean of b exceeds the mean of a by no more
// than delta. The null hypothesis is mean(B) − mean(A) ≥ delta, so a small
// p-value lets one keep B: this is the question asked of a refinement that
// makes a space simpler (DDS §3.2). It is the one-sided test of independent
// samples that belongs to the BCa interval of the difference: p = 5 % where the
// 90 % interval ends at delta. The p-value of samples of one value is NaN.
//
// To test areas up to emax, pass min(e, emax) for the errors.
func TestNotWorse(a, b []float64, delta float64, o Options) (NotWorse, error) {
	if err := errors.Join(check(a), check(b), checkDelta(delta)); err != nil {
		return NotWorse{}, err
	}
	o, err := o.defaults(max(len(a), len(b)))
	if err != nil {
		return NotWorse{}, err
	}
	if len(a) == 1 || len(b) == 1 {
		return NotWorse{delta, math.NaN()}, nil
	}
	ra, rb := resample(context.Background(), a, 0, o, 0), resample(context.Background(), b, 0, o, 1)
	return NotWorse{delta, notBelow(rb.mean.minus(ra.mean), minus(rb.means, ra.means), delta)}, nil
}

// TestNotWorsePaired is TestNotWorse for pairs: a[i] and b[i] are one network
// under two conditions (two recipes, two resolutions). What is common to the
// pair cancels, so that far fewer networks decide.
func TestNotWorsePaired(a, b []float64, delta float64, o Options) (NotWorse, error) {
	if len(a) != len(b) {
		return NotWorse{}, fmt.Errorf("stats: %d and %d values do not make pairs", len(a), len(b))
	}
	if err := errors.Join(check(a), check(b), checkDelta(delta)); err != nil {
		return NotWorse{}, err
	}
	o, err := o.defaults(max(len(a), len(b)))
	if err != nil {
		return NotWorse{}, err
	}
	if len(a) == 1 {
		return NotWorse{delta, math.NaN()}, nil
	}
	r := resample(context.Background(), minus(b, a), 0, o, 0)
	return NotWorse{delta, notBelow(r.mean, r.means, delta)}, nil
}

func checkDelta(delta float64) error {
	if !(delta >= 0) || math.IsInf(delta, 0) {
		return fmt.Errorf("stats: the margin delta is %v; it is a finite number of percentage points, at least 0", delta)
	}
	return nil
}

// notBelow is the p-value of "l is at least delta" against "below it": one less
// the confidence of the BCa interval that ends at delta.
func notBelow(l linear, boot []float64, delta float64) float64 {
	if l.second == 0 { // all values are equal: no doubt is left
		if l.value < delta {
			return 0
		}
		return 1
	}
	return 1 - newBCa(l, boot).confidence(delta)
}

// Holm adjusts the p-values of a family of tests so that rejecting those below
// α makes any false rejection at all no likelier than α (Holm 1979). NaN stays
// NaN and does not count as a test.
func Holm(p []float64) []float64 {
	adjusted := slices.Clone(p)
	var order []int
	for i, v := range p {
		if !math.IsNaN(v) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case p[i] < p[j]:
			return -1
		case p[i] > p[j]:
			return 1
		}
		return 0
	})
	running := 0.0
	for rank, i := range order {
		running = math.Max(running, math.Min(1, p[i]*float64(len(order)-rank)))
		adjusted[i] = running
	}
	return adjusted
}

// ModelsNeeded is how many models each of two spaces needs so that the test
// that one is not worse by delta, at significance alpha, comes out with the
// given power when the spaces are equally good:
//
//	n = (z_{1−α} + z_{power})² · (σ_A² + σ_B²) / δ², rounded up.
//
// sdA and sdB are the standard deviations of the errors; delta > 0; alpha and
// power lie in (0, 1). It is at least 2.
func ModelsNeeded(sdA, sdB, delta, alpha, power float64) (int, error) {
	switch {
	case !(sdA >= 0) || !(sdB >= 0):
		return 0, fmt.Errorf("stats: standard deviations %v and %v: they are not negative", sdA, sdB)
	case !(delta > 0):
		return 0, fmt.Errorf("stats: the margin delta is %v; a decision needs one above 0", delta)
	case !(alpha > 0 && alpha < 1) || !(power > 0 && power < 1):
		return 0, fmt.Errorf("stats: alpha %v and power %v lie between 0 and 1", alpha, power)
	}
	z := distuv.UnitNormal.Quantile(1-alpha) + distuv.UnitNormal.Quantile(power)
	n := math.Ceil(z * z * (sdA*sdA + sdB*sdB) / (delta * delta))
	return int(math.Min(math.Max(2, n), math.MaxInt32)), nil
}
