package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"netspace/arch"
	"netspace/dataset"
	"netspace/engine/engines"
	"netspace/graph"
)

// stripes makes n images of 16² with stripes in one of four directions, the
// class, at a random phase, a random contrast and under noise: no single
// pixel tells anything, a network has to find edges.
func stripes(n int, seed uint64) *memorySplit {
	const size = 16
	rng := rand.New(rand.NewPCG(seed, 4))
	s := &memorySplit{}
	for i := range n {
		label := i % 4
		sin, cos := math.Sincos(math.Pi / 4 * float64(label))
		phase, contrast := 2*math.Pi*rng.Float64(), 25+30*rng.Float64()
		img := make([]byte, size*size)
		for p := range img {
			wave := math.Sin(1.2*(cos*float64(p%size)+sin*float64(p/size)) + phase)
			img[p] = byte(min(255, max(0, 128+contrast*wave+30*rng.NormFloat64())))
		}
		s.labels, s.images = append(s.labels, label), append(s.images, img)
	}
	return s
}

// TestEveryFamilyLearns trains a small network of every block, stem, head and
// family for real: its loss falls and its error is far below chance, 75 %.
func TestEveryFamilyLearns(t *testing.T) {
	e, err := engines.Open(engines.Config{})
	if err != nil {
		t.Skip(err)
	}
	data := &dataset.Data{
		Info:  dataset.Info{Name: "stripes", Channels: 1, Height: 16, Width: 16, Classes: 4, Mean: []float32{0.5}, Std: []float32{0.2}},
		Train: stripes(512, 1), Val: stripes(256, 2),
	}
	for name, spec := range learners() {
		t.Run(name, func(t *testing.T) {
			r := DefaultRecipe()
			r.Epochs, r.Batch, r.LR, r.Augment, r.PreciseBN = 3, 16, 0.05, false, 256
			g, err := spec.Graph(arch.Input{Channels: 1, Height: 16, Width: 16, Classes: 4})
			if err != nil {
				t.Fatal(err)
			}
			res := mustRun(t, Job{Graph: g, Data: data, Recipe: r, Seed: 3, Engine: e})
			first, last := res.Epochs[0].TrainLoss, res.Epochs[len(res.Epochs)-1].TrainLoss
			t.Logf("train loss %.3f to %.3f, validation error %.1f %%", first, last, res.Error)
			if !(last < 0.5*first) {
				t.Errorf("the loss went from %.3f to %.3f: it must halve", first, last)
			}
			if !(res.Error < 10) {
				t.Errorf("error %.1f %%, chance is 75 %%", res.Error)
			}
		})
	}
}

// learners are small networks that together use every block, stem, head,
// activation, kernel and rate.
func learners() map[string]arch.Spec {
	cifar := arch.Stem{Type: arch.CIFARStem, Width: 8}
	any := func(block arch.BlockType, b float64, g int, change ...func(*arch.AnyNet)) arch.Spec {
		n := arch.AnyNet{Block: block, Common: arch.Common{Stem: cifar, Activation: graph.ReLU}}
		for i, width := range []int{8, 16, 24} {
			s := arch.Stage{Depth: 1 + i%2, Width: width, Stride: 1 + min(i, 1)}
			if block.Has().Bottleneck {
				s.Bottleneck = b
			}
			if block.Has().Groups {
				s.GroupWidth = g
			}
			n.Stages = append(n.Stages, s)
		}
		for _, c := range change {
			c(&n)
		}
		return n.Spec()
	}
	stem := func(t arch.StemType) func(*arch.AnyNet) { return func(n *arch.AnyNet) { n.Stem.Type = t } }
	se := func(n *arch.AnyNet) { n.SE = 0.25 }
	silu := func(n *arch.AnyNet) { n.Activation = graph.SiLU }
	head := func(n *arch.AnyNet) { n.HeadWidth = 40 }
	drop := func(n *arch.AnyNet) { n.DropPath, n.Dropout = 0.1, 0.1 }
	early := func(n *arch.AnyNet) { n.Stride1x1 = true }
	eff := func(dropPath, dropout float64) arch.Spec {
		return arch.EffNet{
			Common: arch.Common{Stem: cifar, SE: 0.25, Activation: graph.SiLU, HeadWidth: 48, DropPath: dropPath, Dropout: dropout},
			Stages: []arch.EffStage{{Depth: 1, Width: 8, Stride: 1, Expand: 1, Kernel: 3}, {Depth: 2, Width: 12, Stride: 2, Expand: 4, Kernel: 5}, {Depth: 2, Width: 24, Stride: 2, Expand: 4, Kernel: 3}},
		}.Spec()
	}
	regnet := arch.RegNet{Depth: 5, W0: 11.5, WA: 6.3, WM: 2.1, Bottleneck: 1, GroupWidth: 4, Common: arch.Common{Stem: cifar, Activation: graph.ReLU}}
	regnetY := regnet
	regnetY.SE = 0.25
	specs := map[string]arch.Spec{
		"X depthwise": any(arch.Bottleneck, 1, 1), "X narrow groups": any(arch.Bottleneck, 1, 2),
		"X bottleneck": any(arch.Bottleneck, 4, 2), "X inverted": any(arch.Bottleneck, 0.25, 8), "X inverted depthwise": any(arch.Bottleneck, 0.25, 1),
		"X silu head": any(arch.Bottleneck, 1, 8, silu, head), "X stride in 1×1": any(arch.Bottleneck, 2, 4, early), "X drop": any(arch.Bottleneck, 1, 8, drop),
		"X simple stem": any(arch.Bottleneck, 1, 8, stem(arch.SimpleStem)), "X resnet stem": any(arch.Bottleneck, 1, 8, stem(arch.ResNetStem)),
		"Y": any(arch.Bottleneck, 1, 8, se), "Y silu": any(arch.Bottleneck, 1, 4, se, silu),
		"linear X": any(arch.BottleneckLinear, 0.25, 1),
		"RegNetX":  regnet.Spec(), "RegNetY": regnetY.Spec(),
		"EfficientNet": eff(0, 0), "EfficientNet drop": eff(0.2, 0.2),
	}
	for _, b := range arch.Blocks() {
		specs[b.String()] = any(b, 1, 8)
	}
	return specs
}
