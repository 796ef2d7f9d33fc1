//go:build cgo

package onednn

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"netspace/arch"
	"netspace/engine"
	"netspace/graph"
)

func network(t testing.TB, width, group int, se float64) *graph.Graph {
	t.Helper()
	n := arch.AnyNet{
		Block: arch.Bottleneck, Common: arch.Common{Stem: arch.Stem{Type: arch.CIFARStem, Width: 16}, SE: se, Activation: graph.ReLU},
		Stages: []arch.Stage{
			{Depth: 1, Width: width, Stride: 1, Bottleneck: 1, GroupWidth: group},
			{Depth: 2, Width: 2 * width, Stride: 2, Bottleneck: 1, GroupWidth: group},
		},
	}
	n.Adjust()
	g, err := n.Spec().Graph(arch.Input{Channels: 3, Height: 16, Width: 16, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func randomBatch(g *graph.Graph, n int) engine.Batch {
	r := rand.New(rand.NewPCG(1, 1))
	in, classes := g.Input(), g.Output().C
	b := engine.Batch{Images: make([]float32, n*in.C*in.H*in.W), Targets: make([]float32, n*classes)}
	for i := range b.Images {
		b.Images[i] = float32(r.NormFloat64())
	}
	for i := range n {
		b.Targets[i*classes+r.IntN(classes)] = 1
	}
	return b
}

// After the first step neither Go nor C holds more than before: what oneDNN
// allocates inside a call it frees there.
func TestStepsAllocateNothing(t *testing.T) {
	// The C libraries keep a little for every system thread that calls them, and
	// a goroutine may move to another one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g := network(t, 32, 8, 0.25)
	for _, threads := range []int{1, 2} {
		p, err := open(t).Compile(g, engine.Options{Batch: 8, Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		b := randomBatch(g, 8)
		logits := make([]float32, 8*10)
		u := engine.Update{LR: 0.01, Momentum: 0.9, WeightDecay: 1e-4, EMADecay: 0.9, ClipNorm: 1}
		step := func() {
			if _, err := p.Step(b, logits); err != nil {
				t.Fatal(err)
			}
			if _, err := p.Update(u); err != nil {
				t.Fatal(err)
			}
			if err := p.Forward(b.Images, logits, engine.EvaluateEMA, 0); err != nil {
				t.Fatal(err)
			}
		}
		step()
		step() // what a thread frees it keeps at hand, and counts as in use: once
		before, memory := heapBytes(), p.Memory()
		if n := testing.AllocsPerRun(20, step); n != 0 {
			t.Errorf("%d threads: %g Go allocations per step", threads, n)
		}
		if after := heapBytes(); after > before {
			t.Errorf("%d threads: the C heap grew by %d bytes in 20 steps", threads, after-before)
		}
		if p.Memory() != memory {
			t.Errorf("%d threads: the program grew by %d bytes", threads, p.Memory()-memory)
		}
		p.Close()
	}
}

// A study compiles thousands of networks; each must give back all it took.
func TestNothingLeaks(t *testing.T) {
	if heapBytes() < 0 {
		t.Skip("this C library does not tell what its heap has in use")
	}
	e := open(t)
	compile := func(i int) {
		g := network(t, 8+8*(i%7), []int{1, 2, 4, 8, 16}[i%5], float64(i%2)/4)
		p, err := e.Compile(g, engine.Options{Batch: 2 + i%3})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Step(randomBatch(g, 2+i%3), nil); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	const warm, all = 210, 1000 // 210 = 7*5*2*3: every network once, and the library's cache full
	for i := range warm {
		compile(i)
	}
	before := heapBytes()
	for i := warm; i < all; i++ {
		compile(i)
	}
	if grown := heapBytes() - before; grown > 1<<20 {
		t.Errorf("the C heap grew by %d bytes over %d networks", grown, all-warm)
	}
}
