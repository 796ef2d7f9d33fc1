package report

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"netspace/arch"
	"netspace/study"
)

// column is one parameter over the trials of a population.
type column struct {
	Label string
	Value []float64 // per trial; NaN where a network has no such parameter
}

// log reports whether the values are better seen on a logarithmic axis.
func (c column) log() bool {
	lo, hi := c.span()
	return lo > 0 && hi/lo >= 8
}

func (c column) span() (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, v := range c.Value {
		if !math.IsNaN(v) {
			lo, hi = math.Min(lo, v), math.Max(hi, v)
		}
	}
	return lo, hi
}

func (c column) varies() bool {
	lo, hi := c.span()
	return hi > lo
}

// parameters are the parameters of a population that vary, in the order of the
// method: depth, widths, bottleneck, group width, the rest. What all stages of
// every network share is one parameter.
func parameters(trials []study.Trial) []column {
	var order []string
	values := map[string][]float64{}
	for i, t := range trials {
		for _, p := range parametersOf(t.Spec) {
			v, ok := values[p.label]
			if !ok {
				order = append(order, p.label)
				v = make([]float64, len(trials))
				for j := range v {
					v[j] = math.NaN()
				}
				values[p.label] = v
			}
			v[i] = p.value
		}
	}
	var columns []column
	for _, label := range order {
		columns = append(columns, column{label, values[label]})
	}
	for _, shared := range []string{"bottleneck ratio b", "group width g"} {
		columns = mergeStages(columns, shared)
	}
	var varying []column
	for _, c := range columns {
		if c.varies() {
			varying = append(varying, c)
		}
	}
	return varying
}

// mergeStages makes one column of those of all stages if they agree everywhere.
func mergeStages(columns []column, name string) []column {
	first := -1
	var rest []column
	for _, c := range columns {
		if !strings.HasPrefix(c.Label, name) || c.Label == name {
			rest = append(rest, c)
			continue
		}
		if first < 0 {
			first = len(rest)
			rest = append(rest, column{name, append([]float64(nil), c.Value...)})
			continue
		}
		for i, v := range c.Value {
			if !math.IsNaN(v) && v != rest[first].Value[i] {
				return columns
			}
		}
	}
	return rest
}

type parameter struct {
	label string
	value float64
}

const subscripts = "₀₁₂₃₄₅₆₇₈₉"

// subscript writes i ≥ 0 in small figures below the line.
func subscript(i int) string {
	var b strings.Builder
	for _, r := range fmt.Sprint(i) {
		b.WriteRune([]rune(subscripts)[r-'0'])
	}
	return b.String()
}

func parametersOf(s arch.Spec) []parameter {
	var ps []parameter
	add := func(label string, v float64) { ps = append(ps, parameter{label, v}) }
	switch n := s.Network.(type) {
	case arch.RegNet:
		add("depth d", float64(n.Depth))
		add("initial width w₀", n.W0)
		add("slope wₐ", n.WA)
		add("quantisation wₘ", n.WM)
		if n.Block.Has().Bottleneck {
			add("bottleneck ratio b", n.Bottleneck)
		}
		if n.Block.Has().Groups {
			add("group width g", float64(n.GroupWidth))
		}
		addRest(add, n.Common)
	case arch.AnyNet:
		add("depth d", float64(n.Depth()))
		for i, st := range n.Stages {
			add("depth d"+subscript(i+1), float64(st.Depth))
		}
		for i, st := range n.Stages {
			add("width w"+subscript(i+1), float64(st.Width))
		}
		if n.Block.Has().Bottleneck {
			for i, st := range n.Stages {
				add("bottleneck ratio b"+subscript(i+1), st.Bottleneck)
			}
		}
		if n.Block.Has().Groups {
			for i, st := range n.Stages {
				add("group width g"+subscript(i+1), float64(st.GroupWidth))
			}
		}
		addRest(add, n.Common)
	case arch.EffNet:
		add("depth d", float64(n.Depth()))
		for i, st := range n.Stages {
			add("depth d"+subscript(i+1), float64(st.Depth))
			add("width w"+subscript(i+1), float64(st.Width))
			add("expansion e"+subscript(i+1), st.Expand)
			add("kernel k"+subscript(i+1), float64(st.Kernel))
		}
		addRest(add, n.Common)
	}
	if s.Resolution != 0 {
		add("resolution r", float64(s.Resolution))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Recipe)) { // what a space draws of the recipe
		if v, ok := number(s.Recipe[key]); ok {
			add(strings.ReplaceAll(key, "_", " "), v)
		}
	}
	return ps
}

// number is the value of a number read from YAML or JSON.
func number(v any) (float64, bool) {
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return float64(r.Int()), true
	case r.CanUint():
		return float64(r.Uint()), true
	case r.CanFloat():
		return r.Float(), true
	}
	return 0, false
}

func addRest(add func(string, float64), n arch.Common) {
	add("stem width", float64(n.Stem.Width))
	add("squeeze ratio", n.SE)
	add("head width", float64(n.HeadWidth))
}

// silhouette is the width of every block of a network and the stage that it is in.
func silhouette(s arch.Spec) (widths []float64, stage []int) {
	add := func(i, depth, width int) {
		for range depth {
			widths = append(widths, float64(width))
			stage = append(stage, i)
		}
	}
	if n, ok := s.Network.(arch.EffNet); ok {
		for i, st := range n.Stages {
			add(i, st.Depth, st.Width)
		}
		return widths, stage
	}
	n, _ := s.AnyNet()
	for i, st := range n.Stages {
		add(i, st.Depth, st.Width)
	}
	return widths, stage
}

// describe lists the numbers of a network in the symbols of the paper.
func describe(s arch.Spec) string {
	var d, w, b, g []string
	switch n := s.Network.(type) {
	case arch.EffNet:
		for _, st := range n.Stages {
			d, w = append(d, fmt.Sprint(st.Depth)), append(w, fmt.Sprint(st.Width))
		}
	default:
		a, _ := s.AnyNet()
		for _, st := range a.Stages {
			d, w = append(d, fmt.Sprint(st.Depth)), append(w, fmt.Sprint(st.Width))
			if a.Block.Has().Bottleneck {
				b = append(b, trimmed(st.Bottleneck))
			}
			if a.Block.Has().Groups {
				g = append(g, fmt.Sprint(st.GroupWidth))
			}
		}
	}
	text := "d " + strings.Join(d, ", ") + " · w " + strings.Join(w, ", ")
	if len(b) > 0 {
		text += " · b " + shared(b)
	}
	if len(g) > 0 {
		text += " · g " + shared(g)
	}
	if r, ok := s.Network.(arch.RegNet); ok {
		text += fmt.Sprintf(" · w₀ %s, wₐ %.4g, wₘ %.4g", trimmed(r.W0), r.WA, r.WM)
	}
	return text
}

// shared is the one value of a list, or the list.
func shared(v []string) string {
	for _, x := range v {
		if x != v[0] {
			return strings.Join(v, ", ")
		}
	}
	return v[0]
}
