package train

import (
	"context"
	"math/rand/v2"
	"testing"

	"netspace/dataset"
	"netspace/engine"
	"netspace/engine/reference"
	"netspace/graph"
)

const (
	testSize    = 6
	testClasses = 3
)

// memorySplit is a split of made-up images.
type memorySplit struct {
	labels []int
	images [][]byte
}

func (s *memorySplit) Len() int        { return len(s.labels) }
func (s *memorySplit) Label(i int) int { return s.labels[i] }
func (s *memorySplit) Image(i int, dst []byte) error {
	copy(dst, s.images[i])
	return nil
}

// madeUp makes n images of testSize² whose class is where their bright bar is, in noise.
func madeUp(n int, seed uint64) *memorySplit {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &memorySplit{}
	for i := range n {
		label := i % testClasses
		img := make([]byte, testSize*testSize)
		for p := range img {
			img[p] = byte(rng.IntN(120))
			if y := p / testSize; y/2 == label {
				img[p] += 80
			}
		}
		s.labels, s.images = append(s.labels, label), append(s.images, img)
	}
	return s
}

func testData(train, val int) *dataset.Data {
	return &dataset.Data{
		Info: dataset.Info{
			Name: "bars", Channels: 1, Height: testSize, Width: testSize, Classes: testClasses,
			Mean: []float32{0.3}, Std: []float32{0.2},
		},
		Train: madeUp(train, 1), Val: madeUp(val, 2), Test: madeUp(val, 3),
	}
}

// testNet is a stem, one residual block with group convolution and squeeze-and-excitation,
// and a head.
func testNet(t testing.TB, recipe Recipe) *graph.Graph {
	t.Helper()
	r := graph.Recorder{BNEpsilon: recipe.BNEpsilon}
	name := func(part string) graph.Name { return graph.Name{Stage: 1, Block: 1, Part: part} }
	x := r.Input(1, testSize, testSize)
	x = r.Conv(graph.Name{Part: "stem.conv"}, x, graph.Conv{Out: 4, Kernel: 3, Stride: 1, Groups: 1})
	x = r.Activation(r.BatchNorm(graph.Name{Part: "stem.bn"}, x, graph.BatchNorm{}), graph.ReLU)
	f := r.Conv(name("f.a"), x, graph.Conv{Out: 4, Kernel: 3, Stride: 2, Groups: 2})
	f = r.Activation(r.BatchNorm(name("f.a_bn"), f, graph.BatchNorm{}), graph.ReLU)
	g := r.GlobalPool(f)
	g = r.Activation(r.Conv(name("f.se.f_ex.0"), g, graph.Conv{Out: 2, Kernel: 1, Stride: 1, Groups: 1, Bias: true}), graph.ReLU)
	g = r.Activation(r.Conv(name("f.se.f_ex.2"), g, graph.Conv{Out: 4, Kernel: 1, Stride: 1, Groups: 1, Bias: true}), graph.Sigmoid)
	f = r.Scale(f, g)
	f = r.Conv(name("f.b"), f, graph.Conv{Out: 6, Kernel: 1, Stride: 1, Groups: 1})
	f = r.DropPath(r.BatchNorm(name("f.b_bn"), f, graph.BatchNorm{EndsBranch: true}), recipe.DropPath)
	p := r.Conv(name("proj"), x, graph.Conv{Out: 6, Kernel: 1, Stride: 2, Groups: 1})
	x = r.Activation(r.Add(r.BatchNorm(name("bn"), p, graph.BatchNorm{}), f), graph.ReLU)
	x = r.Dropout(r.GlobalPool(x), recipe.Dropout)
	r.Linear(graph.Name{Part: "head.fc"}, x, testClasses)
	out, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// spy is the reference engine that shows what it is given.
type spy struct {
	engine.Engine
	compile func(engine.Options)
	step    func(engine.Batch)
	update  func(engine.Update)
	forward func(images []float32, mode engine.Mode)
	loss    func(step int, loss float64) float64 // may replace the loss
}

func (s *spy) Compile(g *graph.Graph, o engine.Options) (engine.Program, error) {
	if s.compile != nil {
		s.compile(o)
	}
	p, err := s.Engine.Compile(g, o)
	return &spyProgram{Program: p, spy: s}, err
}

type spyProgram struct {
	engine.Program
	*spy
	steps int
}

func (p *spyProgram) Step(b engine.Batch, logits []float32) (float64, error) {
	if p.spy.step != nil {
		p.spy.step(b)
	}
	loss, err := p.Program.Step(b, logits)
	if p.loss != nil {
		loss = p.loss(p.steps, loss)
	}
	p.steps++
	return loss, err
}

func (p *spyProgram) Update(u engine.Update) (float64, error) {
	if p.spy.update != nil {
		p.spy.update(u)
	}
	return p.Program.Update(u)
}

func (p *spyProgram) Forward(images, logits []float32, mode engine.Mode, momentum float64) error {
	if p.spy.forward != nil {
		p.spy.forward(images, mode)
	}
	return p.Program.Forward(images, logits, mode, momentum)
}

// testRecipe trains in a fraction of a second.
func testRecipe() Recipe {
	r := DefaultRecipe()
	r.Epochs, r.Batch, r.Pad = 3, 8, new(1)
	return r
}

func testJob(t testing.TB, r Recipe) Job {
	t.Helper()
	return Job{
		Graph: testNet(t, r), Data: testData(40, 21), Recipe: r, Seed: 5, Engine: reference.New(),
	}
}

// mustRun trains and returns the result without its times.
func mustRun(t testing.TB, j Job) Result {
	t.Helper()
	res, err := Run(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	res.Seconds, res.ImagesPerSecond = 0, 0
	return res
}

// get copies a tensor out of a program.
func get(t testing.TB, p engine.Program, set engine.Set, name string, size int) []float32 {
	t.Helper()
	buf := make([]float32, size)
	if err := p.Get(set, name, buf); err != nil {
		t.Fatal(err)
	}
	return buf
}
