package enginetest

import (
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"netspace/arch"
	"netspace/engine"
	"netspace/graph"
)

// RunPromises tests what engine.Program says beyond the numbers: modes, sets,
// errors, repeatability. It is a part of Run.
func RunPromises(t *testing.T, e engine.Engine, unit float64) {
	unit = held(unit)
	for _, p := range []struct {
		name string
		test func(t *testing.T, e engine.Engine, unit float64)
	}{
		{"start", testStart},
		{"round-trip", testRoundTrip},
		{"repeatable", testRepeatable},
		{"threads", testThreads},
		{"concurrent", testConcurrent},
		{"resume", testResume},
		{"given-gradients", testGivenGradients},
		{"inference", testInference},
		{"folded", testFolded},
		{"evaluation-changes-nothing", testEvaluationChangesNothing},
		{"one-by-one", testOneByOne},
		{"batch-norm", testBatchNorm},
		{"fixed-norms", testFixedNorms},
		{"memory", testMemory},
		{"errors", testErrors},
		{"not-finite", testNotFinite},
	} {
		t.Run(p.name, func(t *testing.T) { p.test(t, e, unit) })
	}
}

// smallCase is a Y network with everything in it that has state.
func smallCase() Case {
	n := arch.AnyNet{
		Common: arch.Common{Activation: graph.ReLU, Stem: arch.Stem{Type: arch.CIFARStem, Width: 8}, SE: 0.25, DropPath: 0.3, Dropout: 0.2},
		Stages: []arch.Stage{
			{Depth: 2, Width: 12, Stride: 1, Bottleneck: 1, GroupWidth: 4},
			{Depth: 1, Width: 24, Stride: 2, Bottleneck: 1, GroupWidth: 8},
		},
	}
	n.Adjust()
	c := network("small", 4, arch.Input{Channels: 3, Height: 9, Width: 9, Classes: 10}, n)
	for step := range 4 {
		c.Updates = append(c.Updates, engine.Update{Optimizer: engine.AdamW, LR: 0.01, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-6, WeightDecay: 0.1, ClipNorm: 1, EMADecay: 0.5, Step: step + 1})
	}
	return c
}

func mustCompile(t *testing.T, e engine.Engine, g *graph.Graph, o engine.Options) engine.Program {
	t.Helper()
	p, err := e.Compile(g, o)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

func mustRecord(t *testing.T, e engine.Engine, c Case, d *Data) *recording {
	t.Helper()
	r, err := record(e, c, d)
	if err != nil {
		t.Fatalf("engine %s: %v", e.Describe().Name, err)
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, p engine.Program, s engine.Set, name string, size int) []float32 {
	t.Helper()
	v := make([]float32, size)
	must(t, p.Get(s, name, v))
	return v
}

// sameBits compares two recordings exactly.
func sameBits(t *testing.T, what string, got, want []tensor) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d tensors, want %d", what, len(got), len(want))
	}
	for i := range want {
		for k, v := range want[i].values {
			if math.Float64bits(got[i].values[k]) != math.Float64bits(v) {
				t.Fatalf("%s: %s [%d]: got %.9g, want %.9g", what, want[i].name, k, got[i].values[k], v)
			}
		}
	}
}

func testStart(t *testing.T, e engine.Engine, _ float64) {
	c := smallCase()
	p := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	for _, s := range []engine.Set{engine.Params, engine.Buffers} {
		names, sizes := tensorsOf(c.Graph, s)
		for i, name := range names {
			want := float32(0)
			if s == engine.Buffers && i%2 == 1 {
				want = 1
			}
			for _, v := range get(t, p, s, name, sizes[i]) {
				if v != want {
					t.Fatalf("%s is %g after Compile, want %g", name, v, want)
				}
			}
		}
	}
	if p.Memory() <= 0 {
		t.Errorf("memory is %d bytes", p.Memory())
	}
}

