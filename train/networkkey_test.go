package train

import (
	"reflect"
	"testing"

	"netspace/arch"
	"netspace/graph"
)

// TestNetworkKeyGolden: checkpoints state these identities, so they stay.
func TestNetworkKeyGolden(t *testing.T) {
	cifar := arch.Input{Channels: 1, Height: 28, Width: 28, Classes: 10}
	stem := arch.Stem{Type: arch.CIFARStem, Width: 16}
	stages := func(b float64, g int) []arch.Stage {
		return []arch.Stage{{Depth: 1, Width: 16, Stride: 1, Bottleneck: b, GroupWidth: g}, {Depth: 2, Width: 32, Stride: 2, Bottleneck: b, GroupWidth: g}}
	}
	anynet := func(change func(*arch.AnyNet)) arch.Spec {
		n := arch.AnyNet{Common: arch.Common{Stem: stem, Activation: graph.ReLU}, Stages: stages(1, 8)}
		change(&n)
		return n.Spec()
	}
	model := func(name string) arch.Spec {
		spec, err := arch.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	for _, c := range []struct {
		name string
		spec arch.Spec
		in   arch.Input
		want string
	}{
		{"RegNetX-200MF", model("RegNetX-200MF"), arch.Input{}, "1d425c0c0898b4e5"},
		{"RegNetY-400MF", model("RegNetY-400MF"), arch.Input{}, "bedddaa585f16912"},
		{"ResNet-50", model("ResNet-50"), arch.Input{}, "f19c8d2e1a805b0e"},
		{"EfficientNet-B0", model("EfficientNet-B0"), arch.Input{}, "0eff9f074a6859b4"},
		{"X", anynet(func(*arch.AnyNet) {}), cifar, "879f1be479e5577f"},
		{"Y", anynet(func(n *arch.AnyNet) { n.SE, n.Activation, n.HeadWidth = 0.25, graph.SiLU, 40 }), cifar, "54320ee1f49f7fca"},
		{"R", anynet(func(n *arch.AnyNet) { n.Block = arch.Basic }), cifar, "ff67c337076fe0d5"},
		{"V", anynet(func(n *arch.AnyNet) { n.Block = arch.Vanilla }), cifar, "69834a570fccb2dd"},
		{"VR", anynet(func(n *arch.AnyNet) { n.Block = arch.VanillaResidual }), cifar, "ff67c337076fe0d5"},
		{"linear X", anynet(func(n *arch.AnyNet) { n.Block, n.Stages = arch.BottleneckLinear, stages(0.25, 1) }), cifar, "a7ddd8b3ca94ce0a"},
		{"rates", anynet(func(n *arch.AnyNet) { n.DropPath, n.Dropout = 0.3, 1e-5 }), cifar, "9d757be1454867fd"},
		{"1×1 strides", anynet(func(n *arch.AnyNet) { n.Stride1x1 = true; n.Stem.Type = arch.ResNetStem }), cifar, "303485c6cf021795"},
	} {
		g, err := c.spec.Graph(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := NetworkKey(g, 0); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		// The recipe's epsilon is the recipe's, not the network's.
		if g, err = c.spec.TrainingGraph(c.in, arch.FromRecipe{BNEpsilon: 1e-3}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := NetworkKey(g, 1e-3); got != c.want {
			t.Errorf("%s with the recipe's epsilon: %s, want %s", c.name, got, c.want)
		} else if got := NetworkKey(g, 0); got == c.want {
			t.Errorf("%s: an epsilon that nothing states has no part in the key", c.name)
		}
	}
}

// TestNetworkKeyCoversEveryAttribute: a field that is added to a node, a
// parameter or a buffer must get its part in the key.
func TestNetworkKeyCoversEveryAttribute(t *testing.T) {
	graphs := map[string]func(g *graph.Graph) any{
		"Node":   func(g *graph.Graph) any { return &g.Nodes[0] },
		"Param":  func(g *graph.Graph) any { return &g.Params[0] },
		"Buffer": func(g *graph.Graph) any { return &g.Buffers[0] },
	}
	plain := func() *graph.Graph {
		return &graph.Graph{Nodes: []graph.Node{{Op: graph.OpBatchNorm}}, Params: make([]graph.Param, 1), Buffers: make([]graph.Buffer, 1)}
	}
	want := NetworkKey(plain(), 0)
	for name, part := range graphs {
		fields := reflect.TypeOf(part(plain())).Elem()
		for i := range fields.NumField() {
			g := plain()
			switch f := reflect.ValueOf(part(g)).Elem().Field(i); f.Kind() {
			case reflect.String:
				f.SetString("x")
			case reflect.Bool:
				f.SetBool(true)
			case reflect.Float64:
				f.SetFloat(0.5)
			case reflect.Slice:
				f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			case reflect.Uint8:
				f.SetUint(1)
			default:
				f.SetInt(7)
			}
			if NetworkKey(g, 0) == want {
				t.Errorf("%s.%s has no part in the key", name, fields.Field(i).Name)
			}
		}
	}
}
