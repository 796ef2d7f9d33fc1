// Package latency tells how long networks take: measured on an engine of this
// process or by a program of the user's on any other device, and by a model of
// what was measured there.
//
//	m := latency.Engine{Engine: e}
//	r, err := m.Measure(ctx, latency.Task{Graph: g, Batch: 1, Threads: 1})
//	fmt.Println(r.Milliseconds, r.P95)
package latency

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"netspace/engine"
	"netspace/graph"
	"netspace/weights"
)

// Task is what is measured: the logits of a network for one batch. How long that
// takes does not depend on the weights, which are initial ones.
type Task struct {
	Graph   *graph.Graph // built for images of the size to measure
	Batch   int          // images at a time; 0 means 1
	Threads int          // 0 means 1
}

func (t Task) withDefaults() (Task, error) {
	if t.Batch == 0 {
		t.Batch = 1
	}
	if t.Threads == 0 {
		t.Threads = 1
	}
	if t.Batch < 0 || t.Threads < 0 {
		return t, fmt.Errorf("latency: batch %d and %d threads: both are at least 1", t.Batch, t.Threads)
	}
	return t, nil
}

// Result is what was measured.
type Result struct {
	Milliseconds float64 // of a batch: the median of the runs
	P95          float64 // their 95th percentile, in milliseconds
	Fastest      float64 // the fastest run, in milliseconds: what other programs on the device disturb least
	Runs         int
	Memory       int64         // bytes that the compiled program holds; 0: not known
	Profile      []engine.Cost // seconds per run; empty where it was not asked for
}

// ImagesPerSecond is the throughput at the median, of batches of so many images.
func (r Result) ImagesPerSecond(batch int) float64 { return float64(batch) / r.Milliseconds * 1e3 }

// resultOf summarises the milliseconds of at least one run.
func resultOf(runs []float64) Result {
	runs = slices.Sorted(slices.Values(runs))
	return Result{
		Milliseconds: stat.Quantile(0.5, stat.Empirical, runs, nil),
		P95:          stat.Quantile(0.95, stat.Empirical, runs, nil),
		Fastest:      runs[0],
		Runs:         len(runs),
	}
}

// Meter measures latencies on one device.
type Meter interface {
	// Measure runs the network. It does not return before ctx is done or the measurement
	// is complete; several at a time disturb each other where they share a device.
	Measure(ctx context.Context, t Task) (Result, error)
}

// Engine measures on an engine of this process, on random images that are in memory.
type Engine struct {
	Engine  engine.Engine
	For     time.Duration // how long to measure for; 0 means one second
	Profile bool          // time every op, too, which slows a run by looking at the clock
}

var _ Meter = Engine{}

// minRuns is how many runs are measured however long they take.
const minRuns = 3

// Measure implements Meter: the network runs for a tenth of the time to warm up, at least twice, and is then
// timed run by run for the whole time, at least three times.
func (m Engine) Measure(ctx context.Context, t Task) (r Result, err error) {
	if t, err = t.withDefaults(); err != nil {
		return Result{}, err
	}
	if m.For == 0 {
		m.For = time.Second
	}
	p, err := m.Engine.Compile(t.Graph, engine.Options{Batch: t.Batch, Threads: t.Threads, Inference: true, Fold: true})
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := weights.Initialize(p, t.Graph, 1, false); err != nil {
		return Result{}, err
	}
	in := t.Graph.Input()
	images, logits := make([]float32, t.Batch*in.C*in.H*in.W), make([]float32, t.Batch*t.Graph.Output().C)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range images {
		images[i] = float32(random.NormFloat64())
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	run := func(d time.Duration, least int) (runs []float64, err error) {
		for begin := time.Now(); time.Since(begin) < d || len(runs) < least; {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			start := time.Now()
			if err := p.Forward(images, logits, engine.Evaluate, 0); err != nil {
				return nil, err
			}
			runs = append(runs, 1e3*time.Since(start).Seconds())
		}
		return runs, nil
	}
	if _, err := run(m.For/10, 2); err != nil {
		return Result{}, err
	}
	profiler, _ := p.(engine.Profiler)
	if m.Profile {
		if profiler == nil {
			return Result{}, fmt.Errorf("engine %s cannot tell where its time goes", m.Engine.Describe().Name)
		}
		profiler.Profile(true)
	}
	runs, err := run(m.For, minRuns)
	if err != nil {
		return Result{}, err
	}
	r = resultOf(runs)
	r.Memory = p.Memory()
	if m.Profile {
		// What belongs to training has not run.
		r.Profile = slices.DeleteFunc(profiler.Costs(), func(c engine.Cost) bool { return c.Seconds == 0 })
		for i := range r.Profile {
			r.Profile[i].Seconds /= float64(r.Runs)
		}
	}
	return r, nil
}
