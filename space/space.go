// Package space states design spaces and samples networks from them.
//
// A space is a template of networks, a prior for each parameter, and rules
// (DDS §3.1). It is written in a small language of YAML files, see
// docs/spaces.md; the built-in spaces are such files. Sampling is exact: what
// Sample returns has the stated prior conditional on the rules and the regime,
// is the same for a seed on every platform and with any number of workers, and
// holds no network twice.
//
//	s, err := space.Load("anynetx-e")            // or a file; Parse reads text
//	regime := space.Regime{Bounds: metric.Bounds{metric.Flops: {Min: 360e6, Max: 400e6}}}
//	networks, report, err := s.Sample(ctx, space.Config{Regime: regime, Seed: 1}, 500)
package space

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"netspace/arch"
	"netspace/graph"
	"netspace/metric"
	"netspace/strict"
)

// Space is a design space. It is not changed after it was loaded, and safe for
// concurrent use.
type Space struct {
	Name   string   // the file's name field, else its base name
	About  string   // one line
	Family string   // "anynet" or "regnet"
	Bases  []string // the spaces that it derives from, the nearest first

	Network    Template    // what every network has
	Parameters []Parameter // in the order in which they are drawn
	Rules      []Rule      // those of the bases first
	Regime     Regime

	files []File
}

// File is the text of a space, under the name or the path that it was found by.
type File struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Files are the texts that the space was read from: its own first, then those of its
// bases, the nearest first. ParseFiles makes the same space of them, wherever they have gone.
func (s *Space) Files() []File { return slices.Clone(s.files) }

// Source is the text of the file that the space was read from.
func (s *Space) Source() []byte {
	if len(s.files) == 0 {
		return nil
	}
	return []byte(s.files[0].Text)
}

// Parameter is one parameter of a space with its prior.
type Parameter struct {
	Name   string
	Shared bool    // one draw for all stages; always so for parameters that stages do not have
	Priors []Prior // one, or one for each stage

	file string
	line int
}

// RuleKind is the kind of a rule.
type RuleKind uint8

// The kinds of rules.
const (
	Expression    RuleKind = iota // an expression that must be true
	Equal                         // all stages have the same value
	NonDecreasing                 // no stage has a smaller value than the one before
	NonIncreasing                 // no stage has a larger value than the one before
	Increasing                    // each stage has a larger value than the one before
	Decreasing                    // each stage has a smaller value than the one before
	InRange                       // the value is in Range
	In                            // the value is one of Values
)

var ruleNames = [...]string{"expression", "equal", "non-decreasing", "non-increasing", "increasing", "decreasing", "range", "in"}

// String gives the word of the space language.
func (k RuleKind) String() string {
	if int(k) >= len(ruleNames) {
		return fmt.Sprintf("rule %d", int(k))
	}
	return ruleNames[k]
}

// Last in Rule.Except means the last stage, whatever their number.
const Last = -1

// Rule restricts a space.
type Rule struct {
	Kind       RuleKind
	Name       string       // for reports; "" to derive one
	Parameter  string       // of all kinds but Expression
	Except     []int        // stages that the rule leaves alone, from 1; or Last
	Range      metric.Range // InRange
	Values     []float64    // In
	Expression string       // Expression

	file string
	line int
	path string
}

// String is the rule's name, or what it says.
func (r Rule) String() string {
	if r.Name != "" {
		return r.Name
	}
	s := ""
	switch r.Kind {
	case Expression:
		return r.Expression
	case Equal:
		s = "equal " + r.Parameter
	case InRange:
		s = r.Parameter + " in " + r.Range.String()
	case In:
		s = r.Parameter + " in " + Prior{Kind: Values, Values: r.Values}.String()
	default:
		s = r.Kind.String() + " " + r.Parameter
	}
	for i, e := range r.Except {
		word := fmt.Sprint("stage ", e)
		if e == Last {
			word = "the last stage"
		}
		s += []string{" except ", " and "}[min(i, 1)] + word
	}
	return s
}

// excepts says whether stage i of n (from 0) is left alone.
func (r Rule) excepts(i, n int) bool {
	return slices.Contains(r.Except, i+1) || i == n-1 && slices.Contains(r.Except, Last)
}

// fault locates a fault of the rule.
func (r Rule) fault(format string, args ...any) strict.Fault {
	return strict.Fault{File: r.file, Line: r.line, Path: cmp.Or(r.path, "rules"), Value: r.String(), Rule: fmt.Sprintf(format, args...)}
}