func testRoundTrip(t *testing.T, e engine.Engine, _ float64) {
	c := smallCase()
	p := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	value := func(s engine.Set, tensor, k int) float32 { // all different, none special to a layout
		return float32(int(s)+1) + float32(tensor)/64 + float32(k)/(1<<16)
	}
	for s := engine.Params; s <= engine.EMABuffers; s++ {
		names, sizes := tensorsOf(c.Graph, s)
		for i, name := range names {
			v := make([]float32, sizes[i])
			for k := range v {
				v[k] = value(s, i, k)
			}
			must(t, p.Set(s, name, v))
			v[0] = -1 // the program must have a copy
		}
	}
	for s := engine.Params; s <= engine.EMABuffers; s++ {
		names, sizes := tensorsOf(c.Graph, s)
		for i, name := range names {
			for k, v := range get(t, p, s, name, sizes[i]) {
				if v != value(s, i, k) {
					t.Fatalf("%s %s [%d]: got %g, want %g", setNames[s], name, k, v, value(s, i, k))
				}
			}
		}
	}
}

func testRepeatable(t *testing.T, e engine.Engine, _ float64) {
	c := smallCase()
	d := NewData(c, 1)
	sameBits(t, "second run", mustRecord(t, e, c, d).seen, mustRecord(t, e, c, d).seen)
}

// testThreads: more threads give the same network; bits may differ between
// numbers of threads, not between runs with one number.
func testThreads(t *testing.T, e engine.Engine, unit float64) {
	c := smallCase()
	d := NewData(c, 1)
	var losses []float64
	for range 2 {
		p := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch, Threads: 2})
		must(t, load(p, c.Graph, d))
		loss, err := p.Step(d.Batches[0], nil)
		must(t, err)
		losses = append(losses, loss)
	}
	one := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	must(t, load(one, c.Graph, d))
	loss, err := one.Step(d.Batches[0], nil)
	must(t, err)
	if losses[0] != losses[1] || math.Abs(loss-losses[0]) > 2000*unit {
		t.Errorf("loss %g and %g with 2 threads, %g with 1", losses[0], losses[1], loss)
	}
}

