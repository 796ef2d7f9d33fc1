package interop

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"netspace/arch"
	"netspace/graph"
	"netspace/strict"
)

// The keys of the paper authors' tool, of all its releases, that have a
// meaning here; the sections and keys after them have none and are listed as
// ignored. Anything else is a fault: most likely a misspelling.
var (
	pyclsNetworks = map[string]string{"anynet": "ANYNET", "regnet": "REGNET", "resnet": "RESNET", "effnet": "EN"} // section of MODEL.TYPE

	pyclsIgnored = map[string][]string{
		"":      {"NUM_GPUS", "OUT_DIR", "CFG_DEST", "RNG_SEED", "LOG_DEST", "LOG_PERIOD", "DIST_BACKEND", "HOST", "PORT", "PORT_RANGE", "DOWNLOAD_CACHE", "DATA_LOADER", "MEM", "CUDNN", "PREC_TIME", "LAUNCH", "BENCHMARK", "LN", "VIT"},
		"MODEL": {"ACTIVATION_INPLACE"},
		"TRAIN": {"SPLIT", "EVAL_PERIOD", "CHECKPOINT_PERIOD", "AUTO_RESUME", "WEIGHTS", "MIXED_PRECISION"},
		"TEST":  {"SPLIT", "BATCH_SIZE", "IM_SIZE", "WEIGHTS"},
	}
)

// pycls reads one file of the tool.
type pycls struct {
	doc  *strict.Doc
	root *strict.Fields
	m    Model
	typ  string // MODEL.TYPE
}

// readPycls reads the YAML of the paper authors' tool, with the tool's
// defaults for absent keys.
func readPycls(doc *strict.Doc, root *strict.Fields) (Model, error) {
	p := &pycls{doc: doc, root: root, m: Model{Name: doc.File(), Format: FormatPycls}}
	p.ignore("", root)
	model, train, test := root.Map("MODEL"), root.Map("TRAIN"), root.Map("TEST")

	classes, depth := 10, 0
	act, loss := "relu", "cross_entropy"
	root.Require("MODEL")
	model.Require("TYPE")
	model.Word("TYPE", p.readType)
	model.Int("NUM_CLASSES", &classes)
	model.Int("DEPTH", &depth)
	model.String("ACTIVATION_FUN", &act)
	model.String("LOSS_FUN", &loss)
	p.unscaled(model)
	p.ignore("MODEL", model)

	var data, testData string
	resolution := 0
	train.String("DATASET", &data)
	train.Int("IM_SIZE", &resolution)
	test.String("DATASET", &testData)
	if data != "" && testData != "" && data != testData {
		doc.Fail("TEST.DATASET", testData, "contradicts TRAIN.DATASET %s", data)
	}
	if resolution == 0 && strings.HasPrefix(data, "cifar") {
		resolution = 32
	}
	if loss != "cross_entropy" {
		doc.Fail("MODEL.LOSS_FUN", loss, "is not supported here: must be cross_entropy")
	}
	activation, err := arch.ParseActivation(strings.ToLower(act))
	if err != nil {
		doc.Fail("MODEL.ACTIVATION_FUN", act, "%v", err)
	}
	if depth != 0 && p.typ != "resnet" && p.typ != "" {
		doc.Fail("MODEL.DEPTH", strconv.Itoa(depth), "contradicts MODEL.TYPE %s: only resnet has it", p.typ)
	}

	switch p.typ {
	case "anynet":
		p.m.Spec.Network = p.anynet(activation)
	case "regnet":
		p.m.Spec.Network = p.regnet(activation)
	case "resnet":
		p.m.Spec.Network = p.resnet(activation, depth, strings.HasPrefix(data, "cifar"))
	case "effnet":
		p.m.Spec.Network = p.effnet(activation)
		if !model.Has("ACTIVATION_FUN") {
			p.note("MODEL.ACTIVATION_FUN is absent: relu, the tool's default; releases that did not have this key used silu for effnet")
		}
	}
	p.others()
	p.m.Spec.Resolution, p.m.Spec.Classes = resolution, classes
	p.m.Spec.Recipe = p.recipe(train)

	p.ignore("TEST", test)
	p.ignore("TRAIN", train)
	for _, f := range []*strict.Fields{model, train, test, root} {
		f.Finish()
	}
	p.check()
	if err := doc.Err(); err != nil {
		return Model{}, err
	}
	slices.Sort(p.m.Ignored)
	return p.m, nil
}

// check adds what arch finds wrong with the numbers, under the tool's keys,
// except where reading them has already failed.
func (p *pycls) check() {
	if p.m.Spec.Network == nil {
		return
	}
	failed := p.doc.Err() != nil
	for _, f := range specFaults(p.m.Spec) {
		if path := p.foreign(f.Path); !p.doc.Failed(path) && !(failed && f.Path == "stages") {
			p.doc.Fail(path, f.Value, "%s", f.Rule)
		}
	}
}

func (p *pycls) note(format string, args ...any) {
	p.m.Notes = append(p.m.Notes, fmt.Sprintf(format, args...))
}

// ignore accepts the keys of a section that mean nothing here, and remembers those present.
func (p *pycls) ignore(section string, f *strict.Fields) {
	for _, key := range pyclsIgnored[section] {
		if f.Has(key) {
			p.m.Ignored = append(p.m.Ignored, f.Path(key))
		}
	}
	f.Skip(pyclsIgnored[section]...)
}

func (p *pycls) readType(word string) error {
	if word == "vit" {
		return fmt.Errorf("is not supported here: must be anynet, regnet, resnet or effnet")
	}
	if _, ok := pyclsNetworks[word]; !ok {
		return fmt.Errorf("%s", strict.OneOf(word, "anynet", "regnet", "resnet", "effnet"))
	}
	p.typ = word
	return nil
}

// unscaled refuses a scaling that has not been applied: the tool too applies
// it in a step of its own, and a network without it is not the one that is meant.
func (p *pycls) unscaled(model *strict.Fields) {
	kind, factor := "", 1.0
	model.String("SCALING_TYPE", &kind)
	model.Float("SCALING_FACTOR", &factor)
	if kind != "" && factor != 1 {
		p.doc.Fail("MODEL.SCALING_FACTOR", strconv.FormatFloat(factor, 'g', -1, 64),
			"is a scaling still to be applied: remove SCALING_TYPE and SCALING_FACTOR and use netspace scale --type %s --by %g", kind, factor)
	}
}

// pyclsBlock is a word of BLOCK_TYPE. Kinds of blocks that are not here the tool does not have.
type pyclsBlock struct {
	word  string
	block arch.BlockType
}

var pyclsBlocks = []pyclsBlock{
	{"res_bottleneck_block", arch.Bottleneck}, {"res_bottleneck_linear_block", arch.BottleneckLinear},
	{"res_basic_block", arch.Basic}, {"vanilla_block", arch.Vanilla},
}

// body is what ANYNET and REGNET share.
type body struct {
	block arch.BlockType
	stem  arch.Stem
	se    float64
	head  int
}

func (p *pycls) body(f *strict.Fields) body {
	b := body{block: arch.Bottleneck, stem: arch.Stem{Type: arch.SimpleStem, Width: 32}}
	f.Word("STEM_TYPE", func(w string) error {
		switch w {
		case "simple_stem_in", "simple_stem":
			b.stem.Type = arch.SimpleStem
		case "res_stem_in":
			b.stem.Type = arch.ResNetStem
		case "res_stem_cifar":
			b.stem.Type = arch.CIFARStem
		default:
			return fmt.Errorf("%s", strict.OneOf(w, "simple_stem_in", "res_stem_in", "res_stem_cifar"))
		}
		return nil
	})
	f.Word("BLOCK_TYPE", func(w string) error {
		i := slices.IndexFunc(pyclsBlocks, func(b pyclsBlock) bool { return b.word == w })
		if i < 0 {
			var words []string
			for _, b := range pyclsBlocks {
				words = append(words, b.word)
			}
			return fmt.Errorf("%s", strict.OneOf(w, words...))
		}
		b.block = pyclsBlocks[i].block
		return nil
	})
	f.Int("STEM_W", &b.stem.Width)
	f.Int("HEAD_W", &b.head)
	on, ratio := false, 0.25
	f.Bool("SE_ON", &on)
	f.Float("SE_R", &ratio)
	switch {
	case on && b.block.Has().SE:
		b.se = ratio
	case on:
		p.doc.Fail(f.Path("SE_ON"), "true", "contradicts BLOCK_TYPE: these blocks have no squeeze-and-excitation")
	}
	return b
}

