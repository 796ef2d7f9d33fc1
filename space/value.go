package space

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"netspace/metric"
	"netspace/strict"
)

// A Change is what New and With make a space of: a Rule or a Regime, which
// restrict it, a Parameter or a Template, which take the place of what the
// space has of that name, and Named.
type Change interface{ change(s *Space) }

// Named gives a space its name, which reports use and which seeds the sampling.
type Named string

func (n Named) change(s *Space)     { s.Name = string(n) }
func (r Rule) change(s *Space)      { s.Rules = append(slices.Clone(s.Rules), r) }
func (g Regime) change(s *Space)    { s.Regime = g.over(s.Regime) }
func (t Template) change(s *Space)  { s.Network = t.over(s.Network) }
func (q Parameter) change(s *Space) { s.Parameters = setParameter(slices.Clone(s.Parameters), q) }

// setParameter puts a parameter in the place of the one of its name, or at the end.
func setParameter(all []Parameter, q Parameter) []Parameter {
	if i := slices.IndexFunc(all, func(p Parameter) bool { return p.Name == q.Name }); i >= 0 {
		all[i] = q
		return all
	}
	return append(all, q)
}

// Between is the rule that a parameter is in a range, ends included: in every
// stage, where stages have it. An end may be infinite.
func Between(parameter string, lo, hi float64) Rule {
	return Rule{Kind: InRange, Parameter: parameter, Range: metric.Range{Min: lo, Max: hi}}
}

// Where is the rule that an expression is true: "stages[1].width <= 4 * stages[0].width".
func Where(expression string) Rule { return Rule{Kind: Expression, Expression: expression} }

// New makes a space of family "anynet" or "regnet". The error is a
// *strict.Error with all that is wrong with it.
func New(name, family string, parts ...Change) (*Space, error) {
	s := &Space{Name: name, Family: family}
	for _, p := range parts {
		p.change(s)
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// With derives a space: a copy that is changed in so many ways, one after the
// other. The copy keeps the name, and so the stream of random numbers, unless
// Named is among the changes. The space itself stays as it is. The error is a *strict.Error
// with all that is wrong with the result.
func (s *Space) With(changes ...Change) (*Space, error) {
	d := *s
	d.Bases, d.files = append([]string{s.Name}, s.Bases...), nil
	for _, c := range changes {
		c.change(&d)
	}
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return &d, nil
}

// Validate reports all that is wrong with the space as a *strict.Error: what a
// file of it may not say, and rules and priors that do not fit together. Spaces
// that were read are valid.
func (s *Space) Validate() error {
	_, err := s.Sampler(Config{})
	return err
}

// faults are those of the parts of the space, each by itself.
func (s *Space) faults() *strict.Faults {
	var faults strict.Faults
	fail := func(path, value, format string, args ...any) {
		faults.Add(strict.Fault{Path: path, Value: value, Rule: fmt.Sprintf(format, args...)})
	}
	text := func(path, v string) {
		if !utf8.ValidString(v) {
			fail(path, v, "must be text in UTF-8")
		}
	}
	if s.Name == "" {
		fail("name", "", "is missing")
	}
	text("name", s.Name)
	text("about", s.About)
	if !slices.Contains(families, s.Family) {
		fail("family", s.Family, "%s", strict.OneOf(s.Family, families...))
		return &faults // which parameters there are depends on it
	}
	if _, err := s.Network.resolve(s.Family); err != nil {
		var found *strict.Error
		if errors.As(err, &found) {
			for _, f := range found.Faults {
				faults.Add(f)
			}
		}
	}
	seen := map[string]bool{}
	for _, q := range s.Parameters {
		path := "parameters." + q.Name
		d, err := define(q.Name, s.Family)
		switch n := len(q.Priors); {
		case err != nil:
			fail(path, "", "%v", err)
			continue
		case seen[q.Name]:
			fail(path, "", "is there twice")
		case n == 0 || n > MaxStages:
			fail(path, "", "must have one prior for each stage")
		case d.stage < 0 && n > 1:
			fail(path, "", "must be one prior: stages do not have a %s of their own", q.Name)
		case d.stage < 0 && !q.Shared:
			fail(path, "", "must be shared: stages do not have a %s of their own", q.Name)
		case q.Shared && n > 1:
			fail(path, "", "must be one prior: all stages share it")
		}
		seen[q.Name] = true
		for i, p := range q.Priors {
			at := path
			if len(q.Priors) > 1 {
				at = strict.Index(path, i)
			}
			if err := d.check(p); err != nil {
				fail(at, p.String(), "%v", err)
			}
		}
	}
	for i, r := range s.Rules {
		path := strict.Index("rules", i)
		text(path, r.Name)
		text(path, r.Expression)
		if err := r.check(); err != nil {
			f := r.fault("%v", err)
			if r.path == "" { // not from a file
				f.Path = path
			}
			faults.Add(f)
		}
	}
	for _, r := range s.Regime.Rules {
		text("regime.rules", r)
	}
	for _, m := range metric.Counted() {
		r := s.Regime.Bounds[m.ID]
		if err := r.Validate(); err != nil {
			fail("regime."+m.Name, r.String(), "%v", err)
		}
	}
	return &faults
}

// check reports what is wrong with the parts of the space, and what it lacks.
func (s *Space) check() error {
	faults := s.faults()
	if faults.Err() == nil {
		s.missing(faults)
	}
	return faults.Err()
}

// missing reports parameters that the family needs and the space lacks.
func (s *Space) missing(faults *strict.Faults) {
	for _, d := range definitions {
		has := slices.ContainsFunc(s.Parameters, func(p Parameter) bool { return p.Name == d.name })
		block, err := parseBlock(s.Network.Block)
		if d.required && !has && strings.Contains(d.families, s.Family) && (err != nil || d.effective(block.Has())) {
			faults.Add(strict.Fault{Path: "parameters." + d.name, Rule: "is missing"})
		}
	}
}

// check says what is wrong with the form of a rule: what its kind does not use must be absent.
func (r Rule) check() error {
	stray := func(what string) error { return fmt.Errorf("has %s, which %s has no use for", what, r.Kind) }
	switch {
	case int(r.Kind) >= len(ruleNames):
		return fmt.Errorf("is of no known kind")
	case r.Kind == Expression && r.Expression == "":
		return fmt.Errorf("must be an expression")
	case r.Kind != Expression && r.Expression != "":
		return stray("an expression")
	case r.Kind == Expression && r.Parameter != "":
		return stray("a parameter")
	case r.Kind == Expression && r.Except != nil:
		return stray("exceptions")
	case r.Kind != In && r.Values != nil:
		return stray("values")
	case r.Kind != InRange && !r.Range.IsZero():
		return stray("a range")
	case r.Kind == In && len(r.Values) == 0:
		return fmt.Errorf("must have at least one value")
	case r.Kind == In && slices.ContainsFunc(r.Values, notFinite):
		return fmt.Errorf("must have finite values")
	case r.Kind == InRange && r.Range.IsZero():
		return fmt.Errorf("must have a range")
	}
	for _, e := range r.Except {
		if e != Last && (e < 1 || e > MaxStages) {
			return fmt.Errorf("excepts stage %d: must be the number of a stage from 1 to %d, or Last", e, MaxStages)
		}
	}
	return r.Range.Validate()
}

func notFinite(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }
