package weights

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"netspace/engine"
	"netspace/graph"
)

// Naming is how a library names the tensors of the networks that it knows.
type Naming string

// The namings. Pycls is that of the paper authors' tool and of the files written here,
// and has names for every network; the others have them for what their library builds.
const (
	Pycls       Naming = "pycls"
	TIMM        Naming = "timm"        // RegNet, ResNet, EfficientNet, ResNeSt (timm 0.9, models/regnet.py, resnet.py, efficientnet.py, resnest.py)
	Torchvision Naming = "torchvision" // likewise, but for ResNeSt (torchvision 0.14, models/)
)

// Namings lists them.
func Namings() []Naming { return []Naming{Pycls, TIMM, Torchvision} }

// UnnamedError says why a naming has no names for a network.
type UnnamedError struct {
	Naming Naming
	Reason string
}

func (e *UnnamedError) Error() string {
	return fmt.Sprintf("%s has no such network: %s", e.Naming, e.Reason)
}

// Of gives the names of the tensors of g, whose own are pycls's. The error is an
// *UnnamedError where the library does not build the network: under its names the
// tensors would compute something else there.
func (n Naming) Of(g *graph.Graph) (Names, error) {
	if n == Pycls {
		return nil, nil
	}
	s := survey(g)
	var layer func(place) string
	var reason string
	switch {
	case s.block == "mbconv":
		layer, reason = s.effnet(n)
	case s.block == "split-attention":
		layer, reason = s.resnest(n)
	case s.stem == "resnet":
		layer, reason = s.resnet(n)
	default:
		layer, reason = s.regnet(n)
	}
	if reason != "" {
		return nil, &UnnamedError{n, reason}
	}
	to := map[string]string{}
	for _, e := range slices.Concat(Entries(g, engine.Params), Entries(g, engine.Buffers)) {
		dot := strings.LastIndexByte(e.Name, '.')
		name := layer(placeOf(e.Name[:dot]))
		if name == "" || strings.HasSuffix(name, ".") {
			return nil, &UnnamedError{n, "it has no layer like " + e.Name[:dot]}
		}
		to[e.Name] = name + e.Name[dot:]
	}
	return func(name string) string { return to[name] }, nil
}

// place is where a layer is: the name "s1.b2.f.a" is part f.a of block 2 of stage 1.
type place struct {
	stage, block int // from 1; 0 outside the body
	part         string
}

var inBody = regexp.MustCompile(`^s(\d+)\.b(\d+)\.(.+)$`)

func placeOf(name string) place {
	m := inBody.FindStringSubmatch(name)
	if m == nil {
		return place{part: name}
	}
	stage, _ := strconv.Atoi(m[1])
	block, _ := strconv.Atoi(m[2])
	return place{stage, block, m[3]}
}

func (p place) blockOnly() place { return place{p.stage, p.block, ""} }

// traits is what of a network decides whether libraries have it.
type traits struct {
	stem     string // simple, cifar, resnet or deep
	block    string // bottleneck, linear, preact, basic, vanilla, split-attention or mbconv
	stages   int
	layers   map[place]graph.Node
	inputs   map[place]int // blocks (places without a part): channels of their input
	strides  []int         // of stages
	se, head bool          // squeeze-and-excitation; a 1×1 convolution before the pooling
	strided1 bool          // blocks stride in their first 1×1
	act      graph.Activation
}