// Regime bounds the complexity of the networks (DDS §3.1).
type Regime struct {
	Bounds metric.Bounds
	Rules  []string // expressions that must be true: "params_M <= 3 + 5.5 * flops_B"
}

// regimeRules is what a Regime has in files and in JSON beside its bounds.
type regimeRules struct {
	Rules []string `json:"rules,omitempty"`
}

// MarshalJSON writes what a file has under regime: {"flops":"360M..400M","rules":[…]}.
func (r Regime) MarshalJSON() ([]byte, error) { return object(r.Bounds, regimeRules{r.Rules}) }

// UnmarshalJSON reads it.
func (r *Regime) UnmarshalJSON(data []byte) error {
	var rules regimeRules
	if err := errors.Join(json.Unmarshal(data, &rules), json.Unmarshal(data, &r.Bounds)); err != nil {
		return err
	}
	r.Rules = rules.Rules
	return nil
}

// over gives r where it states something, else base.
func (r Regime) over(base Regime) Regime {
	for i, b := range r.Bounds {
		if !b.IsZero() {
			base.Bounds[i] = b
		}
	}
	base.Rules = append(slices.Clone(base.Rules), r.Rules...)
	return base
}

// Stem is the stem of a Template.
type Stem struct {
	Type  string `yaml:"type,omitempty" json:"type,omitempty"`   // simple, cifar, resnet or deep; "": not stated
	Width int    `yaml:"width,omitempty" json:"width,omitempty"` // 0: not stated
}

// Template is what every network of a space has. A study or the command line
// may state parts of it, which then take the place of the space's.
type Template struct {
	Block      string   `yaml:"block,omitempty" json:"block,omitempty"` // one of BlockWords; "": not stated
	Stem       Stem     `yaml:"stem,omitempty" json:"stem,omitzero"`
	Stages     int      `yaml:"stages,omitempty" json:"stages,omitempty"`   // 1 to MaxStages; 0: not stated
	Strides    []int    `yaml:"strides,omitempty" json:"strides,omitempty"` // of each stage's first block, or one for all; nil: not stated
	Activation string   `yaml:"activation,omitempty" json:"activation,omitempty"`
	SE         *float64 `yaml:"se,omitempty" json:"se,omitempty"`       // ratio; 0: none
	Radix      *int     `yaml:"radix,omitempty" json:"radix,omitempty"` // splits of a split-attention block
	HeadWidth  *int     `yaml:"head_width,omitempty" json:"head_width,omitempty"`
	DropPath   *float64 `yaml:"drop_path,omitempty" json:"drop_path,omitempty"`
	Dropout    *float64 `yaml:"dropout,omitempty" json:"dropout,omitempty"`
}

// MaxStages is the largest number of stages of a space.
const MaxStages = 12

// seOfY is the squeeze ratio of Y blocks (DDS §4).
const seOfY = 0.25

// BlockWords lists the names of blocks that a Template may have: the paper's
// letters (DDS §4), with Y for X with squeeze-and-excitation, then the words of spec files.
func BlockWords() []string {
	var letters, words []string
	for _, b := range arch.Blocks() {
		if l := b.Letter(); l != "" {
			letters = append(letters, l)
		}
		if b == arch.Bottleneck {
			letters = append(letters, blockY)
		}
		words = append(words, b.String())
	}
	return append(letters, words...)
}

const blockY = "Y"

func parseBlock(word string) (arch.BlockType, error) {
	if word == blockY {
		return arch.Bottleneck, nil
	}
	for _, b := range arch.Blocks() {
		if word == b.String() || word != "" && word == b.Letter() {
			return b, nil
		}
	}
	return 0, fmt.Errorf("%s", strict.OneOf(word, BlockWords()...))
}

// over gives t where it states something, else base. A block that is stated
// brings its own SE, 0.25 for Y, none for the others, and radix, unless t says more.
func (t Template) over(base Template) Template {
	if t.Block != "" {
		base.Block, base.SE, base.Radix = t.Block, nil, nil
	}
	if t.Stem.Type != "" {
		base.Stem.Type = t.Stem.Type
	}
	if t.Stem.Width != 0 {
		base.Stem.Width = t.Stem.Width
	}
	if t.Stages != 0 {
		base.Stages = t.Stages
	}
	if t.Strides != nil {
		base.Strides = t.Strides
	}
	if t.Activation != "" {
		base.Activation = t.Activation
	}
	if t.SE != nil {
		base.SE = t.SE
	}
	if t.Radix != nil {
		base.Radix = t.Radix
	}
	if t.HeadWidth != nil {
		base.HeadWidth = t.HeadWidth
	}
	if t.DropPath != nil {
		base.DropPath = t.DropPath
	}
	if t.Dropout != nil {
		base.Dropout = t.Dropout
	}
	return base
}

