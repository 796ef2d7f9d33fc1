package train

import (
	"errors"
	"testing"

	"netspace/engine"
	"netspace/engine/engines"
)

// The fast engine resumes to the bit, too, with every option on.
func TestResumeWithOneDNN(t *testing.T) {
	e, err := engines.Open(engines.Config{})
	var missing *engine.ErrUnavailable
	if errors.As(err, &missing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	kept := fullRecipe()
	kept.Activations = BFloat16
	for name, recipe := range map[string]Recipe{"all": fullRecipe(), "sgd": sgdRecipe(), "plain": plainRecipe(), "activations in bf16": kept} {
		j := testJob(t, recipe)
		j.Engine = e
		want := outcome(t, j)
		for _, stop := range []int{1, 4, 5, 8, 14} {
			first := j
			first.Dir, first.MaxSteps = t.TempDir(), stop
			mustRun(t, first)
			first.MaxSteps, first.Resume = 0, true
			if got := outcome(t, first); got != want {
				t.Errorf("%s: stopped after %d steps, the outcome differs:\n%.600s\n%.600s", name, stop, got, want)
			}
		}
	}
}

// Both engines train the same: a few steps agree as single precision lets them.
func TestEnginesAgree(t *testing.T) {
	e, err := engines.Open(engines.Config{})
	if err != nil {
		t.Skip(err)
	}
	for name, recipe := range map[string]Recipe{"all": fullRecipe(), "sgd": sgdRecipe()} {
		losses := map[string][]float64{}
		for _, eng := range []engine.Engine{e, testJob(t, recipe).Engine} {
			j := testJob(t, recipe)
			j.Engine, j.MaxSteps = eng, 5
			j.OnStep = func(s StepStats) error {
				losses[eng.Describe().Name] = append(losses[eng.Describe().Name], s.Loss)
				return nil
			}
			res := mustRun(t, j)
			losses[eng.Describe().Name] = append(losses[eng.Describe().Name], res.Loss)
		}
		for i, want := range losses["reference"] {
			if got := losses[e.Describe().Name][i]; !near(got, want, 1e-4) {
				t.Errorf("%s, step %d: loss %v, the reference has %v", name, i, got, want)
			}
		}
	}
}

// Activations in bfloat16 make another training, but not another evaluation: the first epoch's curve shows it.
func TestActivationsAreKept(t *testing.T) {
	e, err := engines.Open(engines.Config{})
	if err != nil {
		t.Skip(err)
	}
	losses := map[Activations][]float64{}
	for _, a := range []Activations{Float32, BFloat16} {
		j := testJob(t, sgdRecipe())
		j.Engine, j.MaxSteps, j.Recipe.Activations = e, 3, a
		j.OnStep = func(s StepStats) error {
			losses[a] = append(losses[a], s.Loss)
			return nil
		}
		mustRun(t, j)
	}
	for i, want := range losses[Float32] {
		if got := losses[BFloat16][i]; got == want || !near(got, want, 0.05) {
			t.Errorf("step %d: loss %v with activations in bf16, %v without", i, got, want)
		}
	}
}
