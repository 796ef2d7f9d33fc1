package space

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"netspace/arch"
	"netspace/metric"
	"netspace/strict"
)

const (
	familyAnyNet = "anynet"
	familyRegNet = "regnet"
)

var families = []string{familyAnyNet, familyRegNet}

// The limits of what a parameter may be; those of package arch, which checks
// the networks that are kept.
const (
	maxWidth      = 32768
	maxDepth      = 4096
	maxStride     = 32
	maxResolution = 8192
)

// definition says what a parameter may be.
type definition struct {
	name     string
	slot     int                 // in the environment: the shared value; stages follow the layout of env.go
	stage    int                 // number of the field within a stage; -1 if stages do not have it
	families string              // where it exists
	whole    bool                // a whole number
	needs    func(arch.Has) bool // what blocks must have for it to have an effect; nil: nothing
	required bool
	allowed  string // what is allowed, for messages
	ok       func(v float64) bool
}

func between(lo, hi float64) func(float64) bool {
	return func(v float64) bool { return lo <= v && v <= hi }
}

// wholeOrInverse is what package arch allows for a bottleneck ratio.
func wholeOrInverse(v float64) bool {
	near := func(x float64) bool { return math.Abs(x-math.Round(x)) < 1e-6*x }
	return v >= 1 && v <= 64 && near(v) || v < 1 && v >= 1.0/64 && near(1/v)
}

func rate(v float64) bool { return v >= 0 && v < 1 }

func needsBottleneck(h arch.Has) bool { return h.Bottleneck }
func needsGroups(h arch.Has) bool     { return h.Groups }
func needsSE(h arch.Has) bool         { return h.SE }
func needsRadix(h arch.Has) bool      { return h.Radix }

// effective says whether the parameter has an effect on blocks that have this.
func (d definition) effective(h arch.Has) bool { return d.needs == nil || d.needs(h) }

// definitions of all parameters but those of the recipe.
var definitions = []definition{
	{"depth", slotDepth, fieldDepth, "anynet regnet", true, nil, true, "from 1 to 4096", between(1, maxDepth)},
	{"width", slotNone, fieldWidth, "anynet", true, nil, true, "from 1 to 32768", between(1, maxWidth)},
	{"w0", slotW0, -1, "regnet", false, nil, true, "above 0 and up to 32768", func(v float64) bool { return v > 0 && v <= maxWidth }},
	{"wa", slotWA, -1, "regnet", false, nil, true, "from 0 to 32768", between(0, maxWidth)},
	{"wm", slotWM, -1, "regnet", false, nil, true, "above 1 and up to 64", func(v float64) bool { return v > 1 && v <= 64 }},
	{"bottleneck", slotBottleneck, fieldBottleneck, "anynet regnet", false, needsBottleneck, true, "whole numbers up to 64, or 1 over one", wholeOrInverse},
	{"group_width", slotGroupWidth, fieldGroupWidth, "anynet regnet", true, needsGroups, true, "from 1 to 32768", between(1, maxWidth)},
	{"stride", slotStride, fieldStride, "anynet regnet", true, nil, false, "from 1 to 32", between(1, maxStride)},
	{"se", slotSE, -1, "anynet regnet", false, needsSE, false, "from 0 to 1", between(0, 1)},
	{"radix", slotRadix, -1, "anynet regnet", true, needsRadix, false, fmt.Sprintf("from 1 to %d", arch.MaxRadix), between(1, arch.MaxRadix)},
	{"stem_width", slotStemWidth, -1, "anynet regnet", true, nil, false, "from 1 to 32768", between(1, maxWidth)},
	{"head_width", slotHeadWidth, -1, "anynet regnet", true, nil, false, "from 0 to 32768", between(0, maxWidth)},
	{"drop_path", slotDropPath, -1, "anynet regnet", false, nil, false, "from 0 to under 1", rate},
	{"dropout", slotDropout, -1, "anynet regnet", false, nil, false, "from 0 to under 1", rate},
	{"resolution", slotResolution, -1, "anynet regnet", true, nil, false, "from 1 to 8192", between(1, maxResolution)},
}

// recipePrefix begins the names of parameters that are fields of the training recipe.
const recipePrefix = "recipe."

var recipeName = regexp.MustCompile(`^recipe\.[a-z][a-z0-9_]*$`)

// define finds the definition of a parameter, for messages with the nearest names.
func define(name, family string) (definition, error) {
	if strings.HasPrefix(name, recipePrefix) {
		if !recipeName.MatchString(name) {
			return definition{}, fmt.Errorf("must be recipe. and the name of a field of the recipe, as recipe.lr")
		}
		return definition{name: name, slot: slotNone, stage: -1, families: family, allowed: "a number", ok: func(float64) bool { return true }}, nil
	}
	var names []string
	for _, d := range definitions {
		if !strings.Contains(d.families, family) {
			continue
		}
		if d.name == name {
			if family == familyRegNet {
				d.stage = -1
			}
			return d, nil
		}
		names = append(names, d.name)
	}
	return definition{}, fmt.Errorf("is no parameter of family %s: %s", family, strict.OneOf(name, append(names, "recipe.…")...))
}

// check says what is wrong with a prior of the parameter.
func (d definition) check(p Prior) error {
	if err := p.check(d.whole); err != nil {
		return err
	}
	ends := []float64{p.Min, p.Max}
	if p.Kind == Values {
		ends = []float64{slices.Min(p.Values), slices.Max(p.Values)}
		if d.name == "bottleneck" {
			ends = p.Values
		}
	} else if d.name == "bottleneck" {
		if p.continuous() {
			return fmt.Errorf("must be %s: state a list of values or power-of-two", d.allowed)
		}
		ends = p.table().values
	}
	for _, v := range ends {
		if !d.ok(v) {
			return fmt.Errorf("has %s: %s must be %s", metric.FormatNumber(v), d.name, d.allowed)
		}
	}
	return nil
}

// CheckRecipe asks about every parameter that is a field of the training
// recipe: check says what is wrong with a value of the field, which this
// package knows nothing of. The error is a *strict.Error with all faults.
func (s *Space) CheckRecipe(check func(field string, v float64) error) error {
	var faults strict.Faults
	for _, q := range s.Parameters {
		field, ok := strings.CutPrefix(q.Name, recipePrefix)
		if !ok {
			continue
		}
		for _, v := range q.Priors[0].probes() {
			if err := check(field, v); err != nil {
				faults.Add(strict.Fault{File: q.file, Line: q.line, Path: "parameters." + q.Name, Value: metric.FormatNumber(v), Rule: err.Error()})
				break
			}
		}
	}
	return faults.Err()
}

// probes are values of a prior that show whether it suits a parameter: all of a
// list, else the ends, and something between them if it is continuous.
func (p Prior) probes() []float64 {
	switch {
	case p.Kind == Values:
		return p.Values
	case p.continuous():
		return []float64{p.Min, p.Max, p.Min + (p.Max-p.Min)/math.Pi}
	}
	return []float64{p.Min, p.Max}
}
