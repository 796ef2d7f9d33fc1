package arch

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Scaling says how a network grows (Dollár et al., Fast and Accurate Model
// Scaling, 2021, §3): flops grow by By, and the weights say how the growth is
// shared between depth, width and resolution, in powers of By that give
// d·w²·r² = By. G is the weight of the group width, which has no part in the
// flops budget of convolutions with fixed group count: g grows by By^(G/(2·sum)),
// as fast as the width where G equals W.
type Scaling struct {
	By         float64 // factor of the flops, more than 0
	D, W, G, R float64 // weights, at least 0
}

// FastCompound is the type of fast compound scaling, the paper's advice: mostly width.
const FastCompound = "d1_w8_g8_r1"

// ParseScaling reads a type: letters of d, w, g, r with equal weights ("d",
// "dwr"), or weights by letter ("d1_w8_g8_r1"); letters that are absent have
// the weight 0. by is the factor of the flops.
func ParseScaling(kind string, by float64) (Scaling, error) {
	s := Scaling{By: by}
	if !(by > 0) || math.IsInf(by, 0) {
		return s, fmt.Errorf("scale by %g: must be more than 0", by)
	}
	fail := func(why string) (Scaling, error) {
		return s, fmt.Errorf("scaling type %q: %s; a type is letters of d, w, g, r (dw, dwr, …) or weights by letter (%s)", kind, why, FastCompound)
	}
	seen := ""
	set := func(letter byte, weight float64) bool {
		to := map[byte]*float64{'d': &s.D, 'w': &s.W, 'g': &s.G, 'r': &s.R}[letter]
		if to == nil || strings.IndexByte(seen, letter) >= 0 {
			return false
		}
		seen += string(letter)
		*to = weight
		return true
	}
	if kind == "" {
		return fail("is empty")
	}
	if strings.Trim(kind, "dwgr") == "" {
		for i := range len(kind) {
			if !set(kind[i], 1) {
				return fail(fmt.Sprintf("%c is given twice", kind[i]))
			}
		}
		return s, nil
	}
	for _, part := range strings.Split(kind, "_") {
		if part == "" {
			return fail("has an empty part")
		}
		weight, err := strconv.ParseFloat(part[1:], 64)
		if err != nil || !(weight >= 0) || math.IsInf(weight, 0) {
			return fail(fmt.Sprintf("%s has no weight", part))
		}
		if !set(part[0], weight) {
			return fail(fmt.Sprintf("%s is no part of its own", part))
		}
	}
	return s, nil
}

// Factors are what a scaling multiplies each quantity by.
type Factors struct {
	Depth      float64 `json:"depth"`
	Width      float64 `json:"width"`
	GroupWidth float64 `json:"group_width"`
	Resolution float64 `json:"resolution"`
}

// Factors splits the growth: Depth·Width²·Resolution² = By, unless only the
// group width grows, which then does by By.
func (s Scaling) Factors() Factors {
	sum := s.D + s.W + s.R
	if sum == 0 {
		sum = s.G / 2
	}
	if sum == 0 {
		sum = 1
	}
	return Factors{
		Depth:      math.Pow(s.By, s.D/sum),
		Width:      math.Pow(s.By, s.W/sum/2),
		GroupWidth: math.Pow(s.By, s.G/sum/2),
		Resolution: math.Pow(s.By, s.R/sum/2),
	}
}

// Scale gives the scaled network, with its resolution: depths rounded to whole
// blocks, widths to multiples of 8, group widths to 1, 2, 4 or multiples of 8,
// the resolution to a multiple of 4, all half to even; then widths, bottleneck
// ratios and group widths are made compatible (docs/method.md §2). A RegNet becomes
// the AnyNet of its stages. Of an EfficientNet, stem and head grow too.
//
// resolution is the unscaled one; 0 means what the spec states, else 224.
func (s Scaling) Scale(spec Spec, resolution int) (Spec, error) {
	if err := spec.Validate(); err != nil {
		return Spec{}, err
	}
	if resolution == 0 {
		resolution = spec.Input().Width
	}
	f := s.Factors()
	out := spec
	out.Resolution = max(4, 4*rounded(float64(resolution)*f.Resolution/4))
	depth := func(d int) int { return max(1, rounded(float64(d)*f.Depth)) }
	width := func(w int) int { return WidthStep * max(1, rounded(float64(w)*f.Width/WidthStep)) }
	if n, ok := spec.Network.(EffNet); ok {
		stages := make([]EffStage, len(n.Stages))
		for i, st := range n.Stages {
			st.Depth, st.Width = depth(st.Depth), width(st.Width)
			stages[i] = st
		}
		n.Stages, n.Stem.Width = stages, width(n.Stem.Width)
		if n.HeadWidth > 0 {
			n.HeadWidth = width(n.HeadWidth)
		}
		out.Network = n
	} else {
		n, _ := spec.AnyNet()
		for i, st := range n.Stages {
			st.Depth, st.Width = depth(st.Depth), width(st.Width)
			if n.Block.Has().Groups {
				st.GroupWidth = scaledGroup(float64(st.GroupWidth) * f.GroupWidth)
			}
			n.Stages[i] = st
		}
		n.Adjust()
		out.Network = n
	}
	if err := out.Validate(); err != nil {
		return Spec{}, fmt.Errorf("scaled by %g: %w", s.By, err)
	}
	return out, nil
}

func rounded(v float64) int { return int(math.RoundToEven(min(v, 1<<30))) }

// scaledGroup rounds a group width to one of the widths that hardware likes.
func scaledGroup(g float64) int {
	n := max(1, rounded(g))
	switch {
	case n <= 2:
		return n
	case n <= 5:
		return 4
	}
	return WidthStep * max(1, rounded(float64(n)/WidthStep))
}
