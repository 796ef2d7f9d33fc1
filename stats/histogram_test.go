package stats

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// Every value is counted once, in a bar around it.
func TestHistogram(t *testing.T) {
	multiples := func(n int, of float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = float64(i+1) * of
		}
		return out
	}
	for _, values := range [][]float64{{7}, {1, 2, 4, 4}, {0, 0.5}, {8, 1024, 16, 8}, {-3, -1}, multiples(100, 3), multiples(1000, 8)} {
		h, err := NewHistogram(values)
		if err != nil {
			t.Fatal(err)
		}
		if len(h.Edges) != len(h.Counts)+1 || !slices.IsSorted(h.Edges) || len(h.Counts) > maxBars || h.Edges[0] > slices.Min(values) || h.Edges[len(h.Counts)] < slices.Max(values) {
			t.Errorf("%v: %+v", values, h)
		}
		if h.Log && h.Edges[0] <= 0 {
			t.Errorf("%v: a logarithmic axis from %v", values, h.Edges[0])
		}
		for i, n := range h.Counts {
			in := 0
			for _, v := range values {
				if last := i == len(h.Counts)-1; h.Edges[i] <= v && (v < h.Edges[i+1] || last && v == h.Edges[i+1]) {
					in++
				}
			}
			if n != in {
				t.Errorf("%v: %d from %v to %v, counted %d", values, in, h.Edges[i], h.Edges[i+1], n)
			}
		}
	}
	if _, err := NewHistogram(nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("no values: %v", err)
	}
	if _, err := NewHistogram([]float64{1, math.NaN()}); err == nil {
		t.Error("NaN is counted")
	}
}

// Widths are multiples of 8, so that a bar from 9 to 12 would always be empty.
func TestNoBarIsImpossible(t *testing.T) {
	for _, step := range []float64{8, 0.001} {
		var values []float64
		for k := 1.0; k <= 128; k++ {
			values = append(values, k*step)
		}
		h, err := NewHistogram(values)
		if err != nil {
			t.Fatal(err)
		}
		if !h.Log || len(h.Counts) < 12 || slices.Contains(h.Counts, 0) {
			t.Errorf("step %v: %+v", step, h)
		}
	}
}
