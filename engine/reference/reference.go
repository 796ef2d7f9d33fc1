// Package reference is the engine to read and to trust: every op as its
// formula says, in float64, one plain loop each. It is slow; the fast engines
// are tested against it (see engine/enginetest), and it against finite
// differences.
package reference

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"netspace/engine"
	"netspace/graph"
)

// Engine makes programs of plain Go. The zero value is ready.
type Engine struct {
	unit float64
	seed uint64
	kept func(node int, y []float64)
}

// Name is what the engine is opened by.
const Name = "reference"

// New returns the exact engine.
func New() engine.Engine { return Engine{} }

// WithRounding returns an engine that disturbs the result of every op at
// random, as arithmetic of the given unit roundoff would (2^-24 for float32):
// by unit·√terms of the tensor's size, where terms is the length of the op's
// sums. What differs between such runs and the exact one shows how precisely
// an engine of that arithmetic can know each number (Monte Carlo arithmetic;
// Parker 1997).
func WithRounding(unit float64, seed uint64) engine.Engine { return Engine{unit: unit, seed: seed} }

// WithKept returns e with another way to round what a step keeps (Options.Activations): kept is called with the
// number of every such node and its exact output, which it changes in place.
func WithKept(e engine.Engine, kept func(node int, y []float64)) engine.Engine {
	r := e.(Engine)
	r.kept = kept
	return r
}

// Describe says that it is float64 on any processor.
func (Engine) Describe() engine.Description {
	return engine.Description{Name: Name, Device: engine.CPU, Precision: engine.FP64}
}

// Peak is 0: it is not made to reach any.
func (Engine) Peak(int, time.Duration) float64 { return 0 }

// tensors has one slice per Graph.Params, or per Graph.Buffers.
type tensors [][]float64

func (t tensors) clone() tensors {
	c := make(tensors, len(t))
	for i := range t {
		c[i] = slices.Clone(t[i])
	}
	return c
}

func (t tensors) zero() {
	for i := range t {
		clear(t[i])
	}
}

// Program is a compiled network. Its tensors are in the layout of PyTorch.
// What Get returns is kept as float32 numbers between calls, so that state
// moves from program to program without loss; all arithmetic is in float64.
type Program struct {
	g    *graph.Graph
	o    engine.Options
	sets [engine.EMABuffers + 1]tensors // by engine.Set; nil until used

	val, grad tensors // per node, [N,C,H,W]: its output, and the derivative of the loss by it
	mean, inv tensors // per BN node, [C]: the mean used and 1/√(variance+ε)
	winner    [][]int // per max-pool node and output element: the input element taken
	fixed     []bool  // per node: a BN of Options.FixedNorms
	rounds    []bool  // per node: a step rounds its output: see Options.Activations
	mask      []int   // per node: its index in Batch.Masks
	kink      float64 // see Kink
	rounding  Engine  // see WithRounding
	rng       *rand.Rand
}

var errInference = errors.New("reference: the program was compiled for inference only")

// Compile allocates the tensors.
func (e Engine) Compile(g *graph.Graph, o engine.Options) (engine.Program, error) {
	o = o.WithDefaults()
	if o.Batch < 1 || o.Threads < 1 || o.BNMomentum < 0 || o.BNMomentum > 1 {
		return nil, fmt.Errorf("reference: batch %d, threads %d, BN momentum %g: batch and threads are at least 1, momentum in [0, 1]", o.Batch, o.Threads, o.BNMomentum)
	}
	if len(g.Nodes) < 2 || g.Input().Op != graph.OpInput || g.Output().H != 1 || g.Output().W != 1 {
		return nil, errors.New("reference: the graph does not lead from images to logits of C×1×1")
	}
	fixed, err := o.Fixed(g)
	rounds, roundsErr := o.Rounds(g)
	if err = errors.Join(err, roundsErr); err == nil {
		err = o.Fits(holds(g, o))
	}
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	nodes := len(g.Nodes)
	p := &Program{
		g: g, o: o, rounding: e,
		val: make(tensors, nodes), grad: make(tensors, nodes),
		mean: make(tensors, nodes), inv: make(tensors, nodes),
		winner: make([][]int, nodes), fixed: fixed, rounds: rounds, mask: make([]int, nodes),
	}
	for k, i := range g.Stochastic() {
		p.mask[i] = k
	}
	for i, n := range g.Nodes {
		p.val[i] = make([]float64, o.Batch*n.C*n.H*n.W)
		if !o.Inference {
			p.grad[i] = make([]float64, len(p.val[i]))
		}
		switch n.Op {
		case graph.OpBatchNorm:
			p.mean[i], p.inv[i] = make([]float64, n.C), make([]float64, n.C)
		case graph.OpMaxPool:
			p.winner[i] = make([]int, len(p.val[i]))
		}
	}
	p.sets[engine.Params] = make(tensors, len(g.Params))
	for i, t := range g.Params {
		p.sets[engine.Params][i] = make([]float64, t.Size())
	}
	p.sets[engine.Buffers] = make(tensors, len(g.Buffers))
	for i, t := range g.Buffers {
		p.sets[engine.Buffers][i] = make([]float64, t.Size())
	}
	for _, n := range g.Nodes {
		if n.Op == graph.OpBatchNorm {
			v := p.sets[engine.Buffers][n.Buffers[1]]
			for c := range v {
				v[c] = 1
			}
		}
	}
	if !o.Inference {
		p.sets[engine.Gradients] = p.sets[engine.Params].clone()
	}
	return p, nil
}

