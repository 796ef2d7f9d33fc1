package arch

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"netspace/graph"
	"netspace/strict"
)

// Network is one of the families: AnyNet, RegNet or EffNet, by value.
type Network interface {
	// Validate reports all faults of the network's numbers, or nil.
	Validate() error
	family() string
	row() *block // of its blocks
	common() Common
	with(c Common) Network
	check(c *checker)
	canonical() Network              // adjusted, in the one form that equal networks have
	build(sink graph.Sink, in Input) // adjusts first; the network and the input are valid
	key(b []byte) []byte
}

// Spec is one network as a file states it, with what it is meant for. The zero
// value is not valid. Specs are read by ParseSpec, and written by encoding/json and goccy/go-yaml.
type Spec struct {
	Network    Network        // AnyNet, RegNet or EffNet
	Resolution int            // pixels of the images' sides; 0: not stated
	Channels   int            // of the images; 0: not stated
	Classes    int            // 0: not stated
	Recipe     map[string]any // training recipe as given, for package train; nil: not stated
}

// Spec wraps the network.
func (n AnyNet) Spec() Spec { return Spec{Network: n} }

// Spec wraps the network.
func (r RegNet) Spec() Spec { return Spec{Network: r} }

// Spec wraps the network.
func (n EffNet) Spec() Spec { return Spec{Network: n} }

// Family is "regnet", "anynet" or "effnet".
func (s Spec) Family() string {
	if s.Network == nil {
		return ""
	}
	return s.Network.family()
}

// Input is what the spec states, and ImageNet for the rest.
func (s Spec) Input() Input { return s.fill(Input{}) }

// fill replaces zeros of in by what the spec states, else by ImageNet's numbers.
func (s Spec) fill(in Input) Input {
	first := func(vs ...int) int {
		for _, v := range vs {
			if v != 0 {
				return v
			}
		}
		return 0
	}
	return Input{
		Channels: first(in.Channels, s.Channels, ImageNet.Channels),
		Height:   first(in.Height, s.Resolution, ImageNet.Height),
		Width:    first(in.Width, s.Resolution, ImageNet.Width),
		Classes:  first(in.Classes, s.Classes, ImageNet.Classes),
	}
}

// Build writes the adjusted network into the sink. Zeros of in mean what the
// spec states, else ImageNet's numbers. The error is Validate's; nothing has been written then.
func (s Spec) Build(sink graph.Sink, in Input) error {
	if err := s.Validate(); err != nil {
		return err
	}
	in = s.fill(in)
	var c checker
	c.input(in)
	if err := c.faults.Err(); err != nil {
		return err
	}
	s.Network.build(sink, in)
	return nil
}

// Graph records the network. See Build for in and the error.
func (s Spec) Graph(in Input) (*graph.Graph, error) { return s.TrainingGraph(in, FromRecipe{}) }

// Complexity counts the network for one image. See Build for in and the error.
func (s Spec) Complexity(in Input) (graph.Complexity, error) {
	var k graph.Counter
	if err := s.Build(&k, in); err != nil {
		return graph.Complexity{}, err
	}
	return k.Complexity, nil
}

// Adjusted fills in defaults and makes the numbers compatible (docs/method.md §2). The
// family stays: a regnet keeps its parameters, with the group width that its
// widest stage uses. s must be valid.
func (s Spec) Adjusted() Spec {
	s.Network = s.Network.canonical()
	return s
}

// AnyNet is the adjusted network as stages; false for families that are no
// AnyNets and for specs that are not valid.
func (s Spec) AnyNet() (AnyNet, bool) {
	switch n := s.Network.(type) {
	case AnyNet:
		if n.Validate() == nil {
			return n.adjusted(), true
		}
	case RegNet:
		if a, err := n.AnyNet(); err == nil {
			return a, true
		}
	}
	return AnyNet{}, false
}

// Key identifies the adjusted network, with resolution, channels and classes
// where stated: equal for equal networks, so that a regnet and the anynet that
// it expands to have one key. The recipe has no part in it. s must be valid.
func (s Spec) Key() string {
	b := s.Network.key(make([]byte, 0, 128))
	for _, f := range []struct {
		name  string
		value int
	}{{"resolution", s.Resolution}, {"channels", s.Channels}, {"classes", s.Classes}} {
		if f.value != 0 {
			b = append(b, ' ')
			b = append(b, f.name...)
			b = strconv.AppendInt(b, int64(f.value), 10)
		}
	}
	return string(b)
}

