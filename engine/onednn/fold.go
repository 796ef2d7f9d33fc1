//go:build cgo

package onednn

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"netspace/engine"
	"netspace/graph"
)

// folding is how a network's batch normalisations become weights and biases of the convolutions in
// front of them.
type folding struct {
	g     *graph.Graph           // without them, and without what acts in training alone
	norms map[string]*graph.Node // the batch normalisation of a convolution, by the convolution's name
}

// fold folds every batch normalisation that alone reads a convolution.
func fold(g *graph.Graph) (folding, error) {
	readers := make([]int, len(g.Nodes))
	for i := range g.Nodes {
		for _, in := range g.Nodes[i].In {
			readers[in]++
		}
	}
	r := folder{norms: map[string]*graph.Node{}, folded: map[string]bool{}}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.Op != graph.OpBatchNorm {
			continue
		}
		if c := &g.Nodes[n.In[0]]; c.Op == graph.OpConv && readers[n.In[0]] == 1 {
			r.norms[c.Name], r.folded[n.Name] = n, true
		}
	}
	g.Replay(&r)
	out, err := r.Graph()
	return folding{out, r.norms}, err
}

// folder is the Sink that writes the folded network.
type folder struct {
	graph.Recorder
	norms  map[string]*graph.Node
	folded map[string]bool // batch normalisations, by name
}

func (r *folder) Conv(n graph.Name, x graph.Value, c graph.Conv) graph.Value {
	c.Bias = c.Bias || r.norms[n.String()] != nil
	return r.Recorder.Conv(n, x, c)
}

func (r *folder) BatchNorm(n graph.Name, x graph.Value, b graph.BatchNorm) graph.Value {
	if r.folded[n.String()] {
		return x
	}
	return r.Recorder.BatchNorm(n, x, b)
}

func (r *folder) DropPath(x graph.Value, _ float64) graph.Value { return x }
func (r *folder) Dropout(x graph.Value, _ float64) graph.Value  { return x }

// folded is a Program for inference: one of the folded network, for as many images at a time as leave
// their activations in the cache, and the tensors of the network as it was given.
type folded struct {
	folding
	given   *graph.Graph
	batch   int
	inner   *program
	tensors [engine.EMABuffers + 1]map[string][]float32 // those of the sets that inference has; in Go's memory
	ema     bool                                        // EMAParams and EMABuffers have been set
	loaded  engine.Mode                                 // whose tensors the inner program has
	stale   bool                                        // tensors have changed since
}

var (
	_ engine.Program  = (*folded)(nil)
	_ engine.Profiler = (*folded)(nil)
)

func (e *Engine) compileFolded(g *graph.Graph, o engine.Options) (*folded, error) {
	f, err := fold(g)
	if err != nil {
		return nil, err
	}
	p := &folded{folding: f, given: g, batch: o.Batch, stale: true}
	held := int64(0)
	params, buffers := map[string][]float32{}, map[string][]float32{}
	p.tensors[engine.Params], p.tensors[engine.Buffers] = params, buffers
	for _, q := range g.Params {
		params[q.Name] = make([]float32, q.Size())
		held += 4 * int64(q.Size())
	}
	for i, b := range g.Buffers {
		initial := float32(0)
		if g.Nodes[b.Node].Buffers[1] == i { // a variance
			initial = 1
		}
		buffers[b.Name] = slices.Repeat([]float32{initial}, b.Size())
		held += 4 * int64(b.Size())
	}
	o.Batch = together(f.g, o)
	allowed := o.Memory
	if allowed > 0 {
		o.Memory = max(1, allowed-held) // which is refused with what the whole needs
	}
	p.inner = e.newProgram(f.g, o, blockOf(f.g, e.wide))
	p.inner.fused = true
	if err := p.inner.build(); err != nil {
		p.inner.Close()
		var refused *engine.MemoryError
		if errors.As(err, &refused) {
			err = &engine.MemoryError{Needs: refused.Needs + held, Allowed: allowed}
		}
		return nil, err
	}
	return p, nil
}

// togetherFloats bounds what the images that go through the network together have in memory at its
// widest place, so that a value is still in the second-level cache when it is read.
const togetherFloats = 192 << 10

// togetherPositions are the positions of its smallest map below which reading the weights costs more than using them.
const togetherPositions = 256

// together is how many images go through the whole network at a time: a divisor of the batch.
func together(g *graph.Graph, o engine.Options) int {
	widest, smallest := 1, math.MaxInt
	for i := range g.Nodes {
		n := &g.Nodes[i]
		floats := n.C * n.H * n.W
		for _, in := range n.In {
			floats += g.Nodes[in].C * g.Nodes[in].H * g.Nodes[in].W
		}
		widest = max(widest, floats)
		if n.Op == graph.OpConv && n.H*n.W > 1 {
			smallest = min(smallest, n.H*n.W)
		}
	}
	n := min(o.Batch, o.Threads*max(1, togetherFloats/widest, togetherPositions/smallest))
	for o.Batch%n != 0 {
		n--
	}
	return n
}