// The defaults of a Template (DDS §3.2).
const (
	defaultStages    = 4
	defaultStride    = 2
	defaultStemWidth = 32
)

// resolved is a Template with every field decided.
type resolved struct {
	block      arch.BlockType
	stem       arch.Stem
	strides    []int // one for each stage
	se         float64
	radix      int // 0: of blocks that have none
	activation graph.Activation
	headWidth  int
	dropPath   float64
	dropout    float64
}

// resolve fills in the defaults. The error is a *strict.Error with all faults.
func (t Template) resolve(family string) (resolved, error) {
	var faults strict.Faults
	fail := func(path, value, format string, args ...any) {
		faults.Add(strict.Fault{Path: "network." + path, Value: value, Rule: fmt.Sprintf(format, args...)})
	}
	r := resolved{stem: arch.Stem{Width: defaultStemWidth}, activation: graph.ReLU}
	var err error
	if t.Block != "" {
		if r.block, err = parseBlock(t.Block); err != nil {
			fail("block", t.Block, "%v", err)
		}
	}
	if t.Block == blockY {
		r.se = seOfY
	}
	if t.Stem.Type != "" {
		if r.stem.Type, err = arch.ParseStemType(t.Stem.Type); err != nil {
			fail("stem.type", t.Stem.Type, "%v", err)
		}
	}
	if t.Stem.Width != 0 {
		r.stem.Width = t.Stem.Width
	}
	if t.Stem.Width < 0 {
		fail("stem.width", fmt.Sprint(t.Stem.Width), "must be at least 1")
	}
	if t.Activation != "" {
		if r.activation, err = arch.ParseActivation(t.Activation); err != nil {
			fail("activation", t.Activation, "%v", err)
		}
	}
	stages := t.Stages
	if stages == 0 {
		stages = defaultStages
	}
	if stages < 1 || stages > MaxStages {
		fail("stages", fmt.Sprint(stages), "must be from 1 to %d", MaxStages)
		stages = defaultStages
	}
	r.strides = make([]int, stages)
	switch {
	case t.Strides == nil:
		for i := range r.strides {
			r.strides[i] = defaultStride
		}
	case len(t.Strides) == 1:
		for i := range r.strides {
			r.strides[i] = t.Strides[0]
		}
	case len(t.Strides) == stages:
		copy(r.strides, t.Strides)
	default:
		fail("strides", fmt.Sprint(t.Strides), "must be one stride or one for each of the %d stages", stages)
	}
	for _, s := range t.Strides {
		if s < 1 || s > maxStride {
			fail("strides", fmt.Sprint(s), "must be from 1 to %d", maxStride)
		} else if family == familyRegNet && s != t.Strides[0] {
			fail("strides", fmt.Sprint(t.Strides), "must be one stride for all stages of a regnet")
			break
		}
	}
	rate := func(path string, p *float64, to *float64) {
		if p == nil {
			return
		}
		if *to = *p; !(*p >= 0 && *p < 1) {
			fail(path, metric.FormatNumber(*p), "must be at least 0 and under 1")
		}
	}
	if t.SE != nil {
		if r.se = *t.SE; !(r.se >= 0 && r.se <= 1) {
			fail("se", metric.FormatNumber(r.se), "must be from 0 (none) to 1")
		}
	}
	if r.se > 0 && !r.block.Has().SE {
		fail("se", metric.FormatNumber(r.se), "must be 0 for block %s: it has no squeeze-and-excitation", r.block)
	}
	if r.block.Has().Radix {
		r.radix = arch.DefaultRadix
	}
	if t.Radix != nil {
		if r.radix = *t.Radix; r.radix < 1 || r.radix > arch.MaxRadix {
			fail("radix", fmt.Sprint(r.radix), "must be from 1 to %d", arch.MaxRadix)
		} else if !r.block.Has().Radix {
			fail("radix", fmt.Sprint(r.radix), "has no effect on %s blocks: leave it out", r.block)
		}
	}
	rate("drop_path", t.DropPath, &r.dropPath)
	rate("dropout", t.Dropout, &r.dropout)
	if t.HeadWidth != nil {
		if r.headWidth = *t.HeadWidth; r.headWidth < 0 {
			fail("head_width", fmt.Sprint(r.headWidth), "must be at least 0")
		}
	}
	return r, faults.Err()
}

// Validate reports all faults of what the template states, as a *strict.Error.
func (t Template) Validate() error {
	_, err := t.resolve(familyAnyNet)
	return err
}