func (AnyNet) family() string { return "anynet" }
func (RegNet) family() string { return "regnet" }
func (EffNet) family() string { return "effnet" }

func (n AnyNet) row() *block { return n.Block.row() }
func (r RegNet) row() *block { return r.Block.row() }
func (EffNet) row() *block   { return &mbConvBlock }

func (c Common) common() Common { return c }

func (n AnyNet) with(c Common) Network { n.Common = c; return n }
func (r RegNet) with(c Common) Network { r.Common = c; return r }
func (n EffNet) with(c Common) Network { n.Common = c; return n }

func (n AnyNet) canonical() Network { return n.adjusted() }
func (r RegNet) canonical() Network { return r.adjusted() }
func (n EffNet) canonical() Network { return n }

func (n AnyNet) build(sink graph.Sink, in Input) { n.adjusted().Build(sink, in) }
func (r RegNet) build(sink graph.Sink, in Input) {
	var room [8]Stage
	r.anyNet(room[:0]).Build(sink, in)
}
func (n EffNet) build(sink graph.Sink, in Input) { n.Build(sink, in) }

func (r RegNet) key(b []byte) []byte { return r.anyNet(nil).key(b) }

func (n AnyNet) key(b []byte) []byte {
	n = n.adjusted()
	b = append(b, "anynet "...)
	b = append(b, n.Block.String()...)
	b = n.Common.key(b)
	if n.Stride1x1 {
		b = append(b, " stride-1x1"...)
	}
	for _, s := range n.Stages {
		b = fmt.Appendf(b, " d%dw%ds%d", s.Depth, s.Width, s.Stride)
		if n.Block.Has().Bottleneck {
			b = fmt.Appendf(b, "b%s", number(s.Bottleneck))
		}
		if n.Block.Has().Groups {
			b = fmt.Appendf(b, "g%d", s.GroupWidth)
		}
	}
	return b
}

func (n EffNet) key(b []byte) []byte {
	b = append(b, "effnet"...)
	b = n.Common.key(b)
	for _, s := range n.Stages {
		b = fmt.Appendf(b, " d%dw%ds%de%sk%d", s.Depth, s.Width, s.Stride, number(s.Expand), s.Kernel)
	}
	return b
}

