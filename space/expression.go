package space

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"netspace/internal/portable"
	"netspace/metric"
	"netspace/strict"
)

// condition is a compiled expression.
type condition struct {
	holds func(env []float64) bool
	phase phase // when it can be decided
	cost  int   // steps that it takes on one candidate, at most
}

// The limits of conditions. What a person writes takes tens of characters and
// of steps; a few nested loops take millions.
const (
	maxExpression = 4096   // bytes of its text
	maxCost       = 20_000 // steps on one candidate, of all conditions of a space together
	maxRules      = 1000   // of a space
)

// vocabulary is what expressions of a space may name.
type vocabulary struct {
	layout
	family string
	shared map[string]int // parameters that all stages share, by name
	recipe map[string]int // slots of recipe fields
}

// stageVars gives the type of a stage to the checker of expressions.
type stageVars struct {
	Depth      int     `expr:"depth"`
	Width      int     `expr:"width"`
	Stride     int     `expr:"stride"`
	Bottleneck float64 `expr:"bottleneck"`
	GroupWidth int     `expr:"group_width"`
}

// complexityScales are the suffixes of metrics in expressions.
var complexityScales = []struct {
	suffix string
	scale  float64
}{{"", 1}, {"_K", 1e3}, {"_M", 1e6}, {"_B", 1e9}, {"_G", 1e9}}

// builtins are the functions of expr-lang that rules may use: those over
// numbers and over lists whose length does not depend on the candidate.
var builtins = []string{"all", "none", "any", "one", "count", "map", "sum", "reduce", "len", "abs", "ceil", "floor", "round", "int", "float", "max", "min", "mean", "first", "last"}

// functions beside them. Their bits are the same on every platform.
var functions = map[string]func(float64) float64{"sqrt": math.Sqrt, "log": portable.Log, "log2": log2, "exp": portable.Exp}

func log2(x float64) float64 { return portable.Log(x) / math.Ln2 }

// types is the environment that expr-lang checks an expression against.
func (v vocabulary) types() map[string]any {
	t := map[string]any{"stages": []stageVars{}, "adjusted": []stageVars{}, "blocks": 0}
	for _, m := range metric.Counted() {
		for _, s := range complexityScales {
			t[m.Name+s.suffix] = 0.0
		}
	}
	if v.family == familyRegNet {
		t["levels"] = 0
	}
	for name := range v.shared {
		d, err := define(name, v.family)
		t[name] = 0.0
		if err == nil && d.whole {
			t[name] = 0
		}
	}
	if len(v.recipe) > 0 {
		fields := map[string]float64{}
		for name := range v.recipe {
			fields[strings.TrimPrefix(name, recipePrefix)] = 0
		}
		t["recipe"] = fields
	}
	return t
}

// options configure expr-lang to accept what compile understands.
func (v vocabulary) options() []expr.Option {
	o := []expr.Option{expr.Env(v.types()), expr.AsBool(), expr.Optimize(false), expr.DisableAllBuiltins()}
	for _, name := range builtins {
		o = append(o, expr.EnableBuiltin(name))
	}
	for name, f := range functions {
		o = append(o, expr.Function(name, func(args ...any) (any, error) {
			switch x := args[0].(type) {
			case int:
				return f(float64(x)), nil
			case float64:
				return f(x), nil
			}
			return nil, fmt.Errorf("%s of a %T", name, args[0])
		}, new(func(float64) float64), new(func(int) float64)))
	}
	return o
}

// compile checks an expression and makes it a function of the environment that
// allocates nothing: expr-lang reads and types it, and its tree becomes closures
// with the loops over stages unrolled. The tests compare the two.
func (v vocabulary) compile(text string) (condition, error) {
	if len(text) > maxExpression {
		return condition{}, fmt.Errorf("has %d characters: at most %d are allowed", len(text), maxExpression)
	}
	program, err := expr.Compile(text, v.options()...)
	if err != nil {
		return condition{}, v.explain(err)
	}
	c := compiler{vocabulary: v, phase: drawn, budget: &budget{}}
	out, err := c.value(program.Node())
	if err != nil {
		return condition{}, err
	}
	if out.truth == nil {
		return condition{}, fmt.Errorf("is not a condition: compare two values")
	}
	return condition{holds: out.truth, phase: c.phase, cost: out.cost}, nil
}

