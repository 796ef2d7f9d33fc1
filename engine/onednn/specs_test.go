//go:build cgo

package onednn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"netspace/arch"
	"netspace/engine"
	"netspace/graph"
)

var (
	drawActivation = rapid.SampledFrom([]graph.Activation{graph.ReLU, graph.SiLU})
	drawStem       = rapid.Custom(func(t *rapid.T) arch.Stem {
		return arch.Stem{Type: rapid.SampledFrom([]arch.StemType{arch.SimpleStem, arch.CIFARStem, arch.ResNetStem}).Draw(t, "stem"), Width: rapid.IntRange(1, 33).Draw(t, "stem width")}
	})
	drawRate = rapid.SampledFrom([]float64{0, 0.25})
	drawHead = rapid.SampledFrom([]int{0, 20})
)

var drawAnyNet = rapid.Custom(func(t *rapid.T) arch.AnyNet {
	n := arch.AnyNet{
		Block:  rapid.SampledFrom(arch.Blocks()).Draw(t, "block"),
		Common: arch.Common{Stem: drawStem.Draw(t, "stem"), Activation: drawActivation.Draw(t, "activation"), HeadWidth: drawHead.Draw(t, "head"), Dropout: drawRate.Draw(t, "dropout")},
	}
	has := n.Block.Has()
	if has.SE {
		n.SE = rapid.SampledFrom([]float64{0, 0.25, 1}).Draw(t, "se")
	}
	if has.Stride1x1 {
		n.Stride1x1 = rapid.Bool().Draw(t, "stride in the 1×1")
	}
	if has.Branch {
		n.DropPath = drawRate.Draw(t, "drop path")
	}
	for range rapid.IntRange(1, 3).Draw(t, "stages") {
		s := arch.Stage{Depth: rapid.IntRange(1, 2).Draw(t, "depth"), Width: rapid.IntRange(1, 50).Draw(t, "width"), Stride: rapid.IntRange(1, 3).Draw(t, "stride")}
		if has.Bottleneck {
			s.Bottleneck = rapid.SampledFrom([]float64{1, 2, 4, 0.5, 1. / 3}).Draw(t, "bottleneck")
		}
		if has.Groups {
			s.GroupWidth = rapid.IntRange(1, 33).Draw(t, "group width")
		}
		n.Stages = append(n.Stages, s)
	}
	return n
})

var drawRegNet = rapid.Custom(func(t *rapid.T) arch.RegNet {
	like := drawAnyNet.Draw(t, "like")
	r := arch.RegNet{
		Depth: rapid.IntRange(1, 5).Draw(t, "depth"), W0: rapid.Float64Range(0.5, 24).Draw(t, "w0"), WA: rapid.Float64Range(0, 12).Draw(t, "wa"), WM: rapid.Float64Range(1.3, 3).Draw(t, "wm"),
		Stride: rapid.IntRange(1, 2).Draw(t, "stride"), Block: like.Block, Common: arch.Common{Stem: like.Stem, SE: like.SE, Activation: like.Activation, HeadWidth: like.HeadWidth, DropPath: like.DropPath, Dropout: like.Dropout},
	}
	r.Bottleneck, r.GroupWidth = like.Stages[0].Bottleneck, like.Stages[0].GroupWidth
	return r
})

var drawEffNet = rapid.Custom(func(t *rapid.T) arch.EffNet {
	n := arch.EffNet{
		Common: arch.Common{Stem: drawStem.Draw(t, "stem"), SE: rapid.SampledFrom([]float64{0, 0.25, 0.1}).Draw(t, "se"), Activation: drawActivation.Draw(t, "activation"), HeadWidth: drawHead.Draw(t, "head"), DropPath: drawRate.Draw(t, "drop path"), Dropout: drawRate.Draw(t, "dropout")},
	}
	for range rapid.IntRange(1, 3).Draw(t, "stages") {
		n.Stages = append(n.Stages, arch.EffStage{
			Depth: rapid.IntRange(1, 2).Draw(t, "depth"), Width: rapid.IntRange(1, 24).Draw(t, "width"), Stride: rapid.IntRange(1, 4).Draw(t, "stride"),
			Expand: rapid.SampledFrom([]float64{1, 2.5, 6}).Draw(t, "expand"), Kernel: rapid.SampledFrom([]int{1, 3, 5, 7, 9, 31}).Draw(t, "kernel"),
		})
	}
	return n
})

