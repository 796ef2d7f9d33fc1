//go:build cgo

package onednn

import (
	"testing"

	"netspace/arch"
	"netspace/engine"
	"netspace/graph"
)

// TestDropPathIsFused: in every block that has a branch, dropping it takes no
// pass of its own over the batch, only, and not in all of them, the factor of a
// chunk's gradient.
func TestDropPathIsFused(t *testing.T) {
	e := open(t)
	const blocks = 3
	ops := func(b arch.BlockType, rate float64) int {
		n := arch.AnyNet{
			Block: b, Common: arch.Common{Stem: arch.Stem{Type: arch.CIFARStem, Width: 16}, Activation: graph.ReLU, DropPath: rate},
			Stages: []arch.Stage{{Depth: blocks, Width: 16, Stride: 1, Bottleneck: 1, GroupWidth: 8}},
		}
		n.Adjust()
		g, err := n.Spec().Graph(arch.Input{Channels: 3, Height: 8, Width: 8, Classes: 10})
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Compile(g, engine.Options{Batch: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		return len(p.(*program).ops)
	}
	for _, b := range arch.Blocks() {
		if !b.Has().Branch {
			continue
		}
		if without, with := ops(b, 0), ops(b, 0.3); with > without+blocks {
			t.Errorf("%s: %d ops without drop-path, %d with it", b, without, with)
		}
	}
}
