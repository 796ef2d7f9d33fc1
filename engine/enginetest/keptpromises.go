package enginetest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/graph"
)

// RunKept tests what engine.Options says of activations in bfloat16, of an engine that has them: that it keeps its
// other promises with them, that passes without gradients round nothing, that what has few digits is computed as in
// float32, and that gradients are right on average.
func RunKept(t *testing.T, e engine.Engine) {
	t.Run("promises", func(t *testing.T) {
		// Sums in another order may round a few kept elements the other way; a whole network's numbers move by far less than this.
		RunPromises(t, keeping{e}, 1.0/4096)
	})
	t.Run("evaluation-rounds-nothing", func(t *testing.T) { testEvaluationRoundsNothing(t, e) })
	t.Run("few-digits", func(t *testing.T) { testFewDigits(t, e) })
	t.Run("unbiased", func(t *testing.T) {
		if mean, err := bias(t, e); math.Abs(mean) > 4*err+1e-5 {
			t.Errorf("gradients are %.2g ± %.2g of their length too long", mean, err)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		if p, err := e.Compile(smallCase().Graph, engine.Options{Batch: 2, Activations: "fp8"}); err == nil {
			p.Close()
			t.Error("activations in fp8: no error")
		}
	})
}

// keeping is an engine that is always asked for activations in bfloat16.
type keeping struct{ engine.Engine }

func (e keeping) Compile(g *graph.Graph, o engine.Options) (engine.Program, error) {
	o.Activations = engine.BF16
	return e.Engine.Compile(g, o)
}

// both compiles a case with activations as they are and in bfloat16, with the same tensors.
func both(t *testing.T, e engine.Engine, c Case, d *Data) (whole, kept engine.Program) {
	t.Helper()
	whole = mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	kept = mustCompile(t, keeping{e}, c.Graph, engine.Options{Batch: c.Batch})
	must(t, load(whole, c.Graph, d))
	must(t, load(kept, c.Graph, d))
	return whole, kept
}

// testEvaluationRoundsNothing: what Forward gives does not depend on what steps keep, before and after one.
func testEvaluationRoundsNothing(t *testing.T, e engine.Engine) {
	for _, c := range []Case{smallCase(), networkCases()[4], largeCases()[1]} { // the second has a pooled stem, the third several chunks
		d := NewData(c, 1)
		whole, kept := both(t, e, c, d)
		want, got := make([]float32, c.Batch*c.Graph.Output().C), make([]float32, c.Batch*c.Graph.Output().C)
		for _, mode := range []engine.Mode{engine.Evaluate, engine.Calibrate, engine.Evaluate} {
			must(t, whole.Forward(d.Batches[0].Images, want, mode, 0.5))
			must(t, kept.Forward(d.Batches[0].Images, got, mode, 0.5))
			if !slices.Equal(got, want) {
				t.Errorf("%s: mode %d gives %v, want %v", c.Name, mode, got, want)
			}
			_, err := kept.Step(d.Batches[1], nil)
			must(t, err)
			for _, b := range c.Graph.Buffers { // which the step has moved
				must(t, kept.Set(engine.Buffers, b.Name, get(t, whole, engine.Buffers, b.Name, b.Size())))
			}
		}
	}
}

// testFewDigits: where all that is kept has at most eight digits, a step gives the bits that it gives without rounding.
// Images and weights are small integers, and no norm stands before the last of what is kept.
func testFewDigits(t *testing.T, e engine.Engine) {
	for _, width := range []int{8, 12, 16, 24} {
		g := build(shape{3, 9, 7}, func(r *graph.Recorder, x graph.Value) {
			conv := func(part string, x graph.Value, k, s, groups int) graph.Value {
				return r.Conv(name(part), x, graph.Conv{Out: width, Kernel: k, Stride: s, Groups: groups})
			}
			x = r.Activation(conv("stem", x, 3, 1, 1), graph.ReLU)
			y := conv("grouped", x, 3, 1, width/4)
			x = r.Activation(r.Add(x, y), graph.ReLU) // takes up an activation
			y = conv("depthwise", r.Activation(conv("a", x, 1, 1, 1), graph.ReLU), 3, 2, width)
			x = r.Add(conv("shortcut", x, 1, 2, 1), y)
			x = r.BatchNorm(name("bn"), conv("last", r.MaxPool(x, 3, 1), 1, 1, 1), graph.BatchNorm{})
			finish(r, x)
		})
		c := Case{Name: "few digits", Graph: g, Batch: 5}
		d := NewData(c, 1)
		r := rand.New(rand.NewPCG(1, 2))
		for i, p := range g.Params {
			if p.Role == graph.ConvWeight {
				for k := range d.Params[i] {
					d.Params[i][k] = 0
				}
				for range 2 * p.Shape[0] { // few, so that sums stay small
					d.Params[i][r.IntN(p.Size())] = float32(r.IntN(3) - 1)
				}
			}
		}
		for _, b := range d.Batches {
			for k := range b.Images {
				b.Images[k] = float32(r.IntN(5) - 2)
			}
		}
		// The data do what they are for.
		exact := reference.WithKept(reference.New(), func(node int, y []float64) {
			for _, v := range y {
				if engine.BF16.Round(v) != v {
					t.Fatalf("node %d has %g", node, v)
				}
			}
		})
		checked := mustCompile(t, keeping{exact}, g, engine.Options{Batch: c.Batch})
		must(t, load(checked, g, d))
		_, err := checked.Step(d.Batches[0], nil)
		must(t, err)

		whole, kept := both(t, e, c, d)
		var seen [2]recording
		for i, p := range []engine.Program{whole, kept} {
			seen[i] = recording{g: g, p: p}
			must(t, seen[i].step("step", d.Batches[0], c.Batch))
		}
		sameBits(t, "kept in bfloat16", seen[1].seen, seen[0].seen)
	}
}

// bias is by what share the gradients of steps that round what they keep are longer, on average, along those of steps that do
// not, and the standard error of that. Rounding that favoured one side would show: without norms nothing takes a scale back.
func bias(t *testing.T, e engine.Engine) (mean, err float64) {
	c := Case{Name: "bias", Batch: 4, Graph: build(shape{3, 8, 8}, func(r *graph.Recorder, x graph.Value) {
		for i, part := range []string{"a", "b", "c"} {
			y := r.Activation(r.Conv(name(part), x, graph.Conv{Out: 16, Kernel: 3, Stride: 1, Groups: 1}), graph.SiLU)
			if x = y; i > 0 {
				x = r.Add(r.Conv(name(part+"2"), x, graph.Conv{Out: 16, Kernel: 1, Stride: 1, Groups: 1}), y)
			}
		}
		finish(r, x)
	})}
	const draws = 24
	var shares [draws]float64
	for i := range shares {
		d := NewData(c, uint64(i))
		whole, kept := both(t, e, c, d)
		_, errs := whole.Step(d.Batches[0], nil)
		must(t, errs)
		_, errs = kept.Step(d.Batches[0], nil)
		must(t, errs)
		along, length := 0.0, 0.0
		for _, p := range c.Graph.Params {
			w, k := get(t, whole, engine.Gradients, p.Name, p.Size()), get(t, kept, engine.Gradients, p.Name, p.Size())
			for j, v := range w {
				along += float64(k[j]-v) * float64(v)
				length += float64(v) * float64(v)
			}
		}
		shares[i] = along / length
		mean += shares[i] / draws
	}
	for _, s := range shares {
		err += (s - mean) * (s - mean)
	}
	return mean, math.Sqrt(err / (draws - 1) / draws)
}