func testConcurrent(t *testing.T, e engine.Engine, _ float64) {
	c := smallCase()
	d := NewData(c, 1)
	want := mustRecord(t, e, c, d).seen
	got := make([][]tensor, 3)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			if r, err := record(e, c, d); err == nil {
				got[i] = r.seen
			} else {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range got {
		sameBits(t, "beside others", got[i], want)
	}
}

// testResume moves all state into a second program after two updates; both
// must go on alike, bit for bit.
func testResume(t *testing.T, e engine.Engine, _ float64) {
	c := smallCase()
	d := NewData(c, 1)
	first := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	second := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	must(t, load(first, c.Graph, d))
	for k, u := range c.Updates[:2] {
		_, err := first.Step(d.Batches[k], nil)
		must(t, err)
		_, err = first.Update(u)
		must(t, err)
	}
	for _, s := range []engine.Set{engine.Params, engine.Buffers, engine.Moment1, engine.Moment2, engine.EMAParams, engine.EMABuffers} {
		names, sizes := tensorsOf(c.Graph, s)
		for i, name := range names {
			must(t, second.Set(s, name, get(t, first, s, name, sizes[i])))
		}
	}
	var seen [2][]tensor
	for i, p := range []engine.Program{first, second} {
		r := &recording{g: c.Graph, p: p}
		for k := 2; k < len(c.Updates); k++ {
			must(t, r.step("step", d.Batches[k], c.Batch))
			_, err := p.Update(c.Updates[k])
			must(t, err)
		}
		must(t, r.sets("end", engine.Params, engine.Buffers, engine.Moment1, engine.Moment2, engine.EMAParams, engine.EMABuffers))
		must(t, r.forward("end", d.Batches[0].Images, engine.EvaluateEMA, 0, c.Batch))
		seen[i] = r.seen
	}
	sameBits(t, "resumed", seen[1], seen[0])
}

// testGivenGradients: Update uses gradients that were set, and leaves them as they are.
func testGivenGradients(t *testing.T, e engine.Engine, unit float64) {
	c := smallCase()
	d := NewData(c, 1)
	p := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	must(t, load(p, c.Graph, d))
	squares := 0.0
	for i, q := range c.Graph.Params {
		g := make([]float32, q.Size())
		for k := range g {
			g[k] = float32(i+1) / 64
			squares += float64(g[k]) * float64(g[k])
		}
		must(t, p.Set(engine.Gradients, q.Name, g))
	}
	norm, err := p.Update(engine.Update{LR: 0.5, ClipNorm: 1})
	must(t, err)
	if want := math.Sqrt(squares); math.Abs(norm-want) > 200*unit*want {
		t.Errorf("gradient norm %g, want %g", norm, want)
	}
	for i, q := range c.Graph.Params {
		grad := get(t, p, engine.Gradients, q.Name, q.Size())
		for k, v := range get(t, p, engine.Params, q.Name, q.Size()) {
			g := float64(i+1) / 64
			want := float64(d.Params[i][k]) - 0.5*g/math.Sqrt(squares)
			if math.Abs(float64(v)-want) > 20*unit*(1+math.Abs(want)) {
				t.Fatalf("%s [%d]: got %g, want %g", q.Name, k, v, want)
			}
			if float64(grad[k]) != g {
				t.Fatalf("gradient of %s [%d] is %g after Update, want %g", q.Name, k, grad[k], g)
			}
		}
	}
}

func testInference(t *testing.T, e engine.Engine, unit float64) {
	c := smallCase()
	d := NewData(c, 1)
	train := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	infer := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch, Inference: true})
	var logits [2][]float32
	for i, p := range []engine.Program{train, infer} {
		must(t, load(p, c.Graph, d))
		logits[i] = make([]float32, c.Batch*c.Graph.Output().C)
		must(t, p.Forward(d.Batches[0].Images, logits[i], engine.Evaluate, 0))
	}
	for k, v := range logits[0] {
		if math.Abs(float64(v-logits[1][k])) > 2000*unit {
			t.Fatalf("logit %d: %g, compiled for inference %g", k, v, logits[1][k])
		}
	}
	if infer.Memory() > train.Memory() {
		t.Errorf("for inference %d bytes, for training %d", infer.Memory(), train.Memory())
	}
	if _, err := infer.Step(d.Batches[0], nil); err == nil {
		t.Error("Step on a program for inference: no error")
	}
	if _, err := infer.Update(engine.Update{LR: 1}); err == nil {
		t.Error("Update on a program for inference: no error")
	}
}

