package space

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/arch"
)

// TestEveryBlock: each name of a block can be stated, and the networks that are
// sampled have its blocks and nothing that these do not have.
func TestEveryBlock(t *testing.T) {
	for _, word := range BlockWords() {
		for _, name := range []string{"anynetx-a", "regnetx"} {
			s, err := Load(name)
			if err != nil {
				t.Fatal(err)
			}
			networks, _, err := s.Sample(t.Context(), Config{Network: Template{Block: word}}, 3)
			if err != nil {
				t.Errorf("%s of %s: %v", name, word, err)
				continue
			}
			want, _ := parseBlock(word)
			radix := 0
			if want.Has().Radix {
				radix = arch.DefaultRadix
			}
			for _, n := range networks {
				a, ok := n.Spec.AnyNet()
				if !ok || a.Block.Has() != want.Has() || (a.SE > 0) != (word == blockY) || a.Radix != radix {
					t.Errorf("%s of %s: %s", name, word, n.Spec.Key())
				}
				if diff := cmp.Diff(n.Spec, n.Spec.Adjusted()); diff != "" {
					t.Errorf("%s of %s is not adjusted:\n%s", name, word, diff)
				}
				if c, err := n.Spec.Complexity(arch.Input{}); err != nil || c != n.Complexity {
					t.Errorf("%s of %s counts %+v, the network %+v (%v)", name, word, n.Complexity, c, err)
				}
			}
		}
	}
}

// TestRadixIsAParameter: of split-attention blocks the radix can be drawn, group widths follow
// it, rules can name it, and other blocks leave it out.
func TestRadixIsAParameter(t *testing.T) {
	const text = `base: regnetx
network: {block: split-attention, stem: {type: cifar, width: 16}, stages: 3}
parameters: {radix: {values: [1, 2, 4]}, group_width: {values: [8, 12, 16]}}
`
	s, err := Parse([]byte(text+"rules: [radix * group_width <= 48]\n"), "radix.yaml")
	if err != nil {
		t.Fatal(err)
	}
	networks, _, err := s.Sample(t.Context(), Config{Input: tiny28}, 60)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, n := range networks {
		a, _ := n.Spec.AnyNet()
		seen[a.Radix] = true
		for _, st := range a.Stages {
			if st.GroupWidth%a.Radix != 0 {
				t.Errorf("%s: groups of %d in %d splits", n.Spec.Key(), st.GroupWidth, a.Radix)
			}
		}
	}
	if len(seen) != 3 || !seen[1] || !seen[2] || !seen[4] {
		t.Errorf("drawn: %v, want 1, 2 and 4", seen)
	}
	if s, err = Parse([]byte(text), "radix.yaml"); err != nil {
		t.Fatal(err)
	}
	x, _, err := s.Sample(t.Context(), Config{Input: tiny28, Network: Template{Block: "X"}}, 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range x {
		if a, _ := n.Spec.AnyNet(); a.Radix != 0 {
			t.Errorf("%s has a radix", n.Spec.Key())
		}
	}
}
