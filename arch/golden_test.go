package arch

import (
	"testing"

	"netspace/graph"
)

// TestPublishedComplexity holds the exact published numbers (docs/method.md §3): both
// from the counting sink and from the recorded graph.
func TestPublishedComplexity(t *testing.T) {
	simple := Stem{Type: SimpleStem, Width: 32}
	resnet := func(b float64, g int) AnyNet {
		n := AnyNet{Common: Common{Stem: Stem{Type: ResNetStem, Width: 64}, Activation: graph.ReLU}}
		for i, d := range []int{3, 4, 6, 3} {
			n.Stages = append(n.Stages, Stage{Depth: d, Width: 256 << i, Stride: min(i+1, 2), Bottleneck: b, GroupWidth: g << i})
		}
		return n
	}
	eff := EffNet{Common: Common{Stem: simple, SE: 0.25, Activation: graph.SiLU, HeadWidth: 1280}, Stages: []EffStage{
		{1, 16, 1, 1, 3}, {2, 24, 2, 6, 3}, {2, 40, 2, 6, 5}, {3, 80, 2, 6, 3}, {3, 112, 1, 6, 5}, {4, 192, 2, 6, 5}, {1, 320, 1, 6, 3},
	}}
	cifar := AnyNet{Block: Basic, Common: Common{Stem: Stem{Type: CIFARStem, Width: 16}, Activation: graph.ReLU}, Stages: []Stage{
		{Depth: 9, Width: 16, Stride: 1}, {Depth: 9, Width: 32, Stride: 2}, {Depth: 9, Width: 64, Stride: 2},
	}}
	for _, c := range []struct {
		name string
		spec Spec
		in   Input
		want graph.Complexity
	}{
		{"RegNetX-400MF", RegNet{Depth: 22, W0: 24, WA: 24.48, WM: 2.54, GroupWidth: 16, Bottleneck: 1, Common: Common{Stem: simple, Activation: graph.ReLU}}.Spec(), ImageNet,
			graph.Complexity{Flops: 397678568, Params: 5157512, Acts: 3143272}},
		{"RegNetY-400MF", RegNet{Depth: 16, W0: 48, WA: 27.89, WM: 2.09, GroupWidth: 8, Bottleneck: 1, Common: Common{SE: 0.25, Stem: simple, Activation: graph.ReLU}}.Spec(), ImageNet,
			graph.Complexity{Flops: 401849056, Params: 4344144, Acts: 3892496}},
		{"ResNet-50", resnet(4, 64).Spec(), ImageNet, graph.Complexity{Flops: 4089185256, Params: 25557032, Acts: 11315688}},
		{"ResNeXt-50-32x4d", resnet(2, 4).Spec(), ImageNet, graph.Complexity{Flops: 4230480872, Params: 25028904, Acts: 14602216}},
		{"EfficientNet-B0", eff.Spec(), ImageNet, graph.Complexity{Flops: 385825092, Params: 5288548, Acts: 6748036}},
		{"ResNet-56 CIFAR", cifar.Spec(), Input{Channels: 3, Height: 32, Width: 32, Classes: 10},
			graph.Complexity{Flops: 125747850, Params: 855770, Acts: 544778}},
	} {
		got, err := c.spec.Complexity(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got != c.want {
			t.Errorf("%s: counted %+v, published %+v", c.name, got, c.want)
		}
		g, err := c.spec.Graph(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if sum := g.Complexity(); sum != c.want {
			t.Errorf("%s: the graph sums to %+v, published %+v", c.name, sum, c.want)
		}
	}
}