// testFolded: a program that is compiled to be folded gives what the training program evaluates to, image by
// image and many at a time, for every block, stem, head and family; and keeps its tensors as they were set.
func testFolded(t *testing.T, e engine.Engine, unit float64) {
	const many = 64
	in := arch.Input{Channels: 3, Height: 9, Width: 8, Classes: 5}
	nets := map[string]arch.Network{
		"regnet": arch.RegNet{Depth: 3, W0: 8, WA: 8, WM: 2, GroupWidth: 4, Bottleneck: 1, Stride: 2, Common: arch.Common{Stem: arch.Stem{Type: arch.CIFARStem, Width: 8}, Activation: graph.ReLU, SE: 0.25}},
		"effnet": arch.EffNet{
			Common: arch.Common{Stem: arch.Stem{Type: arch.SimpleStem, Width: 8}, SE: 0.25, Activation: graph.SiLU, HeadWidth: 12, DropPath: 0.3, Dropout: 0.2},
			Stages: []arch.EffStage{{Depth: 2, Width: 8, Stride: 1, Expand: 2, Kernel: 3}, {Depth: 1, Width: 12, Stride: 2, Expand: 3, Kernel: 5}},
		},
	}
	for i, b := range arch.Blocks() {
		n := arch.AnyNet{Block: b, Common: arch.Common{Stem: arch.Stem{Type: []arch.StemType{arch.CIFARStem, arch.SimpleStem, arch.ResNetStem}[i%3], Width: 8}, Activation: graph.ReLU}, Stages: []arch.Stage{
			{Depth: 2, Width: 8, Stride: 1, Bottleneck: 1, GroupWidth: 4}, {Depth: 2, Width: 12, Stride: 2, Bottleneck: 1, GroupWidth: 4},
		}}
		if i%2 == 1 {
			n.HeadWidth, n.SE, n.DropPath, n.Activation = 16, 0.25, 0.2, graph.SiLU
		}
		n.Adjust()
		nets[b.String()] = n
	}
	for name, net := range nets {
		g, err := arch.Spec{Network: net}.Graph(in)
		must(t, err)
		c := Case{Name: name, Graph: g, Batch: many}
		d := NewData(c, 1)
		images, classes := d.Batches[0].Images, c.Graph.Output().C
		compile := func(o engine.Options) engine.Program {
			p := mustCompile(t, e, c.Graph, o)
			must(t, load(p, c.Graph, d))
			return p
		}
		trained := compile(engine.Options{Batch: many})
		all := compile(engine.Options{Batch: many, Inference: true, Fold: true})
		one := compile(engine.Options{Batch: 1, Inference: true, Fold: true})
		check := func(what string, got, want []float32) {
			t.Helper()
			for k, w := range want {
				if v := got[k]; !(math.Abs(float64(v-w)) <= 2000*unit*(1+math.Abs(float64(w)))) {
					t.Fatalf("%s, %s: logit %d is %g, evaluated by the training program %g", name, what, k, v, w)
				}
			}
		}
		want, got := make([]float32, many*classes), make([]float32, many*classes)
		must(t, trained.Forward(images, want, engine.Evaluate, 0))
		must(t, all.Forward(images, got, engine.Evaluate, 0))
		check("together", got, want)
		for _, i := range []int{0, many - 1} {
			must(t, one.Forward(images[i*len(images)/many:(i+1)*len(images)/many], got[:classes], engine.Evaluate, 0))
			check("alone", got[:classes], want[i*classes:(i+1)*classes])
		}
		// Other tensors are folded anew, and the moving average has its own.
		for i, p := range c.Graph.Params {
			if p.Role != graph.Gamma {
				continue
			}
			half := clone(d.Params[i])
			for k := range half {
				half[k] /= 2
			}
			for _, p2 := range []engine.Program{trained, all} {
				must(t, p2.Set(engine.EMAParams, p.Name, half))
			}
		}
		must(t, trained.Forward(images, want, engine.EvaluateEMA, 0))
		must(t, all.Forward(images, got, engine.EvaluateEMA, 0))
		check("the moving average", got, want)
		must(t, trained.Forward(images, want, engine.Evaluate, 0))
		must(t, all.Forward(images, got, engine.Evaluate, 0))
		check("and back", got, want)
		for i, p := range c.Graph.Params {
			if v := get(t, all, engine.Params, p.Name, p.Size()); !slices.Equal(v, d.Params[i]) {
				t.Fatalf("%s: %s is not as it was set", name, p.Name)
			}
		}
		if _, err := all.Step(d.Batches[0], nil); err == nil {
			t.Errorf("%s: Step on a program for inference: no error", name)
		}
	}
}

// testEvaluationChangesNothing: evaluating between steps leaves no trace, nor
// between a Step and its Update; nor do logits that nobody wants.
func testEvaluationChangesNothing(t *testing.T, e engine.Engine, _ float64) {
	c := smallCase()
	d := NewData(c, 1)
	var seen [2][]tensor
	for i := range seen {
		p := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
		must(t, load(p, c.Graph, d))
		r := &recording{g: c.Graph, p: p}
		out := make([]float32, c.Batch*c.Graph.Output().C)
		evaluate := func(mode engine.Mode) {
			if i == 1 {
				must(t, p.Forward(d.Batches[3].Images, out, mode, 0))
			}
		}
		for k, u := range c.Updates {
			evaluate(engine.Evaluate)
			var err error
			if i == 0 {
				_, err = p.Step(d.Batches[k], out)
			} else {
				_, err = p.Step(d.Batches[k], nil)
			}
			must(t, err)
			evaluate(engine.Evaluate)
			_, err = p.Update(u)
			must(t, err)
			evaluate(engine.EvaluateEMA)
		}
		must(t, r.sets("end", engine.Gradients, engine.Params, engine.Buffers, engine.Moment1, engine.EMAParams, engine.EMABuffers))
		seen[i] = r.seen
	}
	sameBits(t, "with evaluations", seen[1], seen[0])
}

