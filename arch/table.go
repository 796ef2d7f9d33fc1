package arch

import (
	"strconv"

	"netspace/graph"
	"netspace/strict"
)

// BlockType is the kind of the blocks of a body (docs/method.md §2): a row of
// the table of blocks. The zero value is Bottleneck.
type BlockType uint8

// The blocks; Y is X with SE.
const (
	Bottleneck BlockType = iota
	Basic
	Vanilla
	VanillaResidual
	BottleneckLinear
	BottleneckPreact
	SplitAttention
	numBlocks
)

// Has says what blocks of a type have. They are facts of their own: none follows from another.
type Has struct {
	Bottleneck bool // a bottleneck ratio: the 3×3 has w_b channels, not the block's width
	Groups     bool // a group width of the 3×3
	SE         bool // room for squeeze-and-excitation
	Stride1x1  bool // a 1×1 in front of the 3×3 that may have the stride
	Branch     bool // a residual branch, which drop-path can drop
	Radix      bool // splits that attention weighs
}

// block is a row of the table: all that is known of a kind of blocks. Rows are
// written without field names, so that none of these can be forgotten.
type block struct {
	word   string // of spec and space files
	letter string // of the paper (DDS §4), which space files and flags know too; "": none
	about  string // for schemas and docs
	has    Has
	same   BlockType // the kind that builds the same network, which is its one form; itself for most
	build  func(b blockParams, sink graph.Sink, p at, x graph.Value) graph.Value
	end    func(sink graph.Sink, x graph.Value, act graph.Activation) graph.Value // what the body ends with
}

// blocks is the table (docs/adding-a-block.md). There is no second place that
// lists blocks.
var blocks = [...]block{
	Bottleneck: {"bottleneck", "X", "1×1, 3×3 with groups, 1×1, residual; with se it is Y",
		Has{Bottleneck: true, Groups: true, SE: true, Stride1x1: true, Branch: true}, Bottleneck, blockParams.x, nothing},
	Basic: {"basic", "R", "two 3×3, residual",
		Has{Branch: true}, Basic, blockParams.basic, nothing},
	Vanilla: {"vanilla", "V", "two 3×3, no shortcut",
		Has{}, Vanilla, blockParams.vanilla, nothing},
	VanillaResidual: {"vanilla-residual", "VR", "another word for basic",
		Has{Branch: true}, Basic, blockParams.basic, nothing},
	BottleneckLinear: {"bottleneck-linear", "", "X without the activation after the addition, and with an identity shortcut or none",
		Has{Bottleneck: true, Groups: true, SE: true, Stride1x1: true, Branch: true}, BottleneckLinear, blockParams.linear, nothing},
	BottleneckPreact: {"bottleneck-preact", "", "X with BN and activation in front of each convolution; the body ends with both",
		Has{Bottleneck: true, Groups: true, SE: true, Stride1x1: true, Branch: true}, BottleneckPreact, blockParams.preact, preactEnd},
	SplitAttention: {"split-attention", "", "1×1, 3×3 in radix splits that attention weighs, 1×1, residual; strides are average poolings (ResNeSt)",
		Has{Bottleneck: true, Groups: true, Branch: true, Radix: true}, SplitAttention, blockParams.splitAttention, nothing},
}

// Every kind has a row: this does not compile otherwise.
var _ = [1]struct{}{}[len(blocks)-int(numBlocks)]

// mbConvBlock is the row of the one block of an EfficientNet, which no other
// family has: its stages state an expansion and a kernel instead.
var mbConvBlock = block{"mbconv", "", "1×1 expansion, depthwise convolution, 1×1, identity shortcut or none",
	Has{SE: true, Branch: true}, 0, blockParams.mbConv, nothing}

// Blocks lists the kinds of blocks, in the order of the table.
func Blocks() []BlockType {
	types := make([]BlockType, len(blocks))
	for i := range types {
		types[i] = BlockType(i)
	}
	return types
}

// row is the entry of the table; of a number that names no kind, one that has nothing.
func (b BlockType) row() *block {
	if int(b) < len(blocks) {
		return &blocks[b]
	}
	return &block{word: strconv.Itoa(int(b)), same: b}
}

// Has says what blocks of this type have.
func (b BlockType) Has() Has { return b.row().has }

// String gives the word of spec files, "bottleneck" or "basic".
func (b BlockType) String() string { return b.row().word }

// Letter gives the paper's name of the block, "X" or "VR", or "" if it has none (DDS §4).
func (b BlockType) Letter() string { return b.row().letter }

// About says in a few words what the block is.
func (b BlockType) About() string { return b.row().about }

// ParseBlockType is the inverse of BlockType.String.
func ParseBlockType(word string) (BlockType, error) {
	i, err := wordIndex(word, blockWords(nil))
	return BlockType(i), err
}

// blockWords are the words of the kinds that which holds for; nil: of all.
func blockWords(which func(Has) bool) []string {
	var words []string
	for i := range blocks {
		if which == nil || which(blocks[i].has) {
			words = append(words, blocks[i].word)
		}
	}
	return words
}

func (c *checker) block(b BlockType) {
	if int(b) >= len(blocks) {
		c.fail("block", b.String(), "%s", strict.OneOf("", blockWords(nil)...))
	}
}

// adjusted makes a stage of such blocks compatible (see Stage.Adjusted), and
// clears what they do not have. Each split of a group has channels: a group
// width becomes the nearest multiple of the radix, 0 where blocks have none.
func (h Has) adjusted(s Stage, radix int) Stage {
	switch {
	case h.Bottleneck && h.Groups:
		return s.adjusted(max(1, radix))
	case h.Bottleneck || h.Groups:
		return h.only(h.only(s).adjusted(1))
	}
	return h.only(s)
}

// only is the stage without what the blocks do not have.
func (h Has) only(s Stage) Stage {
	if !h.Bottleneck {
		s.Bottleneck = 0
	}
	if !h.Groups {
		s.GroupWidth = 0
	}
	return s
}

// commonOf is c without what the blocks do not have.
func (b BlockType) commonOf(c Common) Common {
	has := b.Has()
	if !has.SE {
		c.SE = 0
	}
	if !has.Branch {
		c.DropPath = 0
	}
	switch {
	case !has.Radix:
		c.Radix = 0
	case c.Radix == 0:
		c.Radix = DefaultRadix
	}
	return c
}

// nothing ends the body of most blocks.
func nothing(_ graph.Sink, x graph.Value, _ graph.Activation) graph.Value { return x }
