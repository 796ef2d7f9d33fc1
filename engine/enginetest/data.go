package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"netspace/engine"
	"netspace/graph"
)

// Case is a network and what is done with it.
type Case struct {
	Name  string
	Graph *graph.Graph
	Batch int
	// Threads of a step; 0 means 1.
	Threads int
	// Fixed are nodes of BNs that keep their running statistics.
	Fixed []int
	// Activations is the precision in which steps keep activations; "" is that of Options.
	Activations engine.Precision
	// NoMasks gives a network with drop-path or dropout no masks.
	NoMasks bool
	// Updates are the optimizer steps, each after a Step on a batch of its own;
	// nil means two of SGD with Nesterov momentum and weight decay.
	Updates []engine.Update
	// Roundings is a tolerance, in unit roundoffs of a tensor's largest value,
	// that stands in for the measured one where that would not do; 0 means measured.
	Roundings float64
	// Prepare changes the random tensors and images, if not nil.
	Prepare func(*Data)
}

// updates returns the optimizer steps of the case.
func (c Case) updates() []engine.Update {
	if c.Updates != nil {
		return c.Updates
	}
	u := engine.Update{LR: 0.05, Momentum: 0.9, Nesterov: true, WeightDecay: 1e-2, BNWeightDecay: 2e-2, BiasWeightDecay: 3e-2}
	return []engine.Update{u, u}
}

// Data is what a case is run on: the first values of all tensors, and batches.
type Data struct {
	Params  [][]float32 // per Graph.Params
	Buffers [][]float32 // per Graph.Buffers
	Batches []engine.Batch
}

// NewData draws values of the sizes that they have in training: convolutions
// by He's rule, so that activations neither vanish nor grow, gammas around 1,
// images and biases normal, targets soft. The same seed gives the same values.
func NewData(c Case, seed uint64) *Data {
	r := rand.New(rand.NewPCG(seed, 1))
	g := c.Graph
	d := &Data{}
	for _, p := range g.Params {
		mean, std := 0.0, 0.3
		switch p.Role {
		case graph.ConvWeight, graph.LinearWeight:
			std = math.Sqrt(2 * float64(p.Shape[0]) / float64(p.Size()))
		case graph.Gamma:
			mean = 1
		}
		d.Params = append(d.Params, normal(r, p.Size(), mean, std))
	}
	for i, b := range g.Buffers {
		v := normal(r, b.Size(), 0, 0.3)
		if i%2 == 1 { // a variance
			for k := range v {
				v[k] = 0.5 + r.Float32()
			}
		}
		d.Buffers = append(d.Buffers, v)
	}
	in, out := g.Input(), g.Output()
	for range len(c.updates()) + 1 {
		b := engine.Batch{
			Images:  normal(r, c.Batch*in.C*in.H*in.W, 0, 1),
			Targets: softTargets(r, c.Batch, out.C),
		}
		if !c.NoMasks {
			b.Masks = masks(r, g, c.Batch)
		}
		d.Batches = append(d.Batches, b)
	}
	if c.Prepare != nil {
		c.Prepare(d)
	}
	return d
}

func normal(r *rand.Rand, n int, mean, std float64) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(mean + std*r.NormFloat64())
	}
	return v
}

// softTargets mixes two classes and a uniform part, as label smoothing and mixup do.
func softTargets(r *rand.Rand, rows, classes int) []float32 {
	t := make([]float32, rows*classes)
	for i := range rows {
		row := t[i*classes : (i+1)*classes]
		for c := range row {
			row[c] = 0.1 / float32(classes)
		}
		mix := 0.9 * r.Float32()
		row[r.IntN(classes)] += mix
		row[r.IntN(classes)] += 0.9 - mix
	}
	return t
}

func masks(r *rand.Rand, g *graph.Graph, batch int) [][]float32 {
	var out [][]float32
	for _, i := range g.Stochastic() {
		n := &g.Nodes[i]
		m := make([]float32, batch)
		if n.Op == graph.OpDropout {
			m = make([]float32, batch*n.C*n.H*n.W)
		}
		for k := range m {
			if r.Float64() >= n.Rate {
				m[k] = float32(1 / (1 - n.Rate))
			}
		}
		out = append(out, m)
	}
	return out
}

// tensor is one thing that a program computed.
type tensor struct {
	name   string
	values []float64
}

// load sets all parameters and buffers of a program.
func load(p engine.Program, g *graph.Graph, d *Data) error {
	for i, t := range g.Params {
		if err := p.Set(engine.Params, t.Name, d.Params[i]); err != nil {
			return err
		}
	}
	for i, t := range g.Buffers {
		if err := p.Set(engine.Buffers, t.Name, d.Buffers[i]); err != nil {
			return err
		}
	}
	return nil
}

var setNames = [...]string{"param", "buffer", "gradient", "moment1", "moment2", "ema param", "ema buffer"}

// recording is a program at work, with all that it has computed so far.
type recording struct {
	g    *graph.Graph
	p    engine.Program
	seen []tensor
	kink float64 // smallest of the passes, of programs that know it
}

func (r *recording) add(name string, values []float32) {
	t := tensor{name, make([]float64, len(values))}
	for i, v := range values {
		t.values[i] = float64(v)
	}
	r.seen = append(r.seen, t)
	if k, ok := r.p.(interface{ Kink() float64 }); ok {
		r.kink = min(r.kink, k.Kink())
	}
}

