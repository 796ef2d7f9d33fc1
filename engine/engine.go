// Package engine says what an engine is: something that compiles a graph into
// a program that trains and evaluates it on batches of one size.
//
// engine/reference is plain Go in float64, slow and obvious; engine/onednn is
// the fast one. Both pass the suite in engine/enginetest.
//
// Begin with engines.Open of package engine/engines, which knows them by name:
//
//	e, err := engines.Open(engines.Config{})
//	p, err := e.Compile(g, engine.Options{Batch: 128})
//	defer p.Close()
//	loss, err := p.Step(engine.Batch{Images: images, Targets: targets}, nil)
//	_, err = p.Update(engine.Update{LR: 0.1, Momentum: 0.9, Step: 1})
package engine

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"netspace/graph"
)

// Engine compiles graphs for one device and one precision, which it was opened
// for (see engine/engines). It is safe for concurrent use.
type Engine interface {
	// Describe says what the engine is and what it computes on.
	Describe() Description
	// Peak measures how many floating-point operations (two for a multiply-add)
	// of its precision that many threads of the device can do at best, in 10^9
	// per second, and takes at least d for it; 0 where it cannot tell.
	Peak(threads int, d time.Duration) float64
	// Compile makes a program for batches of exactly o.Batch images. Parameters
	// start at zero, running means at 0 and running variances at 1.
	Compile(g *graph.Graph, o Options) (Program, error)
}

// Precision is the arithmetic of an engine.
type Precision string

// The precisions.
const (
	FP32 Precision = "fp32" // IEEE binary32; long sums in more
	FP64 Precision = "fp64" // IEEE binary64; tensors are given and taken as float32
	BF16 Precision = "bf16" // products of bfloat16 numbers, sums and weights in IEEE binary32
)

// Unit is the unit roundoff: the largest relative error of one rounding. It is
// 0 for precisions that this version does not know.
func (p Precision) Unit() float64 {
	switch p {
	case FP32:
		return 1.0 / (1 << 24)
	case FP64:
		return 1.0 / (1 << 53)
	case BF16:
		return 1.0 / (1 << 8)
	}
	return 0
}

// CPU is the device of engines that compute on this machine's processor.
const CPU = "cpu"

// Description says what an engine is: with its own version and the network,
// what its numbers depend on. Two engines of one description give the same bits.
type Description struct {
	Name      string    `json:"name"`              // by which it is opened
	Device    string    `json:"device"`            // CPU
	Precision Precision `json:"precision"`         // of its arithmetic
	Library   string    `json:"library,omitempty"` // that computes most of it, with its version: "oneDNN 2.6.3"
	ISA       string    `json:"isa,omitempty"`     // instruction set that it uses: "AVX2"
	// Kernels is the version of the engine's own kernels, which goes up with every change of what they add up
	// in which order; 0 is that of engines that have none, and of results from before there was a number.
	Kernels int `json:"kernels,omitempty"`
}

// String gives "reference on cpu in fp64", with library, kernels and instruction set in brackets where there are such.
func (d Description) String() string {
	s := fmt.Sprintf("%s on %s in %s", d.Name, d.Device, d.Precision)
	var parts []string
	if d.Library != "" {
		parts = append(parts, d.Library)
	}
	if d.Kernels != 0 {
		parts = append(parts, fmt.Sprintf("kernels %d", d.Kernels))
	}
	if d.ISA != "" {
		parts = append(parts, d.ISA)
	}
	if len(parts) > 0 {
		s += " (" + strings.Join(parts, ", ") + ")"
	}
	return s
}

