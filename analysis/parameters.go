package analysis

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"netspace/arch"
	"netspace/space"
	"netspace/stats"
	"netspace/study"
)

// Parameter is one drawn number over the networks of a population. Where a
// space draws one number for all stages of a network, it is one parameter.
type Parameter struct {
	// As a space file calls it: "w0", "stages[1].width", "recipe.lr"; the name of a
	// field of stages alone where all stages share it; or Blocks.
	Name   string `json:"name"`
	Shared bool   `json:"shared,omitempty"` // one number for each of several stages

	Networks []int     `json:"networks"` // places in the population of those that have it, ascending
	Values   []float64 `json:"values"`   // of Networks: channels, blocks, pixels, or a ratio
	Distinct []float64 `json:"distinct"` // the different Values, ascending
	// The likely range of good values, by the empirical bootstrap of the best; nil
	// for a population without errors.
	Best *BestRange `json:"best,omitempty"`
}

// BestRange is stats.BestRange in JSON.
type BestRange struct {
	Lo   float64 `json:"lo"`   // 2.5 percentile of the parameter of the best of a quarter of the networks
	Best float64 `json:"best"` // median
	Hi   float64 `json:"hi"`   // 97.5 percentile
}

// Blocks is the name of a network's depth where its stages have depths: their
// sum. It is not drawn, but depends on what is.
const Blocks = "blocks"

// Stage is the field and the stage, from 0, of a parameter of one stage; of all
// others the name, and false.
func (p Parameter) Stage() (field string, stage int, ok bool) { return stageOf(p.Name) }

func stageOf(name string) (field string, stage int, ok bool) {
	rest, found := strings.CutPrefix(name, "stages[")
	place, field, cut := strings.Cut(rest, "].")
	stage, err := strconv.Atoi(place)
	if !found || !cut || err != nil || stage < 0 || stage > 9999 {
		return name, 0, false
	}
	return field, stage, true
}

// parameters are the numbers of a population that vary, in the order of the
// method, as their space drew them. Where it is not known for all networks what
// was drawn, they are those of the networks as built: then a group width that a
// narrow stage cut is the cut one.
func parameters(s Space) ([]Parameter, error) {
	numbers, staged := numbersOf(s.Finished)
	all := slices.DeleteFunc(collect(numbers, staged), func(p Parameter) bool { return len(p.Distinct) < 2 })
	for i, p := range all {
		errs := make([]float64, len(p.Networks))
		for j, k := range p.Networks {
			errs[j] = s.Errors[k]
		}
		r, err := stats.BestRange(errs, p.Values)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		all[i].Best = &BestRange{r.Lo, r.Best, r.Hi}
	}
	return all, nil
}

// numbersOf are the numbers of networks as their space drew them, or all of them
// as built where it is not known of all what was drawn. staged says that the
// networks are made of stages with numbers of their own, whose Blocks come first.
func numbersOf(trials []study.Trial) (numbers []space.Asked, staged bool) {
	drawn := !slices.ContainsFunc(trials, func(t study.Trial) bool { return t.Asked == nil })
	for _, t := range trials {
		own := t.Asked
		if !drawn {
			own = built(t.Spec)
		}
		blocks := blocksOf(t.Spec)
		staged = staged || blocks != nil
		numbers = append(numbers, append(blocks, own...))
	}
	return numbers, staged
}

// ofStages are the numbers that a stage has; a space may draw one for all stages.
var ofStages = []string{"depth", "width", "stride", "bottleneck", "group_width", "expand", "kernel"}

// collect gathers the numbers of networks by name. staged says that the networks
// are made of stages with numbers of their own, as a RegNet is not.
func collect(numbers []space.Asked, staged bool) []Parameter {
	byName := map[string]*Parameter{}
	for i, ns := range numbers {
		for _, d := range ns {
			p := byName[d.Name]
			if p == nil {
				p = &Parameter{Name: d.Name, Shared: staged && slices.Contains(ofStages, d.Name)}
				byName[d.Name] = p
			}
			p.Networks, p.Values = append(p.Networks, i), append(p.Values, d.Value)
		}
	}
	var all []Parameter
	for _, p := range byName {
		p.Distinct = slices.Compact(slices.Sorted(slices.Values(p.Values)))
		all = append(all, *p)
	}
	slices.SortFunc(all, inOrder)
	return share(all)
}