// sets records all tensors of the sets.
func (r *recording) sets(when string, sets ...engine.Set) error {
	for _, s := range sets {
		names, sizes := tensorsOf(r.g, s)
		for i, name := range names {
			v := make([]float32, sizes[i])
			if err := r.p.Get(s, name, v); err != nil {
				return err
			}
			r.add(when+": "+setNames[s]+" "+name, v)
		}
	}
	return nil
}

// tensorsOf lists the tensors of a set.
func tensorsOf(g *graph.Graph, s engine.Set) (names []string, sizes []int) {
	if s == engine.Buffers || s == engine.EMABuffers {
		for _, b := range g.Buffers {
			names, sizes = append(names, b.Name), append(sizes, b.Size())
		}
		return names, sizes
	}
	for _, p := range g.Params {
		names, sizes = append(names, p.Name), append(sizes, p.Size())
	}
	return names, sizes
}

func (r *recording) forward(when string, images []float32, mode engine.Mode, momentum float64, batch int) error {
	out := make([]float32, batch*r.g.Output().C)
	if err := r.p.Forward(images, out, mode, momentum); err != nil {
		return err
	}
	r.add(when+": logits", out)
	return nil
}

func (r *recording) step(when string, b engine.Batch, batch int) error {
	out := make([]float32, batch*r.g.Output().C)
	// The program may keep none of the slices: they are spoilt after the call.
	own := engine.Batch{Images: clone(b.Images), Targets: clone(b.Targets)}
	for _, m := range b.Masks {
		own.Masks = append(own.Masks, clone(m))
	}
	loss, err := r.p.Step(own, out)
	if err != nil {
		return err
	}
	for _, s := range append(own.Masks, own.Images, own.Targets) {
		for i := range s {
			s[i] = float32(math.NaN())
		}
	}
	r.seen = append(r.seen, tensor{when + ": loss", []float64{loss}})
	r.add(when+": logits", out)
	return r.sets(when, engine.Gradients, engine.Buffers)
}

func clone(v []float32) []float32 { return append([]float32(nil), v...) }

// record runs a whole short life of a network on an engine: evaluation,
// steps and updates, evaluation, calibration, evaluation.
func record(e engine.Engine, c Case, d *Data) (*recording, error) {
	p, err := e.Compile(c.Graph, engine.Options{Batch: c.Batch, Threads: c.Threads, FixedNorms: c.Fixed, Activations: c.Activations})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	r := &recording{g: c.Graph, p: p, kink: math.Inf(1)}
	if err := load(p, c.Graph, d); err != nil {
		return nil, err
	}
	if err := r.forward("evaluate", d.Batches[0].Images, engine.Evaluate, 0, c.Batch); err != nil {
		return nil, err
	}
	if err := r.folded(e, c, d); err != nil {
		return nil, err
	}
	if err := r.train(c, d); err != nil {
		return nil, err
	}
	last := d.Batches[len(d.Batches)-1].Images
	if err := r.forward("evaluate after updates", last, engine.Evaluate, 0, c.Batch); err != nil {
		return nil, err
	}
	for k, b := range d.Batches[:2] {
		when := fmt.Sprintf("calibrate %d", k)
		if err := r.forward(when, b.Images, engine.Calibrate, 1/float64(k+1), c.Batch); err != nil {
			return nil, err
		}
	}
	if err := r.sets("calibrate", engine.Buffers); err != nil {
		return nil, err
	}
	return r, r.forward("evaluate after calibration", last, engine.Evaluate, 0, c.Batch)
}

// folded evaluates with a program that is compiled for that alone.
func (r *recording) folded(e engine.Engine, c Case, d *Data) error {
	p, err := e.Compile(c.Graph, engine.Options{Batch: c.Batch, Threads: c.Threads, Inference: true, Fold: true})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := load(p, c.Graph, d); err != nil {
		return err
	}
	trained := r.p
	r.p = p
	defer func() { r.p = trained }()
	return r.forward("evaluate folded", d.Batches[0].Images, engine.Evaluate, 0, c.Batch)
}

func (r *recording) train(c Case, d *Data) error {
	ema := false
	for k, u := range c.updates() {
		when := fmt.Sprintf("step %d", k)
		if err := r.step(when, d.Batches[k], c.Batch); err != nil {
			return err
		}
		norm, err := r.p.Update(u)
		if err != nil {
			return err
		}
		r.seen = append(r.seen, tensor{when + ": gradient norm", []float64{norm}})
		sets := []engine.Set{engine.Params}
		if u.Momentum != 0 || u.Optimizer != engine.SGD {
			sets = append(sets, engine.Moment1)
		}
		if u.Optimizer != engine.SGD {
			sets = append(sets, engine.Moment2)
		}
		if u.EMADecay > 0 {
			ema = true
			sets = append(sets, engine.EMAParams, engine.EMABuffers)
		}
		if err := r.sets(when+" updated", sets...); err != nil {
			return err
		}
	}
	if ema {
		return r.forward("evaluate the EMA", d.Batches[0].Images, engine.EvaluateEMA, 0, c.Batch)
	}
	return nil
}
