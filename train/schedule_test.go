package train

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The paper authors' tool evaluates its schedules once per epoch, at the number
// of finished epochs; these are its numbers.
func TestLearningRatePerEpoch(t *testing.T) {
	base := func(change func(*Recipe)) Recipe {
		r := DefaultRecipe()
		r.Epochs, r.LR = 10, 0.8
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		recipe Recipe
		want   map[int]float64
	}{
		"cosine":            {base(func(r *Recipe) {}), map[int]float64{0: 0.8, 5: 0.4, 9: 0.8 * 0.5 * (1 + math.Cos(math.Pi*0.9))}},
		"cosine to a tenth": {base(func(r *Recipe) { r.FinalFactor = 0.1 }), map[int]float64{0: 0.8, 5: 0.8 * (0.9*0.5 + 0.1)}},
		"linear":            {base(func(r *Recipe) { r.Schedule = Linear }), map[int]float64{0: 0.8, 1: 0.72, 9: 0.08}},
		"exponential":       {base(func(r *Recipe) { r.Schedule, r.FinalFactor = Exponential, 0.01 }), map[int]float64{0: 0.8, 5: 0.08}},
		"step":              {base(func(r *Recipe) { r.Schedule, r.DecayEpochs = Step, []float64{3, 6} }), map[int]float64{2: 0.8, 3: 0.08, 5: 0.08, 6: 0.008}},
		"constant":          {base(func(r *Recipe) { r.Schedule = Constant }), map[int]float64{0: 0.8, 9: 0.8}},
		"warm-up": {base(func(r *Recipe) { r.Schedule, r.WarmupEpochs = Constant, 5 }),
			map[int]float64{0: 0.08, 1: 0.8 * (0.1*0.8 + 0.2), 4: 0.8 * (0.1*0.2 + 0.8), 5: 0.8}},
		"scaled to the batch": {base(func(r *Recipe) { r.LR, r.LRBatch, r.Batch = 0.1, 128, 1024 }), map[int]float64{0: 0.8}},
	} {
		for epoch, want := range c.want {
			for _, step := range []int{0, 7} { // the same all epoch long
				if got := c.recipe.StepLR(epoch, step, 8); math.Abs(got-want) > 1e-12 {
					t.Errorf("%s: lr %v in epoch %d, step %d; want %v", name, got, epoch, step, want)
				}
			}
		}
	}
}

func TestLearningRatePerStep(t *testing.T) {
	r := DefaultRecipe()
	r.Epochs, r.LR, r.LRUpdate = 4, 1, PerStep
	if got, want := r.StepLR(1, 4, 8), 0.5*(1+math.Cos(math.Pi*1.5/4)); math.Abs(got-want) > 1e-12 {
		t.Errorf("lr %v in the middle of the second epoch; want %v", got, want)
	}
	last := r.StepLR(3, 7, 8)
	if !(last > 0 && last < 0.01) {
		t.Errorf("lr %v in the last step; a cosine per step ends near 0", last)
	}
}

// No schedule leaves [0, lr₀], and none grows after the warm-up.
func TestLearningRateBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := DefaultRecipe()
		r.Epochs = rapid.IntRange(1, 50).Draw(t, "epochs")
		r.Schedule = rapid.SampledFrom([]Schedule{Cosine, Linear, Exponential, Step, Constant}).Draw(t, "schedule")
		r.LRUpdate = rapid.SampledFrom([]Update{PerEpoch, PerStep}).Draw(t, "update")
		r.FinalFactor = rapid.Float64Range(1e-3, 1).Draw(t, "final")
		r.WarmupEpochs = float64(rapid.IntRange(0, r.Epochs).Draw(t, "warm-up"))
		r.DecayEpochs = []float64{float64(r.Epochs) / 2}
		steps := rapid.IntRange(1, 9).Draw(t, "steps")
		before := math.Inf(1)
		for e := range r.Epochs {
			for s := range steps {
				lr := r.StepLR(e, s, steps)
				if !(lr >= 0 && lr <= r.LR*(1+1e-12)) {
					t.Fatalf("lr %v in epoch %d is not in [0, %v]", lr, e, r.LR)
				}
				if float64(e) >= r.WarmupEpochs {
					if lr > before*(1+1e-12) {
						t.Fatalf("lr grows from %v to %v in epoch %d", before, lr, e)
					}
					before = lr
				}
			}
		}
	})
}
