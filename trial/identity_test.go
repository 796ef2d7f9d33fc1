package trial

import (
	"testing"

	"netspace/arch"
	"netspace/graph"
	"netspace/train"
)

// Results of earlier versions are found again by these.
func TestIdentitiesStay(t *testing.T) {
	recipe := train.DefaultRecipe()
	stem := arch.Stem{Type: arch.CIFARStem, Width: 16}
	staged := arch.AnyNet{Common: arch.Common{Stem: stem, Activation: graph.ReLU, SE: 0.25}, Stages: []arch.Stage{{Depth: 2, Width: 24, Stride: 1, Bottleneck: 2, GroupWidth: 4}, {Depth: 1, Width: 64, Stride: 2, Bottleneck: 0.5, GroupWidth: 16}}}
	drawn := staged.Spec()
	drawn.Recipe, drawn.Resolution = map[string]any{"lr": 0.3}, 24
	for _, c := range []struct {
		spec   arch.Spec
		engine string
		id     string
		seed   uint64
	}{
		{arch.RegNet{Depth: 13, W0: 24, WA: 36, WM: 2.5, GroupWidth: 8, Bottleneck: 1, Common: arch.Common{Stem: stem, Activation: graph.ReLU}}.Spec(), "", "fe931200c666b439", 5537864117350730},
		{staged.Spec(), "", "33b83be291da26f7", 4907248557852041},
		{staged.Spec(), "reference", "367c695f372240a8", 6915842701418677},
		{drawn, "", "6dd21a70c49f9a91", 8146750594282108},
		{arch.EffNet{Common: arch.Common{Stem: stem, Activation: graph.SiLU, SE: 0.25, HeadWidth: 64}, Stages: []arch.EffStage{{Depth: 1, Width: 24, Stride: 2, Expand: 6, Kernel: 5}}}.Spec(), "", "673bafe60483bd1c", 7104184583142041},
	} {
		task := Task{Spec: c.spec, Input: Input{Channels: 1, Height: 28, Width: 28, Classes: 10}, DataKey: "0123456789abcdef", Recipe: recipe, Engine: c.engine}
		if err := task.Identify(9); err != nil || task.ID != c.id || task.Seed != c.seed {
			t.Errorf("%s of engine %q: trial %s with seed %d (%v); want %s with %d", c.spec.Key(), c.engine, task.ID, task.Seed, err, c.id, c.seed)
		}
	}
}
