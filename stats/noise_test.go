package stats

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// By hand: deviations of ±1 and of −1, 0, 1 give (2 + 2)/(5 − 2).
func TestRerun(t *testing.T) {
	n, err := Rerun([][]float64{{10, 12}, {30}, {21, 20, 19}}, []float64{10, 30, 20}, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	if n.Networks != 2 || n.Trainings != 5 || math.Abs(n.StdDev.Value-math.Sqrt(4.0/3)) > 1e-12 {
		t.Errorf("%+v", n)
	}
	// χ² of 3 degrees of freedom: 0.2158 and 9.3484 at 2.5 and 97.5 %.
	if math.Abs(n.StdDev.Lo-math.Sqrt(4/9.3484)) > 1e-4 || math.Abs(n.StdDev.Hi-math.Sqrt(4/0.2158)) > 1e-3 {
		t.Errorf("interval %v", n.StdDev)
	}
	if math.Abs(n.Share-4.0/3/100) > 1e-12 {
		t.Errorf("share %v of a variance of 100", n.Share)
	}
	if _, err := Rerun([][]float64{{1}}, []float64{1}, 0.95); !errors.Is(err, ErrEmpty) {
		t.Errorf("no reruns: %v", err)
	}
	if n, err := Rerun([][]float64{{5, 5}}, []float64{5, 5}, 0.95); err != nil || n.StdDev.Value != 0 || !math.IsNaN(n.Share) {
		t.Errorf("no noise: %+v, %v", n, err)
	}
}

// The interval holds the standard deviation 95 times of 100.
func TestRerunCovers(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const rounds = 2000
	held := 0
	for range rounds {
		all := make([][]float64, 10)
		var errs []float64
		for i := range all {
			at := 20 + 3*rng.NormFloat64()
			for range 2 + i%2 {
				all[i] = append(all[i], at+0.5*rng.NormFloat64())
			}
			errs = append(errs, all[i][0])
		}
		n, err := Rerun(all, errs, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		if n.StdDev.Lo <= 0.5 && 0.5 <= n.StdDev.Hi {
			held++
		}
	}
	if share := float64(held) / rounds; share < 0.935 || share > 0.965 {
		t.Errorf("%.1f %% of the intervals hold the truth", 100*share)
	}
}