func survey(g *graph.Graph) traits {
	pooled := 1 // stride of an average pooling in front of the next layer
	s := traits{stem: "simple", layers: map[place]graph.Node{}, inputs: map[place]int{}}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.Op == graph.OpActivation && s.act == graph.Identity {
			s.act = n.Act
		}
		if n.Op == graph.OpAvgPool {
			pooled = n.Stride
		}
		if n.Name == "" {
			continue
		}
		p := placeOf(n.Name)
		s.layers[p] = *n
		if p.stage == 0 {
			continue
		}
		if p.stage > s.stages {
			s.stages = p.stage
			s.strides = append(s.strides, 1)
		}
		if _, known := s.inputs[p.blockOnly()]; !known {
			s.inputs[p.blockOnly()] = g.Nodes[n.In[0]].C
		}
		// Of the strided convolutions of a block's branch and of its shortcut any tells the stride.
		if n.Op == graph.OpConv && p.block == 1 {
			s.strides[p.stage-1] = max(s.strides[p.stage-1], n.Stride, pooled)
		}
		pooled = 1
		switch p.part {
		case "f.se.f_ex.0", "se.f_ex.0":
			s.se = true
		case "f.a":
			s.strided1 = s.strided1 || n.Kernel == 1 && n.Stride > 1
		}
	}
	switch stem := s.layers[place{part: "stem.conv"}]; {
	case s.layers[place{part: "stem.c"}].C > 0:
		s.stem = "deep"
	case stem.Kernel == 7:
		s.stem = "resnet"
	case stem.Stride == 1:
		s.stem = "cifar"
	}
	_, s.head = s.layers[place{part: "head.conv"}]
	s.block = s.blockType(g)
	return s
}

// blockType tells the kind of a network's blocks from the first one.
func (s traits) blockType(g *graph.Graph) string {
	has := func(p place) bool { _, ok := s.layers[p]; return ok }
	switch {
	case has(place{1, 1, "dwise"}):
		return "mbconv"
	case has(place{1, 1, "f.sa.a"}):
		return "split-attention"
	case !has(place{1, 1, "f.a"}):
		return "vanilla"
	case has(place{part: "body.bn"}):
		return "preact"
	case s.layers[place{1, 1, "f.a"}].Kernel == 3:
		return "basic"
	}
	// X has an addition, and activates it.
	for i := range g.Nodes {
		if n := &g.Nodes[i]; n.Op == graph.OpActivation && g.Nodes[n.In[0]].Op == graph.OpAdd {
			return "bottleneck"
		}
	}
	return "linear"
}

// The parts of blocks, as the libraries name them.
var (
	timmRegNet = map[string]string{
		"f.a": "conv1.conv", "f.a_bn": "conv1.bn", "f.b": "conv2.conv", "f.b_bn": "conv2.bn", "f.c": "conv3.conv", "f.c_bn": "conv3.bn",
		"f.se.f_ex.0": "se.fc1", "f.se.f_ex.2": "se.fc2", "proj": "downsample.conv", "bn": "downsample.bn",
	}
	torchvisionRegNet = map[string]string{
		"f.a": "f.a.0", "f.a_bn": "f.a.1", "f.b": "f.b.0", "f.b_bn": "f.b.1", "f.c": "f.c.0", "f.c_bn": "f.c.1",
		"f.se.f_ex.0": "f.se.fc1", "f.se.f_ex.2": "f.se.fc2", "proj": "proj.0", "bn": "proj.1",
	}
	resNet = map[string]string{
		"f.a": "conv1", "f.a_bn": "bn1", "f.b": "conv2", "f.b_bn": "bn2", "f.c": "conv3", "f.c_bn": "bn3", "proj": "downsample.0", "bn": "downsample.1",
	}
	resNeSt = map[string]string{
		"f.a": "conv1", "f.a_bn": "bn1", "f.b": "conv2.conv", "f.b_bn": "conv2.bn0", "f.sa.a": "conv2.fc1", "f.sa.a_bn": "conv2.bn1", "f.sa.b": "conv2.fc2",
		"f.c": "conv3", "f.c_bn": "bn3", "proj": "downsample.1", "bn": "downsample.2",
	}
	timmMBConv = map[string]string{
		"exp": "conv_pw", "exp_bn": "bn1", "dwise": "conv_dw", "dwise_bn": "bn2", "se.f_ex.0": "se.conv_reduce", "se.f_ex.2": "se.conv_expand",
		"lin_proj": "conv_pwl", "lin_proj_bn": "bn3",
	}
	timmNoExpansion = map[string]string{
		"dwise": "conv_dw", "dwise_bn": "bn1", "se.f_ex.0": "se.conv_reduce", "se.f_ex.2": "se.conv_expand", "lin_proj": "conv_pw", "lin_proj_bn": "bn2",
	}
	torchvisionMBConv = map[string]string{
		"exp": "0.0", "exp_bn": "0.1", "dwise": "1.0", "dwise_bn": "1.1", "se.f_ex.0": "2.fc1", "se.f_ex.2": "2.fc2", "lin_proj": "3.0", "lin_proj_bn": "3.1",
	}
	torchvisionNoExpansion = map[string]string{
		"dwise": "0.0", "dwise_bn": "0.1", "se.f_ex.0": "1.fc1", "se.f_ex.2": "1.fc2", "lin_proj": "2.0", "lin_proj_bn": "2.1",
	}
)

