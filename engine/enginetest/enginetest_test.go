package enginetest

import (
	"math"
	"slices"
	"strings"
	"testing"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/graph"
)

// find returns the case of that name.
func find(t *testing.T, name string) Case {
	t.Helper()
	cases := Cases()
	i := slices.IndexFunc(cases, func(c Case) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no case %q", name)
	}
	return cases[i]
}

func TestCaseNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		if seen[c.Name] {
			t.Errorf("two cases are called %s", c.Name)
		}
		seen[c.Name] = true
	}
}

// An engine that rounds as float32 does passes, with roundings other than
// those that the tolerances were taken from.
func TestRoundingPasses(t *testing.T) {
	e := reference.WithRounding(engine.FP32.Unit(), 99)
	for _, c := range Cases() {
		small := c.Graph.Complexity().Flops*int64(c.Batch) < 100_000
		if !small || c.Roundings > 0 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) { Compare(t, e, c, engine.FP32.Unit()) })
	}
}

// broken is the reference with a fault.
type broken struct {
	engine.Engine
	step   func(p engine.Program, g *graph.Graph)
	update func(u *engine.Update)
	batch  func(b *engine.Batch)
}

type brokenProgram struct {
	engine.Program
	g *graph.Graph
	e broken
}

func (e broken) Compile(g *graph.Graph, o engine.Options) (engine.Program, error) {
	p, err := e.Engine.Compile(g, o)
	return brokenProgram{p, g, e}, err
}

func (p brokenProgram) Step(b engine.Batch, logits []float32) (float64, error) {
	if p.e.batch != nil {
		p.e.batch(&b)
	}
	loss, err := p.Program.Step(b, logits)
	if p.e.step != nil {
		p.e.step(p.Program, p.g)
	}
	return loss, err
}

func (p brokenProgram) Update(u engine.Update) (float64, error) {
	if p.e.update != nil {
		p.e.update(&u)
	}
	return p.Program.Update(u)
}

// change applies f to a tensor of a program.
func change(p engine.Program, s engine.Set, name string, size int, f func([]float32)) {
	v := make([]float32, size)
	if p.Get(s, name, v) == nil {
		f(v)
		_ = p.Set(s, name, v)
	}
}

// Small faults are found, and named.
func TestFaultsAreFound(t *testing.T) {
	exact := reference.New()
	gradient := func(role graph.Role, f func([]float32)) broken {
		return broken{Engine: exact, step: func(p engine.Program, g *graph.Graph) {
			for _, q := range g.Params {
				if q.Role == role {
					change(p, engine.Gradients, q.Name, q.Size(), f)
				}
			}
		}}
	}
	for _, c := range []struct {
		fault, network, want string
		e                    engine.Engine
	}{
		{"one element of a gradient off by a thousandth of the largest", "block/X-b1-g4", "gradient", gradient(graph.ConvWeight, func(v []float32) {
			v[len(v)/2] += 1e-3 * float32(math.Max(math.Abs(float64(slices.Max(v))), math.Abs(float64(slices.Min(v)))))
		})},
		{"gamma's gradient off by a thousandth", "bn-relu/16", "gradient bn.weight", gradient(graph.Gamma, func(v []float32) {
			for i := range v {
				v[i] *= 1.001
			}
		})},
		{"the running variance is biased", "bn/8", "buffer bn.running_var", broken{Engine: exact, step: func(p engine.Program, g *graph.Graph) {
			change(p, engine.Buffers, "bn.running_var", 8, func(v []float32) {
				for i := range v {
					v[i] *= 0.999
				}
			})
		}}},
		{"drop-path is forgotten", "drop-path/8-0.2", "loss", broken{Engine: exact, batch: func(b *engine.Batch) { b.Masks = nil }}},
		{"momentum without Nesterov", "update/sgd-nesterov", "param", broken{Engine: exact, update: func(u *engine.Update) { u.Nesterov = false }}},
		{"biases decay as weights", "update/sgd-weight-decay", "param", broken{Engine: exact, update: func(u *engine.Update) { u.BiasWeightDecay = u.WeightDecay }}},
		{"Adam's bias correction is one step late", "update/adam", "param", broken{Engine: exact, update: func(u *engine.Update) { u.Step++ }}},
		{"AdamW as Adam", "update/adamw", "param", broken{Engine: exact, update: func(u *engine.Update) { u.Optimizer = engine.Adam }}},
		{"no EMA decay", "update/sgd-ema", "ema", broken{Engine: exact, update: func(u *engine.Update) { u.EMADecay = 1 }}},
		{"half precision", "block/X-b1-g4", "logits", reference.WithRounding(1.0/(1<<11), 1)},
	} {
		t.Run(c.fault, func(t *testing.T) {
			found, err := Differences(c.e, find(t, c.network), engine.FP32.Unit())
			if err != nil {
				t.Fatal(err)
			}
			if len(found) == 0 || !strings.Contains(found[0], c.want) {
				t.Errorf("found %q, want first a difference in %s", found, c.want)
			}
		})
	}
}

// truncating keeps what is nearer to zero.
func truncating() engine.Engine {
	return reference.WithKept(reference.New(), func(_ int, y []float64) {
		for k, v := range y {
			if r := engine.BF16.Round(v); math.Abs(r) > math.Abs(v) {
				y[k] = engine.BF16.Round(r - (r-v)*2)
			} else {
				y[k] = r
			}
		}
	})
}

// Rounding that favours one side is found.
func TestBiasIsFound(t *testing.T) {
	if mean, err := bias(t, truncating()); math.Abs(mean) < 8*err+1e-3 {
		t.Errorf("a bias of %.2g ± %.2g", mean, err)
	}
}

// So is an engine that keeps something else than it computes with, or rounds it wrongly.
func TestMisroundedIsFound(t *testing.T) {
	exact := tensor{"kept", []float64{1 + 1.0/256, 2, -3}} // the first one in the middle
	for _, c := range []struct {
		kept  []float32
		fault string
	}{
		{[]float32{1, 2, -3}, ""},
		{[]float32{1 + 1.0/128, 2, -3}, ""},
		{[]float32{1, 2 + 1.0/64, -3}, "kept [1]: kept 2.015625 of 2"},
		{[]float32{1, float32(math.NaN()), -3}, "kept [1]: kept NaN"},
		{[]float32{1, 2}, "kept: 2 elements, want 3"},
	} {
		if got := misrounded(exact, c.kept, 1e-6); (got == "") != (c.fault == "") || !strings.HasPrefix(got, c.fault) {
			t.Errorf("%v: %q, want %q", c.kept, got, c.fault)
		}
	}
}
