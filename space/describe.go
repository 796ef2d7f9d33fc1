package space

import (
	"fmt"
	"strings"

	"netspace/arch"
	"netspace/metric"
)

// Description tells what a space is, for one Config.
type Description struct {
	Name       string                 `json:"name"`
	About      string                 `json:"about,omitempty"`
	Family     string                 `json:"family"`
	Bases      []string               `json:"bases,omitempty"` // the nearest first
	Network    Template               `json:"network"`         // with all defaults filled in
	Parameters []ParameterDescription `json:"parameters"`
	Rules      []RuleDescription      `json:"rules"`
	Regime     Regime                 `json:"regime"`
	// Freedom is the degrees of freedom: the numbers that are drawn and can differ.
	Freedom int `json:"degrees_of_freedom"`
}

// ParameterDescription is one parameter with its prior.
type ParameterDescription struct {
	Name   string   `json:"name"`
	Per    string   `json:"per"`              // "stage", or "network" for one value
	Priors []string `json:"prior"`            // one, or one for each stage
	Values int      `json:"values,omitempty"` // that the prior can take, the most of any stage; 0: continuous
}

// RuleDescription is one rule.
type RuleDescription struct {
	Rule string `json:"rule"`
	// Share is the chance that the prior obeys the rule, given the rules before
	// it on the same parameter; 0 where only candidates can tell.
	Share          float64 `json:"share,omitempty"`
	ByConstruction bool    `json:"by_construction"`
}

// Describe tells what is sampled.
func (p *Sampler) Describe() Description {
	s := p.space
	d := Description{Name: s.Name, About: s.About, Family: s.Family, Bases: s.Bases, Regime: p.config.Regime, Network: p.template()}
	for _, g := range p.groups {
		q := s.parameter(g.parameter)
		pd := ParameterDescription{Name: q.Name, Per: "stage", Values: g.values}
		if q.Shared {
			pd.Per = "network"
		}
		for _, prior := range q.Priors {
			pd.Priors = append(pd.Priors, prior.String())
		}
		d.Parameters = append(d.Parameters, pd)
		for _, f := range g.folded {
			d.Rules = append(d.Rules, RuleDescription{f.rule.String(), f.share, true})
		}
	}
	for _, c := range p.checks {
		d.Rules = append(d.Rules, RuleDescription{Rule: c.name})
	}
	for i := range p.draws {
		if p.draws[i].tail == nil || len(p.draws[i].values) > 1 {
			d.Freedom++
		}
	}
	return d
}

func (s *Space) parameter(name string) Parameter {
	for _, q := range s.Parameters {
		if q.Name == name {
			return q
		}
	}
	return Parameter{}
}

// template is what was resolved, as a Template.
func (p *Sampler) template() Template {
	n := p.net
	t := Template{
		Block: n.block.String(), Stem: Stem{n.stem.Type.String(), n.stem.Width}, Stages: len(n.strides), Strides: n.strides,
		Activation: n.activation.String(), SE: &n.se, HeadWidth: &n.headWidth, DropPath: &n.dropPath, Dropout: &n.dropout,
	}
	if n.radix > 0 {
		t.Radix = &n.radix
	}
	if n.block == arch.Bottleneck {
		t.Block = "X"
		if n.se > 0 {
			t.Block = "Y"
		}
	}
	return t
}

// String is the description of the template on one line, defaults left out.
func (t Template) String() string {
	parts := []string{t.Block + " blocks", fmt.Sprintf("%d stages", t.Stages)}
	if len(t.Strides) > 0 {
		parts = append(parts, "strides "+strings.Trim(fmt.Sprint(t.Strides), "[]"))
	}
	parts = append(parts, fmt.Sprintf("%s stem of width %d", t.Stem.Type, t.Stem.Width), t.Activation)
	for _, f := range []struct {
		name string
		v    *float64
	}{{"se", t.SE}, {"drop_path", t.DropPath}, {"dropout", t.Dropout}} {
		if f.v != nil && *f.v != 0 {
			parts = append(parts, f.name+" "+metric.FormatNumber(*f.v))
		}
	}
	if t.Radix != nil {
		parts = append(parts, fmt.Sprintf("radix %d", *t.Radix))
	}
	if t.HeadWidth != nil && *t.HeadWidth != 0 {
		parts = append(parts, fmt.Sprintf("head_width %d", *t.HeadWidth))
	}
	return strings.Join(parts, ", ")
}