// explain makes one line of an error of expr-lang, with the nearest names.
func (v vocabulary) explain(err error) error {
	if strings.HasPrefix(err.Error(), "expected bool") {
		return fmt.Errorf("is not a condition: compare two values")
	}
	var e *file.Error
	if !errors.As(err, &e) {
		return err
	}
	if _, field, ok := strings.Cut(e.Message, "stageVars has no field "); ok {
		return fmt.Errorf("stages have no %s: the field %s", field, strict.OneOf(field, stageFieldNames[:]...))
	}
	message := fmt.Sprintf("%s (column %d)", e.Message, e.Column+1)
	if name, ok := strings.CutPrefix(e.Message, "unknown name "); ok {
		known := append(slices.Clone(builtins), "stages")
		for name := range v.types() {
			known = append(known, name)
		}
		for name := range functions {
			known = append(known, name)
		}
		slices.Sort(known)
		if near := strict.Nearest(name, known, 1); len(near) > 0 {
			message += fmt.Sprintf("; did you mean %s?", near[0])
		} else {
			message += "; known are " + strings.Join(slices.Compact(known), ", ")
		}
	}
	return errors.New(message)
}

// value is what a part of an expression stands for. Exactly one of number,
// truth, list, stage and recipe is set.
type value struct {
	number   func(env []float64) float64
	constant *float64 // the number, where it is known at once
	truth    func(env []float64) bool
	list     []value
	isList   bool
	stage    []int // slots of the fields of a stage
	recipe   bool
	cost     int // steps to evaluate it, at most
}

func number(v float64) value {
	return value{number: func([]float64) float64 { return v }, constant: &v}
}

// compiler turns a tree into closures.
type compiler struct {
	vocabulary
	phase  phase            // the latest number that was read
	scopes []scope          // of the predicates around the node
	names  map[string]value // of let
	budget *budget
}

// budget is what compiling has spent. Loops are unrolled and names stand for
// their expression, so both what is compiled and what is evaluated can be far
// more than what is written.
type budget struct {
	nodes int // that were compiled
	cost  int // of evaluating what was compiled so far, each part as often as it is used
}

// spend adds the steps of something that is evaluated once more.
func (b *budget) spend(cost int) { b.cost = min(b.cost+cost, 1<<40) }

type scope struct {
	item  value
	index int
	acc   *value
}

func (c *compiler) need(p phase) { c.phase = max(c.phase, p) }

func (c *compiler) slot(slot int, scale float64, p phase) value {
	c.need(p)
	if scale == 1 {
		return value{number: func(env []float64) float64 { return env[slot] }}
	}
	return value{number: func(env []float64) float64 { return env[slot] / scale }}
}

// value compiles a node and counts what it costs.
func (c *compiler) value(n ast.Node) (value, error) {
	before := c.budget.cost
	c.budget.nodes++
	c.budget.spend(1)
	v, err := c.node(n)
	if err != nil {
		return v, err
	}
	if v.cost = max(c.budget.cost-before, 1); v.cost > maxCost || c.budget.nodes > 10*maxCost {
		return v, fmt.Errorf("takes more than %d steps to decide for one network: loops within loops, or names that stand for ever longer expressions", maxCost)
	}
	return v, nil
}

func (c *compiler) node(n ast.Node) (value, error) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return number(float64(n.Value)), nil
	case *ast.FloatNode:
		return number(n.Value), nil
	case *ast.BoolNode:
		b := n.Value
		return value{truth: func([]float64) bool { return b }}, nil
	case *ast.IdentifierNode:
		return c.name(n.Value)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ChainNode:
		return c.value(n.Node)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.SliceNode:
		return c.slice(n)
	case *ast.PointerNode:
		return c.pointer(n)
	case *ast.PredicateNode:
		return c.value(n.Node)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.VariableDeclaratorNode:
		return c.let(n)
	case *ast.ArrayNode:
		out := value{isList: true}
		for _, item := range n.Nodes {
			v, err := c.value(item)
			if err != nil {
				return value{}, err
			}
			out.list = append(out.list, v)
		}
		return out, nil
	case *ast.BuiltinNode:
		return c.builtin(n)
	case *ast.CallNode:
		return c.call(n)
	}
	return value{}, fmt.Errorf("%s: is not allowed in a rule", n)
}

func (c *compiler) name(name string) (value, error) {
	if v, ok := c.names[name]; ok {
		c.budget.spend(v.cost)
		return v, nil
	}
	if slot, ok := c.shared[name]; ok {
		return c.slot(slot, 1, drawn), nil
	}
	for _, m := range metric.Counted() {
		for _, s := range complexityScales {
			if name == m.Name+s.suffix {
				return c.slot(slotMetric+int(m.ID), s.scale, counted), nil
			}
		}
	}
	switch name {
	case "stages", "adjusted":
		out := value{isList: true}
		for i := range c.stages {
			var stage []int
			for f := range stageFields {
				if name == "stages" && c.family == familyAnyNet {
					stage = append(stage, c.asked(i, f))
				} else {
					stage = append(stage, c.adjusted(i, f))
				}
			}
			out.list = append(out.list, value{stage: stage})
		}
		return out, nil
	case "levels":
		return c.slot(slotLevels, 1, drawn), nil
	case "recipe":
		return value{recipe: true}, nil
	case "blocks":
		if c.family == familyRegNet {
			return c.slot(slotDepth, 1, drawn), nil
		}
		n, first := c.stages, c.asked(0, fieldDepth)
		return value{number: func(env []float64) float64 {
			sum := 0.0
			for i := range n {
				sum += env[first+i*stageFields]
			}
			return sum
		}}, nil
	}
	return value{}, fmt.Errorf("%s: is not known here", name)
}