// Step implements engine.Program.
func (p *Program) Step(b engine.Batch, logits []float32) (float64, error) {
	if p.o.Inference {
		return 0, errInference
	}
	if err := p.checkStep(b, logits); err != nil {
		return 0, fmt.Errorf("reference: step: %w", err)
	}
	f := pass{params: p.sets[engine.Params], buffers: p.sets[engine.Buffers], batchStats: true, momentum: p.o.BNMomentum, masks: b.Masks, keeps: true}
	p.forward(b.Images, f)
	toFloat32(logits, p.val[len(p.val)-1])
	loss := p.loss(b.Targets)
	p.backward(f)
	p.keep(engine.Gradients, engine.Buffers)
	return loss, nil
}

// Forward implements engine.Program.
func (p *Program) Forward(images, logits []float32, mode engine.Mode, momentum float64) error {
	in, out := p.val[0], p.val[len(p.val)-1]
	if err := errors.Join(checkLen("images", len(images), len(in)), checkLen("logits", len(logits), len(out))); err != nil {
		return fmt.Errorf("reference: forward: %w", err)
	}
	f := pass{params: p.sets[engine.Params], buffers: p.sets[engine.Buffers]}
	switch mode {
	case engine.Evaluate:
	case engine.EvaluateEMA:
		f.params, f.buffers = p.sets[engine.EMAParams], p.sets[engine.EMABuffers]
		if f.params == nil {
			return errors.New("reference: forward: there is no EMA yet")
		}
	case engine.Calibrate:
		if p.o.Inference {
			return errInference
		}
		if !(momentum >= 0 && momentum <= 1) {
			return fmt.Errorf("reference: forward: momentum %g is not in [0, 1]", momentum)
		}
		f.batchStats, f.momentum = true, momentum
	default:
		return fmt.Errorf("reference: forward: mode %d", mode)
	}
	p.forward(images, f)
	p.keep(engine.Buffers)
	toFloat32(logits, out)
	return nil
}

// keep rounds sets to float32.
func (p *Program) keep(sets ...engine.Set) {
	for _, s := range sets {
		for _, t := range p.sets[s] {
			for k := range t {
				t[k] = float64(float32(t[k]))
			}
		}
	}
}

// tensor finds a tensor's index in its set and its size.
func (p *Program) tensor(set engine.Set, name string) (i, size int, err error) {
	switch {
	case set == engine.Buffers || set == engine.EMABuffers:
		i = slices.IndexFunc(p.g.Buffers, func(b graph.Buffer) bool { return b.Name == name })
		if i >= 0 {
			return i, p.g.Buffers[i].Size(), nil
		}
	case set > engine.EMABuffers:
		return 0, 0, fmt.Errorf("reference: set %d does not exist", set)
	default:
		i = slices.IndexFunc(p.g.Params, func(q graph.Param) bool { return q.Name == name })
		if i >= 0 {
			return i, p.g.Params[i].Size(), nil
		}
	}
	return 0, 0, fmt.Errorf("reference: no tensor %q in set %d", name, set)
}

// Get implements engine.Program. A moment or EMA that was never used is an error.
func (p *Program) Get(set engine.Set, name string, dst []float32) error {
	i, size, err := p.tensor(set, name)
	if err != nil {
		return err
	}
	if p.sets[set] == nil {
		return fmt.Errorf("reference: get %s: set %d was never used", name, set)
	}
	if err := checkLen(name, len(dst), size); err != nil {
		return fmt.Errorf("reference: get: %w", err)
	}
	toFloat32(dst, p.sets[set][i])
	return nil
}

