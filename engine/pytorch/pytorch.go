// Package pytorch is the engine that computes with PyTorch, on the processor or on a CUDA GPU.
//
// It runs program.py, which is embedded, in a process of its own, and drives it step by step through pipes: the
// recipe, the order and augmentation of the images, the masks of drop-path and the checkpoints are package
// train's, as with every engine. So a network trains on the same numbers as with the others,
// and from the same weights, and differs in the rounding of its arithmetic alone.
package pytorch

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"netspace/engine"
	"netspace/graph"
)

// Name is what the engine calls itself.
const Name = "pytorch"

// Auto leaves a device or a precision to the engine: a CUDA GPU where PyTorch finds one; BF16 there, FP32 on processors.
const Auto = "auto"

// CUDA is the device of an NVIDIA GPU.
const CUDA = "cuda"

// Devices are what Config.Device may be.
func Devices() []string { return []string{Auto, engine.CPU, CUDA} }

// Precisions are what Config.Precision may be.
func Precisions() []string { return []string{Auto, string(engine.FP32), string(engine.BF16)} }

// Config says which PyTorch computes on what. The zero value leaves all to the engine.
type Config struct {
	// Python is the interpreter that has PyTorch and numpy; "" means python3 of the PATH or else /usr/bin/python3, the first that has them.
	Python    string
	Device    string // of Devices; "" means Auto
	Precision string // of Precisions; "" means Auto
}

// idle is how long the process outlives its last program: a worker's next trial needs it again.
const idle = 10 * time.Second

// Engine is PyTorch in one process, which lives while there are programs and a little longer. Programs
// of an engine compute one after the other.
type Engine struct {
	config Config

	mu       sync.Mutex
	hello    hello // of the first process
	process  *process
	programs int // open ones, of this process
	number   int // of the last program
	end      *time.Timer
}

// Open starts PyTorch, to see that it is there and what it computes on. The error is an
// *engine.ErrUnavailable if it is not there or lacks the device.
func Open(c Config) (*Engine, error) {
	e := &Engine{config: c}
	p, err := start(c)
	if err != nil {
		return nil, err
	}
	e.process, e.hello = p, p.hello
	e.end = time.AfterFunc(idle, e.rest)
	return e, nil
}

// rest ends a process that has had nothing to do.
func (e *Engine) rest() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.programs == 0 && e.process != nil {
		e.process.close()
		e.process = nil
	}
}

// Describe says which PyTorch it is, and the processor's instruction set, where PyTorch tells it, or the GPU's name.
func (e *Engine) Describe() engine.Description {
	return engine.Description{Name: Name, Device: e.hello.Device, Precision: e.hello.Precision, Library: e.hello.Library, ISA: e.hello.ISA}
}

// GPUs is how many CUDA GPUs the machine has, or 0 where the engine computes on the processor.
func (e *Engine) GPUs() int { return e.hello.GPUs }

// Peak is 0: it cannot tell.
func (e *Engine) Peak(int, time.Duration) float64 { return 0 }

// Program is a network in PyTorch's process.
type Program struct {
	engine  *Engine
	process *process
	number  int
	threads int

	images, classes int   // values per batch, classes
	masks           []int // values of each mask
	batch           int
	sizes           [2]map[string]int // of parameters, of buffers
	closed          bool
}