func (c *compiler) unary(n *ast.UnaryNode) (value, error) {
	x, err := c.value(n.Node)
	if err != nil {
		return value{}, err
	}
	switch {
	case (n.Operator == "not" || n.Operator == "!") && x.truth != nil:
		f := x.truth
		return value{truth: func(env []float64) bool { return !f(env) }}, nil
	case n.Operator == "+" && x.number != nil:
		return x, nil
	case n.Operator == "-" && x.number != nil:
		if x.constant != nil {
			return number(-*x.constant), nil
		}
		f := x.number
		return value{number: func(env []float64) float64 { return -f(env) }}, nil
	}
	return value{}, fmt.Errorf("%s: %s does not fit", n, n.Operator)
}

// arithmetic of two numbers. Each is one IEEE operation, never fused.
var arithmetic = map[string]func(a, b float64) float64{
	"+": func(a, b float64) float64 { return a + b },
	"-": func(a, b float64) float64 { return a - b },
	"*": func(a, b float64) float64 { return a * b },
	"/": func(a, b float64) float64 { return a / b },
	"%": math.Mod, "**": portable.Pow, "^": portable.Pow,
}

var comparisons = map[string]func(a, b float64) bool{
	"==": func(a, b float64) bool { return a == b },
	"!=": func(a, b float64) bool { return a != b },
	"<":  func(a, b float64) bool { return a < b },
	"<=": func(a, b float64) bool { return a <= b },
	">":  func(a, b float64) bool { return a > b },
	">=": func(a, b float64) bool { return a >= b },
}

func (c *compiler) binary(n *ast.BinaryNode) (value, error) {
	x, err := c.value(n.Left)
	if err != nil {
		return value{}, err
	}
	y, err := c.value(n.Right)
	if err != nil {
		return value{}, err
	}
	switch {
	case x.number != nil && y.number != nil:
		f, g := x.number, y.number
		if op, ok := arithmetic[n.Operator]; ok {
			if x.constant != nil && y.constant != nil {
				return number(op(*x.constant, *y.constant)), nil
			}
			return value{number: func(env []float64) float64 { return op(f(env), g(env)) }}, nil
		}
		if op, ok := comparisons[n.Operator]; ok {
			return value{truth: func(env []float64) bool { return op(f(env), g(env)) }}, nil
		}
		if n.Operator == ".." && x.constant != nil && y.constant != nil {
			out := value{isList: true}
			for v := *x.constant; v <= *y.constant && len(out.list) <= maxUnrolled; v++ {
				out.list = append(out.list, number(v))
				c.budget.spend(1)
			}
			return out, nil
		}
	case x.truth != nil && y.truth != nil:
		f, g := x.truth, y.truth
		switch n.Operator {
		case "and", "&&":
			return value{truth: func(env []float64) bool { return f(env) && g(env) }}, nil
		case "or", "||":
			return value{truth: func(env []float64) bool { return f(env) || g(env) }}, nil
		case "==":
			return value{truth: func(env []float64) bool { return f(env) == g(env) }}, nil
		case "!=":
			return value{truth: func(env []float64) bool { return f(env) != g(env) }}, nil
		}
	case x.number != nil && y.isList && n.Operator == "in":
		return c.in(x, y, n)
	}
	return value{}, fmt.Errorf("%s: %s does not fit", n, n.Operator)
}

// maxUnrolled bounds the lists that loops run over.
const maxUnrolled = 1000

func (c *compiler) in(x, y value, n ast.Node) (value, error) {
	items, err := numbers(y.list, n)
	if err != nil {
		return value{}, err
	}
	f := x.number
	return value{truth: func(env []float64) bool {
		v := f(env)
		for _, g := range items {
			if g(env) == v {
				return true
			}
		}
		return false
	}}, nil
}

func numbers(list []value, n ast.Node) ([]func([]float64) float64, error) {
	if len(list) > maxUnrolled {
		return nil, fmt.Errorf("%s: has more than %d items", n, maxUnrolled)
	}
	out := make([]func([]float64) float64, len(list))
	for i, v := range list {
		if v.number == nil {
			return nil, fmt.Errorf("%s: is not a list of numbers", n)
		}
		out[i] = v.number
	}
	return out, nil
}