// share makes one parameter of those of all stages that agree in every network.
// The parameters of one field follow each other.
func share(all []Parameter) []Parameter {
	var out []Parameter
	for len(all) > 0 {
		field, _, staged := all[0].Stage()
		n := 1
		for n < len(all) && staged {
			if f, _, ok := all[n].Stage(); !ok || f != field {
				break
			}
			n++
		}
		stages := all[:n]
		all = all[n:]
		if n == 1 || !agree(stages) {
			out = append(out, stages...)
			continue
		}
		first := stages[0]
		first.Name, first.Shared = field, true
		out = append(out, first)
	}
	return out
}

// agree reports whether a network has one number in all of its stages. Every
// network that has a stage has the first.
func agree(stages []Parameter) bool {
	first := map[int]float64{}
	for j, i := range stages[0].Networks {
		first[i] = stages[0].Values[j]
	}
	for _, p := range stages[1:] {
		for j, i := range p.Networks {
			if v, ok := first[i]; !ok || v != p.Values[j] {
				return false
			}
		}
	}
	return true
}

// order of the method: how deep, how wide, what blocks, the rest, the recipe.
var order = []string{
	Blocks, "depth", "w0", "wa", "wm", "width", "expand", "kernel", "bottleneck", "group_width", "stride",
	"stem_width", "se", "radix", "head_width", "drop_path", "dropout", "resolution",
}

func inOrder(a, b Parameter) int {
	fieldA, stageA, _ := a.Stage()
	fieldB, stageB, _ := b.Stage()
	rank := func(field string) int {
		if i := slices.Index(order, field); i >= 0 {
			return i
		}
		return len(order) // the recipe's
	}
	return cmp.Or(cmp.Compare(rank(fieldA), rank(fieldB)), cmp.Compare(fieldA, fieldB), cmp.Compare(stageA, stageB))
}

// blocksOf is the depth of a network of stages; nothing for a RegNet, whose
// depth is a number of its own.
func blocksOf(s arch.Spec) space.Asked {
	switch n := s.Network.(type) {
	case arch.AnyNet:
		return space.Asked{{Name: Blocks, Value: float64(n.Depth())}}
	case arch.EffNet:
		return space.Asked{{Name: Blocks, Value: float64(n.Depth())}}
	}
	return nil
}

// built are the numbers of a network as it was built, by the names that a space
// gives them.
func built(s arch.Spec) space.Asked {
	var all space.Asked
	add := func(name string, v float64) { all = append(all, space.Drawn{Name: name, Value: v}) }
	stage := func(i int, field string, v float64) { add(fmt.Sprintf("stages[%d].%s", i, field), v) }
	rest := func(n arch.Common) {
		add("stem_width", float64(n.Stem.Width))
		add("se", n.SE)
		if n.Radix > 0 { // of blocks that have none
			add("radix", float64(n.Radix))
		}
		add("head_width", float64(n.HeadWidth))
		add("drop_path", n.DropPath)
		add("dropout", n.Dropout)
	}
	switch n := s.Network.(type) {
	case arch.RegNet:
		add("depth", float64(n.Depth))
		add("w0", n.W0)
		add("wa", n.WA)
		add("wm", n.WM)
		if n.Block.Has().Bottleneck {
			add("bottleneck", n.Bottleneck)
		}
		if n.Block.Has().Groups {
			add("group_width", float64(n.GroupWidth))
		}
		add("stride", float64(n.Stride))
		rest(n.Common)
	case arch.AnyNet:
		for i, st := range n.Stages {
			stage(i, "depth", float64(st.Depth))
			stage(i, "width", float64(st.Width))
			stage(i, "stride", float64(st.Stride))
			if n.Block.Has().Bottleneck {
				stage(i, "bottleneck", st.Bottleneck)
			}
			if n.Block.Has().Groups {
				stage(i, "group_width", float64(st.GroupWidth))
			}
		}
		rest(n.Common)
	case arch.EffNet:
		for i, st := range n.Stages {
			stage(i, "depth", float64(st.Depth))
			stage(i, "width", float64(st.Width))
			stage(i, "stride", float64(st.Stride))
			stage(i, "expand", st.Expand)
			stage(i, "kernel", float64(st.Kernel))
		}
		rest(n.Common)
	}
	if s.Resolution != 0 {
		add("resolution", float64(s.Resolution))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Recipe)) {
		if v, ok := number(s.Recipe[key]); ok {
			add("recipe."+key, v)
		}
	}
	return all
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