// testOneByOne: evaluation treats every image by itself, wherever in the
// batch it is. The network is large enough to be worked through in pieces.
func testOneByOne(t *testing.T, e engine.Engine, unit float64) {
	n := arch.AnyNet{Common: arch.Common{Activation: graph.ReLU, Stem: arch.Stem{Type: arch.CIFARStem, Width: 16}, SE: 0.25, HeadWidth: 40}, Stages: []arch.Stage{
		{Depth: 1, Width: 24, Stride: 2, Bottleneck: 1, GroupWidth: 8},
		{Depth: 1, Width: 40, Stride: 2, Bottleneck: 1, GroupWidth: 4},
	}}
	n.Adjust()
	c := network("one by one", 12, arch.Input{Channels: 3, Height: 32, Width: 32, Classes: 10}, n)
	d := NewData(c, 1)
	images, classes := d.Batches[0].Images, c.Graph.Output().C
	size := len(images) / c.Batch
	logits := func(batch, first int) []float32 {
		p := mustCompile(t, e, c.Graph, engine.Options{Batch: batch, Inference: true})
		must(t, load(p, c.Graph, d))
		out := make([]float32, batch*classes)
		must(t, p.Forward(images[first*size:(first+batch)*size], out, engine.Evaluate, 0))
		return out
	}
	together := logits(c.Batch, 0)
	for i := range c.Batch {
		for k, v := range logits(1, i) {
			if w := together[i*classes+k]; math.Abs(float64(v-w)) > 2000*unit*(1+math.Abs(float64(v))) {
				t.Fatalf("image %d, logit %d: %g alone, %g in a batch of %d", i, k, v, w, c.Batch)
			}
		}
	}
}

// testBatchNorm: a BN's epsilon is its node's, its momentum that of the options.
func testBatchNorm(t *testing.T, e engine.Engine, unit float64) {
	g := around(shape{1, 4, 4}, 1, func(r *graph.Recorder, x graph.Value) graph.Value {
		return r.BatchNorm(name("bn"), x, graph.BatchNorm{Epsilon: 3})
	})
	p := mustCompile(t, e, g, engine.Options{Batch: 1, BNMomentum: 0.25})
	ones := func(n int, v float32) []float32 { return slices.Repeat([]float32{v}, n) }
	must(t, p.Set(engine.Params, "before.weight", ones(1, 1)))
	must(t, p.Set(engine.Params, "bn.weight", ones(1, 1)))
	must(t, p.Set(engine.Params, "head.weight", ones(7, 1)))
	images := ones(16, 1)
	for i := range 8 {
		images[2*i] = 3
	}
	_, err := p.Step(engine.Batch{Images: images, Targets: ones(7, 1.0/7)}, nil)
	must(t, err)
	mean, variance := get(t, p, engine.Buffers, "bn.running_mean", 1)[0], get(t, p, engine.Buffers, "bn.running_var", 1)[0]
	// Mean 2; variance 1, unbiased 16/15.
	if math.Abs(float64(mean)-0.5) > 20*unit || math.Abs(float64(variance)-(0.75+0.25*16/15)) > 20*unit {
		t.Errorf("running mean %g and variance %g, want 0.5 and %g", mean, variance, 0.75+0.25*16.0/15)
	}
	must(t, p.Set(engine.Buffers, "bn.running_mean", ones(1, 0)))
	must(t, p.Set(engine.Buffers, "bn.running_var", ones(1, 1)))
	logits := make([]float32, 7)
	must(t, p.Forward(ones(16, 2), logits, engine.Evaluate, 0))
	// 2/√(1+3) = 1, and SiLU.
	if want := 1 / (1 + math.Exp(-1)); math.Abs(float64(logits[0])-want) > 200*unit {
		t.Errorf("with an epsilon of 3 the logit is %g, want %g", logits[0], want)
	}
}