// Options of a compilation.
type Options struct {
	Batch      int     // images per batch, at least 1
	Threads    int     // threads for one step; 0 means 1
	Inference  bool    // only Forward in Evaluate mode will be used: keep no gradients
	Fold       bool    // with Inference: fold BN into convolutions, fuse what follows them; the same logits to rounding, sooner
	BNMomentum float64 // weight of a batch in the running statistics of Step; 0 means 0.1
	// FixedNorms are nodes of BNs that normalise by their running statistics in every pass, as in an evaluation. The
	// statistics and their average stay as they are, and gradients pass as through a constant scale and shift.
	FixedNorms []int
	// Activations is the precision in which Step keeps what Kept says between its forward and its backward pass: FP32, which
	// "" means, too, or BF16, half the memory. Everything is computed in the engine's own precision. Forward rounds nothing.
	Activations Precision
	// Memory is how many bytes the program may hold; 0: any number. Compile refuses one that would hold more
	// with a *MemoryError, before it allocates anything.
	Memory int64
}

// Fits is a *MemoryError if a program of so many bytes may not be made.
func (o Options) Fits(bytes int64) error {
	if o.Memory > 0 && bytes > o.Memory {
		return &MemoryError{Needs: bytes, Allowed: o.Memory}
	}
	return nil
}

// ErrMemory is what all errors are that say that there is not enough memory for a program.
var ErrMemory = errors.New("out of memory")

// MemoryError says that a program would hold more than it may.
type MemoryError struct{ Needs, Allowed int64 } // bytes

func (e *MemoryError) Error() string {
	return fmt.Sprintf("out of memory: the network would take %s, more than the %s that it may", humanize.IBytes(uint64(e.Needs)), humanize.IBytes(uint64(max(0, e.Allowed))))
}

func (e *MemoryError) Unwrap() error { return ErrMemory }

// Rounds says of every node of g whether Step rounds its output to Activations. A program for inference rounds none.
// It is an error if that is a precision in which nothing is kept.
func (o Options) Rounds(g *graph.Graph) ([]bool, error) {
	switch o.Activations {
	case "", FP32:
	case BF16:
		if !o.Inference {
			return Kept(g), nil
		}
	default:
		return nil, fmt.Errorf("activations in %s: they are kept in %s or %s", o.Activations, FP32, BF16)
	}
	return make([]bool, len(g.Nodes)), nil
}

// Fixed says of every node of g whether it is among FixedNorms. It is an error if one of these is no BN.
func (o Options) Fixed(g *graph.Graph) ([]bool, error) {
	fixed := make([]bool, len(g.Nodes))
	for _, i := range o.FixedNorms {
		if i < 0 || i >= len(g.Nodes) || g.Nodes[i].Op != graph.OpBatchNorm {
			return nil, fmt.Errorf("fixed norms: node %d of %d is no batch normalisation", i, len(g.Nodes))
		}
		fixed[i] = true
	}
	return fixed, nil
}

// WithDefaults replaces zero values by their meaning.
func (o Options) WithDefaults() Options {
	if o.Threads == 0 {
		o.Threads = 1
	}
	if o.BNMomentum == 0 {
		o.BNMomentum = 0.1
	}
	return o
}

// Batch is what one training step consumes. The program reads the slices
// during the call and keeps none of them.
type Batch struct {
	Images  []float32 // [N,C,H,W], normalised
	Targets []float32 // [N,classes]; rows of weights that sum to 1 (one-hot, smoothed or mixed)
	// Masks has one slice per node of Graph.Stochastic, in that order: for
	// drop-path [N], for dropout [N,C,H,W] factors, 0 or 1/(1-rate). Nil means no dropping.
	Masks [][]float32
}

// Set names one of the sets of tensors that a program holds.
type Set uint8

// The sets of tensors of a program. All but Buffers and EMABuffers have one tensor per
// Graph.Params, by that name; those one per Graph.Buffers.
const (
	Params     Set = iota // the weights
	Buffers               // BN running mean and variance
	Gradients             // of the last Step, before clipping and weight decay
	Moment1               // SGD momentum, Adam first moment
	Moment2               // Adam second moment
	EMAParams             // exponential moving average of Params
	EMABuffers            // exponential moving average of Buffers
)

// Optimizer is the rule of Update.
type Optimizer uint8

// The optimizers, with PyTorch's formulas.
const (
	SGD   Optimizer = iota // v = mu*v + (g + wd*p); p -= lr*v, or lr*(g + wd*p + mu*v) with Nesterov
	Adam                   // weight decay added to the gradient
	AdamW                  // decoupled weight decay: p -= lr*wd*p
)

