package train

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/strict"
	"netspace/weights"
	"netspace/weights/safetensors"
)

func TestRunLearns(t *testing.T) {
	r := testRecipe()
	r.Epochs = 12
	res := mustRun(t, testJob(t, r))
	if res.Error > 20 { // chance is 67 %
		t.Errorf("error %.1f %% after %d epochs on bars that a line tells apart", res.Error, r.Epochs)
	}
	if len(res.Epochs) != 12 || res.Steps != 60 || res.Error != res.Epochs[11].ValError || res.Loss != res.Epochs[11].ValLoss {
		t.Errorf("%+v", res)
	}
}

// The first loss of a network whose logits are near zero is that of chance,
// and the stated losses are means of the steps'.
func TestTrainingLoss(t *testing.T) {
	j := testJob(t, testRecipe())
	var losses []float64
	j.OnStep = func(s StepStats) error {
		if s.Step != len(losses) || s.Epoch != len(losses)/5 {
			t.Errorf("step %d of epoch %d is called number %d", s.Step, s.Epoch, len(losses))
		}
		losses = append(losses, s.Loss)
		return nil
	}
	res := mustRun(t, j)
	if !near(losses[0], math.Log(testClasses), 0.05) {
		t.Errorf("first loss %v; chance is %v", losses[0], math.Log(testClasses))
	}
	for e, s := range res.Epochs {
		sum := 0.0
		for _, l := range losses[5*e : 5*e+5] {
			sum += l
		}
		if !near(s.TrainLoss, sum/5, 1e-12) {
			t.Errorf("epoch %d: loss %v; the mean of its steps is %v", e+1, s.TrainLoss, sum/5)
		}
	}
}

func TestSeedDecides(t *testing.T) {
	j := testJob(t, testRecipe())
	a, b := mustRun(t, j), mustRun(t, j)
	if a.Loss != b.Loss {
		t.Errorf("losses %v and %v with one seed", a.Loss, b.Loss)
	}
	j.Seed++
	if c := mustRun(t, j); c.Loss == a.Loss {
		t.Errorf("another seed has the same loss %v", c.Loss)
	}
}

func TestDivergence(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		j := testJob(t, testRecipe())
		steps := 0
		j.Engine = &spy{Engine: reference.New(), loss: func(step int, loss float64) float64 {
			if step == 7 {
				return bad
			}
			return loss
		}, update: func(engine.Update) { steps++ }}
		_, err := Run(context.Background(), j)
		var d *DivergedError
		if !errors.As(err, &d) || d.Epoch != 2 || d.Step != 7 || d.Where != Training || steps != 7 {
			t.Errorf("%v: error %v after %d updates; want divergence in step 7 after 7", bad, err, steps)
		}
	}
	// A learning rate that breaks the weights must be found whatever the loss says first.
	r := testRecipe()
	r.LR = 1000
	r.WeightDecay, r.Momentum = 1, 0.99
	r.Epochs = 60
	_, err := Run(context.Background(), testJob(t, r))
	var d *DivergedError
	if !errors.As(err, &d) {
		t.Errorf("lr %v: error %v; want divergence", r.LR, err)
	}
}

// Weights that are not finite at the evaluation are a divergence, too.
func TestDivergenceInEvaluation(t *testing.T) {
	r := testRecipe()
	r.Epochs = 1
	j := testJob(t, r)
	j.OnStep = func(s StepStats) error {
		if s.Step == 4 {
			bias := []float32{float32(math.NaN()), 0, 0}
			return s.Program.Set(engine.Params, "head.fc.bias", bias)
		}
		return nil
	}
	_, err := Run(context.Background(), j)
	var d *DivergedError
	if !errors.As(err, &d) || d.Where != Evaluating {
		t.Errorf("error %v; want divergence in evaluation", err)
	}
}

func TestErrorOfAStepEnds(t *testing.T) {
	boom := errors.New("boom")
	j := testJob(t, testRecipe())
	j.OnStep = func(s StepStats) error {
		if s.Step == 2 {
			return boom
		}
		return nil
	}
	if _, err := Run(context.Background(), j); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
}

