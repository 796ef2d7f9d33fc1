package space

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// each evaluates a predicate once for every item of a list.
func (c *compiler) each(list value, predicate ast.Node) ([]value, error) {
	if !list.isList || len(list.list) > maxUnrolled {
		return nil, fmt.Errorf("%s: runs over no list, or one of more than %d items", predicate, maxUnrolled)
	}
	out := make([]value, len(list.list))
	for i, item := range list.list {
		v, err := c.inScope(scope{item: item, index: i}, predicate)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (c *compiler) inScope(s scope, n ast.Node) (value, error) {
	c.scopes = append(c.scopes, s)
	v, err := c.value(n)
	c.scopes = c.scopes[:len(c.scopes)-1]
	return v, err
}

func (c *compiler) builtin(n *ast.BuiltinNode) (value, error) {
	if !slices.Contains(builtins, n.Name) {
		return value{}, fmt.Errorf("%s is not allowed in a rule; allowed are %s", n.Name, strings.Join(builtins, ", "))
	}
	first, err := c.value(n.Arguments[0])
	if err != nil {
		return value{}, err
	}
	switch n.Name {
	case "all", "none", "any", "one", "count":
		return c.quantifier(n, first)
	case "reduce":
		return c.reduce(n, first)
	case "map":
		out, err := c.each(first, n.Arguments[1])
		return value{isList: true, list: out}, err
	case "sum":
		if len(n.Arguments) == 2 {
			if first.list, err = c.each(first, n.Arguments[1]); err != nil {
				return value{}, err
			}
		}
		return fold(first.list, 0, func(a, b float64) float64 { return a + b }, n)
	case "len":
		if first.isList {
			return number(float64(len(first.list))), nil
		}
	case "first", "last":
		if first.isList && len(first.list) > 0 {
			return first.list[map[string]int{"first": 0, "last": len(first.list) - 1}[n.Name]], nil
		}
	case "min", "max", "mean":
		return c.extreme(n, first)
	case "abs", "ceil", "floor", "round", "int", "float":
		if f := map[string]func(float64) float64{"abs": math.Abs, "ceil": math.Ceil, "floor": math.Floor, "round": math.Round, "int": math.Trunc, "float": nil}[n.Name]; first.number != nil {
			return apply(f, first), nil
		}
	}
	return value{}, fmt.Errorf("%s: does not fit", n)
}

// apply applies f to a number; nil is the identity.
func apply(f func(float64) float64, x value) value {
	if f == nil {
		return x
	}
	if x.constant != nil {
		return number(f(*x.constant))
	}
	g := x.number
	return value{number: func(env []float64) float64 { return f(g(env)) }}
}

func (c *compiler) call(n *ast.CallNode) (value, error) {
	name, ok := n.Callee.(*ast.IdentifierNode)
	if ok && len(n.Arguments) == 1 && functions[name.Value] != nil {
		x, err := c.value(n.Arguments[0])
		if err != nil {
			return value{}, err
		}
		if x.number != nil {
			return apply(functions[name.Value], x), nil
		}
	}
	return value{}, fmt.Errorf("%s: is not allowed in a rule", n)
}

// quantifier is all, none, any, one and count: questions about the number of
// items for which a condition holds.
func (c *compiler) quantifier(n *ast.BuiltinNode, list value) (value, error) {
	items := list.list
	if len(n.Arguments) == 2 {
		var err error
		if items, err = c.each(list, n.Arguments[1]); err != nil {
			return value{}, err
		}
	}
	conditions := make([]func([]float64) bool, len(items))
	for i, v := range items {
		if v.truth == nil {
			return value{}, fmt.Errorf("%s: needs a condition", n)
		}
		conditions[i] = v.truth
	}
	count := func(env []float64) int {
		k := 0
		for _, f := range conditions {
			if f(env) {
				k++
			}
		}
		return k
	}
	switch n.Name {
	case "all":
		return value{truth: func(env []float64) bool {
			for _, f := range conditions {
				if !f(env) {
					return false
				}
			}
			return true
		}}, nil
	case "none":
		return value{truth: func(env []float64) bool { return count(env) == 0 }}, nil
	case "any":
		return value{truth: func(env []float64) bool { return count(env) > 0 }}, nil
	case "one":
		return value{truth: func(env []float64) bool { return count(env) == 1 }}, nil
	}
	return value{number: func(env []float64) float64 { return float64(count(env)) }}, nil
}

func (c *compiler) reduce(n *ast.BuiltinNode, list value) (value, error) {
	if !list.isList || len(list.list) == 0 || len(list.list) > maxUnrolled {
		return value{}, fmt.Errorf("%s: runs over no list, or one of no or more than %d items", n, maxUnrolled)
	}
	items, acc := list.list, list.list[0]
	from := 1
	if len(n.Arguments) == 3 {
		from = 0
		var err error
		if acc, err = c.value(n.Arguments[2]); err != nil {
			return value{}, err
		}
	}
	for i, before := from, c.budget.cost; i < len(items); i++ {
		c.budget.cost = before // the last round has all before it in #acc
		v, err := c.inScope(scope{item: items[i], index: i, acc: &acc}, n.Arguments[1])
		if err != nil {
			return value{}, err
		}
		acc = v
	}
	return acc, nil
}

// extreme is min, max and mean of numbers and lists of numbers.
func (c *compiler) extreme(n *ast.BuiltinNode, first value) (value, error) {
	var all []value
	for i, a := range n.Arguments {
		v := first
		if i > 0 {
			var err error
			if v, err = c.value(a); err != nil {
				return value{}, err
			}
		}
		if v.isList {
			all = append(all, v.list...)
		} else {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return value{}, fmt.Errorf("%s: of nothing", n)
	}
	switch n.Name {
	case "min":
		return fold(all, math.Inf(1), func(a, b float64) float64 { return min(a, b) }, n)
	case "max":
		return fold(all, math.Inf(-1), func(a, b float64) float64 { return max(a, b) }, n)
	}
	sum, err := fold(all, 0, func(a, b float64) float64 { return a + b }, n)
	if err != nil {
		return value{}, err
	}
	count := float64(len(all))
	return apply(func(x float64) float64 { return x / count }, sum), nil
}

// fold combines numbers from the left.
func fold(list []value, start float64, op func(a, b float64) float64, n ast.Node) (value, error) {
	items, err := numbers(list, n)
	if err != nil {
		return value{}, err
	}
	return value{number: func(env []float64) float64 {
		acc := start
		for _, f := range items {
			acc = op(acc, f(env))
		}
		return acc
	}}, nil
}