// testFixedNorms: where all norms are fixed a training step computes what an evaluation does, and no statistic moves by a
// bit, nor an average of one; only nodes of norms can be fixed.
func testFixedNorms(t *testing.T, e engine.Engine, unit float64) {
	c := smallCase()
	c.NoMasks = true
	d := NewData(c, 1)
	p := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch, FixedNorms: normsOf(c.Graph)})
	must(t, load(p, c.Graph, d))
	classes := c.Graph.Output().C
	stepped, evaluated := make([]float32, c.Batch*classes), make([]float32, c.Batch*classes)
	averages := map[string][]float32{}
	for k, u := range c.Updates {
		b := d.Batches[k]
		b.Masks = nil
		must(t, p.Forward(b.Images, evaluated, engine.Evaluate, 0))
		_, err := p.Step(b, stepped)
		must(t, err)
		for i, v := range evaluated {
			if math.Abs(float64(stepped[i]-v)) > 200*unit*(1+math.Abs(float64(v))) {
				t.Fatalf("step %d, logit %d: %g, evaluated %g", k, i, stepped[i], v)
			}
		}
		_, err = p.Update(u)
		must(t, err)
		must(t, p.Forward(b.Images, stepped, engine.Calibrate, 1))
		for i, buffer := range c.Graph.Buffers {
			if v := get(t, p, engine.Buffers, buffer.Name, buffer.Size()); !slices.Equal(v, d.Buffers[i]) {
				t.Fatalf("step %d: %s moved", k, buffer.Name)
			}
			v := get(t, p, engine.EMABuffers, buffer.Name, buffer.Size())
			if k == 0 {
				for c := range v { // another value than the statistic's, so that a copy would be seen
					v[c]++
				}
				averages[buffer.Name] = v
				must(t, p.Set(engine.EMABuffers, buffer.Name, v))
			} else if !slices.Equal(v, averages[buffer.Name]) {
				t.Fatalf("step %d: the average of %s moved", k, buffer.Name)
			}
		}
	}
	for _, bad := range [][]int{{-1}, {len(c.Graph.Nodes)}, {0}} {
		if p, err := e.Compile(c.Graph, engine.Options{Batch: 2, FixedNorms: bad}); err == nil {
			p.Close()
			t.Errorf("Compile with fixed norms %v: no error", bad)
		}
	}
}

// testMemory: a program that would hold more than it may is refused with the number, and that number is enough.
func testMemory(t *testing.T, e engine.Engine, _ float64) {
	c := smallCase()
	var refused *engine.MemoryError
	p, err := e.Compile(c.Graph, engine.Options{Batch: c.Batch, Memory: 1})
	switch {
	case err == nil && e.Describe().Device != engine.CPU:
		must(t, p.Close()) // it is not this machine's memory
		return
	case !errors.As(err, &refused) || !errors.Is(err, engine.ErrMemory) || refused.Allowed != 1:
		t.Fatalf("a limit of one byte: %v; want a *MemoryError", err)
	}
	if _, err := e.Compile(c.Graph, engine.Options{Batch: c.Batch, Memory: refused.Needs - 1}); !errors.Is(err, engine.ErrMemory) {
		t.Errorf("a byte less than %d: %v; want a *MemoryError", refused.Needs, err)
	}
	p = mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch, Memory: refused.Needs})
	if m := p.Memory(); m > refused.Needs {
		t.Errorf("it holds %d bytes, %d were predicted", m, refused.Needs)
	}
	var more *engine.MemoryError
	if _, err := e.Compile(c.Graph, engine.Options{Batch: 64 * c.Batch, Memory: 1}); !errors.As(err, &more) || more.Needs < 4*refused.Needs {
		t.Errorf("64 times the images: %v, after %v", err, refused)
	}
}