func (s traits) regnet(n Naming) (func(place) string, string) {
	switch {
	case s.stem != "simple":
		return nil, "its RegNets begin with the simple stem, a 3×3 of stride 2"
	case s.strided1:
		return nil, "its blocks stride in their 3×3, not in the first 1×1"
	case s.block == "linear" && n == TIMM && !s.head:
		return nil, "its linear bottlenecks are followed by an activation, or by the convolution of the head"
	case s.block != "bottleneck" && !(s.block == "linear" && n == TIMM):
		return nil, "its RegNets have bottleneck blocks"
	case s.head && n == Torchvision:
		return nil, "its RegNets have no convolution in the head"
	}
	if n == Torchvision {
		outside := map[string]string{"stem.conv": "stem.0", "stem.bn": "stem.1", "head.fc": "fc"}
		return func(p place) string {
			if p.stage == 0 {
				return outside[p.part]
			}
			return fmt.Sprintf("trunk_output.block%d.block%[1]d-%d.%s", p.stage, p.block-1, torchvisionRegNet[p.part])
		}, ""
	}
	if s.stages > 4 || slices.ContainsFunc(s.strides, func(stride int) bool { return stride != 2 }) {
		return nil, "its RegNets have up to four stages, of stride 2"
	}
	outside := map[string]string{"stem.conv": "stem.conv", "stem.bn": "stem.bn", "head.conv": "final_conv.conv", "head.bn": "final_conv.bn", "head.fc": "head.fc"}
	return func(p place) string {
		if p.stage == 0 {
			return outside[p.part]
		}
		return fmt.Sprintf("s%d.b%d.%s", p.stage, p.block, timmRegNet[p.part])
	}, ""
}

// resnet gives the names of ResNets and ResNeXts, which are the same in both libraries.
func (s traits) resnet(Naming) (func(place) string, string) {
	last, expansion := "f.b", 1
	switch {
	case s.block == "bottleneck":
		last, expansion = "f.c", 4
	case s.block != "basic":
		return nil, "its ResNets have bottleneck or basic blocks"
	}
	switch {
	case s.strided1:
		return nil, "its blocks stride in their 3×3, not in the first 1×1"
	case s.se:
		return nil, "its ResNets have no squeeze-and-excitation within the branch"
	case s.head:
		return nil, "its ResNets have no convolution in the head"
	case s.act != graph.ReLU:
		return nil, "its ResNets have ReLU"
	case !slices.Equal(s.strides, []int{1, 2, 2, 2}):
		return nil, "its ResNets have four stages, of strides 1, 2, 2 and 2"
	case s.layers[place{part: "stem.conv"}].C != 64:
		return nil, "its ResNets have a stem of 64 channels"
	}
	for i := range s.stages {
		b, first := s.layers[place{i + 1, 1, "f.b"}], s.layers[place{1, 1, "f.b"}]
		if w := 64 * expansion << i; s.layers[place{i + 1, 1, last}].C != w {
			return nil, fmt.Sprintf("stage %d of its ResNets with such blocks has %d channels", i+1, w)
		}
		if b.Groups != first.Groups || b.C != first.C<<i {
			return nil, "all stages of its ResNets have one number of groups, and their 3×3 doubles in width from stage to stage"
		}
	}
	outside := map[string]string{"stem.conv": "conv1", "stem.bn": "bn1", "head.fc": "fc"}
	return func(p place) string {
		if p.stage == 0 {
			return outside[p.part]
		}
		return fmt.Sprintf("layer%d.%d.%s", p.stage, p.block-1, resNet[p.part])
	}, ""
}

