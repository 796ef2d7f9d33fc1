package weights

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/arch"
	"netspace/graph"
	"netspace/weights/safetensors"
)

// graphOf is a published network, or a spec file's.
func graphOf(t *testing.T, model string) *graph.Graph {
	t.Helper()
	spec, err := arch.ParseSpec([]byte(model), "net.yaml")
	if m, ok := arch.Published(model); ok {
		spec, err = m.Spec, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	g, err := spec.Graph(spec.Input())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// The names are those of the libraries' sources: timm/models/regnet.py, resnet.py, efficientnet.py and
// torchvision/models/. make test-export loads the latter into torchvision itself.
func TestNamesOfLibraries(t *testing.T) {
	for _, c := range []struct {
		model  string
		naming Naming
		names  map[string]string
	}{
		{"RegNetY-400MF", TIMM, map[string]string{
			"stem.conv.weight": "stem.conv.weight", "stem.bn.running_var": "stem.bn.running_var", "s1.b1.f.a.weight": "s1.b1.conv1.conv.weight",
			"s2.b3.f.b_bn.bias": "s2.b3.conv2.bn.bias", "s4.b1.f.se.f_ex.0.bias": "s4.b1.se.fc1.bias", "s4.b1.f.se.f_ex.2.weight": "s4.b1.se.fc2.weight",
			"s3.b1.proj.weight": "s3.b1.downsample.conv.weight", "s3.b1.bn.running_mean": "s3.b1.downsample.bn.running_mean", "head.fc.bias": "head.fc.bias",
		}},
		{"RegNetY-400MF", Torchvision, map[string]string{
			"stem.conv.weight": "stem.0.weight", "stem.bn.bias": "stem.1.bias", "s2.b3.f.b_bn.bias": "trunk_output.block2.block2-2.f.b.1.bias",
			"s4.b1.f.se.f_ex.0.bias": "trunk_output.block4.block4-0.f.se.fc1.bias", "s3.b1.proj.weight": "trunk_output.block3.block3-0.proj.0.weight", "head.fc.bias": "fc.bias",
		}},
		{"ResNet-50", TIMM, map[string]string{
			"stem.conv.weight": "conv1.weight", "s1.b1.f.c.weight": "layer1.0.conv3.weight", "s4.b3.f.c_bn.running_var": "layer4.2.bn3.running_var",
			"s2.b1.proj.weight": "layer2.0.downsample.0.weight", "s2.b1.bn.weight": "layer2.0.downsample.1.weight", "head.fc.weight": "fc.weight",
		}},
		{"ResNeSt-50", TIMM, map[string]string{
			"stem.a.weight": "conv1.0.weight", "stem.a_bn.bias": "conv1.1.bias", "stem.b.weight": "conv1.3.weight", "stem.c.weight": "conv1.6.weight", "stem.c_bn.weight": "bn1.weight",
			"s1.b1.f.a.weight": "layer1.0.conv1.weight", "s1.b1.f.b.weight": "layer1.0.conv2.conv.weight", "s2.b4.f.b_bn.running_mean": "layer2.3.conv2.bn0.running_mean",
			"s3.b2.f.sa.a.bias": "layer3.1.conv2.fc1.bias", "s3.b2.f.sa.a_bn.weight": "layer3.1.conv2.bn1.weight", "s3.b2.f.sa.b.weight": "layer3.1.conv2.fc2.weight",
			"s4.b1.f.c.weight": "layer4.0.conv3.weight", "s4.b1.proj.weight": "layer4.0.downsample.1.weight", "s4.b1.bn.bias": "layer4.0.downsample.2.bias", "head.fc.bias": "fc.bias",
		}},
		{"EfficientNet-B0", TIMM, map[string]string{
			"stem.conv.weight": "conv_stem.weight", "s1.b1.dwise.weight": "blocks.0.0.conv_dw.weight", "s1.b1.dwise_bn.bias": "blocks.0.0.bn1.bias",
			"s1.b1.lin_proj.weight": "blocks.0.0.conv_pw.weight", "s1.b1.lin_proj_bn.bias": "blocks.0.0.bn2.bias", "s2.b2.exp.weight": "blocks.1.1.conv_pw.weight",
			"s2.b2.dwise_bn.weight": "blocks.1.1.bn2.weight", "s2.b2.se.f_ex.2.bias": "blocks.1.1.se.conv_expand.bias", "s2.b2.lin_proj_bn.weight": "blocks.1.1.bn3.weight",
			"head.conv.weight": "conv_head.weight", "head.conv_bn.weight": "bn2.weight", "head.fc.bias": "classifier.bias",
		}},
		{"EfficientNet-B0", Torchvision, map[string]string{
			"stem.conv.weight": "features.0.0.weight", "s1.b1.dwise.weight": "features.1.0.block.0.0.weight", "s1.b1.se.f_ex.0.weight": "features.1.0.block.1.fc1.weight",
			"s2.b2.exp_bn.weight": "features.2.1.block.0.1.weight", "s7.b1.lin_proj.weight": "features.7.0.block.3.0.weight", "head.conv_bn.bias": "features.8.1.bias", "head.fc.bias": "classifier.1.bias",
		}},
		{"{family: anynet, block: bottleneck-linear, activation: silu, head_width: 64, stages: [{depth: 2, width: 16, stride: 2, bottleneck: 0.25, group_width: 4}]}", TIMM, map[string]string{
			"s1.b2.f.c.weight": "s1.b2.conv3.conv.weight", "head.conv.weight": "final_conv.conv.weight", "head.bn.bias": "final_conv.bn.bias",
		}},
	} {
		names, err := c.naming.Of(graphOf(t, c.model))
		if err != nil {
			t.Errorf("%s: %v", c.model, err)
			continue
		}
		for from, want := range c.names {
			if got := names(from); got != want {
				t.Errorf("%s: %s of %s is %q, want %q", c.model, from, c.naming, got, want)
			}
		}
	}
}

func TestNetworksThatALibraryDoesNotHave(t *testing.T) {
	for _, c := range []struct{ model, naming, reason string }{
		{"{family: regnet, depth: 4, w0: 16, wa: 8, wm: 2, group_width: 8, stem: {type: cifar}}", "timm torchvision", "simple stem"},
		{"{family: anynet, block: basic, stages: [{depth: 1, width: 16}]}", "timm torchvision", "bottleneck blocks"},
		{"{family: anynet, block: vanilla, stages: [{depth: 1, width: 16}]}", "timm torchvision", "bottleneck blocks"},
		{"{family: anynet, block: bottleneck-preact, stages: [{depth: 1, width: 16, group_width: 8}]}", "timm torchvision", "bottleneck blocks"},
		{"{family: anynet, block: bottleneck-linear, stages: [{depth: 1, width: 16, group_width: 8}]}", "timm", "followed by an activation"},
		{"{family: anynet, stride_1x1: true, stages: [{depth: 1, width: 16, group_width: 8}]}", "timm torchvision", "3×3"},
		{"{family: anynet, stages: [{depth: 1, width: 16, group_width: 8, stride: 1}]}", "timm", "stride 2"},
		{"{family: anynet, head_width: 32, stages: [{depth: 1, width: 16, group_width: 8}]}", "torchvision", "head"},
		{"{family: anynet, stem: {type: resnet, width: 64}, stages: [{depth: 1, width: 256, group_width: 64, bottleneck: 4}]}", "timm torchvision", "four stages"},
		{"{family: anynet, se: 0.25, stem: {type: resnet, width: 64}, stages: [{depth: 1, width: 256, group_width: 64, bottleneck: 4}]}", "timm torchvision", "squeeze"},
		{"resnest50", "torchvision", "no ResNeSts"},
		{"{family: anynet, block: split-attention, stages: [{depth: 1, width: 256, group_width: 64, bottleneck: 4}]}", "timm", "deep stem"},
		{"{family: anynet, block: split-attention, stem: {type: deep, width: 64}, stages: [{depth: 1, width: 256, group_width: 64, bottleneck: 4}]}", "timm", "four stages"},
		{"{family: effnet, head_width: 64, activation: relu, stages: [{depth: 1, width: 16, stride: 1, expand: 6, kernel: 3}]}", "torchvision", "SiLU"},
		{"{family: effnet, head_width: 64, se: 0, stages: [{depth: 1, width: 16, stride: 1, expand: 6, kernel: 3}]}", "torchvision", "quarter"},
	} {
		for naming := range strings.FieldsSeq(c.naming) {
			_, err := Naming(naming).Of(graphOf(t, c.model))
			var unnamed *UnnamedError
			if !errors.As(err, &unnamed) || !strings.Contains(unnamed.Reason, c.reason) {
				t.Errorf("%s of %s: %v, want a refusal that says %q", naming, c.model, err, c.reason)
			}
		}
	}
}

// under is f under another naming, in another order.
func under(t *testing.T, f *safetensors.File, g *graph.Graph, n Naming) *safetensors.File {
	t.Helper()
	names, err := n.Of(g)
	if err != nil {
		t.Fatal(err)
	}
	out := &safetensors.File{Metadata: f.Metadata}
	for _, x := range f.Tensors {
		x.Name = names.in(x.Name)
		out.Tensors = append(out.Tensors, x)
	}
	slices.Reverse(out.Tensors)
	return out
}

var namedNets = []string{
	"{family: regnet, depth: 4, w0: 16, wa: 8, wm: 2, group_width: 8, se: 0.25, channels: 1, classes: 7}",
	"{family: effnet, channels: 1, classes: 7, head_width: 24, stages: [{depth: 2, width: 16, stride: 2, expand: 1, kernel: 3}, {depth: 1, width: 16, stride: 1, expand: 2, kernel: 5}]}",
}

func TestTranslateComesBack(t *testing.T) {
	for _, model := range namedNets {
		g := graphOf(t, model)
		f := Initial(g, 1, false)
		for _, n := range Namings() {
			file := under(t, f, g, n)
			file.Tensors = append(file.Tensors, safetensors.Tensor{Name: "x.num_batches_tracked", DType: safetensors.I64, Data: make([]byte, 8)})
			for _, prefix := range []string{"", "module."} {
				for i := range file.Tensors {
					file.Tensors[i].Name = prefix + file.Tensors[i].Name
				}
				got, naming, err := Translate(file, g)
				if err != nil || naming != n {
					t.Errorf("%s %s: read as %q, %v", prefix, n, naming, err)
					continue
				}
				if diff := cmp.Diff(f.Tensors, got.Tensors); diff != "" {
					t.Errorf("%s %s: %s", prefix, n, diff)
				}
			}
			other := graphOf(t, strings.NewReplacer("classes: 7", "classes: 5", "channels: 1", "channels: 3").Replace(model))
			if channels, classes, err := Ends(under(t, f, g, n), other); err != nil || channels != 1 || classes != 7 {
				t.Errorf("%s: is for %d channels and %d classes, %v; want 1 and 7", n, channels, classes, err)
			}
		}
	}
}

func TestWhatDoesNotFitIsNamedAsInTheFile(t *testing.T) {
	g := graphOf(t, namedNets[0])
	f := Initial(g, 1, false)
	timm := under(t, f, g, TIMM)
	timm.Tensors = slices.DeleteFunc(timm.Tensors, func(x safetensors.Tensor) bool { return x.Name == "s1.b1.conv2.conv.weight" })
	timm.Tensors = append(timm.Tensors, safetensors.Float32("s9.b1.conv1.conv.weight", []int{1}, []float32{0}))
	_, _, err := Translate(timm, g)
	const want = "the weights are not of this network (under the names of timm): s1.b1.conv2.conv.weight is missing; s9.b1.conv1.conv.weight is not in the network"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}

	both := under(t, f, g, Torchvision)
	both.Tensors = append(both.Tensors, f.Tensors...)
	_, _, err = Translate(both, g)
	var twice *AmbiguousError
	if !errors.As(err, &twice) || twice.Namings != [2]Naming{Pycls, Torchvision} {
		t.Errorf("of both namings: %v", err)
	}
}
