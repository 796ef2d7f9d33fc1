package arch

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestScaledNetworks: numbers worked out apart from this package, in Python
// (whose round is half to even), from the rules of Scaling.Scale.
func TestScaledNetworks(t *testing.T) {
	type st [3]int // depth, width, group width
	for _, c := range []struct {
		model, kind string
		by          float64
		want        []st
		resolution  int
	}{
		{"RegNetX-400MF", "d1_w8_g8_r1", 4, []st{{1, 64, 32}, {2, 128, 32}, {8, 288, 32}, {14, 672, 32}}, 240},
		{"RegNetX-400MF", "d", 2, []st{{2, 32, 16}, {4, 64, 16}, {14, 160, 16}, {24, 384, 16}}, 224},
		{"RegNetX-400MF", "r", 0.5, []st{{1, 32, 16}, {2, 64, 16}, {7, 160, 16}, {12, 384, 16}}, 160},
		{"RegNetX-400MF", "w1_g1", 0.25, []st{{1, 16, 8}, {2, 32, 8}, {7, 80, 8}, {12, 192, 8}}, 224},
		{"ResNeXt-50", "d1_w8_g8_r1", 4, []st{{3, 448, 8}, {5, 896, 16}, {7, 1792, 32}, {3, 3584, 56}}, 240},
		{"ResNeXt-50", "w", 3, []st{{3, 440, 4}, {4, 896, 8}, {6, 1792, 16}, {3, 3520, 32}}, 224},
		{"ResNeXt-50", "dwr", 8, []st{{6, 360, 4}, {8, 736, 8}, {12, 1440, 16}, {6, 2880, 32}}, 316},
		{"ResNeXt-50", "g", 2, []st{{3, 256, 8}, {4, 512, 16}, {6, 1024, 32}, {3, 2048, 64}}, 224},
		{"ResNeXt-50", "w1_g1", 0.25, []st{{3, 128, 2}, {4, 256, 4}, {6, 512, 8}, {3, 1024, 16}}, 224},
		{"ResNeXt-50", "d1_w2_g3_r0", 10, []st{{6, 544, 16}, {9, 1104, 24}, {13, 2208, 48}, {6, 4368, 104}}, 224},
	} {
		s, err := ParseScaling(c.kind, c.by)
		if err != nil {
			t.Errorf("%s: %v", c.kind, err)
			continue
		}
		m, _ := Published(c.model)
		spec, err := s.Scale(m.Spec, 0)
		if err != nil {
			t.Errorf("%s by %g: %v", c.model, c.by, err)
			continue
		}
		n := spec.Network.(AnyNet)
		var got []st
		for _, s := range n.Stages {
			got = append(got, st{s.Depth, s.Width, s.GroupWidth})
		}
		if diff := cmp.Diff(c.want, got); diff != "" || spec.Resolution != c.resolution {
			t.Errorf("%s, %s by %g: resolution %d, want %d; stages -want +got:\n%s", c.model, c.kind, c.by, spec.Resolution, c.resolution, diff)
		}
	}
}

// TestScaledFlops: each dimension by itself multiplies the flops by about what was asked.
func TestScaledFlops(t *testing.T) {
	for _, model := range []string{"RegNetY-4.0GF", "EfficientNet-B3"} {
		m, _ := Published(model)
		before, _ := m.Spec.Complexity(Input{})
		for _, kind := range []string{"d", "w1_g1", "r", "dwr", FastCompound} {
			s, err := ParseScaling(kind, 4)
			if err != nil {
				t.Fatal(err)
			}
			spec, err := s.Scale(m.Spec, 0)
			if err != nil {
				t.Fatal(err)
			}
			after, _ := spec.Complexity(Input{})
			if ratio := float64(after.Flops) / float64(before.Flops); ratio < 3.4 || ratio > 4.6 {
				t.Errorf("%s %s by 4 grew by %.2f", model, kind, ratio)
			}
		}
	}
}

func TestScalingFactors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Scaling{By: rapid.Float64Range(0.05, 50).Draw(t, "by"), D: rapid.Float64Range(0, 8).Draw(t, "d"), W: rapid.Float64Range(0, 8).Draw(t, "w"), G: rapid.Float64Range(0, 8).Draw(t, "g"), R: rapid.Float64Range(0.01, 8).Draw(t, "r")}
		f := s.Factors()
		if got := f.Depth * f.Width * f.Width * f.Resolution * f.Resolution; math.Abs(got/s.By-1) > 1e-9 {
			t.Fatalf("%+v gives %+v: d·w²·r² is %g", s, f, got)
		}
	})
}

func TestScalingOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := genSpec.Draw(t, "spec")
		s := Scaling{By: rapid.Float64Range(0.1, 10).Draw(t, "by"), D: 1, W: rapid.Float64Range(0, 8).Draw(t, "w"), G: 1, R: 1}
		out, err := s.Scale(spec, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Validate(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(out, out.Adjusted()); diff != "" {
			t.Fatalf("not adjusted:\n%s", diff)
		}
	})
}

func TestBadScalings(t *testing.T) {
	for kind, want := range map[string]string{
		"": "is empty", "x": "x has no weight", "dd": "d is given twice", "d1_d2": "no part of its own", "d1w2": "d1w2 has no weight", "d1_": "empty part",
		"d-1": "has no weight", "dwx": "dwx has no weight", "q2": "q2 is no part", "dNaN": "has no weight",
	} {
		if _, err := ParseScaling(kind, 2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", kind, err, want)
		}
	}
	for _, by := range []float64{0, -1, math.Inf(1), math.NaN()} {
		if _, err := ParseScaling("d", by); err == nil {
			t.Errorf("scale by %g: no error", by)
		}
	}
	m, _ := Published("RegNetX-32GF")
	if s, err := (Scaling{By: 1e6, W: 1}).Scale(m.Spec, 0); err == nil {
		t.Errorf("scaled by a million: %+v", s)
	}
}

func TestScaledGroups(t *testing.T) {
	for g, want := range map[float64]int{0.4: 1, 1: 1, 2.4: 2, 2.6: 4, 3: 4, 5: 4, 6: 8, 12: 16, 12.4: 16, 20: 16, 28: 32} {
		if got := scaledGroup(g); got != want {
			t.Errorf("a group width of %g becomes %d, want %d", g, got, want)
		}
	}
}