var drawSpec = rapid.OneOf(
	rapid.Map(drawAnyNet, arch.AnyNet.Spec), rapid.Map(drawRegNet, arch.RegNet.Spec), rapid.Map(drawEffNet, arch.EffNet.Spec),
)

// TestRandomSpecs: whatever network a spec describes, oneDNN accepts its
// shapes and trains it, and the program holds exactly the tensors that the
// graph names and the complexity counts.
func TestRandomSpecs(t *testing.T) {
	e := open(t)
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec.Draw(t, "spec")
		in := arch.Input{
			Channels: rapid.IntRange(1, 4).Draw(t, "channels"), Classes: rapid.IntRange(2, 11).Draw(t, "classes"),
			Height: rapid.IntRange(1, 24).Draw(t, "height"), Width: rapid.IntRange(1, 24).Draw(t, "width"),
		}
		g, err := spec.Graph(in)
		if err != nil {
			t.Fatal(err)
		}
		o := engine.Options{Batch: rapid.IntRange(1, 5).Draw(t, "batch"), Threads: rapid.IntRange(1, 2).Draw(t, "threads")}
		p, err := e.Compile(g, o)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()

		counted, err := spec.Complexity(in)
		if err != nil {
			t.Fatal(err)
		}
		var params int64
		for _, tensor := range g.Params {
			held(t, p, engine.Params, tensor.Name, tensor.Size())
			params += int64(tensor.Size())
		}
		if params != counted.Params {
			t.Fatalf("the program holds %d parameters, %d are counted", params, counted.Params)
		}
		for _, tensor := range g.Buffers {
			held(t, p, engine.Buffers, tensor.Name, tensor.Size())
		}
		trainOnce(t, p, in, o.Batch)
	})
}

// held sets a tensor to small numbers and checks that the program gives them
// back, and that it takes and gives the tensor with exactly its size.
func held(t *rapid.T, p engine.Program, set engine.Set, name string, size int) {
	want, got := make([]float32, size), make([]float32, size)
	for i := range want {
		want[i] = 0.1 + 0.1*float32(i*7%11)/11
	}
	if err := p.Set(set, name, want); err != nil {
		t.Fatal(err)
	}
	if err := p.Get(set, name, got); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s comes back changed", name)
	}
	for _, wrong := range []int{size - 1, size + 1} {
		if p.Set(set, name, make([]float32, wrong)) == nil || p.Get(set, name, make([]float32, wrong)) == nil {
			t.Fatalf("%s of %d elements can be set or got with %d", name, size, wrong)
		}
	}
}

// trainOnce takes a training step on random images and evaluates them.
func trainOnce(t *rapid.T, p engine.Program, in arch.Input, batch int) {
	rng := rand.New(rand.NewPCG(uint64(batch), 8))
	images := make([]float32, batch*in.Channels*in.Height*in.Width)
	for i := range images {
		images[i] = float32(rng.NormFloat64())
	}
	targets := make([]float32, batch*in.Classes)
	for i := range batch {
		targets[i*in.Classes+rng.IntN(in.Classes)] = 1
	}
	loss, err := p.Step(engine.Batch{Images: images, Targets: targets}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		t.Fatalf("the loss is %g", loss)
	}
	if _, err := p.Update(engine.Update{LR: 0.01, Momentum: 0.9}); err != nil {
		t.Fatal(err)
	}
	if err := p.Forward(images, make([]float32, len(targets)), engine.Evaluate, 0); err != nil {
		t.Fatal(err)
	}
}