func (c Common) key(b []byte) []byte {
	b = fmt.Appendf(b, " %s%d %s", c.Stem.Type, c.Stem.Width, c.Activation)
	for _, f := range []struct {
		name  string
		value float64
	}{{"se", c.SE}, {"radix", float64(c.Radix)}, {"head", float64(c.HeadWidth)}, {"drop-path", c.DropPath}, {"dropout", c.Dropout}} {
		if f.value != 0 {
			b = fmt.Appendf(b, " %s%s", f.name, number(f.value))
		}
	}
	return b
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// The largest numbers that a spec may have: far beyond any network in use, and small
// enough that no count overflows in practice.
const (
	maxDepth      = 4096  // blocks of a network
	maxWidth      = 32768 // channels
	maxStride     = 32
	maxKernel     = 31
	maxResolution = 8192 // pixels
	maxChannels   = 1024 // of the images
	maxClasses    = 1 << 20
)

// checker collects the faults of a network's numbers, by path.
type checker struct {
	faults strict.Faults
	locate func(path string) (file string, line int) // nil: not from a file
}

func (c *checker) fail(path, value, format string, args ...any) {
	f := strict.Fault{Path: path, Value: value, Rule: fmt.Sprintf(format, args...)}
	if c.locate != nil {
		f.File, f.Line = c.locate(path)
	}
	c.faults.Add(f)
}

func (c *checker) whole(path string, v, lo, hi int) bool {
	if v < lo || v > hi {
		c.fail(path, strconv.Itoa(v), "must be a whole number from %d to %d", lo, hi)
		return false
	}
	return true
}

// rate checks a share in [0, 1).
func (c *checker) rate(path string, v float64) {
	if !(v >= 0 && v < 1) {
		c.fail(path, number(v), "must be at least 0 and under 1")
	}
}

// bottleneck checks that b, or 1/b, is a whole number; 0 means 1.
func (c *checker) bottleneck(path string, b float64) bool {
	whole := func(v float64) bool { return math.Abs(v-math.Round(v)) < 1e-6*v }
	if b == 0 || b >= 1 && b <= 64 && whole(b) || b < 1 && b >= 1.0/64 && whole(1/b) {
		return true
	}
	c.fail(path, number(b), "must be a whole number from 1 to 64 (width / width of the 3×3), or 1 over one for an inverted bottleneck (0.5, 0.25, …)")
	return false
}

// groups checks the bottleneck ratio and the group width where the blocks have them.
func (c *checker) groups(path string, has Has, b float64, g int) bool {
	ok := !has.Bottleneck || c.bottleneck(path+"bottleneck", b)
	return (!has.Groups || c.whole(path+"group_width", g, 0, maxWidth)) && ok
}

func (c *checker) input(in Input) {
	c.whole("channels", in.Channels, 1, maxChannels)
	c.whole("resolution", in.Height, 1, maxResolution)
	if in.Width != in.Height {
		c.whole("resolution", in.Width, 1, maxResolution)
	}
	c.whole("classes", in.Classes, 1, maxClasses)
}

func (c *checker) stem(s Stem) {
	if int(s.Type) >= len(stemNames) {
		c.fail("stem.type", strconv.Itoa(int(s.Type)), "%s", strict.OneOf("", stemNames[:]...))
	}
	c.whole("stem.width", s.Width, 1, maxWidth)
}

// common checks what all families have, for blocks of this row.
func (c *checker) common(row *block, n Common) {
	c.stem(n.Stem)
	switch {
	case !(n.SE >= 0 && n.SE <= 1):
		c.fail("se", number(n.SE), "must be from 0 (none) to 1: the ratio of the squeezed width to the block's input width")
	case n.SE > 0 && !row.has.SE:
		c.fail("se", number(n.SE), "must be 0 for block %s: it has no squeeze-and-excitation", row.word)
	}
	switch {
	case n.Radix < 0 || n.Radix > MaxRadix:
		c.fail("radix", strconv.Itoa(n.Radix), "must be a whole number from 1 to %d", MaxRadix)
	case n.Radix > 0 && !row.has.Radix:
		c.fail("radix", strconv.Itoa(n.Radix), "has no effect on %s blocks: leave it out", row.word)
	}
	if n.Activation != graph.ReLU && n.Activation != graph.SiLU {
		c.fail("activation", n.Activation.String(), "%s", strict.OneOf("", activationNames[:]...))
	}
	c.whole("head_width", n.HeadWidth, 0, maxWidth)
	c.rate("drop_path", n.DropPath)
	if n.DropPath > 0 && !row.has.Branch {
		c.fail("drop_path", number(n.DropPath), "must be 0 for block %s: it has no shortcut", row.word)
	}
	c.rate("dropout", n.Dropout)
}

func (n AnyNet) check(c *checker) {
	has := n.Block.Has()
	c.block(n.Block)
	c.common(n.row(), n.Common)
	if n.Stride1x1 && !has.Stride1x1 {
		c.fail("stride_1x1", "true", "must be false for block %s: it has no 1×1 before the 3×3", n.Block)
	}
	if len(n.Stages) == 0 {
		c.fail("stages", "", "must have at least one stage")
	}
	for i, s := range n.Stages {
		path := "stages[" + strconv.Itoa(i) + "]."
		ok := c.whole(path+"depth", s.Depth, 1, maxDepth)
		ok = c.whole(path+"width", s.Width, 1, maxWidth) && ok
		c.whole(path+"stride", s.Stride, 1, maxStride)
		if ok = c.groups(path, has, s.Bottleneck, s.GroupWidth) && ok; !ok {
			continue
		}
		if a := has.adjusted(s, n.Block.commonOf(n.Common).Radix); a.Width > maxWidth || a.mid() > maxWidth {
			c.fail(path+"width", strconv.Itoa(s.Width), "becomes %d with a 3×3 of %d channels: more than %d", a.Width, a.mid(), maxWidth)
		}
	}
	if d := n.Depth(); d > maxDepth {
		c.fail("stages", "", "have %d blocks in all: at most %d are allowed", d, maxDepth)
	}
}

func (r RegNet) check(c *checker) {
	c.block(r.Block)
	c.common(r.row(), r.Common)
	ok := c.whole("depth", r.Depth, 1, maxDepth)
	number := func(path string, v float64, good bool, rule string) {
		if !good || math.IsNaN(v) || v > maxWidth {
			c.fail(path, number(v), "must be %s and at most %d", rule, maxWidth)
			ok = false
		}
	}
	number("w0", r.W0, r.W0 > 0, "more than 0")
	number("wa", r.WA, r.WA >= 0, "at least 0")
	number("wm", r.WM, r.WM > 1, "more than 1")
	ok = c.whole("stride", r.Stride, 0, maxStride) && ok
	if ok = c.groups("", r.Block.Has(), r.Bottleneck, r.GroupWidth) && ok; !ok {
		return
	}
	// u_j grows with j and so do the widths: the last stage is the widest.
	if u := r.W0 + r.WA*float64(r.Depth-1); u > maxWidth {
		c.fail("wa", strconv.FormatFloat(r.WA, 'g', -1, 64), "gives a last block of width %.0f: at most %d is allowed", u, maxWidth)
		return
	}
	var room [8]Stage
	for _, s := range r.AppendStages(room[:0]) {
		if s.Width > maxWidth || s.mid() > maxWidth {
			c.fail("wm", strconv.FormatFloat(r.WM, 'g', -1, 64), "gives a stage of width %d: at most %d channels are allowed", s.Width, maxWidth)
			return
		}
	}
}

func (n EffNet) check(c *checker) {
	c.common(n.row(), n.Common)
	if len(n.Stages) == 0 {
		c.fail("stages", "", "must have at least one stage")
	}
	in := n.Stem.Width
	for i, s := range n.Stages {
		path := "stages[" + strconv.Itoa(i) + "]."
		c.whole(path+"depth", s.Depth, 1, maxDepth)
		c.whole(path+"width", s.Width, 1, maxWidth)
		c.whole(path+"stride", s.Stride, 1, maxStride)
		if !(s.Expand >= 1 && s.Expand <= 64) {
			c.fail(path+"expand", number(s.Expand), "must be from 1 (no expansion) to 64")
		} else if w := float64(max(in, s.Width)) * s.Expand; w > maxWidth {
			c.fail(path+"expand", number(s.Expand), "expands to %.0f channels: at most %d are allowed", w, maxWidth)
		}
		if s.Kernel < 1 || s.Kernel > maxKernel || s.Kernel%2 == 0 {
			c.fail(path+"kernel", strconv.Itoa(s.Kernel), "must be an odd number from 1 to %d", maxKernel)
		}
		in = s.Width
	}
	if d := n.Depth(); d > maxDepth {
		c.fail("stages", "", "have %d blocks in all: at most %d are allowed", d, maxDepth)
	}
}

func validate(n Network) error {
	var c checker
	n.check(&c)
	return c.faults.Err()
}

// Validate reports all faults of the numbers, or nil.
func (n AnyNet) Validate() error { return validate(n) }

// Validate reports all faults of the numbers, or nil.
func (r RegNet) Validate() error { return validate(r) }

// Validate reports all faults of the numbers, or nil.
func (n EffNet) Validate() error { return validate(n) }

// Validate reports all faults of the spec at once as a *strict.Error, or nil.
func (s Spec) Validate() error {
	var c checker
	s.check(&c)
	return c.faults.Err()
}

func (s Spec) check(c *checker) {
	if s.Network == nil {
		c.fail("family", "", "is missing: %s", strict.OneOf("", families[:]...))
		return
	}
	s.Network.check(c)
	if s.Resolution != 0 {
		c.whole("resolution", s.Resolution, 1, maxResolution)
	}
	if s.Channels != 0 {
		c.whole("channels", s.Channels, 1, maxChannels)
	}
	if s.Classes != 0 {
		c.whole("classes", s.Classes, 1, maxClasses)
	}
}

var (
	families        = [...]string{"regnet", "anynet", "effnet"}
	stemNames       = [...]string{"simple", "cifar", "resnet", "deep"}
	activationNames = [...]string{"relu", "silu"}
)

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return strconv.Itoa(i)
}

// String gives the word of spec files: simple, cifar, resnet or deep.
func (t StemType) String() string { return nameOf(stemNames[:], int(t)) }

// ParseStemType is the inverse of StemType.String.
func ParseStemType(word string) (StemType, error) {
	i, err := wordIndex(word, stemNames[:])
	return StemType(i), err
}

// ParseActivation reads relu or silu (also called swish).
func ParseActivation(word string) (graph.Activation, error) {
	if strings.EqualFold(word, "swish") {
		return graph.SiLU, nil
	}
	i, err := wordIndex(word, activationNames[:])
	return graph.ReLU + graph.Activation(i), err
}

func wordIndex(word string, words []string) (int, error) {
	for i, w := range words {
		if w == word {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%s", strict.OneOf(word, words...))
}