// ratio turns the tool's multiplier (w_b / w_out) into the paper's b.
func (p *pycls) ratio(path string, multiplier float64) float64 {
	whole := func(v float64) bool { return math.Abs(v-math.Round(v)) < 1e-6*v }
	if !(multiplier > 0) || !whole(multiplier) && !whole(1/multiplier) {
		p.doc.Fail(path, strconv.FormatFloat(multiplier, 'g', -1, 64), "must be 1 over a whole number (1, 0.5, 0.25, …), or a whole number for an inverted bottleneck")
		return 1
	}
	return 1 / multiplier
}

func (p *pycls) regnet(act graph.Activation) arch.Network {
	f := p.root.Map("REGNET")
	b := p.body(f)
	r := arch.RegNet{Depth: 10, W0: 32, WA: 5, WM: 2.5, GroupWidth: 16, Stride: 2,
		Block: b.block, Common: arch.Common{Stem: b.stem, SE: b.se, Activation: act, HeadWidth: b.head}}
	multiplier := 1.0
	f.Int("DEPTH", &r.Depth)
	f.Float("W0", &r.W0)
	f.Float("WA", &r.WA)
	f.Float("WM", &r.WM)
	f.Int("GROUP_W", &r.GroupWidth)
	f.Int("STRIDE", &r.Stride)
	f.Float("BOT_MUL", &multiplier)
	f.Finish()
	r.Bottleneck = p.ratio("REGNET.BOT_MUL", multiplier)
	for _, v := range []struct {
		key   string
		value int
	}{{"GROUP_W", r.GroupWidth}, {"STRIDE", r.Stride}} {
		if v.value == 0 {
			p.doc.Fail(f.Path(v.key), "0", "must be at least 1")
		}
	}
	if !b.block.Has().Bottleneck {
		r.Bottleneck = 0
	}
	if !b.block.Has().Groups {
		r.GroupWidth = 0
	}
	return r
}

// list is a key with one number per stage, and how many it has.
type list struct {
	key      string
	length   int
	required bool
}

// stages checks that the lists of a section agree, and gives the number of
// stages: that of the first list, or 0 if any is wrong. An empty list is an absent one.
func (p *pycls) stages(f *strict.Fields, lists ...list) int {
	n := lists[0].length
	for _, l := range lists {
		path := f.Path(l.key)
		switch {
		case p.doc.Failed(path):
			n = 0
		case l.length == 0 && l.required:
			p.doc.Fail(path, "", "must list one number per stage")
			n = 0
		case l.length > 0 && l.length != lists[0].length && lists[0].length > 0:
			p.doc.Fail(path, fmt.Sprintf("%d numbers", l.length), "contradicts %s, which has %d: one per stage", lists[0].key, lists[0].length)
			n = 0
		}
	}
	return n
}

func (p *pycls) anynet(act graph.Activation) arch.Network {
	f := p.root.Map("ANYNET")
	p.root.Require("ANYNET")
	b := p.body(f)
	n := arch.AnyNet{Block: b.block, Common: arch.Common{Stem: b.stem, SE: b.se, Activation: act, HeadWidth: b.head}}
	var depths, widths, strides, groups []int
	var multipliers []float64
	f.Ints("DEPTHS", &depths)
	f.Ints("WIDTHS", &widths)
	f.Ints("STRIDES", &strides)
	f.Floats("BOT_MULS", &multipliers)
	f.Ints("GROUP_WS", &groups)
	f.Finish()
	if f == nil {
		return n
	}
	has := b.block.Has()
	if !has.Bottleneck && len(multipliers) > 0 {
		p.doc.Fail(f.Path("BOT_MULS"), "", "contradicts BLOCK_TYPE: these blocks do not have it")
	}
	if !has.Groups && len(groups) > 0 {
		p.doc.Fail(f.Path("GROUP_WS"), "", "contradicts BLOCK_TYPE: these blocks do not have it")
	}
	stages := p.stages(f, list{"DEPTHS", len(depths), true}, list{"WIDTHS", len(widths), true}, list{"STRIDES", len(strides), true},
		list{"GROUP_WS", len(groups), has.Groups}, list{"BOT_MULS", len(multipliers), false})
	for i := range stages {
		s := arch.Stage{Depth: depths[i], Width: widths[i], Stride: strides[i]}
		if has.Bottleneck {
			s.Bottleneck = 1
			if len(multipliers) > 0 {
				s.Bottleneck = p.ratio(strict.Index("ANYNET.BOT_MULS", i), multipliers[i])
			}
		}
		if has.Groups {
			if s.GroupWidth = groups[i]; s.GroupWidth == 0 {
				p.doc.Fail(strict.Index("ANYNET.GROUP_WS", i), "0", "must be at least 1")
			}
		}
		n.Stages = append(n.Stages, s)
	}
	return n
}

