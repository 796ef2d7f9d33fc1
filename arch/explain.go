package arch

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"netspace/graph"
)

// Explanation shows where the numbers of a network come from.
type Explanation struct {
	Family     string           `json:"family"`
	Block      string           `json:"block"` // the word of spec files for the blocks that are built; mbconv in an effnet
	Spec       Spec             `json:"spec"`  // adjusted
	Input      Input            `json:"input"`
	Line       []LineBlock      `json:"line,omitempty"`     // of a RegNet: its quantised line
	Adjusted   []Adjustment     `json:"adjusted,omitempty"` // of networks with groups: from what was asked to what is built
	Sections   []Section        `json:"sections"`           // stem, stages, head
	Complexity graph.Complexity `json:"complexity"`
}

// LineBlock is one block of a RegNet's quantised line (DDS §3.3, eq. 2–4).
type LineBlock struct {
	Block int     `json:"block"` // j, from 0
	U     float64 `json:"u"`     // u_j = w_0 + w_a·j
	S     float64 `json:"s"`     // log(u_j/w_0) / log(w_m)
	Level int     `json:"level"` // s_j rounded half to even
	Exact float64 `json:"exact"` // w_0·w_m^level
	Width int     `json:"width"` // rounded to a multiple of 8
}

// Adjustment is a stage before and after its numbers were made compatible
// (docs/method.md §2).
type Adjustment struct {
	Stage int   `json:"stage"` // from 1
	Asked Stage `json:"asked"`
	Built Stage `json:"built"`
	Mid   int   `json:"mid"` // w_b, channels of the 3×3 as built
}

// Section is the stem, a stage or the head, with its part of the complexity.
type Section struct {
	Name       string           `json:"name"` // "stem", "s1", …, "head"
	Blocks     int              `json:"blocks,omitempty"`
	Stride     int              `json:"stride,omitempty"`
	In         Shape            `json:"in"`
	Out        Shape            `json:"out"`
	Mid        int              `json:"mid,omitempty"`         // w_b of a bottleneck stage; the expanded width of the last MBConv of a stage
	GroupWidth int              `json:"group_width,omitempty"` // of the 3×3
	Groups     int              `json:"groups,omitempty"`
	Kernel     int              `json:"kernel,omitempty"` // of the spatial convolutions of the stage
	SE         []int            `json:"se,omitempty"`     // squeezed widths: of the first block, and of the others if different
	Complexity graph.Complexity `json:"complexity"`
}

// Shape of a value, [C,H,W].
type Shape struct {
	C int `json:"c"`
	H int `json:"h"`
	W int `json:"w"`
}

// String gives "48×14×14".
func (s Shape) String() string {
	return strconv.Itoa(s.C) + "×" + strconv.Itoa(s.H) + "×" + strconv.Itoa(s.W)
}

// Explain derives a network step by step. See Spec.Build for in and the error.
func (s Spec) Explain(in Input) (Explanation, error) {
	var t tally
	if err := s.Build(&t, in); err != nil {
		return Explanation{}, err
	}
	e := Explanation{Family: s.Family(), Block: s.Adjusted().Network.row().word, Spec: s.Adjusted(), Input: s.fill(in), Sections: t.sections, Complexity: t.count.Complexity}
	radix := s.Adjusted().Network.common().Radix
	switch n := s.Network.(type) {
	case RegNet:
		e.Line = n.Line()
		e.adjust(n.Block, radix, n.appendQuantized(nil))
	case AnyNet:
		e.adjust(n.Block, radix, n.Stages)
	}
	if a, ok := s.AnyNet(); ok {
		for i, st := range a.Stages {
			sec := &e.Sections[i+1]
			sec.Blocks, sec.Stride = st.Depth, st.Stride
			sec.Mid, sec.GroupWidth, sec.Groups = 0, 0, 0
			if has := a.Block.Has(); has.Groups {
				sec.Mid, sec.GroupWidth, sec.Groups = st.mid(), st.GroupWidth, st.mid()/st.GroupWidth
			} else if has.Bottleneck {
				sec.Mid = st.mid()
			}
		}
	} else if n, ok := s.Network.(EffNet); ok {
		for i, st := range n.Stages {
			e.Sections[i+1].Blocks, e.Sections[i+1].Stride = st.Depth, st.Stride
		}
	}
	return e, nil
}

func (e *Explanation) adjust(block BlockType, radix int, asked []Stage) {
	if has := block.Has(); !has.Bottleneck && !has.Groups {
		return
	}
	for i, st := range asked {
		built := block.Has().adjusted(st, radix)
		e.Adjusted = append(e.Adjusted, Adjustment{Stage: i + 1, Asked: st, Built: built, Mid: built.mid()})
	}
}