func testErrors(t *testing.T, e engine.Engine, _ float64) {
	c := smallCase()
	d := NewData(c, 1)
	for _, o := range []engine.Options{{}, {Batch: -1}, {Batch: 2, Threads: -1}} {
		if p, err := e.Compile(c.Graph, o); err == nil {
			p.Close()
			t.Errorf("Compile with %+v: no error", o)
		}
	}
	p := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	must(t, load(p, c.Graph, d))
	classes := c.Graph.Output().C
	good := d.Batches[0]
	change := func(f func(*engine.Batch)) engine.Batch {
		b := good
		f(&b)
		return b
	}
	out := make([]float32, c.Batch*classes)
	param := c.Graph.Params[0]
	v := make([]float32, param.Size())
	for _, bad := range []struct {
		what string
		call func() error
	}{
		{"Get of an unknown name", func() error { return p.Get(engine.Params, "nobody.weight", v) }},
		{"Get of a buffer among the parameters", func() error { return p.Get(engine.Params, c.Graph.Buffers[0].Name, v) }},
		{"Get of a parameter among the buffers", func() error { return p.Get(engine.Buffers, param.Name, v) }},
		{"Get into a short slice", func() error { return p.Get(engine.Params, param.Name, v[1:]) }},
		{"Get of an unknown set", func() error { return p.Get(engine.EMABuffers+1, param.Name, v) }},
		{"Get of a moment before any update", func() error { return p.Get(engine.Moment1, param.Name, v) }},
		{"Get of an EMA before any update", func() error { return p.Get(engine.EMAParams, param.Name, v) }},
		{"Set of an unknown name", func() error { return p.Set(engine.Params, "nobody.weight", v) }},
		{"Set from a long slice", func() error { return p.Set(engine.Params, param.Name, append(clone(v), 1)) }},
		{"Set of a moment of an unknown name", func() error { return p.Set(engine.Moment1, "nobody.weight", v) }},
		{"Forward with too few images", func() error { return p.Forward(good.Images[1:], out, engine.Evaluate, 0) }},
		{"Forward with short logits", func() error { return p.Forward(good.Images, out[1:], engine.Evaluate, 0) }},
		{"Forward of the EMA before any update", func() error { return p.Forward(good.Images, out, engine.EvaluateEMA, 0) }},
		{"Forward in an unknown mode", func() error { return p.Forward(good.Images, out, engine.Calibrate+1, 0) }},
		{"Step with too few images", func() error {
			_, err := p.Step(change(func(b *engine.Batch) { b.Images = b.Images[1:] }), nil)
			return err
		}},
		{"Step with too few targets", func() error {
			_, err := p.Step(change(func(b *engine.Batch) { b.Targets = b.Targets[1:] }), nil)
			return err
		}},
		{"Step with short logits", func() error { _, err := p.Step(good, out[1:]); return err }},
		{"Step with a mask missing", func() error {
			_, err := p.Step(change(func(b *engine.Batch) { b.Masks = b.Masks[1:] }), nil)
			return err
		}},
		{"Step with a short mask", func() error {
			_, err := p.Step(change(func(b *engine.Batch) { b.Masks = append([][]float32{b.Masks[0][1:]}, b.Masks[1:]...) }), nil)
			return err
		}},
		{"Update of an unknown rule", func() error { _, err := p.Update(engine.Update{Optimizer: engine.AdamW + 1, Step: 1}); return err }},
	} {
		if bad.call() == nil {
			t.Errorf("%s: no error", bad.what)
		}
	}
}

// testNotFinite: a loss that is not finite is returned as such, for the caller
// to see that training diverged.
func testNotFinite(t *testing.T, e engine.Engine, _ float64) {
	c := smallCase()
	d := NewData(c, 1)
	p := mustCompile(t, e, c.Graph, engine.Options{Batch: c.Batch})
	must(t, load(p, c.Graph, d))
	b := d.Batches[0]
	b.Images = clone(b.Images)
	b.Images[5] = float32(math.NaN())
	loss, err := p.Step(b, nil)
	must(t, err)
	if !math.IsNaN(loss) && !math.IsInf(loss, 0) {
		t.Errorf("the loss of a NaN image is %g", loss)
	}
}
