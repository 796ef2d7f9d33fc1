package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// By hand: 1 − 6·Σd²/(n(n² − 1)) without ties.
func TestSpearman(t *testing.T) {
	r, err := Spearman([]float64{1, 2, 3, 4, 5}, []float64{1, 20, 10, 30, 40}, 0.95)
	if err != nil || math.Abs(r.Value-0.9) > 1e-12 {
		t.Errorf("%+v, %v; want 0.9", r, err)
	}
	if r, _ := Spearman([]float64{1, 1, 2}, []float64{3, 3, 9}, 0.95); math.Abs(r.Value-1) > 1e-12 || r.Known() {
		t.Errorf("ties: %+v", r)
	}
	if r, _ := Spearman([]float64{1, 1, 1, 1}, []float64{1, 2, 3, 4}, 0.95); !math.IsNaN(r.Value) {
		t.Errorf("one side does not vary: %+v", r)
	}
	if _, err := Spearman([]float64{1}, []float64{1, 2}, 0.95); err == nil {
		t.Error("no pairs: no error")
	}
}

// The interval holds the truth of normal pairs, 6/π·asin(ρ/2), 95 times of 100.
func TestSpearmanCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const rho, rounds = 0.7, 2000
	truth := 6 / math.Pi * math.Asin(rho/2)
	held := 0
	for range rounds {
		var x, y []float64
		for range 30 {
			a, b := rng.NormFloat64(), rng.NormFloat64()
			x, y = append(x, a), append(y, rho*a+math.Sqrt(1-rho*rho)*b)
		}
		if r, err := Spearman(x, y, 0.95); err == nil && r.Lo <= truth && truth <= r.Hi {
			held++
		}
	}
	if share := float64(held) / rounds; share < 0.93 || share > 0.97 {
		t.Errorf("%.1f %% of the intervals hold the truth", 100*share)
	}
}