func (p *pycls) effnet(act graph.Activation) arch.Network {
	f := p.root.Map("EN")
	p.root.Require("EN")
	n := arch.EffNet{Common: arch.Common{Stem: arch.Stem{Type: arch.SimpleStem, Width: 32}, SE: 0.25, HeadWidth: 1280, Activation: act}}
	var depths, widths, strides, kernels []int
	var expand []float64
	f.Int("STEM_W", &n.Stem.Width)
	f.Ints("DEPTHS", &depths)
	f.Ints("WIDTHS", &widths)
	f.Floats("EXP_RATIOS", &expand)
	f.Float("SE_R", &n.SE)
	f.Ints("STRIDES", &strides)
	f.Ints("KERNELS", &kernels)
	f.Int("HEAD_W", &n.HeadWidth)
	f.Float("DC_RATIO", &n.DropPath)
	f.Float("DROPOUT_RATIO", &n.Dropout)
	f.Finish()
	if f == nil {
		return n
	}
	if n.DropPath > 0 {
		p.note("EN.DC_RATIO %g becomes drop_path: here the rate grows linearly to it with depth, in the tool all blocks have it", n.DropPath)
	}
	stages := p.stages(f, list{"DEPTHS", len(depths), true}, list{"WIDTHS", len(widths), true}, list{"STRIDES", len(strides), true},
		list{"EXP_RATIOS", len(expand), true}, list{"KERNELS", len(kernels), true})
	for i := range stages {
		n.Stages = append(n.Stages, arch.EffStage{Depth: depths[i], Width: widths[i], Stride: strides[i], Expand: expand[i], Kernel: kernels[i]})
	}
	return n
}

// resnetDepths are the stage depths of the ImageNet models.
var resnetDepths = map[int][4]int{50: {3, 4, 6, 3}, 101: {3, 4, 23, 3}, 152: {3, 8, 36, 3}}

func (p *pycls) resnet(act graph.Activation, depth int, cifar bool) arch.Network {
	f := p.root.Map("RESNET")
	transform, groups, perGroup, stride1x1 := "basic_transform", 1, 64, true
	f.Word("TRANS_FUN", func(w string) error {
		if w != "basic_transform" && w != "bottleneck_transform" {
			return fmt.Errorf("%s", strict.OneOf(w, "basic_transform", "bottleneck_transform"))
		}
		transform = w
		return nil
	})
	f.Int("NUM_GROUPS", &groups)
	f.Int("WIDTH_PER_GROUP", &perGroup)
	f.Bool("STRIDE_1X1", &stride1x1)
	f.Finish()
	if cifar {
		return p.cifarResNet(act, depth, transform)
	}
	n := arch.AnyNet{Common: arch.Common{Stem: arch.Stem{Type: arch.ResNetStem, Width: 64}, Activation: act}, Stride1x1: stride1x1}
	if !f.Has("STRIDE_1X1") {
		p.note("RESNET.STRIDE_1X1 is absent: True, the tool's default; the published models have False, the stride in the 3×3")
	}
	depths, ok := resnetDepths[depth]
	switch {
	case !ok:
		p.doc.Fail("MODEL.DEPTH", strconv.Itoa(depth), "must be 50, 101 or 152 (or 6n+2 with TRAIN.DATASET cifar10)")
	case transform != "bottleneck_transform":
		p.doc.Fail("RESNET.TRANS_FUN", transform, "contradicts MODEL.DEPTH %d: must be bottleneck_transform", depth)
	case groups < 1 || perGroup < 1 || 256%max(1, groups*perGroup) != 0:
		p.doc.Fail("RESNET.NUM_GROUPS", strconv.Itoa(groups), "times WIDTH_PER_GROUP %d must divide 256, the width of the first stage", perGroup)
	default:
		for i, d := range depths {
			n.Stages = append(n.Stages, arch.Stage{Depth: d, Width: 256 << i, Stride: min(i+1, 2), Bottleneck: float64(256 / (groups * perGroup)), GroupWidth: perGroup << i})
		}
	}
	return n
}

