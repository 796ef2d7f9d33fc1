package space_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"netspace/arch"
	"netspace/graph"
	"netspace/space"
)

// A rule holds for a sampled network by what was drawn for it exactly where the
// derived space, which obeys it by construction or by test, could have drawn it:
// all networks of the derived space pass, and of the base the share that the prior has.
func TestHolds(t *testing.T) {
	ctx := context.Background()
	cfg := space.Config{Input: arch.Input{Channels: 3, Height: 32, Width: 32, Classes: 10}, Network: space.Template{Stages: 3}}
	for _, c := range []struct {
		base string
		rule space.Rule
		own  func(n space.Network) bool // the same, written out
	}{
		{"anynetx-a", space.Rule{Kind: space.Equal, Parameter: "group_width"}, func(n space.Network) bool {
			return at(n, "stages[0].group_width") == at(n, "stages[1].group_width") && at(n, "stages[0].group_width") == at(n, "stages[2].group_width")
		}},
		{"anynetx-a", space.Rule{Kind: space.NonDecreasing, Parameter: "depth", Except: []int{space.Last}}, func(n space.Network) bool {
			return at(n, "stages[0].depth") <= at(n, "stages[1].depth")
		}},
		{"anynetx-b", space.Rule{Kind: space.InRange, Parameter: "width", Range: space.Between("width", 16, 256).Range, Except: []int{1, 3}}, func(n space.Network) bool {
			return at(n, "stages[1].width") >= 16 && at(n, "stages[1].width") <= 256
		}},
		{"anynetx-c", space.Where("adjusted[2].width <= 4 * stages[0].width and flops_M < 200"), func(n space.Network) bool {
			built, _ := n.Spec.AnyNet()
			return float64(built.Stages[2].Width) <= 4*at(n, "stages[0].width") && n.Complexity.Flops < 200e6
		}},
		{"regnetx", space.Between("wm", 2, 2.5), func(n space.Network) bool { return at(n, "wm") >= 2 && at(n, "wm") <= 2.5 }},
		{"regnetx", space.Where("stages[1].width <= 2 * stages[0].width and levels == 3"), func(n space.Network) bool {
			built, _ := n.Spec.AnyNet()
			r, _ := n.Spec.Network.(arch.RegNet)
			return built.Stages[1].Width <= 2*built.Stages[0].Width && r.Levels() == 3
		}},
	} {
		base, err := space.Load(c.base)
		if err != nil {
			t.Fatal(err)
		}
		p, err := base.Sampler(cfg)
		if err != nil {
			t.Fatal(err)
		}
		holds, err := p.Holds(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		networks, _, err := p.Sample(ctx, 400)
		if err != nil {
			t.Fatal(err)
		}
		passed := 0
		for _, n := range networks {
			ok, err := holds(n.Asked, n.Complexity)
			if err != nil {
				t.Fatal(err)
			}
			if want := c.own(n); ok != want {
				t.Fatalf("%s in %s: %v for %v", c.rule, c.base, ok, n)
			}
			if ok {
				passed++
			}
		}
		if passed == 0 || passed == len(networks) {
			t.Errorf("%s in %s: holds for %d of %d: the test tests nothing", c.rule, c.base, passed, len(networks))
		}
		derived, err := base.With(cfg.Network, c.rule)
		if err != nil {
			t.Fatal(err)
		}
		within, _, err := derived.Sample(ctx, cfg, 50)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range within {
			if ok, err := holds(n.Asked, n.Complexity); err != nil || !ok {
				t.Fatalf("%s does not hold for %v of the space that obeys it: %v", c.rule, n, err)
			}
		}
	}
}

func at(n space.Network, name string) float64 {
	v, _ := n.Asked.Value(name)
	return v
}

// A number may stand for all stages or for each, whatever the space draws.
func TestHoldsSharedNumbers(t *testing.T) {
	a, _ := space.Load("anynetx-a")
	p, err := a.Sampler(space.Config{Network: space.Template{Stages: 2}})
	if err != nil {
		t.Fatal(err)
	}
	holds, err := p.Holds(space.Rule{Kind: space.Equal, Parameter: "group_width"})
	if err != nil {
		t.Fatal(err)
	}
	var asked space.Asked
	for i := range 2 {
		for _, d := range []space.Drawn{{Name: "depth", Value: 1}, {Name: "width", Value: 64}, {Name: "bottleneck", Value: 1}} {
			asked = append(asked, space.Drawn{Name: fmt.Sprintf("stages[%d].%s", i, d.Name), Value: d.Value})
		}
	}
	if _, err := holds(asked, graph.Complexity{}); err == nil || !strings.Contains(err.Error(), "group_width") {
		t.Errorf("without group widths: %v", err)
	}
	if ok, err := holds(append(slices.Clone(asked), space.Drawn{Name: "group_width", Value: 8}), graph.Complexity{}); err != nil || !ok {
		t.Errorf("one for all: %v, %v", ok, err)
	}
	if ok, err := holds(append(asked, space.Drawn{Name: "stages[0].group_width", Value: 8}, space.Drawn{Name: "stages[1].group_width", Value: 16}), graph.Complexity{}); err != nil || ok {
		t.Errorf("one for each: %v, %v", ok, err)
	}
	if _, err := p.Holds(space.Where("stages[7].width > 8")); err == nil {
		t.Error("a stage that there is not")
	}
	if _, err := p.Holds(space.Between("w0", 8, 16)); err == nil {
		t.Error("a parameter of another family")
	}
}