// Compile implements engine.Engine.
func (e *Engine) Compile(g *graph.Graph, o engine.Options) (engine.Program, error) {
	o = o.WithDefaults()
	if o.Batch < 1 || o.Threads < 1 || o.BNMomentum < 0 || o.BNMomentum > 1 {
		return nil, fmt.Errorf("pytorch: batch %d, threads %d, BN momentum %g: batch and threads are at least 1, momentum in [0, 1]", o.Batch, o.Threads, o.BNMomentum)
	}
	if len(g.Nodes) < 2 || g.Input().Op != graph.OpInput || g.Output().H != 1 || g.Output().W != 1 {
		return nil, errors.New("pytorch: the graph does not lead from images to logits of C×1×1")
	}
	_, err := o.Fixed(g)
	if err == nil && o.Activations == engine.BF16 {
		err = errors.New("it keeps activations in the precision that it computes in, and not in bf16")
	}
	if err == nil {
		err = o.Fits(e.holds(g, o))
	}
	if err != nil {
		return nil, fmt.Errorf("pytorch: %w", err)
	}
	in := g.Input()
	p := &Program{engine: e, threads: o.Threads, batch: o.Batch, images: o.Batch * in.C * in.H * in.W, classes: g.Output().C,
		sizes: [2]map[string]int{make(map[string]int), make(map[string]int)}}
	for _, i := range g.Stochastic() {
		n := &g.Nodes[i]
		if n.Op == graph.OpDropPath {
			p.masks = append(p.masks, o.Batch)
		} else {
			p.masks = append(p.masks, o.Batch*n.C*n.H*n.W)
		}
	}
	for _, t := range g.Params {
		p.sizes[0][t.Name] = t.Size()
	}
	for _, t := range g.Buffers {
		p.sizes[1][t.Name] = t.Size()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.end.Stop()
	if e.process == nil || e.process.died() {
		process, err := start(e.config)
		if err != nil {
			return nil, err
		}
		if process.hello != e.hello {
			process.close()
			return nil, fmt.Errorf("pytorch: it was %v and now is %v", e.hello, process.hello)
		}
		e.process, e.programs = process, 0
	}
	e.number++
	p.process, p.number = e.process, e.number
	net := g.Network()
	_, err = p.process.call(request{Op: "compile", Program: p.number, Threads: p.threads, Layers: net.Layers, Tensors: net.Tensors,
		Batch: o.Batch, Inference: o.Inference, Momentum: o.BNMomentum, Fixed: o.FixedNorms}, nil, nil)
	if err != nil {
		e.end.Reset(idle)
		return nil, err
	}
	e.programs++
	return p, nil
}

// holds estimates what PyTorch will hold of this machine's memory: what a step keeps of every value for the way back
// and four sets of parameters. On a GPU it is not this machine's.
func (e *Engine) holds(g *graph.Graph, o engine.Options) int64 {
	if e.hello.Device != engine.CPU {
		return 0
	}
	values, largest := int64(0), int64(0)
	for _, n := range g.Nodes {
		size := int64(o.Batch) * int64(n.C*n.H*n.W)
		largest = max(largest, size)
		if !o.Inference {
			values += size
		}
	}
	values += 2 * largest // under way
	for _, t := range g.Params {
		values += 4 * int64(t.Size())
	}
	return 4 * values
}

func (p *Program) call(r request, in [][]float32, out []float32) (answer, error) {
	r.Program, r.Threads = p.number, p.threads
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	return p.process.call(r, in, out)
}

// Step implements engine.Program.
func (p *Program) Step(b engine.Batch, logits []float32) (float64, error) {
	errs := []error{checkLen("images", len(b.Images), p.images), checkLen("targets", len(b.Targets), p.batch*p.classes)}
	if logits != nil {
		errs = append(errs, checkLen("logits", len(logits), p.batch*p.classes))
	}
	if b.Masks != nil {
		errs = append(errs, checkLen("masks", len(b.Masks), len(p.masks)))
		for i := range min(len(b.Masks), len(p.masks)) {
			errs = append(errs, checkLen(fmt.Sprintf("mask %d", i), len(b.Masks[i]), p.masks[i]))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return 0, fmt.Errorf("pytorch: step: %w", err)
	}
	a, err := p.call(request{Op: "step", Logits: logits != nil}, append([][]float32{b.Images, b.Targets}, b.Masks...), logits)
	return float64(a.Number), err
}

// Update implements engine.Program.
func (p *Program) Update(u engine.Update) (float64, error) {
	if u.Optimizer > engine.AdamW || u.Optimizer != engine.SGD && u.Step < 1 {
		return 0, fmt.Errorf("pytorch: update: optimizer %d in step %d: the optimizers are 0 to 2, Adam's steps count from 1", u.Optimizer, u.Step)
	}
	a, err := p.call(request{Op: "update", Update: &update{
		Optimizer: u.Optimizer, LR: u.LR, Momentum: u.Momentum, Nesterov: u.Nesterov, Beta1: u.Beta1, Beta2: u.Beta2, Epsilon: u.Epsilon,
		Step: u.Step, Decay: decay{u.WeightDecay, u.BNWeightDecay, u.BiasWeightDecay}, ClipNorm: u.ClipNorm, Rates: u.Rates, EMADecay: u.EMADecay,
	}}, nil, nil)
	return float64(a.Number), err
}

// Forward implements engine.Program.
func (p *Program) Forward(images, logits []float32, mode engine.Mode, momentum float64) error {
	if err := errors.Join(checkLen("images", len(images), p.images), checkLen("logits", len(logits), p.batch*p.classes)); err != nil {
		return fmt.Errorf("pytorch: forward: %w", err)
	}
	if mode > engine.Calibrate || !(momentum >= 0 && momentum <= 1) {
		return fmt.Errorf("pytorch: forward: mode %d, momentum %g: the modes are 0 to 2, momentum is in [0, 1]", mode, momentum)
	}
	_, err := p.call(request{Op: "forward", Mode: mode, Momentum: momentum}, [][]float32{images}, logits)
	return err
}

// Get implements engine.Program. A moment or EMA that was never used is an error.
func (p *Program) Get(set engine.Set, name string, dst []float32) error {
	if err := p.check(set, name, len(dst)); err != nil {
		return err
	}
	_, err := p.call(request{Op: "get", Set: set, Name: name}, nil, dst)
	return err
}

// Set implements engine.Program. The first tensor of a moment creates all
// others as zeros, that of the EMA all others as copies of the current values.
func (p *Program) Set(set engine.Set, name string, src []float32) error {
	if err := p.check(set, name, len(src)); err != nil {
		return err
	}
	_, err := p.call(request{Op: "set", Set: set, Name: name}, [][]float32{src}, nil)
	return err
}

// check finds out whether a set has a tensor of that name and size.
func (p *Program) check(set engine.Set, name string, size int) error {
	sizes := p.sizes[0]
	if set == engine.Buffers || set == engine.EMABuffers {
		sizes = p.sizes[1]
	}
	want, ok := sizes[name]
	if !ok || set > engine.EMABuffers {
		return fmt.Errorf("pytorch: no tensor %q in set %d", name, set)
	}
	if err := checkLen(name, size, want); err != nil {
		return fmt.Errorf("pytorch: %w", err)
	}
	return nil
}

// Memory implements engine.Program: the tensors of its sets; what PyTorch keeps besides is not in it.
func (p *Program) Memory() int64 {
	a, err := p.call(request{Op: "memory"}, nil, nil)
	if err != nil {
		return 0
	}
	return int64(a.Number)
}

// Close implements engine.Program.
func (p *Program) Close() error {
	e := p.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	if p.process != e.process || p.process.died() {
		return nil // it went with its process
	}
	_, err := p.process.call(request{Op: "close", Program: p.number, Threads: p.threads}, nil, nil)
	if e.programs--; e.programs == 0 {
		e.end.Reset(idle)
	}
	return err
}

func checkLen(what string, got, want int) error {
	if got != want {
		return fmt.Errorf("%s: %d values, want %d", what, got, want)
	}
	return nil
}

// MemoryError says that PyTorch ran out of memory. It is an engine.ErrMemory.
type MemoryError struct{ Reason string }

func (e *MemoryError) Error() string { return "pytorch: out of memory: " + e.Reason }
func (e *MemoryError) Unwrap() error { return engine.ErrMemory }

// DiedError says that PyTorch's process ended.
type DiedError struct {
	How   string           // what went wrong
	State *os.ProcessState // how it ended; nil if that is unknown
	Log   string           // the last lines that it wrote to standard error
}

func (e *DiedError) Error() string {
	s := fmt.Sprintf("pytorch: its process is gone: %v (%s)", e.State, e.How)
	if line := strings.TrimSpace(e.Log[strings.LastIndexByte(strings.TrimSpace(e.Log), '\n')+1:]); line != "" {
		s += ": " + line
	}
	return s
}
