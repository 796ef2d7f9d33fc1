package arch

import (
	"strings"
	"testing"

	"netspace/graph"
)

// TestTable: every row is whole, its words are its own, and what it says that
// blocks have is what they build.
func TestTable(t *testing.T) {
	words := map[string]BlockType{}
	for _, b := range Blocks() {
		row := b.row()
		if row.word == "" || row.about == "" || row.build == nil || row.end == nil {
			t.Fatalf("row %d of the table is not whole: %+v", b, *row)
		}
		for _, w := range []string{row.word, row.letter} {
			if other, taken := words[w]; taken && w != "" {
				t.Errorf("%s and %s have the word %q", other, b, w)
			}
			words[w] = b
		}
		if parsed, err := ParseBlockType(row.word); err != nil || parsed != b {
			t.Errorf("%s is read as %s, %v", b, parsed, err)
		}
		if same := row.same.row(); same.same != row.same || same.has != row.has {
			t.Errorf("%s builds %s, which is not of its own kind", b, row.same)
		}
		base := AnyNet{Block: b, Common: Common{Stem: Stem{CIFARStem, 8}, Activation: graph.ReLU}}
		base.Stages = []Stage{row.has.only(Stage{Depth: 3, Width: 16, Stride: 2, Bottleneck: 1, GroupWidth: 16})}
		in := Input{Channels: 1, Height: 8, Width: 8, Classes: 3}
		built := func(change func(n *AnyNet)) (*graph.Graph, error) {
			n := base
			n.Stages = []Stage{base.Stages[0]}
			change(&n)
			return n.Spec().Graph(in)
		}
		plain, err := built(func(*AnyNet) {})
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		for _, f := range []struct {
			name   string
			has    bool
			change func(n *AnyNet)
		}{
			{"bottleneck", row.has.Bottleneck, func(n *AnyNet) { n.Stages[0].Bottleneck = 2 }},
			{"group width", row.has.Groups, func(n *AnyNet) { n.Stages[0].GroupWidth = 4 }},
			{"se", row.has.SE, func(n *AnyNet) { n.SE = 0.5 }},
			{"stride in the 1×1", row.has.Stride1x1, func(n *AnyNet) { n.Stride1x1 = true }},
			{"radix", row.has.Radix, func(n *AnyNet) { n.Radix = 4 }},
			{"drop path", row.has.Branch, func(n *AnyNet) { n.DropPath = 0.5 }},
		} {
			g, err := built(f.change)
			if changed := err == nil && !same(plain, g); changed != f.has {
				t.Errorf("%s: a %s changes the network: %t (%v); the table says %t", b, f.name, changed, err, f.has)
			}
		}
	}
}

// same compares shapes, attributes and the number of nodes.
func same(a, b *graph.Graph) bool {
	if len(a.Nodes) != len(b.Nodes) {
		return false
	}
	for i := range a.Nodes {
		x, y := a.Nodes[i], b.Nodes[i]
		if x.Op != y.Op || x.C != y.C || x.H != y.H || x.W != y.W || x.Groups != y.Groups || x.Stride != y.Stride || x.Rate != y.Rate {
			return false
		}
	}
	return true
}

// TestUnknownBlock: the message lists the words of the table, and a number that
// names no kind is refused.
func TestUnknownBlock(t *testing.T) {
	_, err := ParseSpec([]byte("family: anynet\nblock: botleneck\nstages: [{depth: 1, width: 8}]\n"), "net.yaml")
	for _, b := range Blocks() {
		if err == nil || !strings.Contains(err.Error(), b.String()) {
			t.Errorf("%v: does not name %s", err, b)
		}
	}
	n := AnyNet{Block: numBlocks, Common: Common{Stem: Stem{SimpleStem, 8}, Activation: graph.ReLU}, Stages: []Stage{{Depth: 1, Width: 8, Stride: 1}}}
	if err := n.Validate(); err == nil || !strings.Contains(err.Error(), "block: "+numBlocks.String()) {
		t.Errorf("block %d: %v", numBlocks, err)
	}
}