// resnest gives timm's names, which are those of the authors of ResNeSt.
func (s traits) resnest(n Naming) (func(place) string, string) {
	switch {
	case n == Torchvision:
		return nil, "it has no ResNeSts"
	case s.stem != "deep" || 2*s.layers[place{part: "stem.a"}].C != s.layers[place{part: "stem.c"}].C:
		return nil, "its ResNeSts begin with the deep stem, of an even width"
	case s.head:
		return nil, "its ResNeSts have no convolution in the head"
	case s.act != graph.ReLU:
		return nil, "its ResNeSts have ReLU"
	case !slices.Equal(s.strides, []int{1, 2, 2, 2}):
		return nil, "its ResNeSts have four stages, of strides 1, 2, 2 and 2"
	}
	first, splits := s.layers[place{1, 1, "f.a"}].C, s.layers[place{1, 1, "f.b"}]
	radix := splits.C / first
	for i := range s.stages {
		mid, b, squeeze := s.layers[place{i + 1, 1, "f.a"}].C, s.layers[place{i + 1, 1, "f.b"}], s.layers[place{i + 1, 1, "f.sa.a"}].C
		switch {
		case s.layers[place{i + 1, 1, "f.c"}].C != 256<<i:
			return nil, fmt.Sprintf("stage %d of its ResNeSts has %d channels", i+1, 256<<i)
		case b.Groups != splits.Groups || mid != first<<i || b.C != mid*radix:
			return nil, "all stages of its ResNeSts have one radix and one number of groups, and their 3×3 doubles in width from stage to stage"
		case squeeze%8 != 0 || squeeze != max(mid*radix/4, 32):
			return nil, "the attention of its ResNeSts squeezes to a multiple of 8 channels"
		}
	}
	outside := map[string]string{"stem.a": "conv1.0", "stem.a_bn": "conv1.1", "stem.b": "conv1.3", "stem.b_bn": "conv1.4", "stem.c": "conv1.6", "stem.c_bn": "bn1", "head.fc": "fc"}
	return func(p place) string {
		if p.stage == 0 {
			return outside[p.part]
		}
		return fmt.Sprintf("layer%d.%d.%s", p.stage, p.block-1, resNeSt[p.part])
	}, ""
}

func (s traits) effnet(n Naming) (func(place) string, string) {
	switch {
	case s.stem != "simple":
		return nil, "its EfficientNets begin with the simple stem, a 3×3 of stride 2"
	case n == Torchvision && s.act != graph.SiLU:
		return nil, "its EfficientNets have SiLU"
	case n == Torchvision && !s.head:
		return nil, "its EfficientNets have a convolution in the head"
	}
	for block, w := range s.inputs {
		exp, squeeze := s.layers[place{block.stage, block.block, "exp"}], s.layers[place{block.stage, block.block, "se.f_ex.0"}]
		if exp.C%8 != 0 {
			return nil, "its EfficientNets expand to multiples of 8 channels"
		}
		if n == Torchvision && squeeze.C != max(1, w/4) {
			return nil, "all blocks of its EfficientNets squeeze to a quarter of their input"
		}
	}
	expands := func(p place) bool { return s.layers[place{p.stage, p.block, "exp"}].C > 0 }
	if n == Torchvision {
		end := fmt.Sprintf("features.%d", s.stages+1)
		outside := map[string]string{"stem.conv": "features.0.0", "stem.bn": "features.0.1", "head.conv": end + ".0", "head.conv_bn": end + ".1", "head.fc": "classifier.1"}
		return func(p place) string {
			parts := torchvisionNoExpansion
			switch {
			case p.stage == 0:
				return outside[p.part]
			case expands(p):
				parts = torchvisionMBConv
			}
			return fmt.Sprintf("features.%d.%d.block.%s", p.stage, p.block-1, parts[p.part])
		}, ""
	}
	outside := map[string]string{"stem.conv": "conv_stem", "stem.bn": "bn1", "head.conv": "conv_head", "head.conv_bn": "bn2", "head.fc": "classifier"}
	return func(p place) string {
		parts := timmNoExpansion
		switch {
		case p.stage == 0:
			return outside[p.part]
		case expands(p):
			parts = timmMBConv
		}
		return fmt.Sprintf("blocks.%d.%d.%s", p.stage-1, p.block-1, parts[p.part])
	}, ""
}
