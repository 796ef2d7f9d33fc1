package enginetest

import (
	"math"
	"testing"

	"netspace/engine"
	"netspace/engine/reference"
)

const (
	float32Unit = 1.0 / (1 << 24) // unit roundoff of float32
	// roundings is the number of disturbed runs that a tolerance is taken from.
	roundings = 4
	// slack is what an engine may be worse than the worst of them. Few runs
	// see a small tensor at its worst rarely; and engines sum in other orders
	// and take their exponentials from polynomials. A wrong formula is off by
	// thousands of times this.
	slack = 12
	// minKink is how far all ReLU inputs and max-pool winners must be from a
	// change of branch, relative to their size: tens of float32 roundings.
	minKink = 4e-6
	// attempts is how many draws of the data are tried for that.
	attempts = 30
)

// Compare runs a case on an engine and on the reference and reports every
// tensor that differs by more than float32 explains.
//
// The tolerance is argued for each tensor by measuring: the reference runs
// again with every op's result disturbed at random as float32 would
// (reference.WithRounding), and the tolerance is slack times the largest
// difference this makes anywhere in the tensor. So it grows with the length
// of sums, with cancellation (the gradient of a bias in front of a BN is zero
// but for rounding) and with depth, as true rounding errors do. The data are drawn
// such that no ReLU or max-pool is so near to its kink that rounding decides.
func Compare(t *testing.T, e engine.Engine, c Case) {
	t.Helper()
	d, want := draw(t, c)
	tolerance := make([]float64, len(want.seen))
	for i, w := range want.seen {
		tolerance[i] = 4 * float32Unit * maxAbs(w.values)
	}
	for k := range roundings {
		r := mustRecord(t, reference.WithRounding(float32Unit, uint64(k+1)), c, d)
		for i, w := range want.seen {
			for j, v := range w.values {
				tolerance[i] = math.Max(tolerance[i], slack*math.Abs(r.seen[i].values[j]-v))
			}
		}
	}
	got := mustRecord(t, e, c, d)
	failed := 0
	for i, w := range want.seen {
		if !near(t, w.name, got.seen[i].values, w.values, tolerance[i]) {
			failed++
		}
		if failed == 5 {
			t.Fatal("further tensors are not compared")
		}
	}
}

// draw finds data that keep away from kinks, and what the reference computes from them.
func draw(t *testing.T, c Case) (*Data, *recording) {
	t.Helper()
	var bestData *Data
	var best *recording
	for seed := range uint64(attempts) {
		d := NewData(c, seed)
		r := mustRecord(t, reference.New(), c, d)
		if best == nil || r.kink > best.kink {
			bestData, best = d, r
		}
		if best.kink >= minKink {
			break
		}
	}
	return bestData, best
}

func mustRecord(t *testing.T, e engine.Engine, c Case, d *Data) *recording {
	t.Helper()
	r, err := record(e, c, d)
	if err != nil {
		t.Fatalf("engine %s: %v", e.Name(), err)
	}
	return r
}

// near reports the worst element that is further from want than the tolerance.
func near(t *testing.T, name string, got, want []float64, tolerance float64) bool {
	t.Helper()
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
	if worst >= 0 {
		t.Errorf("%s [%d]: got %.9g, want %.9g, tolerance %.3g (largest value %.3g; %d of %d elements differ)",
			name, worst, got[worst], want[worst], tolerance, maxAbs(want), count, len(want))
	}
	return worst < 0
}

func maxAbs(v []float64) float64 {
	m := 0.0
	for _, x := range v {
		m = math.Max(m, math.Abs(x))
	}
	return m
}
