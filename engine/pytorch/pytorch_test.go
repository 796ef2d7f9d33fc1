package pytorch

import (
	"errors"
	"strings"
	"testing"

	"netspace/arch"
	"netspace/engine"
	"netspace/engine/enginetest"
	"netspace/graph"
)

// open is PyTorch on the processor, or skips where there is none.
func open(t *testing.T) *Engine {
	t.Helper()
	e, err := Open(Config{Device: engine.CPU})
	var lacking *engine.ErrUnavailable
	if errors.As(err, &lacking) {
		t.Skip(lacking)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.rest)
	return e
}

// Cases that vary shapes for the sake of kernels of ours, and no op, are left out.
func TestEngine(t *testing.T) {
	e := open(t)
	unit := e.Describe().Precision.Unit()
	for _, c := range enginetest.Cases() {
		if kind, _, _ := strings.Cut(c.Name, "/"); kind == "width" || kind == "random" || kind == "threads" || kind == "large" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) { enginetest.Compare(t, e, c, unit) })
	}
	enginetest.RunPromises(t, e, unit)
}

func small(t *testing.T) *graph.Graph {
	t.Helper()
	spec := arch.AnyNet{Common: arch.Common{Activation: graph.ReLU, Stem: arch.Stem{Type: arch.CIFARStem, Width: 8}},
		Stages: []arch.Stage{{Depth: 1, Width: 8, Stride: 2, Bottleneck: 1, GroupWidth: 4}}}.Spec()
	g, err := spec.TrainingGraph(arch.Input{Channels: 1, Height: 8, Width: 8, Classes: 3}, arch.FromRecipe{})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A process that dies takes its programs with it and nothing else.
func TestADeadProcessIsReplaced(t *testing.T) {
	e := open(t)
	g := small(t)
	o := engine.Options{Batch: 2}
	p, err := e.Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.process.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	logits := make([]float32, 6)
	var died *DiedError
	if err := p.Forward(make([]float32, 128), logits, engine.Evaluate, 0); !errors.As(err, &died) || !strings.Contains(err.Error(), "killed") {
		t.Errorf("forward in a process that was killed: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	again, err := e.Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(again.Forward(make([]float32, 128), logits, engine.Evaluate, 0), again.Close()); err != nil {
		t.Error(err)
	}
}

// One value has no unbiased variance, and is no reason for statistics of nan.
func TestStatisticsOfOneValue(t *testing.T) {
	e := open(t)
	var r graph.Recorder
	x := r.BatchNorm(graph.Name{Part: "bn"}, r.Conv(graph.Name{Part: "conv"}, r.Input(1, 1, 1), graph.Conv{Out: 2, Kernel: 1, Stride: 1, Groups: 1, Bias: true}), graph.BatchNorm{})
	r.Linear(graph.Name{Part: "fc"}, x, 2)
	g, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Compile(g, engine.Options{Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Set(engine.Params, "conv.bias", []float32{5, 7}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Step(engine.Batch{Images: []float32{1}, Targets: []float32{1, 0}}, nil); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float32{"bn.running_mean": 0.5, "bn.running_var": 0.9} {
		got := make([]float32, 2)
		if err := p.Get(engine.Buffers, name, got); err != nil || got[0] != want {
			t.Errorf("%s is %v (%v), want %v", name, got, err, want)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	var lacking *engine.ErrUnavailable
	if _, err := Open(Config{Python: "/nowhere/python3"}); !errors.As(err, &lacking) || !strings.Contains(err.Error(), "/nowhere/python3") {
		t.Errorf("no Python: %v", err)
	}
	e := open(t)
	if e.GPUs() == 0 {
		if _, err := Open(Config{Device: CUDA}); err != nil && !strings.Contains(err.Error(), "CUDA") {
			t.Errorf("a GPU that is not there: %v", err)
		}
	}
}
