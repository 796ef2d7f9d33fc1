package arch

import (
	"fmt"

	"netspace/graph"
	"netspace/strict"
)

// The defaults of spec files, for fields that are absent.
const (
	defaultStemWidth = 32   // DDS §3.2, and EfficientNet-B0
	defaultStride    = 2    // of the first block of a stage: DDS §3.2
	defaultEffSE     = 0.25 // EfficientNet, and RegNetY where it is on
	defaultEffHead   = 1280 // EfficientNet-B0
)

// LoadSpec reads a spec file. See ParseSpec.
func LoadSpec(path string) (Spec, error) {
	data, err := strict.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("read spec: %w", err)
	}
	return ParseSpec(data, path)
}

// ParseSpec reads a spec in YAML or JSON; filename is for messages. The error
// is a *strict.Error with all faults of the file: unknown fields, wrong types
// and numbers out of range, each with its line, path, value and rule.
func ParseSpec(data []byte, filename string) (Spec, error) {
	doc, err := strict.Parse(data, filename)
	if err != nil {
		return Spec{}, err
	}
	return readSpec(doc, doc.Root())
}

func readSpec(doc *strict.Doc, f *strict.Fields) (Spec, error) {
	if f == nil {
		return Spec{}, doc.Err()
	}
	var s Spec
	var family string
	if !f.Has("family") {
		doc.Fail("family", "", "is missing: %s", strict.OneOf("", families[:]...))
	}
	f.Word("family", func(w string) error {
		_, err := wordIndex(w, families[:])
		family = w
		return err
	})
	switch family {
	case "regnet":
		s.Network = readRegNet(doc, f)
	case "anynet":
		s.Network = readAnyNet(doc, f)
	case "effnet":
		s.Network = readEffNet(doc, f)
	default:
		return Spec{}, doc.Err() // which fields are right depends on the family
	}
	f.Int("resolution", &s.Resolution)
	f.Int("channels", &s.Channels)
	f.Int("classes", &s.Classes)
	f.Any("recipe", &s.Recipe)
	f.Finish()

	c := checker{locate: func(path string) (string, int) { return doc.File(), doc.Line(path) }}
	s.check(&c)
	for _, name := range []string{"resolution", "channels", "classes"} {
		c.given(f, name, map[string]int{"resolution": s.Resolution, "channels": s.Channels, "classes": s.Classes}[name])
	}
	doc.Merge(c.faults)
	return s, doc.Err()
}

// given reports a 0 that a file states: only an absent field means the default.
func (c *checker) given(f *strict.Fields, name string, v int) {
	if f.Has(name) && v == 0 {
		c.fail(f.Path(name), "0", "must be at least 1")
	}
}

func readRegNet(doc *strict.Doc, f *strict.Fields) RegNet {
	r := RegNet{Bottleneck: 1, Stride: defaultStride, Block: readBlock(f), Common: readCommon(doc, f, Common{Activation: graph.ReLU})}
	f.Require("depth", "w0", "wa", "wm")
	f.Int("depth", &r.Depth)
	f.Float("w0", &r.W0)
	f.Float("wa", &r.WA)
	f.Float("wm", &r.WM)
	f.Int("stride", &r.Stride)
	positive(doc, f, "stride", float64(r.Stride))
	readGroups(doc, f, r.Block, &r.Bottleneck, &r.GroupWidth)
	return r
}

func readAnyNet(doc *strict.Doc, f *strict.Fields) AnyNet {
	n := AnyNet{Block: readBlock(f), Common: readCommon(doc, f, Common{Activation: graph.ReLU})}
	f.Bool("stride_1x1", &n.Stride1x1)
	f.Require("stages")
	for _, m := range f.Maps("stages") {
		s := Stage{Stride: defaultStride, Bottleneck: 1}
		m.Require("depth", "width")
		m.Int("depth", &s.Depth)
		m.Int("width", &s.Width)
		m.Int("stride", &s.Stride)
		readGroups(doc, m, n.Block, &s.Bottleneck, &s.GroupWidth)
		m.Finish()
		n.Stages = append(n.Stages, s)
	}
	return n
}

// readGroups reads the bottleneck ratio and the group width where the blocks have them.
func readGroups(doc *strict.Doc, f *strict.Fields, block BlockType, b *float64, g *int) {
	has := block.Has()
	refuse := func(name string) {
		if f.Has(name) {
			doc.Fail(f.Path(name), "", "has no effect on %s blocks: leave it out", block)
		}
		f.Skip(name)
	}
	if !has.Bottleneck {
		*b = 0
		refuse("bottleneck")
	}
	if has.Groups {
		f.Require("group_width")
		f.Int("group_width", g)
		positive(doc, f, "group_width", float64(*g))
	} else {
		*g = 0
		refuse("group_width")
	}
	if has.Bottleneck {
		f.Float("bottleneck", b)
		positive(doc, f, "bottleneck", *b)
	}
}

// positive reports a 0 that a file states where in Go it means the default.
func positive(doc *strict.Doc, f *strict.Fields, name string, v float64) {
	if path := f.Path(name); f.Has(name) && v == 0 && !doc.Failed(path) {
		doc.Fail(path, "0", "must be more than 0")
	}
}

func readEffNet(doc *strict.Doc, f *strict.Fields) EffNet {
	if f.Has("block") {
		f.Word("block", func(string) error { return fmt.Errorf("has no place here: effnet consists of MBConv blocks") })
	}
	n := EffNet{Common: readCommon(doc, f, Common{SE: defaultEffSE, Activation: graph.SiLU, HeadWidth: defaultEffHead})}
	f.Require("stages")
	for _, m := range f.Maps("stages") {
		var s EffStage
		m.Require("depth", "width", "stride", "expand", "kernel")
		m.Int("depth", &s.Depth)
		m.Int("width", &s.Width)
		m.Int("stride", &s.Stride)
		m.Float("expand", &s.Expand)
		m.Int("kernel", &s.Kernel)
		m.Finish()
		n.Stages = append(n.Stages, s)
	}
	return n
}

func readBlock(f *strict.Fields) (b BlockType) {
	f.Word("block", func(w string) (err error) { b, err = ParseBlockType(w); return err })
	return b
}

// readCommon reads what all families have over its defaults.
func readCommon(doc *strict.Doc, f *strict.Fields, c Common) Common {
	c.Stem = Stem{Type: SimpleStem, Width: defaultStemWidth}
	m := f.Map("stem")
	m.Word("type", func(w string) (err error) { c.Stem.Type, err = ParseStemType(w); return err })
	m.Int("width", &c.Stem.Width)
	m.Finish()
	f.Float("se", &c.SE)
	f.Int("radix", &c.Radix)
	positive(doc, f, "radix", float64(c.Radix))
	f.Word("activation", func(w string) error {
		act, err := ParseActivation(w)
		if err == nil {
			c.Activation = act
		}
		return err
	})
	f.Int("head_width", &c.HeadWidth)
	f.Float("drop_path", &c.DropPath)
	f.Float("dropout", &c.Dropout)
	return c
}