// Set implements engine.Program. The first tensor of a moment creates all
// others as zeros, that of the EMA all others as copies of the current values.
func (p *Program) Set(set engine.Set, name string, src []float32) error {
	i, size, err := p.tensor(set, name)
	if err != nil {
		return err
	}
	if p.o.Inference && set > engine.Buffers && set < engine.EMAParams {
		return errInference
	}
	if err := checkLen(name, len(src), size); err != nil {
		return fmt.Errorf("reference: set: %w", err)
	}
	p.create(set)
	for k, v := range src {
		p.sets[set][i][k] = float64(v)
	}
	return nil
}

// create makes a set if it does not exist; the two of the EMA together.
func (p *Program) create(set engine.Set) {
	if p.sets[set] != nil {
		return
	}
	switch set {
	case engine.Moment1, engine.Moment2:
		p.sets[set] = p.sets[engine.Params].clone()
		p.sets[set].zero()
	case engine.EMAParams, engine.EMABuffers:
		p.sets[engine.EMAParams] = p.sets[engine.Params].clone()
		p.sets[engine.EMABuffers] = p.sets[engine.Buffers].clone()
	}
}

// holds is what Memory of a program will be that has no moments yet.
func holds(g *graph.Graph, o engine.Options) int64 {
	values, copies := int64(0), int64(2) // with gradients
	if o.Inference {
		copies = 1
	}
	for _, n := range g.Nodes {
		size := int64(o.Batch) * int64(n.C*n.H*n.W)
		values += copies * size
		switch n.Op {
		case graph.OpBatchNorm:
			values += 2 * int64(n.C)
		case graph.OpMaxPool:
			values += size
		}
	}
	for _, t := range g.Params {
		values += copies * int64(t.Size())
	}
	for _, t := range g.Buffers {
		values += int64(t.Size())
	}
	return 8 * values
}

// Memory implements engine.Program.
func (p *Program) Memory() int64 {
	var n int64
	for _, t := range append(p.sets[:], p.val, p.grad, p.mean, p.inv) {
		for _, v := range t {
			n += 8 * int64(len(v))
		}
	}
	for _, v := range p.winner {
		n += 8 * int64(len(v))
	}
	return n
}

// Close implements engine.Program: the garbage collector does it.
func (p *Program) Close() error { return nil }

// Kink says how near the last forward pass came to a point where the network
// has no derivative: the smallest distance of a ReLU's input to zero, or of a
// max-pool's winner to the next smaller value, in units of the tensor's root
// mean square. Exact zeros and ties do not count: every arithmetic agrees on
// them. An engine whose rounding errors are not far smaller than this may
// take the other branch and get other gradients without being wrong.
func (p *Program) Kink() float64 { return p.kink }

// round disturbs y as sums of that many terms would in arithmetic of the
// program's unit roundoff; no terms, no error.
func (p *Program) round(y []float64, terms int) {
	if p.rounding.unit == 0 || terms == 0 {
		return
	}
	size := 0.0
	if terms > 1 {
		size = rms(y)
	}
	e := p.rounding.unit * math.Sqrt(float64(terms))
	for i := range y {
		y[i] += e * (math.Abs(y[i]) + size) * p.rng.NormFloat64()
	}
}

// reseed makes every pass and update depend on the program's tensors alone.
func (p *Program) reseed() { p.rng = rand.New(rand.NewPCG(p.rounding.seed, 0)) }

func rms(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return math.Sqrt(s / float64(len(x)))
}

func (p *Program) checkStep(b engine.Batch, logits []float32) error {
	out := len(p.val[len(p.val)-1])
	errs := []error{
		checkLen("images", len(b.Images), len(p.val[0])),
		checkLen("targets", len(b.Targets), out),
	}
	if logits != nil {
		errs = append(errs, checkLen("logits", len(logits), out))
	}
	if nodes := p.g.Stochastic(); b.Masks != nil && len(b.Masks) != len(nodes) {
		errs = append(errs, fmt.Errorf("%d masks, want %d", len(b.Masks), len(nodes)))
	} else if b.Masks != nil {
		for k, i := range nodes {
			want := p.o.Batch
			if p.g.Nodes[i].Op == graph.OpDropout {
				want = len(p.val[i])
			}
			errs = append(errs, checkLen(fmt.Sprintf("mask %d", k), len(b.Masks[k]), want))
		}
	}
	return errors.Join(errs...)
}

func checkLen(what string, got, want int) error {
	if got != want {
		return fmt.Errorf("%s: %d values, want %d", what, got, want)
	}
	return nil
}

func toFloat32(dst []float32, src []float64) {
	if dst == nil {
		return
	}
	for i, v := range src {
		dst[i] = float32(v)
	}
}