func TestMaxSteps(t *testing.T) {
	j := testJob(t, testRecipe())
	whole := mustRun(t, j)
	for _, steps := range []int{1, 5, 7, 15} {
		j.MaxSteps = steps
		n := 0
		j.OnStep = func(StepStats) error { n++; return nil }
		res := mustRun(t, j)
		last := res.Epochs[len(res.Epochs)-1]
		if n != steps || res.Steps != steps || !last.Evaluated || last.Epoch != (steps+4)/5 {
			t.Errorf("%d steps: %d done, result %+v", steps, n, res)
		}
		if steps == 15 && res.Loss != whole.Loss {
			t.Errorf("all steps: loss %v; without a limit %v", res.Loss, whole.Loss)
		}
	}
}

func TestEvalEvery(t *testing.T) {
	r := testRecipe()
	r.Epochs, r.EvalEvery = 5, 2
	var got []bool
	for _, e := range mustRun(t, testJob(t, r)).Epochs {
		got = append(got, e.Evaluated)
	}
	if want := []bool{false, true, false, true, true}; !slices.Equal(got, want) {
		t.Errorf("evaluated %v; want %v", got, want)
	}
}

// Test images are looked at only if asked for.
func TestFinal(t *testing.T) {
	j := testJob(t, testRecipe())
	touched := false
	j.Data.Test = &watchedSplit{j.Data.Test.(*memorySplit), &touched}
	if res := mustRun(t, j); res.Test != nil || touched {
		t.Errorf("test images were touched: %v, result %+v", touched, res.Test)
	}
	j.Final = true
	res := mustRun(t, j)
	if res.Test == nil || res.Test.Images != 21 || !touched {
		t.Errorf("final result %+v", res.Test)
	}
}

type watchedSplit struct {
	*memorySplit
	touched *bool
}

func (s *watchedSplit) Image(i int, dst []byte) error {
	*s.touched = true
	return s.memorySplit.Image(i, dst)
}

