package train

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// weightsOf trains with the final weights written to a file and reads them back.
func weightsOf(t *testing.T, j Job) (Result, *safetensors.File) {
	t.Helper()
	j.Weights = filepath.Join(t.TempDir(), WeightsName)
	res := mustRun(t, j)
	f, err := safetensors.ReadFile(j.Weights)
	if err != nil {
		t.Fatal(err)
	}
	return res, f
}

func values(t *testing.T, f *safetensors.File, name string) []float32 {
	t.Helper()
	x, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	v := make([]float32, x.Len())
	if err := x.CopyFloat32(v); err != nil {
		t.Fatal(err)
	}
	return v
}

// The averaged weights are those of the formula ema = d·ema + (1-d)·w from the
// initial weights on, with d = min(decay, (1+t)/(10+t)) in step t; they are
// what is evaluated and saved.
func TestAverageOfWeights(t *testing.T) {
	const name, decay = "s1.b1.f.b.weight", 0.6
	r := testRecipe()
	r.EMA = decay
	j := testJob(t, r)
	p, _ := j.Graph.Param(name)
	first := make([]float32, p.Size())
	weights.InitParam(j.Graph, p, j.Seed, false, first)
	ema := make([]float64, len(first))
	for i, v := range first {
		ema[i] = float64(v)
	}
	var raw []float32
	j.OnStep = func(s StepStats) error {
		d := min(decay, float64(1+s.Step)/float64(10+s.Step))
		raw = get(t, s.Program, engine.Params, name, len(ema))
		for i, v := range raw {
			ema[i] = d*ema[i] + (1-d)*float64(v)
		}
		for i, v := range get(t, s.Program, engine.EMAParams, name, len(ema)) {
			if !near(float64(v), ema[i], 1e-5) {
				t.Fatalf("step %d, weight %d: %v; the formula gives %v (the step's is %v)", s.Step, i, v, ema[i], raw[i])
			}
		}
		return nil
	}
	res, f := weightsOf(t, j)
	for i, v := range values(t, f, name) {
		if !near(float64(v), ema[i], 1e-5) {
			t.Fatalf("saved weight %d: %v; the formula gives %v", i, v, ema[i])
		}
	}
	m, err := Evaluate(context.Background(), Evaluation{Graph: j.Graph, Weights: f, Split: j.Data.Val, Info: j.Data.Info, Engine: j.Engine, Batch: 5})
	if err != nil {
		t.Fatal(err)
	}
	if m.Error != res.Error || !near(m.Loss, res.Loss, 1e-6) {
		t.Errorf("the saved weights have error %v and loss %v, the training said %v and %v", m.Error, m.Loss, res.Error, res.Loss)
	}
}

// Precise statistics of the first BN agree with those of all training images
// in one batch; running ones do not. Variances are means of unbiased ones
// within batches of n = 288 values, hence 1/n beside the one batch's.
func TestPreciseBN(t *testing.T) {
	const mean, variance = "stem.bn.running_mean", "stem.bn.running_var"
	for _, ema := range []float64{0, 0.5} {
		off := map[int]float64{} // of the mean, by Recipe.PreciseBN
		for _, images := range []int{0, 40} {
			r := testRecipe()
			r.Augment, r.PreciseBN, r.EMA, r.LR = false, images, ema, 0.3
			j := testJob(t, r)
			_, f := weightsOf(t, j)
			all, err := reference.New().Compile(j.Graph, engine.Options{Batch: 40})
			if err != nil {
				t.Fatal(err)
			}
			if err := weights.Load(all, j.Graph, f); err != nil {
				t.Fatal(err)
			}
			batch := make([]float32, 0, 40*testSize*testSize)
			pix := make([]byte, testSize*testSize)
			for i := range 40 {
				if err := j.Data.Train.Image(i, pix); err != nil {
					t.Fatal(err)
				}
				for _, v := range pix {
					batch = append(batch, (float32(v)/255-j.Data.Info.Mean[0])/j.Data.Info.Std[0])
				}
			}
			if err := all.Forward(batch, make([]float32, 40*testClasses), engine.Calibrate, 1); err != nil {
				t.Fatal(err)
			}
			gotM, gotV := values(t, f, mean), values(t, f, variance)
			wantM, wantV := get(t, all, engine.Buffers, mean, 4), get(t, all, engine.Buffers, variance, 4)
			for c := range gotM {
				off[images] = max(off[images], abs(gotM[c]-wantM[c]), abs(gotV[c]/wantV[c]-1))
			}
		}
		if off[40] > 5e-3 || off[0] < 10*off[40] {
			t.Errorf("average %v: precise statistics are off by %.2g, running ones by %.2g", ema, off[40], off[0])
		}
	}
}

// The statistics are over the training images of the epoch, in its order and as they were augmented.
func TestPreciseBNImages(t *testing.T) {
	r := testRecipe()
	r.PreciseBN = 30 // three whole batches of 8
	j := testJob(t, r)
	var trained, calibrated [][]float32
	j.Engine = &spy{
		Engine: reference.New(),
		step:   func(b engine.Batch) { trained = append(trained, slices.Clone(b.Images)) },
		forward: func(images []float32, m engine.Mode) {
			if m == engine.Calibrate {
				calibrated = append(calibrated, slices.Clone(images))
			}
		},
	}
	mustRun(t, j)
	if len(calibrated) != 9 {
		t.Fatalf("%d batches in 3 epochs; want 9", len(calibrated))
	}
	for i, images := range calibrated {
		if !slices.Equal(images, trained[i/3*5+i%3]) {
			t.Errorf("batch %d of epoch %d is not the one that was trained on", i%3, i/3+1)
		}
	}
}

func abs(x float32) float64 { return max(float64(x), -float64(x)) }

// Precise BN evaluates the averaged weights and leaves the others as they were.
func TestPreciseBNLeavesTrainingAlone(t *testing.T) {
	losses := func(images int) []float64 {
		r := testRecipe()
		r.EMA, r.PreciseBN = 0.7, images
		j := testJob(t, r)
		var out []float64
		j.OnStep = func(s StepStats) error { out = append(out, s.Loss); return nil }
		mustRun(t, j)
		return out
	}
	plain, precise := losses(0), losses(16)
	for i := range plain {
		if plain[i] != precise[i] {
			t.Fatalf("step %d: loss %v with precise BN, %v without", i, precise[i], plain[i])
		}
	}
}
