package arch

import (
	"testing"

	"netspace/graph"
)

// regnetX400MF as the samplers draw it.
func regnetX400MF() RegNet {
	return RegNet{Depth: 22, W0: 24, WA: 24.48, WM: 2.54, GroupWidth: 16, Bottleneck: 1, Common: Common{Stem: Stem{SimpleStem, 32}, Activation: graph.ReLU}}
}

// BenchmarkRegNetComplexity is what a sampler does for every draw: stages from
// parameters, then flops, params and acts. It has to stay under 5 µs.
func BenchmarkRegNetComplexity(b *testing.B) {
	r := regnetX400MF()
	stages := make([]Stage, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		stages = r.AppendStages(stages[:0])
		n := AnyNet{Block: r.Block, Common: Common{Stem: r.Stem, Activation: r.Activation}, Stages: stages}
		n.Complexity(ImageNet)
	}
}

func BenchmarkSpecComplexity(b *testing.B) {
	s := regnetX400MF().Spec()
	b.ReportAllocs()
	for b.Loop() {
		s.Complexity(ImageNet)
	}
}

// TestComplexityAllocations: what counting allocates does not grow with depth.
func TestComplexityAllocations(t *testing.T) {
	allocs := func(depth int) float64 {
		r := regnetX400MF()
		r.Depth, r.WA = depth, 24.48*22/float64(depth)
		stages := make([]Stage, 0, 64)
		return testing.AllocsPerRun(100, func() {
			stages = r.AppendStages(stages[:0])
			n := AnyNet{Block: r.Block, Common: Common{Stem: r.Stem, Activation: r.Activation}, Stages: stages}
			n.Complexity(ImageNet)
		})
	}
	if a, b := allocs(8), allocs(800); a > 1 || b > 1 {
		t.Errorf("%g allocations at depth 8, %g at depth 800, want at most the counter itself", a, b)
	}
}
