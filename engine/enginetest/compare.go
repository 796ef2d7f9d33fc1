package enginetest

import (
	"fmt"
	"math"
	"testing"

	"netspace/engine"
	"netspace/engine/reference"
)

const (
	// roundings is the number of disturbed runs that a tolerance is taken from.
	roundings = 3
	// slack is what an engine may be worse than the worst of them. Few runs
	// see a small tensor at its worst rarely; and engines sum in other orders
	// and take their exponentials from polynomials. A wrong formula is off by
	// thousands of times this.
	slack = 12
	// minKink is how far all ReLU inputs and max-pool winners must be from a
	// change of branch, relative to their size, in roundings.
	minKink = 84
	// attempts is how many draws of the data are tried for that.
	attempts = 30
)

// held is the unit roundoff that an engine's numbers are held to: its own, but
// tensors are float32 when they are given and taken.
func held(unit float64) float64 { return math.Max(unit, engine.FP32.Unit()) }

// Compare runs a case on an engine of the given unit roundoff and on the
// reference, and reports every tensor that differs by more than that explains.
func Compare(t *testing.T, e engine.Engine, c Case, unit float64) {
	t.Helper()
	differences, err := Differences(e, c, unit)
	tell(t, differences, err)
}

// tell reports the first few tensors that differ.
func tell(t *testing.T, differences []string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range differences {
		if i == 5 {
			t.Fatalf("and %d tensors more", len(differences)-i)
		}
		t.Error(d)
	}
}

// Differences runs a case on an engine and on the reference and describes
// every tensor that differs by more than the unit roundoff explains, in the
// order in which they were computed: the first is the nearest to the cause.
//
// The tolerance is argued for each tensor by measuring: the reference runs
// again with every op's result disturbed at random as such arithmetic would
// (reference.WithRounding), and the tolerance is slack times the largest
// difference this makes anywhere in the tensor. So it grows with the length
// of sums, with cancellation (the gradient of a bias in front of a BN is zero
// but for rounding) and with depth, as true rounding errors do. The data are
// drawn such that no ReLU or max-pool is so near to its kink that rounding
// decides.
func Differences(e engine.Engine, c Case, unit float64) ([]string, error) {
	unit = held(unit)
	d, want, err := draw(c, unit)
	if err != nil {
		return nil, err
	}
	tolerance, err := tolerances(c, d, want, unit)
	if err != nil {
		return nil, err
	}
	got, err := record(e, c, d)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", e.Describe().Name, err)
	}
	var out []string
	for i, w := range want.seen {
		if s := difference(w.name, got.seen[i].values, w.values, tolerance[i]); s != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// draw finds data that keep away from kinks, and what the reference computes
// from them; if all come near, those that stay furthest.
func draw(c Case, unit float64) (d *Data, want *recording, err error) {
	for seed := range uint64(attempts) {
		tried := NewData(c, seed)
		r, err := record(reference.New(), c, tried)
		if err != nil {
			return nil, nil, err
		}
		if want == nil || r.kink > want.kink {
			d, want = tried, r
		}
		if want.kink >= minKink*unit {
			break
		}
	}
	return d, want, nil
}

// tolerances has one number for each recorded tensor.
func tolerances(c Case, d *Data, want *recording, unit float64) ([]float64, error) {
	tolerance := make([]float64, len(want.seen))
	for i, w := range want.seen {
		tolerance[i] = math.Max(c.Roundings, 4) * unit * maxAbs(w.values)
	}
	if c.Roundings > 0 {
		return tolerance, nil
	}
	for k := range roundings {
		r, err := record(reference.WithRounding(unit, uint64(k+1)), c, d)
		if err != nil {
			return nil, err
		}
		for i, w := range want.seen {
			for j, v := range w.values {
				tolerance[i] = math.Max(tolerance[i], slack*math.Abs(r.seen[i].values[j]-v))
			}
		}
	}
	return tolerance, nil
}

// difference describes the worst element that is further from want than the
// tolerance, or is "".
func difference(name string, got, want []float64, tolerance float64) string {
	worst, count := -1, 0
	for i := range want {
		diff := math.Abs(got[i] - want[i])
		if diff <= tolerance {
			continue
		}
		count++
		if worst < 0 || diff > math.Abs(got[worst]-want[worst]) || math.IsNaN(diff) {
			worst = i
		}
	}
	if worst < 0 {
		return ""
	}
	return fmt.Sprintf("%s [%d]: got %.9g, want %.9g, tolerance %.3g (largest value %.3g; %d of %d elements differ)",
		name, worst, got[worst], want[worst], tolerance, maxAbs(want), count, len(want))
}

func maxAbs(v []float64) float64 {
	m := 0.0
	for _, x := range v {
		m = math.Max(m, math.Abs(x))
	}
	return m
}
