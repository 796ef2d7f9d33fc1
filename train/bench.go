package train

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"netspace/engine"
	"netspace/graph"
	"netspace/weights"
)

// Speed is what Bench measured.
type Speed struct {
	ImagesPerSecond float64 // of whole steps: forward, backward, update
	GFLOPS          float64 // 6 × forward multiply-adds per image × images/s, in 10^9 per second
	Steps           int
	Compile         time.Duration
	Memory          int64         // bytes of the program
	Profile         []engine.Cost // seconds per step; empty where it was not asked for
}

// Bench times training steps of a network on random images that are in memory
// already, for at least the given time after two steps of warm-up. The speed is
// that of the fastest tenth of the time, at least one step: other work on the machine slows
// single steps, nothing makes them faster.
//
// profile also measures every op; that the engine must be able to. It slows a
// step by the time of looking at the clock, below a percent.
func Bench(ctx context.Context, e engine.Engine, g *graph.Graph, o engine.Options, d time.Duration, profile bool) (Speed, error) {
	o = o.WithDefaults()
	start := time.Now()
	p, err := e.Compile(g, o)
	if err != nil {
		return Speed{}, err
	}
	defer p.Close()
	s := Speed{Compile: time.Since(start)}
	if err := weights.Initialize(p, g, 1, false); err != nil {
		return Speed{}, err
	}
	in, classes := g.Input(), g.Output().C
	r := rand.New(rand.NewPCG(1, 2))
	b := engine.Batch{
		Images:  make([]float32, o.Batch*in.C*in.H*in.W),
		Targets: make([]float32, o.Batch*classes),
	}
	for i := range b.Images {
		b.Images[i] = float32(r.NormFloat64())
	}
	for i := range o.Batch {
		b.Targets[i*classes+r.IntN(classes)] = 1
	}
	// A rate this small keeps random labels from driving the weights anywhere
	// in as many steps as a long measurement takes.
	u := engine.Update{LR: 1e-4, Momentum: 0.9, WeightDecay: 5e-5, BNWeightDecay: 5e-5, BiasWeightDecay: 5e-5}
	var update time.Duration // in all steps
	step := func() (time.Duration, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		t := time.Now()
		if _, err := p.Step(b, nil); err != nil {
			return 0, err
		}
		stepped := time.Now()
		_, err := p.Update(u)
		update += time.Since(stepped)
		return time.Since(t), err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for range 2 {
		if _, err := step(); err != nil {
			return Speed{}, err
		}
	}
	profiler, _ := p.(engine.Profiler)
	if profile {
		if profiler == nil {
			return Speed{}, fmt.Errorf("engine %s cannot tell where its time goes", e.Describe().Name)
		}
		profiler.Profile(true)
	}
	update = 0
	var window, best time.Duration // best mean step over a tenth of the time
	for begin, n := time.Now(), 0; time.Since(begin) < d || s.Steps == 0; s.Steps++ {
		t, err := step()
		if err != nil {
			return Speed{}, err
		}
		window += t
		n++
		if window >= d/10 {
			if mean := window / time.Duration(n); best == 0 || mean < best {
				best = mean
			}
			window, n = 0, 0
		}
		if best == 0 && time.Since(begin) >= d {
			best = window / time.Duration(n)
		}
	}
	s.ImagesPerSecond = float64(o.Batch) / best.Seconds()
	s.GFLOPS = 6 * float64(g.Complexity().Flops) * s.ImagesPerSecond / 1e9
	s.Memory = p.Memory()
	if profile {
		s.Profile = append(profiler.Costs(), engine.Cost{Kind: "update", Seconds: update.Seconds()})
		for i := range s.Profile {
			s.Profile[i].Seconds /= float64(s.Steps)
		}
	}
	return s, nil
}