// Forward computes logits, some images at a time; see engine.Program. Modes are Evaluate and EvaluateEMA.
func (p *folded) Forward(images, logits []float32, mode engine.Mode, _ float64) error {
	if mode != engine.Evaluate && mode != engine.EvaluateEMA {
		return fmt.Errorf("onednn: forward in mode %d of a program that was compiled to be folded: it has no batch statistics", mode)
	}
	if mode == engine.EvaluateEMA && !p.ema {
		return fmt.Errorf("onednn: no moving average has been kept")
	}
	in := p.given.Input()
	size, classes := in.C*in.H*in.W, p.given.Output().C
	if len(images) != p.batch*size || logits != nil && len(logits) != p.batch*classes {
		return fmt.Errorf("onednn: %d image values and room for %d logits, want %d and %d", len(images), len(logits), p.batch*size, p.batch*classes)
	}
	if p.stale || p.loaded != mode {
		if err := p.load(mode); err != nil {
			return err
		}
	}
	for n := 0; n < p.batch; n += p.inner.opt.Batch {
		to := n + p.inner.opt.Batch
		var out []float32
		if logits != nil {
			out = logits[n*classes : to*classes]
		}
		if err := p.inner.Forward(images[n*size:to*size], out, engine.Evaluate, 0); err != nil {
			return err
		}
	}
	return nil
}

// load folds the tensors of a mode into those of the inner program.
func (p *folded) load(mode engine.Mode) error {
	params, buffers := p.tensors[engine.Params], p.tensors[engine.Buffers]
	if mode == engine.EvaluateEMA {
		params, buffers = p.tensors[engine.EMAParams], p.tensors[engine.EMABuffers]
	}
	biases := map[string][]float32{}
	for _, q := range p.g.Params {
		v, n := params[q.Name], &p.g.Nodes[q.Node]
		if bn := p.norms[n.Name]; bn != nil && n.Op == graph.OpConv {
			of := func(of map[string][]float32, part string) []float32 { return of[bn.Name+"."+part] }
			gamma, beta, mean, variance := of(params, "weight"), of(params, "bias"), of(buffers, "running_mean"), of(buffers, "running_var")
			scale := func(c int) float64 { return float64(gamma[c]) / math.Sqrt(float64(variance[c])+bn.Epsilon) }
			to := make([]float32, q.Size())
			for i := range to {
				c := i / (len(to) / n.C)
				if q.Role == graph.Bias {
					given := 0.0
					if v != nil {
						given = float64(v[c])
					}
					to[i] = float32(float64(beta[c]) + (given-float64(mean[c]))*scale(c))
				} else {
					to[i] = float32(float64(v[i]) * scale(c))
				}
			}
			v = to
		}
		if q.Role == graph.Bias {
			biases[q.Name] = v
			continue
		}
		if err := p.inner.Set(engine.Params, q.Name, v); err != nil {
			return err
		}
	}
	// Of two convolutions that are added up the later one adds both biases.
	for _, j := range p.inner.joined {
		to := make([]float32, len(biases[j.to]))
		for i, v := range biases[j.to] {
			to[i] = v + biases[j.from][i]
		}
		biases[j.to] = to
	}
	for name, v := range biases {
		if err := p.inner.Set(engine.Params, name, v); err != nil {
			return err
		}
	}
	for _, b := range p.g.Buffers {
		if err := p.inner.Set(engine.Buffers, b.Name, buffers[b.Name]); err != nil {
			return err
		}
	}
	p.loaded, p.stale = mode, false
	return nil
}

// Step is an error; see engine.Program.
func (p *folded) Step(b engine.Batch, logits []float32) (float64, error) {
	return p.inner.Step(b, logits)
}

// Update is an error; see engine.Program.
func (p *folded) Update(u engine.Update) (float64, error) { return p.inner.Update(u) }

func (p *folded) find(set engine.Set, name string, n int) ([]float32, error) {
	if set == engine.Gradients || set == engine.Moment1 || set == engine.Moment2 {
		return nil, fmt.Errorf("onednn: the program was compiled for inference (%s)", name)
	}
	if p.tensors[set] == nil {
		return nil, fmt.Errorf("onednn: the program keeps no such tensors yet (%s)", name)
	}
	v, ok := p.tensors[set][name]
	if !ok {
		return nil, fmt.Errorf("onednn: no tensor %q", name)
	}
	if len(v) != n {
		return nil, fmt.Errorf("onednn: %s has %d values, not %d", name, len(v), n)
	}
	return v, nil
}

// Get copies a tensor out as it was set; see engine.Program.
func (p *folded) Get(set engine.Set, name string, dst []float32) error {
	v, err := p.find(set, name, len(dst))
	copy(dst, v)
	return err
}

// Set copies a tensor in; see engine.Program. What the network computes with is folded by the next Forward.
func (p *folded) Set(set engine.Set, name string, src []float32) error {
	if (set == engine.EMAParams || set == engine.EMABuffers) && !p.ema {
		for of, to := range map[engine.Set]engine.Set{engine.Params: engine.EMAParams, engine.Buffers: engine.EMABuffers} {
			p.tensors[to] = map[string][]float32{}
			for name, v := range p.tensors[of] {
				p.tensors[to][name] = slices.Clone(v)
			}
		}
		p.ema = true
	}
	v, err := p.find(set, name, len(src))
	if err != nil {
		return err
	}
	copy(v, src)
	p.stale = true
	return nil
}

// Memory is the number of bytes of the inner program and of the tensors as they were given.
func (p *folded) Memory() int64 {
	total := p.inner.Memory()
	for _, set := range p.tensors {
		for _, v := range set {
			total += 4 * int64(len(v))
		}
	}
	return total
}

// Profile implements engine.Profiler.
func (p *folded) Profile(on bool) { p.inner.Profile(on) }

// Costs implements engine.Profiler.
func (p *folded) Costs() []engine.Cost {
	costs := p.inner.Costs()
	for i := range costs {
		costs[i].Flops *= float64(p.batch / p.inner.opt.Batch) // it runs so many times
	}
	return costs
}

// Close frees the program; see engine.Program.
func (p *folded) Close() error { return p.inner.Close() }
