package reference_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"netspace/engine"
	"netspace/engine/enginetest"
	"netspace/engine/reference"
	"netspace/graph"
)

// What the suite asks beyond the numbers is asked of the reference too; its
// numbers are compared with finite differences below.
func TestPromises(t *testing.T) { enginetest.RunPromises(t, reference.New(), engine.FP64.Unit()) }

func TestPromisesInBF16(t *testing.T) { enginetest.RunKept(t, reference.New()) }

// Every gradient of every op, block and random graph of the suite is the
// slope of the loss.
func TestGradientsAreSlopes(t *testing.T) {
	const (
		h = 1e-6
		// Central differences are off by h²/6 times the third derivative, and
		// by the loss's own rounding of some 1e-16·depth over h: 5e-9 covers both.
		absolute = 5e-9
		relative = 1e-6 // gradients are kept as float32
		// A kink may not lie within the step, even after it has grown on its way.
		minKink = 200 * h
	)
	tested := 0
	for _, c := range enginetest.Cases() {
		if c.Roundings > 0 || c.Graph.Complexity().Flops*int64(c.Batch) > 120_000 {
			continue // has no slope; or is slow, and made of what the others test
		}
		t.Run(c.Name, func(t *testing.T) {
			p, b := drawSmooth(t, c, minKink)
			if p == nil {
				t.Skip("no data without a kink nearby")
			}
			tested++
			if _, err := p.Step(b, nil); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 3))
			for i, q := range c.Graph.Params {
				grad := make([]float32, q.Size())
				if err := p.Get(engine.Gradients, q.Name, grad); err != nil {
					t.Fatal(err)
				}
				largest := 0.0
				for _, v := range grad {
					largest = math.Max(largest, math.Abs(float64(v)))
				}
				for range 3 {
					k := r.IntN(len(grad))
					slope := (p.LossAt(b, i, k, h) - p.LossAt(b, i, k, -h)) / (2 * h)
					if diff := math.Abs(slope - float64(grad[k])); !(diff <= absolute+relative*largest) {
						t.Errorf("%s [%d]: gradient %.9g, slope %.9g, off by %.2g (largest gradient %.3g)", q.Name, k, grad[k], slope, diff, largest)
					}
				}
			}
		})
	}
	if tested < 130 {
		t.Errorf("only %d cases were tested", tested)
	}
}

// drawSmooth returns a program loaded with data that keep away from kinks.
func drawSmooth(t *testing.T, c enginetest.Case, minKink float64) (*reference.Program, engine.Batch) {
	t.Helper()
	compiled, err := reference.New().Compile(c.Graph, engine.Options{Batch: c.Batch})
	if err != nil {
		t.Fatal(err)
	}
	p := compiled.(*reference.Program)
	for seed := range uint64(40) {
		d := enginetest.NewData(c, seed)
		for i, q := range c.Graph.Params {
			if err := p.Set(engine.Params, q.Name, d.Params[i]); err != nil {
				t.Fatal(err)
			}
		}
		p.LossAt(d.Batches[0], 0, 0, 0)
		if p.Kink() > minKink {
			return p, d.Batches[0]
		}
	}
	return nil, engine.Batch{}
}

// What torch.optim 1.13 makes of one parameter in three steps (lr 0.1, weight
// decay 0.2, momentum 0.9, betas 0.8 and 0.95, epsilon 1e-3).
func TestUpdateAsTorch(t *testing.T) {
	var r graph.Recorder
	x := r.Input(3, 1, 1)
	r.Linear(graph.Name{Part: "fc"}, x, 1)
	g, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	sgd := engine.Update{LR: 0.1, WeightDecay: 0.2}
	momentum := sgd
	momentum.Momentum = 0.9
	nesterov, clip := momentum, momentum
	nesterov.Nesterov = true
	clip.ClipNorm = 0.75
	adam := engine.Update{Optimizer: engine.Adam, LR: 0.1, WeightDecay: 0.2, Beta1: 0.8, Beta2: 0.95, Epsilon: 1e-3}
	adamW := adam
	adamW.Optimizer = engine.AdamW
	for _, c := range []struct {
		name string
		u    engine.Update
		want [3]float64
	}{
		{"sgd", sgd, [3]float64{0.174576, -0.646162, -0.062702}},
		{"momentum", momentum, [3]float64{-0.024864, -0.379132, -0.165572}},
		{"nesterov", nesterov, [3]float64{-0.288305016, -0.100564558, -0.432647918}},
		{"clip", clip, [3]float64{0.213602907, -0.610368337, 0.087356047}},
		{"adam", adam, [3]float64{0.202979811, -0.698998799, -0.01662561}},
		{"adamw", adamW, [3]float64{0.181292028, -0.646515791, 0.072330478}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := reference.New().Compile(g, engine.Options{Batch: 1})
			if err != nil {
				t.Fatal(err)
			}
			w := []float32{0.5, -1, 0.25}
			if err := p.Set(engine.Params, "fc.weight", w); err != nil {
				t.Fatal(err)
			}
			for k := range 3 {
				s := float32(k + 1)
				if err := p.Set(engine.Gradients, "fc.weight", []float32{0.5 * s, -0.25*s - 0.5, s - 1}); err != nil {
					t.Fatal(err)
				}
				c.u.Step = k + 1
				if _, err := p.Update(c.u); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Get(engine.Params, "fc.weight", w); err != nil {
				t.Fatal(err)
			}
			for i, want := range c.want {
				if math.Abs(float64(w[i])-want) > 1e-6 {
					t.Errorf("[%d]: got %.9g, want %.9g", i, w[i], want)
				}
			}
		})
	}
}

// Of equal maxima the first in row-major order gets the gradient: with a
// 3×3 window at stride 2 over an image of ones, the top left of each window
// that lies within the image.
func TestMaxPoolTies(t *testing.T) {
	var r graph.Recorder
	x := r.Input(1, 3, 3)
	x = r.Conv(graph.Name{Part: "conv"}, x, graph.Conv{Out: 1, Kernel: 3, Stride: 1, Groups: 1})
	x = r.GlobalPool(r.MaxPool(x, 3, 2))
	r.Linear(graph.Name{Part: "fc"}, x, 2)
	g, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	p, err := reference.New().Compile(g, engine.Options{Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(p.Set(engine.Params, "fc.weight", []float32{1, -1}))
	// Weights of zero make every value of the pooled map 0. The logits are
	// equal, so each of the pool's 4 outputs gets (1/2-1)·1/4 + 1/2·(-1)/4 = -1/4.
	images := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	_, err = p.Step(engine.Batch{Images: images, Targets: []float32{1, 0}}, nil)
	must(err)
	dw := make([]float32, 9)
	must(p.Get(engine.Gradients, "conv.weight", dw))
	// The windows begin at (0,0), (0,1), (1,0), (1,1), so the centre weight
	// has met the values 1, 2, 4, 5, and the last one 5, 6, 8, 9.
	if dw[4] != -3 || dw[8] != -7 {
		t.Errorf("gradients of the centre and the last weight are %g and %g, want -3 and -7", dw[4], dw[8])
	}
}