func (c *compiler) member(n *ast.MemberNode) (value, error) {
	x, err := c.value(n.Node)
	if err != nil {
		return value{}, err
	}
	switch {
	case x.stage != nil:
		s, ok := n.Property.(*ast.StringNode)
		field := -1
		if ok {
			field = slices.Index(stageFieldNames[:], s.Value)
		}
		if field < 0 {
			return value{}, fmt.Errorf("%s: a stage has %s", n, strings.Join(stageFieldNames[:], ", "))
		}
		p := drawn
		if x.stage[field] >= c.adjusted(0, 0) {
			p = built
		}
		return c.slot(x.stage[field], 1, p), nil
	case x.recipe:
		s, ok := n.Property.(*ast.StringNode)
		if ok {
			if slot, found := c.recipe[recipePrefix+s.Value]; found {
				return c.slot(slot, 1, drawn), nil
			}
		}
		return value{}, fmt.Errorf("%s: is no parameter of the space", n)
	case x.isList:
		i, err := c.constant(n.Property)
		if err != nil {
			return value{}, err
		}
		k := i
		if k < 0 {
			k += len(x.list)
		}
		if k < 0 || k >= len(x.list) {
			return value{}, fmt.Errorf("%s: there is no item %d: the list has %d, counted from 0", n, i, len(x.list))
		}
		return x.list[k], nil
	}
	return value{}, fmt.Errorf("%s: has no members", n)
}

// constant reads an index, which must not depend on the candidate.
func (c *compiler) constant(n ast.Node) (int, error) {
	v, err := c.value(n)
	if err != nil {
		return 0, err
	}
	if v.constant == nil || *v.constant != math.Trunc(*v.constant) {
		return 0, fmt.Errorf("%s: an index must be a whole number that does not depend on the network", n)
	}
	return int(*v.constant), nil
}

func (c *compiler) slice(n *ast.SliceNode) (value, error) {
	x, err := c.value(n.Node)
	if err != nil {
		return value{}, err
	}
	if !x.isList {
		return value{}, fmt.Errorf("%s: is not a list", n)
	}
	bound := func(n ast.Node, v int) (int, error) {
		if n == nil {
			return v, nil
		}
		k, err := c.constant(n)
		if k < 0 {
			k += len(x.list)
		}
		return min(max(k, 0), len(x.list)), err
	}
	from, err := bound(n.From, 0)
	if err != nil {
		return value{}, err
	}
	to, err := bound(n.To, len(x.list))
	if err != nil {
		return value{}, err
	}
	return value{isList: true, list: x.list[from:max(from, to)]}, nil
}

func (c *compiler) pointer(n *ast.PointerNode) (value, error) {
	if len(c.scopes) == 0 {
		return value{}, fmt.Errorf("%s: has a meaning only inside all, any, map and their like", n)
	}
	s := c.scopes[len(c.scopes)-1]
	switch {
	case n.Name == "":
		c.budget.spend(s.item.cost)
		return s.item, nil
	case n.Name == "index":
		return number(float64(s.index)), nil
	case n.Name == "acc" && s.acc != nil:
		c.budget.spend(s.acc.cost)
		return *s.acc, nil
	}
	return value{}, fmt.Errorf("#%s: is not known here", n.Name)
}

func (c *compiler) conditional(n *ast.ConditionalNode) (value, error) {
	cond, err := c.value(n.Cond)
	if err != nil {
		return value{}, err
	}
	x, err := c.value(n.Exp1)
	if err != nil {
		return value{}, err
	}
	y, err := c.value(n.Exp2)
	if err != nil {
		return value{}, err
	}
	test := cond.truth
	switch {
	case test == nil:
	case x.number != nil && y.number != nil:
		f, g := x.number, y.number
		return value{number: func(env []float64) float64 {
			if test(env) {
				return f(env)
			}
			return g(env)
		}}, nil
	case x.truth != nil && y.truth != nil:
		f, g := x.truth, y.truth
		return value{truth: func(env []float64) bool {
			if test(env) {
				return f(env)
			}
			return g(env)
		}}, nil
	}
	return value{}, fmt.Errorf("%s: its two results must be numbers, or conditions", n)
}

func (c *compiler) let(n *ast.VariableDeclaratorNode) (value, error) {
	before := c.budget.cost
	v, err := c.value(n.Value)
	if err != nil {
		return value{}, err
	}
	c.budget.cost = before // it is evaluated where its name stands
	inner := *c
	inner.names = map[string]value{n.Name: v}
	for name, old := range c.names {
		if name != n.Name {
			inner.names[name] = old
		}
	}
	out, err := inner.value(n.Expr)
	c.phase = inner.phase
	return out, err
}
