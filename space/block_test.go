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
			for _, n := range networks {
				a, ok := n.Spec.AnyNet()
				if !ok || a.Block.Has() != want.Has() || (a.SE > 0) != (word == blockY) {
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