// Update holds the numbers of one optimizer step.
type Update struct {
	Optimizer Optimizer
	LR        float64
	Momentum  float64 // SGD
	Nesterov  bool    // SGD
	Beta1     float64 // Adam, AdamW
	Beta2     float64 // Adam, AdamW
	Epsilon   float64 // Adam, AdamW: added to the root
	Step      int     // number of this update from 1, for Adam's bias correction
	// Weight decay of convolution and linear weights, of BN gamma and beta, and of biases.
	WeightDecay, BNWeightDecay, BiasWeightDecay float64
	// ClipNorm scales all gradients so that the joint L2 norm of those of parameters that move is at most this; 0 means no clipping.
	ClipNorm float64
	// Rates, if not nil, has a factor of LR for each of Graph.Params, in their order. A parameter whose factor is 0
	// stays as it is, with its moments and its average.
	Rates []float64
	// EMADecay d > 0: after the update ema = d*ema + (1-d)*value, for parameters and buffers, but those of Options.FixedNorms.
	EMADecay float64
}

// Mode of Forward.
type Mode uint8

// The modes of Forward.
const (
	Evaluate    Mode = iota // BN uses the running statistics
	EvaluateEMA             // as Evaluate, with EMAParams and EMABuffers
	Calibrate               // BN uses the batch's statistics and updates the running ones (precise BN)
)

// Program is a compiled network with its parameters and optimizer state. It
// is not safe for concurrent use. After an error its state is undefined,
// except where stated.
type Program interface {
	// Step runs forward and backward on a batch, leaves the gradients in the
	// program, updates the BN running statistics and returns the mean
	// cross-entropy: mean over N of -sum_c targets*log_softmax(logits). logits,
	// if not nil, receives [N,classes].
	Step(b Batch, logits []float32) (loss float64, err error)
	// Update applies the gradients of the last Step. It returns the joint L2
	// norm of the gradients when ClipNorm > 0, else 0.
	Update(u Update) (gradNorm float64, err error)
	// Forward computes logits [N,classes] without gradients. momentum is the
	// weight of this batch in the running statistics in mode Calibrate
	// (running = (1-momentum)*running + momentum*batch, variance unbiased);
	// 1/(k+1) in the k-th call, k from 0, averages the batches.
	Forward(images, logits []float32, mode Mode, momentum float64) error
	// Get copies a tensor out, in PyTorch layout. dst has the tensor's size.
	Get(set Set, name string, dst []float32) error
	// Set copies a tensor in. Setting EMA or moments that were never used creates them.
	Set(set Set, name string, src []float32) error
	// Memory is the number of bytes the program holds.
	Memory() int64
	// Close frees what the program holds. The program must not be used after.
	Close() error
}

// Profiler is a Program that can tell where the time of its steps goes.
type Profiler interface {
	// Profile begins (true) or ends measuring; beginning again starts from zero.
	Profile(on bool)
	// Costs gives what every op of Step has taken since Profile(true), in the
	// order in which they run; with several threads, on the first of them.
	Costs() []Cost
}

// Cost is the time of one op.
type Cost struct {
	Kind    string  `json:"kind"`    // "convolution forward", "norm backward", ...
	Layer   string  `json:"layer"`   // the layer whose output or weight it works on; may be empty
	Shape   string  `json:"shape"`   // of a convolution
	Kernel  string  `json:"kernel"`  // the implementation that runs it, of a convolution
	Flops   float64 `json:"flops"`   // floating-point operations per step, two for a multiply-add; of convolutions
	Seconds float64 `json:"seconds"` // in all steps
}

// ErrUnavailable is returned by engines that this build or machine lacks; Reason says
// what to do about it.
type ErrUnavailable struct {
	Engine string
	Reason string
}

func (e *ErrUnavailable) Error() string {
	return fmt.Sprintf("engine %s is not available: %s", e.Engine, e.Reason)
}
