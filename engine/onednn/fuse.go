//go:build cgo

package onednn

// #include "ns.h"
import "C"

import "netspace/graph"

// epilogue is what a convolution does to its result before it writes it: act(result + bias), or
// act(result + bias + what was there).
type epilogue struct {
	on   bool
	bias *norm
	act  graph.Activation
	sum  bool
}

// joined are two convolutions that are added up: the bias of one is added to that of the other, which writes the sum.
type joined struct{ from, to string }

// fuse moves biases, activations and additions of expressions into the convolutions that they follow. Without
// gradients nobody asks for what a convolution gave before.
func (l *lowering) fuse() (all []joined) {
	for _, c := range l.convs {
		if c != nil && c.kind != identityConv && c.kind != gemmConv {
			l.fuseUnary(c)
		}
	}
	for _, r := range l.roots {
		if r == nil || !r.expr.addition || r.expr.r == nil {
			continue
		}
		e := &r.expr
		x, y := operand{e.x, e.xConv, e.norm}, operand{e.r, e.rConv, e.norm2}
		if !l.writesSum(r, x, y) {
			x, y = y, x
			if !l.writesSum(r, x, y) {
				continue
			}
		}
		c, sum := x.conv, *y.tensor // another value in the same place
		c.epilogue = epilogue{true, c.norm, e.act, true}
		c.raw = &sum
		if y.norm != nil {
			all = append(all, joined{l.biasOf(y.conv), l.biasOf(c)})
		}
		l.becomes(r, c.raw)
	}
	return all
}

// operand of an addition.
type operand struct {
	tensor *tensor
	conv   *conv // whose output it is, if the addition alone reads it
	norm   *norm
}

// biasOf is the name of a convolution's bias.
func (l *lowering) biasOf(c *conv) string { return l.g.Params[l.g.Nodes[c.node].Params[1]].Name }

// fuseUnary moves bias and activation into a convolution if all who read it want the same.
func (l *lowering) fuseUnary(c *conv) {
	readers := l.readers(c.raw)
	for _, r := range readers {
		if e := &r.expr; e.addition || e.norm != c.norm || e.act != readers[0].expr.act {
			return
		}
	}
	if len(readers) == 0 {
		return
	}
	act := readers[0].expr.act
	if c.norm == nil && act == graph.Identity {
		return
	}
	c.epilogue = epilogue{on: true, bias: c.norm, act: act}
	for _, r := range readers {
		r.expr.norm, r.expr.act = nil, graph.Identity
		if r.expr.trivial() {
			l.becomes(r, c.raw)
		}
	}
}

// writesSum says whether the convolution of an addition's operand x can write the sum over the other one:
// that one is there when it runs, and nobody reads it afterwards.
func (l *lowering) writesSum(r *root, x, y operand) bool {
	c := x.conv
	if c == nil || c.kind == identityConv || c.kind == gemmConv || c.epilogue.on || len(l.readers(c.raw)) != 1 {
		return false
	}
	if y.norm != nil && (!y.norm.bias || c.norm == nil || y.conv == nil) || y.tensor.node == 0 {
		return false
	}
	for _, q := range l.roots {
		if q == nil || q == r {
			continue
		}
		e := &q.expr
		reads := e.x == y.tensor || e.r == y.tensor || q.out == y.tensor || e.gate != nil && e.gate.out == y.tensor
		if reads && q.node >= c.root.node {
			return false
		}
	}
	if k := y.conv; k != nil {
		return k.kind != identityConv && (k.root.node < c.root.node || k.root == c.root && k.node < c.node)
	}
	for _, q := range l.roots {
		if q != nil && q != r && q.out == y.tensor {
			return true // a root before, as was seen
		}
	}
	return false
}

// readers are the roots whose expressions read a tensor.
func (l *lowering) readers(t *tensor) (all []*root) {
	for _, r := range l.roots {
		if r != nil && (r.expr.x == t || r.expr.r == t) {
			all = append(all, r)
		}
	}
	return all
}

// becomes says that a root's value is a stored tensor now.
func (l *lowering) becomes(r *root, t *tensor) {
	old := r.out
	r.expr, r.out = expr{x: t}, t
	if old == nil || old == t {
		return
	}
	for _, q := range l.roots {
		if q == nil {
			continue
		}
		if q.expr.x == old {
			q.expr.x = t
		}
		if q.expr.r == old {
			q.expr.r = t
		}
	}
}

// fusedForward runs a convolution with its epilogue: in its kernel where that can, else in a pass over what
// it has just written.
func (s *scheduler) fusedForward(c *conv, x *buffer) {
	p := &c.epilogue
	apply := expr{x: c.raw, act: p.act}
	if c.weight.prims.info.fused != 0 {
		o := s.convOp(C.NS_CONV_E, 0, c)
		o.x, o.y, o.norm = x, c.raw.buf, p.bias
		s.add(o)
		return
	}
	to := c.raw.buf
	if p.sum {
		to = s.tmp(c.raw)
	}
	s.plainForward(c, x, to)
	o := s.newOp(C.NS_APPLY_U, c.raw)
	if p.sum {
		o = s.newOp(C.NS_APPLY_A, c.raw)
		o.r = c.raw.buf
	}
	s.activate(o, &apply)
	o.x, o.y, o.norm = to, c.raw.buf, p.bias
	s.add(o)
}
