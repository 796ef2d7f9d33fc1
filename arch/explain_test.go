package arch

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"netspace/graph"
)

// TestExplainRegNetY is the derivation of RegNetY-3.2GF, whose last three
// widths its group width changes.
func TestExplainRegNetY(t *testing.T) {
	m, _ := Published("RegNetY-3.2GF")
	e, err := m.Spec.Explain(Input{})
	if err != nil {
		t.Fatal(err)
	}
	var asked, built, se [][]int
	for _, a := range e.Adjusted {
		asked, built = append(asked, []int{a.Asked.Depth, a.Asked.Width}), append(built, []int{a.Built.Width, a.Mid, a.Built.GroupWidth})
	}
	for _, s := range e.Sections[1:5] {
		se = append(se, s.SE)
	}
	if diff := cmp.Diff([][]int{{2, 80}, {5, 216}, {13, 568}, {1, 1504}}, asked); diff != "" {
		t.Errorf("quantised stages, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([][]int{{72, 72, 24}, {216, 216, 24}, {576, 576, 24}, {1512, 1512, 24}}, built); diff != "" {
		t.Errorf("adjusted stages, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([][]int{{8, 18}, {18, 54}, {54, 144}, {144}}, se); diff != "" {
		t.Errorf("SE widths, -want +got:\n%s", diff)
	}
	if l := e.Line[20]; l.Level != 3 || l.Width != 1504 || l.U != 80+42.63*20 {
		t.Errorf("last block: %+v", l)
	}
	if got := e.Sections[4].Out.String(); got != "1512×7×7" {
		t.Errorf("the body ends in %s", got)
	}
}

// TestSectionsSumUp: the parts of any network sum up to the whole, and each
// begins with the shape in which the one before ends.
func TestSectionsSumUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, in := genSpec.Draw(t, "spec"), genInput.Draw(t, "input")
		e, err := spec.Explain(in)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := spec.Complexity(in)
		var sum graph.Complexity
		last := Shape{in.Channels, in.Height, in.Width}
		for _, s := range e.Sections {
			sum.Flops += s.Complexity.Flops
			sum.Params += s.Complexity.Params
			sum.Acts += s.Complexity.Acts
			if s.In != last {
				t.Fatalf("%s begins with %s after %s", s.Name, s.In, last)
			}
			last = s.Out
		}
		if sum != want || e.Complexity != want {
			t.Fatalf("sections sum to %+v, the network has %+v", sum, want)
		}
		if last != (Shape{in.Classes, 1, 1}) {
			t.Fatalf("the head ends in %s", last)
		}
		blocks := 0
		for _, s := range e.Sections {
			blocks += s.Blocks
		}
		if blocks != spec.blocks().Depth() {
			t.Fatalf("the sections have %d blocks", blocks)
		}
	})
}

// TestSilhouette: a block is a width and a stage, and the line is the RegNet's own or the fitted one.
func TestSilhouette(t *testing.T) {
	r := RegNet{Depth: 13, W0: 24, WA: 36, WM: 2.5, GroupWidth: 8, Bottleneck: 1, Common: Common{Stem: Stem{Width: 32}, Activation: graph.ReLU}}
	s, err := r.Spec().Silhouette()
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := r.Spec().AnyNet(); !slices.Equal(s.Widths, n.Widths()) || s.FitError != nil || s.Line()[12] != 24+12*36 {
		t.Errorf("%+v", s)
	}
	for seed := range 20 {
		spec := genSpec.Example(seed)
		s, err := spec.Silhouette()
		if err != nil {
			t.Fatal(err)
		}
		depth := spec.blocks().Depth()
		if len(s.Widths) != depth || len(s.Stages) != depth || len(s.Line()) != depth || s.Stages[0] != 1 || s.Stages[depth-1] != len(spec.blocks().Stages) || !slices.IsSorted(s.Stages) {
			t.Errorf("%d blocks in %d stages: %+v", depth, len(spec.blocks().Stages), s)
		}
		if _, regnet := spec.Network.(RegNet); regnet != (s.FitError == nil) {
			t.Errorf("%s: e_fit %v", spec.Family(), s.FitError)
		}
	}
}
