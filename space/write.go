package space

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"go.yaml.in/yaml/v3"

	"netspace/metric"
)

// MarshalYAML writes the space as a file that Parse reads to the same space: same
// parts, same name, same samples. It is complete by itself: what the space has
// from its bases is written out, and derived_from names them.
func (s *Space) MarshalYAML() ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	top := mapping()
	top.set("name", str(s.Name))
	if s.About != "" {
		top.set("about", str(s.About))
	}
	if len(s.Bases) > 0 {
		top.set("derived_from", strs(s.Bases))
	}
	top.set("family", str(s.Family))
	if t := s.Network.yaml(); len(t.Content) > 0 {
		top.set("network", t.Node)
	}
	parameters := mapping()
	for _, q := range s.Parameters {
		parameters.set(q.Name, q.yaml(s.Family))
	}
	top.set("parameters", parameters.Node)
	if len(s.Rules) > 0 {
		rules := list(s.Rules, Rule.yaml)
		rules.Style = 0
		top.set("rules", rules)
	}
	if g := s.Regime.yaml(); len(g.Content) > 0 {
		top.set("regime", g.Node)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(top.Node); err != nil {
		return nil, fmt.Errorf("write space %s: %w", s.Name, err)
	}
	return out.Bytes(), enc.Close()
}

// fields is a mapping of a file that is being written.
type fields struct{ *yaml.Node }

func mapping() fields { return fields{&yaml.Node{Kind: yaml.MappingNode}} }

func (f fields) set(name string, v *yaml.Node) { f.Content = append(f.Content, str(name), v) }

// flow is the mapping on one line.
func (f fields) flow() *yaml.Node {
	f.Style = yaml.FlowStyle
	return f.Node
}

func str(v string) *yaml.Node {
	var n yaml.Node
	n.SetString(v) // quoted where it has to be
	if n.Style == 0 && n.ShortTag() != "!!str" {
		n.Style = yaml.DoubleQuotedStyle
	}
	return &n
}

// plain is a text that is no word: a number, or a range.
func plain(v string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: v} }

func num(v float64) *yaml.Node { return plain(metric.FormatNumber(v)) }

// digits is a number in the form of readers that know no suffixes.
func digits(v float64) *yaml.Node { return plain(strconv.FormatFloat(v, 'g', -1, 64)) }

func whole(v int) *yaml.Node { return plain(strconv.Itoa(v)) }

func strs(v []string) *yaml.Node { return list(v, str) }

// list is a list on one line.
func list[T any](v []T, item func(T) *yaml.Node) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, x := range v {
		n.Content = append(n.Content, item(x))
	}
	return n
}

func (t Template) yaml() fields {
	f := mapping()
	if t.Block != "" {
		f.set("block", str(t.Block))
	}
	stem := mapping()
	if t.Stem.Type != "" {
		stem.set("type", str(t.Stem.Type))
	}
	if t.Stem.Width != 0 {
		stem.set("width", whole(t.Stem.Width))
	}
	if len(stem.Content) > 0 {
		f.set("stem", stem.flow())
	}
	if t.Stages != 0 {
		f.set("stages", whole(t.Stages))
	}
	if t.Strides != nil {
		f.set("strides", list(t.Strides, whole))
	}
	if t.Activation != "" {
		f.set("activation", str(t.Activation))
	}
	if t.SE != nil {
		f.set("se", digits(*t.SE))
	}
	if t.Radix != nil {
		f.set("radix", whole(*t.Radix))
	}
	if t.HeadWidth != nil {
		f.set("head_width", whole(*t.HeadWidth))
	}
	if t.DropPath != nil {
		f.set("drop_path", digits(*t.DropPath))
	}
	if t.Dropout != nil {
		f.set("dropout", digits(*t.Dropout))
	}
	return f
}

func (q Parameter) yaml(family string) *yaml.Node {
	d, err := define(q.Name, family)
	byStage := err == nil && d.stage >= 0
	if len(q.Priors) == 1 {
		return q.Priors[0].yaml(d.whole, q.Shared && byStage)
	}
	n := list(q.Priors, func(p Prior) *yaml.Node { return p.yaml(d.whole, false) })
	n.Style = 0
	return n
}

func (p Prior) yaml(wholeNumbers, shared bool) *yaml.Node {
	if p.Kind == Values && len(p.Values) == 1 && p.Weights == nil && !shared {
		return digits(p.Values[0])
	}
	f := mapping()
	if p.Kind == Values {
		f.set(p.Kind.String(), list(p.Values, num))
		if p.Weights != nil {
			f.set("weights", list(p.Weights, num))
		}
	} else {
		f.set(p.Kind.String(), plain(metric.FormatNumber(p.Min)+".."+metric.FormatNumber(p.Max)))
	}
	if p.Multiple != 0 && !(p.Multiple == 1 && wholeNumbers) {
		f.set("multiple", digits(p.Multiple))
	}
	if p.Center != nil {
		f.set(centerWord(p.Kind), digits(*p.Center))
	}
	if p.Std != 0 {
		f.set("std", digits(p.Std))
	}
	if shared {
		f.set("shared", plain("true"))
	}
	return f.flow()
}

// centerWord is what the centre of a normal prior is called.
func centerWord(k Kind) string {
	if k == LogNormal {
		return "median"
	}
	return "mean"
}

func (r Rule) yaml() *yaml.Node {
	if r.Kind == Expression && r.Name == "" {
		return str(r.Expression)
	}
	f, about := mapping(), mapping()
	switch r.Kind {
	case Expression:
		f.set(r.Kind.String(), str(r.Expression))
	case InRange:
		about.set(r.Parameter, plain(r.Range.String()))
		f.set(r.Kind.String(), about.flow())
	case In:
		about.set(r.Parameter, list(r.Values, num))
		f.set(r.Kind.String(), about.flow())
	default:
		f.set(r.Kind.String(), str(r.Parameter))
	}
	if r.Except != nil {
		f.set("except", list(r.Except, func(e int) *yaml.Node {
			if e == Last {
				return plain("last")
			}
			return whole(e)
		}))
	}
	if r.Name != "" {
		f.set("name", str(r.Name))
	}
	return f.flow()
}

func (g Regime) yaml() fields {
	f := mapping()
	for _, m := range metric.Counted() {
		if r := g.Bounds[m.ID]; !r.IsZero() {
			f.set(m.Name, plain(r.String()))
		}
	}
	if g.Rules != nil {
		f.set("rules", strs(g.Rules))
	}
	return f
}

// MarshalJSON writes the rule as it stands in a file: a text for an expression, else
// a mapping.
func (r Rule) MarshalJSON() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("rule %s: %w", r, err)
	}
	return appendJSON(nil, r.yaml())
}

// appendJSON writes a node of a file that is being written as JSON.
func appendJSON(b []byte, n *yaml.Node) (_ []byte, err error) {
	switch tag := n.ShortTag(); {
	case n.Kind == yaml.MappingNode:
		b = append(b, '{')
		for i, item := range n.Content {
			if i > 0 {
				b = append(b, ",:"[i%2])
			}
			if b, err = appendJSON(b, item); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case n.Kind == yaml.SequenceNode:
		b = append(b, '[')
		for i, item := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, item); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case n.Style == 0 && (tag == "!!int" || tag == "!!float"):
		return append(b, n.Value...), nil
	}
	return jsontext.AppendQuote(b, n.Value)
}