// cifarResNet is the 6n+2 network: three stages of n basic blocks.
func (p *pycls) cifarResNet(act graph.Activation, depth int, transform string) arch.Network {
	n := arch.AnyNet{Block: arch.Basic, Common: arch.Common{Stem: arch.Stem{Type: arch.CIFARStem, Width: 16}, Activation: act}}
	if depth < 8 || (depth-2)%6 != 0 {
		p.doc.Fail("MODEL.DEPTH", strconv.Itoa(depth), "must be 6n+2 with TRAIN.DATASET cifar10: 8, 14, 20, 32, 44, 56, 110, …")
		return n
	}
	if transform != "basic_transform" {
		p.doc.Fail("RESNET.TRANS_FUN", transform, "contradicts TRAIN.DATASET cifar10: must be basic_transform")
	}
	for i := range 3 {
		n.Stages = append(n.Stages, arch.Stage{Depth: (depth - 2) / 6, Width: 16 << i, Stride: min(i+1, 2)})
	}
	return n
}

// others refuses sections of families that MODEL.TYPE does not name, unless
// they state nothing: the tool writes all sections, most at their defaults,
// into what it saves.
func (p *pycls) others() {
	for _, typ := range []string{"anynet", "regnet", "resnet", "effnet"} {
		section := pyclsNetworks[typ]
		if p.typ == "" {
			p.root.Skip(section)
			continue
		}
		if typ == p.typ {
			continue
		}
		f := p.root.Map(section)
		var list []int
		switch typ {
		case "anynet", "effnet":
			f.Ints("DEPTHS", &list)
			if len(list) > 0 {
				p.doc.Fail(f.Path("DEPTHS"), fmt.Sprint(list), "states a network of type %s, but MODEL.TYPE is %s", typ, p.typ)
			}
		case "regnet":
			depth, w0, wa, wm := 10, 32.0, 5.0, 2.5
			f.Int("DEPTH", &depth)
			f.Float("W0", &w0)
			f.Float("WA", &wa)
			f.Float("WM", &wm)
			if depth != 10 || w0 != 32 || wa != 5 || wm != 2.5 {
				p.doc.Fail(section, "", "states a network of type regnet, but MODEL.TYPE is %s", p.typ)
			}
		}
		if f != nil {
			p.m.Ignored = append(p.m.Ignored, section)
		}
	}
}

var stagePath = regexp.MustCompile(`^stages\[(\d+)\]\.(\w+)$`)

// foreign gives the tool's key for a path of a spec.
func (p *pycls) foreign(path string) string {
	section := pyclsNetworks[p.typ]
	if p.typ == "resnet" {
		return "RESNET"
	}
	keys := map[string]string{
		"depth": "DEPTH", "w0": "W0", "wa": "WA", "wm": "WM", "group_width": "GROUP_W", "bottleneck": "BOT_MUL", "stride": "STRIDE",
		"stem.width": "STEM_W", "stem.type": "STEM_TYPE", "head_width": "HEAD_W", "se": "SE_R", "block": "BLOCK_TYPE", "drop_path": "DC_RATIO", "dropout": "DROPOUT_RATIO", "stages": "DEPTHS",
	}
	lists := map[string]string{
		"depth": "DEPTHS", "width": "WIDTHS", "stride": "STRIDES", "bottleneck": "BOT_MULS", "group_width": "GROUP_WS", "expand": "EXP_RATIOS", "kernel": "KERNELS",
	}
	switch path {
	case "classes":
		return "MODEL.NUM_CLASSES"
	case "resolution":
		return "TRAIN.IM_SIZE"
	case "activation":
		return "MODEL.ACTIVATION_FUN"
	}
	if m := stagePath.FindStringSubmatch(path); m != nil {
		return section + "." + lists[m[2]] + "[" + m[1] + "]"
	}
	return section + "." + keys[path]
}
