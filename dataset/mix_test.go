package dataset

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestTargets(t *testing.T) {
	got := make([]float32, 8)
	Targets(got, []int32{2, 0}, 4, 0)
	if want := []float32{0, 0, 1, 0, 1, 0, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	Targets(got, []int32{2, 0}, 4, 0.2)
	for i, v := range got {
		want := 0.05
		if i == 2 || i == 4 {
			want = 0.85
		}
		if math.Abs(float64(v)-want) > 1e-7 {
			t.Errorf("target %d is %v, not %v", i, v, want)
		}
	}
}

// Mean ½ and variance 1/(4(2α+1)).
func TestBeta(t *testing.T) {
	for _, alpha := range []float64{0.01, 0.2, 0.8, 1, 2, 30} {
		rng := newRand(1)
		const n = 40000
		var mean, square float64
		for range n {
			v := beta(rng, alpha)
			if !(v >= 0 && v <= 1) {
				t.Fatalf("α = %v: %v", alpha, v)
			}
			mean += v / n
			square += (v - 0.5) * (v - 0.5) / n
		}
		want := 1 / (4 * (2*alpha + 1))
		if math.Abs(mean-0.5) > 4*math.Sqrt(want/n) || math.Abs(square/want-1) > 0.04 {
			t.Errorf("α = %v: mean %v, variance %v, should be %v", alpha, mean, square, want)
		}
	}
}

// The images and targets of a batch are those of the formula, and rows of targets sum to
// 1.
func TestMixing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(t, "n")
		c := rapid.SampledFrom([]int{1, 3}).Draw(t, "channels")
		h, w := rapid.IntRange(1, 6).Draw(t, "h"), rapid.IntRange(1, 6).Draw(t, "w")
		const classes = 5
		smoothing := rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "smoothing")
		alpha := rapid.Float64Range(0.1, 3).Draw(t, "alpha")
		cut := rapid.Bool().Draw(t, "cut")
		rng := newRand(rapid.Uint64().Draw(t, "seed"))
		size := c * h * w
		images := make([]float32, n*size)
		labels := make([]int32, n)
		for i := range images {
			images[i] = float32(i) + 1
		}
		for i := range labels {
			labels[i] = int32(rapid.IntRange(0, classes-1).Draw(t, "label"))
		}
		old := slices.Clone(images)
		targets := make([]float32, n*classes)
		plain := slices.Clone(targets)
		Targets(plain, labels, classes, smoothing)
		var lambda float64
		if cut {
			lambda = CutMix(targets, images, labels, h, w, rng, alpha, classes, smoothing)
		} else {
			lambda = Mixup(targets, images, labels, rng, alpha, classes, smoothing)
		}
		if !(lambda >= 0 && lambda <= 1) {
			t.Fatalf("λ = %v", lambda)
		}
		for i := range n {
			j := n - 1 - i
			var sum float64
			for k := range classes {
				got := float64(targets[i*classes+k])
				want := lambda*float64(plain[i*classes+k]) + (1-lambda)*float64(plain[j*classes+k])
				if math.Abs(got-want) > 1e-6 {
					t.Fatalf("target %d of image %d is %v, not %v", k, i, got, want)
				}
				sum += got
			}
			if math.Abs(sum-1) > 1e-6 {
				t.Fatalf("targets of image %d sum to %v", i, sum)
			}
			foreign := 0
			for k := range size {
				got, a, b := images[i*size+k], old[i*size+k], old[j*size+k]
				switch {
				case !cut:
					if want := lambda*float64(a) + (1-lambda)*float64(b); math.Abs(float64(got)-want) > 1e-3 {
						t.Fatalf("number %d of image %d is %v, not %v", k, i, got, want)
					}
				case got == b && i != j:
					foreign++
				case got != a:
					t.Fatalf("number %d of image %d is %v, neither %v nor %v", k, i, got, a, b)
				}
			}
			if cut && i != j && math.Abs(float64(foreign)/float64(size)-(1-lambda)) > 1e-9 {
				t.Fatalf("%d of %d numbers are the other's, λ = %v", foreign, size, lambda)
			}
		}
	})
}

// What CutMix takes is one rectangle, of the size that λ says where the border does not
// cut it.
func TestCutMixRectangle(t *testing.T) {
	rng := newRand(2)
	const side = 32
	var shares float64
	for range 500 {
		images := make([]float32, 2*side*side)
		for i := side * side; i < len(images); i++ {
			images[i] = 1
		}
		lambda := CutMix(make([]float32, 4), images, []int32{0, 1}, side, side, rng, 1, 2, 0)
		top, left, bottom, right := side, side, 0, 0
		for y := range side {
			for x := range side {
				if images[y*side+x] == 1 {
					top, left, bottom, right = min(top, y), min(left, x), max(bottom, y+1), max(right, x+1)
				}
			}
		}
		area := max(bottom-top, 0) * max(right-left, 0)
		if math.Abs(float64(area)/(side*side)-(1-lambda)) > 1e-9 {
			t.Fatalf("rectangle %d,%d–%d,%d, λ = %v", top, left, bottom, right, lambda)
		}
		shares += float64(area) / (side * side) / 500
	}
	// λ is uniform for α = 1: without borders the mean share would be ½, and it is less
	// with them.
	if shares < 0.2 || shares > 0.45 {
		t.Errorf("mean share %v", shares)
	}
}