func TestWrongJobs(t *testing.T) {
	for want, change := range map[string]func(*Job){
		"has 1×6×6 and 4":                        func(j *Job) { j.Data.Info.Classes = 4 },
		"no validation images":                   func(j *Job) { j.Data.Val = nil },
		"no test images":                         func(j *Job) { j.Data.Test, j.Final = nil, true },
		"must be from 0 to 15":                   func(j *Job) { j.MaxSteps = 16 },
		"recipe.batch: 41: must be at most 40":   func(j *Job) { j.Recipe.Batch = 41 },
		"recipe.dropout is 0.1, but the network": func(j *Job) { j.Recipe.Dropout = 0.1 },
		"padding of 6 pixels":                    func(j *Job) { j.Recipe.Pad = new(6) },
		"lighting 0.1 needs colour images":       func(j *Job) { light := 0.1; j.Recipe.Lighting = &light },
	} {
		j := testJob(t, testRecipe())
		change(&j)
		_, err := Run(context.Background(), j)
		var bad *JobError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
	j := testJob(t, testRecipe())
	j.Recipe.Epochs = 0
	var bad *strict.Error
	if _, err := Run(context.Background(), j); !errors.As(err, &bad) {
		t.Errorf("error %v; want one of the recipe", err)
	}
}

func TestProgress(t *testing.T) {
	r := testRecipe()
	r.PreciseBN = 16
	j := testJob(t, r)
	done, finished := 0.0, 0
	phases := map[Phase]int{}
	j.Progress = func(p Progress) {
		if p.Done < done || p.Done > 1 || p.Epoch < 1 || p.Epoch > 3 || p.Epochs != 3 || p.Step > p.Steps || p.ETA < 0 || p.ETA > time.Minute {
			t.Errorf("after %v: %+v", done, p)
		}
		done = p.Done
		phases[p.Phase]++
		if p.Finished != nil {
			finished++
			if p.Finished.Epoch != finished || !p.Finished.Evaluated {
				t.Errorf("finished epoch %d: %+v", finished, *p.Finished)
			}
		}
	}
	mustRun(t, j)
	if done != 1 || finished != 3 || phases[Training] != 15+3 || phases[Calibrating] != 6 || phases[Evaluating] != 9 {
		t.Errorf("done %v, %d epochs, phases %v", done, finished, phases)
	}
}

func TestInitialWeightsOfAFile(t *testing.T) {
	j := testJob(t, testRecipe())
	_, trained := weightsOf(t, j)
	j.Init = trained
	j.Recipe.LR = 1e-9
	j.Recipe.BNMomentum = 1e-9
	_, after := weightsOf(t, j)
	for _, x := range trained.Tensors {
		a, b := values(t, trained, x.Name), values(t, after, x.Name)
		for i := range a {
			if !near(float64(a[i]), float64(b[i]), 1e-6) {
				t.Fatalf("%s starts from %v; want %v", x.Name, b[i], a[i])
			}
		}
	}
}

func TestWeightsOfAnotherNetwork(t *testing.T) {
	j := testJob(t, testRecipe())
	f := weights.Initial(j.Graph, 1, false)
	f.Tensors[0].Name = "stem.convolution.weight"
	j.Init = f
	_, err := Run(context.Background(), j)
	var bad *weights.MismatchError
	if !errors.As(err, &bad) {
		t.Errorf("error %v; want a missing and an unknown tensor", err)
	}
	// Without any BN statistics, as PyTorch's parameters() give them, they start fresh.
	f = weights.Initial(j.Graph, j.Seed, false)
	f.Tensors = slices.DeleteFunc(f.Tensors, func(x safetensors.Tensor) bool { return strings.Contains(x.Name, "running_") })
	j.Init = f
	a := mustRun(t, j)
	j.Init = nil
	if b := mustRun(t, j); a.Loss != b.Loss {
		t.Errorf("loss %v from a file of the initial weights, %v without", a.Loss, b.Loss)
	}
}

// What is written beside the weights is what evaluating them needs.
func TestTrainedWith(t *testing.T) {
	r := testRecipe()
	r.BNEpsilon = 1e-3
	j := testJob(t, r)
	_, f := weightsOf(t, j)
	other := j.Data.Info
	other.Mean, other.Std = []float32{9}, []float32{9}
	info, epsilon, err := TrainedWith(f, other)
	if err != nil || epsilon != 1e-3 || info.Mean[0] != 0.3 || info.Std[0] != 0.2 {
		t.Errorf("%v %v %v, %v", info.Mean, info.Std, epsilon, err)
	}
	other.Channels = 3
	if _, _, err := TrainedWith(f, other); err == nil {
		t.Error("one mean was taken for three channels")
	}
}

func TestRankOf(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		logits []float32
		label  int
		want   int
	}{
		{[]float32{1, 3, 2}, 1, 0}, {[]float32{1, 3, 2}, 2, 1}, {[]float32{1, 3, 2}, 0, 2},
		{[]float32{5, 5, 5}, 0, 0}, {[]float32{5, 5, 5}, 2, 2}, // a constant network is right about one class only
		{[]float32{nan, nan, nan}, 0, 2}, {[]float32{nan, 1, 0}, 1, 1}, {[]float32{1, nan, 0}, 1, 2},
	} {
		if got := rankOf(c.logits, c.label); got != c.want {
			t.Errorf("rank of %d in %v is %d; want %d", c.label, c.logits, got, c.want)
		}
	}
}

func TestWriteResult(t *testing.T) {
	dir := t.TempDir()
	res := mustRun(t, testJob(t, testRecipe()))
	if err := WriteResult(dir, res, res.Epochs); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ResultName, CurveName} {
		if m, _ := filepath.Glob(filepath.Join(dir, name)); len(m) != 1 {
			t.Errorf("no %s", name)
		}
	}
}