// Line is the quantised line block by block. r must be valid.
func (r RegNet) Line() []LineBlock {
	line := make([]LineBlock, r.Depth)
	logWM := math.Log(r.WM)
	for j := range line {
		s, level := r.quantize(j, logWM)
		line[j] = LineBlock{Block: j, U: r.W0 + r.WA*float64(j), S: s, Level: int(level), Exact: r.W0 * math.Pow(r.WM, level), Width: r.width(level)}
	}
	return line
}

// tally is the Sink that counts each section of a network by itself and keeps
// the shapes between them.
type tally struct {
	count    graph.Counter
	sections []Section
	last     Shape // of the ops so far
}

var _ graph.Sink = (*tally)(nil)

// at is the section that an op of this name belongs to.
func (t *tally) at(n graph.Name) *Section {
	name, _, _ := strings.Cut(n.Part, ".")
	if n.Stage > 0 {
		name = "s" + strconv.Itoa(n.Stage)
	}
	if k := len(t.sections); k == 0 || t.sections[k-1].Name != name {
		t.sections = append(t.sections, Section{Name: name, In: t.last})
	}
	return &t.sections[len(t.sections)-1]
}

// add counts an op of a section by what it changed.
func (t *tally) add(sec *Section, before graph.Complexity, y graph.Value) graph.Value {
	sec.Complexity.Flops += t.count.Flops - before.Flops
	sec.Complexity.Params += t.count.Params - before.Params
	sec.Complexity.Acts += t.count.Acts - before.Acts
	t.last = Shape{y.C, y.H, y.W}
	sec.Out = t.last
	return y
}

func (t *tally) Input(c, h, w int) graph.Value {
	t.last = Shape{c, h, w}
	return t.count.Input(c, h, w)
}

func (t *tally) Conv(n graph.Name, x graph.Value, c graph.Conv) graph.Value {
	sec := t.at(n)
	before := t.count.Complexity
	switch {
	case n.Stage == 0:
	case strings.HasSuffix(n.Part, "f_ex.0"): // the squeeze of an SE module
		if !slices.Contains(sec.SE, c.Out) {
			sec.SE = append(sec.SE, c.Out)
		}
	case c.Groups > 1 || c.Kernel > 1:
		sec.Kernel, sec.Groups, sec.GroupWidth, sec.Mid = c.Kernel, c.Groups, c.Out/c.Groups, c.Out
	}
	return t.add(sec, before, t.count.Conv(n, x, c))
}

func (t *tally) BatchNorm(n graph.Name, x graph.Value, b graph.BatchNorm) graph.Value {
	sec := t.at(n)
	before := t.count.Complexity
	return t.add(sec, before, t.count.BatchNorm(n, x, b))
}

func (t *tally) MaxPool(x graph.Value, kernel, stride int) graph.Value {
	sec := &t.sections[len(t.sections)-1]
	before := t.count.Complexity
	return t.add(sec, before, t.count.MaxPool(x, kernel, stride))
}

func (t *tally) Linear(n graph.Name, x graph.Value, out int) graph.Value {
	sec := t.at(n)
	before := t.count.Complexity
	return t.add(sec, before, t.count.Linear(n, x, out))
}

func (t *tally) Activation(x graph.Value, a graph.Activation) graph.Value {
	return t.count.Activation(x, a)
}
func (t *tally) GlobalPool(x graph.Value) graph.Value  { return t.count.GlobalPool(x) }
func (t *tally) Add(a, b graph.Value) graph.Value      { return t.count.Add(a, b) }
func (t *tally) Scale(x, gate graph.Value) graph.Value { return t.count.Scale(x, gate) }
func (t *tally) AvgPool(x graph.Value, kernel, stride, pad int) graph.Value {
	sec := &t.sections[len(t.sections)-1]
	before := t.count.Complexity
	return t.add(sec, before, t.count.AvgPool(x, kernel, stride, pad))
}
func (t *tally) Fold(x graph.Value, parts int) graph.Value { return t.count.Fold(x, parts) }
func (t *tally) Softmax(x graph.Value, parts, groups int) graph.Value {
	return t.count.Softmax(x, parts, groups)
}
func (t *tally) DropPath(x graph.Value, rate float64) graph.Value { return t.count.DropPath(x, rate) }
func (t *tally) Dropout(x graph.Value, rate float64) graph.Value  { return t.count.Dropout(x, rate) }
