//go:build cgo

package onednn

import (
	"fmt"

	"netspace/graph"
)

// The compiler turns a graph into *roots*. A root is a value that
// convolutions or poolings read; what lies between it and the stored tensors
// below (normalisation, activation, gate, addition) is an expression that is
// computed chunk by chunk where it is consumed, and computed again in the
// backward pass instead of being kept. Stored are the outputs of convolutions
// and of additions.

// tensor is a value in memory for the whole batch: [N][C/B][H][W][B], B channels to a block.
type tensor struct {
	buf      *buffer
	blocks   int // channel blocks
	block    int // channels in one
	h, w     int
	channels int
	node     int
	lanes    *buffer // 1 in lanes that hold a channel, where an op wants to know
}

func (t *tensor) area() int   { return t.h * t.w }
func (t *tensor) record() int { return t.blocks * t.block * t.h * t.w }

// norm is what is added to a convolution: a batch normalisation, or a bias.
type norm struct {
	node     int
	bias     bool
	channels *channelArrays
}

// conv is a convolution or linear layer; or, with no weight, the identity in
// front of a batch-norm that follows something else.
type conv struct {
	node   int
	kind   convKind
	root   *root // what it reads
	raw    *tensor
	norm   *norm // nil: nothing follows it but other consumers
	dz     *buffer
	dzMask *buffer // per-image factor of dz: drop-path
	weight *weight

	epilogue epilogue // without gradients
}

// expr computes a value from stored tensors.
//
//	unary:    act(norm(x)) * gate
//	addition: act(mask*norm(x) + norm2(r))
type expr struct {
	x        *tensor
	xConv    *conv // whose output x is, if this expression alone reads it: its gradient goes there
	xRoot    *root // else the root below x that takes the gradient
	norm     *norm
	act      graph.Activation
	gate     *root // squeeze-and-excitation
	addition bool
	r        *tensor
	rConv    *conv
	rRoot    *root
	norm2    *norm
	mask     *buffer // drop-path
}

// trivial: the value is x itself.
func (e *expr) trivial() bool {
	return !e.addition && e.norm == nil && e.act == graph.Identity && e.gate == nil
}

// root is a value with its consumers.
type root struct {
	node     int
	expr     expr
	out      *tensor // the value, where it is stored
	convs    []*conv
	maxpools []*root
	drops    []*root // dropouts
	pools    []*root // global pools
	maps     []*root // average pools, folds, softmaxes
	grad     bool    // a gradient is wanted
	chunk    int

	sources []source // gradients sent by other roots
	dz      *buffer
}

// source is a gradient for the whole batch; gate is its factor per image and
// channel. mean: it is the gradient of the map's mean, [N][C].
type source struct {
	buf  *buffer
	gate *buffer
	mean bool
}

// UnsupportedError says that a graph is valid but has a form that this engine has no
// kernels for.
type UnsupportedError struct {
	Node   string
	Reason string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("engine onednn: %s: %s", e.Node, e.Reason)
}

type lowering struct {
	g         *graph.Graph
	block     int
	lanes     []lanes
	kinds     []convKind
	consumers [][]int
	roots     []*root // by node
	convs     []*conv // by node
	stored    []*tensor
	rounds    []bool // by node: kept as bfloat16
	tensors   []*tensor
	masks     map[int]*buffer // of drop-path and dropout nodes
	plan      *planner
}

func (l *lowering) fail(node int, format string, args ...any) error {
	n := &l.g.Nodes[node]
	name := n.Op.String()
	if n.Name != "" {
		name += " " + n.Name
	}
	return &UnsupportedError{name, fmt.Sprintf(format, args...)}
}

// lower finds roots and expressions.
func (l *lowering) lower() error {
	g := l.g
	for i := range g.Nodes {
		for _, in := range g.Nodes[i].In {
			l.consumers[in] = append(l.consumers[in], i)
		}
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		switch n.Op {
		case graph.OpInput:
			l.stored[i] = l.newTensor(i, "images")
		case graph.OpBatchNorm:
			if c := l.convs[n.In[0]]; c != nil && !l.shared(n.In[0]) && c.norm == nil {
				c.norm = &norm{node: i}
				continue
			}
			r, err := l.rootOf(n.In[0])
			if err != nil {
				return err
			}
			l.store(r)
			c := &conv{node: i, kind: identityConv, root: r, raw: r.out, norm: &norm{node: i}}
			r.convs = append(r.convs, c)
			l.convs[i] = c
		case graph.OpConv, graph.OpLinear:
			r, err := l.rootOf(n.In[0])
			if err != nil {
				return err
			}
			c := &conv{node: i, kind: l.kinds[i], root: r, raw: l.newTensor(i, "conv")}
			if n.Op == graph.OpLinear || n.Bias {
				c.norm = &norm{node: i, bias: true}
			}
			r.convs = append(r.convs, c)
			l.convs[i], l.stored[i] = c, c.raw
		case graph.OpMaxPool, graph.OpGlobalPool, graph.OpAvgPool, graph.OpFold, graph.OpSoftmax, graph.OpDropout, graph.OpDropPath:
			if l.fusedDrop(i) {
				continue
			}
			r, err := l.rootOf(n.In[0])
			if err != nil {
				return err
			}
			l.stored[i] = l.newTensor(i, "pool")
			self, err := l.rootOf(i)
			if err != nil {
				return err
			}
			switch n.Op {
			case graph.OpMaxPool:
				r.maxpools = append(r.maxpools, self)
			case graph.OpDropout, graph.OpDropPath:
				r.drops = append(r.drops, self)
			case graph.OpAvgPool, graph.OpFold, graph.OpSoftmax:
				r.maps = append(r.maps, self)
			case graph.OpGlobalPool:
				if r.expr.gate != nil {
					l.store(r) // the pooling kernel knows no gates
				}
				r.pools = append(r.pools, self)
			}
		}
	}
	last := len(g.Nodes) - 1
	out, err := l.rootOf(last)
	if err != nil {
		return err
	}
	l.store(out)
	for _, r := range l.roots {
		if r != nil {
			e := &r.expr
			r.grad = g.Nodes[r.node].Op != graph.OpInput && (e.xConv != nil || e.rConv != nil ||
				e.xRoot != nil && e.xRoot.grad || e.rRoot != nil && e.rRoot.grad || l.isStored(r.node) && l.roots[g.Nodes[r.node].In[0]].grad)
		}
	}
	return nil
}

// isStored: poolings, folds, softmaxes and dropouts, whose outputs are kept and have roots of their own.
func (l *lowering) isStored(i int) bool {
	switch l.g.Nodes[i].Op {
	case graph.OpMaxPool, graph.OpGlobalPool, graph.OpAvgPool, graph.OpFold, graph.OpSoftmax, graph.OpDropout:
		return true
	case graph.OpDropPath:
		return !l.fusedDrop(i)
	}
	return false
}

// fusedDrop: a drop-path between a convolution, or its batch-norm, and the
// addition, as in every residual block, is a factor in the addition.
func (l *lowering) fusedDrop(i int) bool {
	n := &l.g.Nodes[i]
	if n.Op != graph.OpDropPath || l.shared(i) || l.shared(n.In[0]) {
		return false
	}
	if op := l.g.Nodes[n.In[0]].Op; op != graph.OpBatchNorm && op != graph.OpConv {
		return false
	}
	add := &l.g.Nodes[l.consumers[i][0]]
	if add.Op != graph.OpAdd {
		return false
	}
	for _, in := range add.In {
		if in != i && l.g.Nodes[in].Op == graph.OpDropPath {
			return false
		}
	}
	return true
}

func (l *lowering) newTensor(node int, kind string) *tensor {
	n := &l.g.Nodes[node]
	t := &tensor{blocks: len(l.lanes[node]) / l.block, block: l.block, h: n.H, w: n.W, channels: n.C, node: node}
	l.tensors = append(l.tensors, t)
	if l.rounds[node] {
		t.buf = l.plan.perImage(kind+" "+n.Name, t.record()/2)
		t.buf.half = true
		return t
	}
	t.buf = l.plan.perImage(kind+" "+n.Name, t.record())
	return t
}

// rootOf makes a node a root.
func (l *lowering) rootOf(node int) (*root, error) {
	if l.roots[node] != nil {
		return l.roots[node], nil
	}
	e, err := l.exprOf(node)
	if err != nil {
		return nil, err
	}
	r := &root{node: node, expr: e}
	l.roots[node] = r
	switch {
	case e.trivial():
		r.out = e.x
	case e.addition:
		l.store(r)
	}
	return r, nil
}

// store keeps a root's value for the whole batch.
func (l *lowering) store(r *root) {
	if r.out == nil {
		r.out = l.newTensor(r.node, "value")
	}
}

// shared says that more than one op reads a node, or one that is a root's consumer.
func (l *lowering) shared(node int) bool { return len(l.consumers[node]) != 1 }

// exprOf describes a node's value by stored tensors and roots.
func (l *lowering) exprOf(node int) (expr, error) {
	n := &l.g.Nodes[node]
	switch n.Op {
	case graph.OpConv, graph.OpLinear:
		c := l.convs[node]
		return expr{x: c.raw, xConv: c, norm: c.norm}, nil
	case graph.OpInput, graph.OpMaxPool, graph.OpGlobalPool, graph.OpAvgPool, graph.OpFold, graph.OpSoftmax, graph.OpDropout:
		return expr{x: l.stored[node]}, nil
	case graph.OpBatchNorm:
		c := l.convs[node] // the identity
		if c == nil {
			c = l.convs[n.In[0]]
		}
		return expr{x: c.raw, xConv: c, norm: c.norm}, nil
	case graph.OpActivation:
		e, err := l.operand(n.In[0])
		if err != nil {
			return expr{}, err
		}
		if e.act != graph.Identity || e.gate != nil || e.addition && e.mask != nil && e.r == nil {
			if e, err = l.below(n.In[0]); err != nil {
				return expr{}, err
			}
		}
		e.act = n.Act
		return e, nil
	case graph.OpScale:
		a, err := l.rootOf(n.In[0])
		if err != nil {
			return expr{}, err
		}
		gate, err := l.rootOf(n.In[1])
		if err != nil {
			return expr{}, err
		}
		l.store(gate)
		e := l.inline(a)
		e.gate = gate
		return e, nil
	case graph.OpDropPath:
		if !l.fusedDrop(node) {
			return expr{x: l.stored[node]}, nil
		}
		e, err := l.exprOf(n.In[0])
		e.addition, e.mask = true, l.masks[node]
		return e, err
	case graph.OpAdd:
		return l.addition(node)
	}
	return expr{}, l.fail(node, "no kernel for this op")
}

// operand is an input's expression for an element-wise op: its own where
// nothing else reads it, else the root's value.
func (l *lowering) operand(node int) (expr, error) {
	// What is rounded is so for all who read it; of a convolution that is its stored output, in any case.
	rounded := l.rounds[node] && l.convs[node] == nil
	if l.shared(node) || l.roots[node] != nil || rounded {
		return l.below(node)
	}
	return l.exprOf(node)
}

// below makes a node a root and reads its stored value.
func (l *lowering) below(node int) (expr, error) {
	r, err := l.rootOf(node)
	if err != nil {
		return expr{}, err
	}
	l.store(r)
	return expr{x: r.out, xRoot: r}, nil
}

// inline computes a root's unary value again on the way to a gate; the gradient
// stops at the root.
func (l *lowering) inline(r *root) expr {
	if r.expr.addition || r.expr.gate != nil || r.out != nil || l.rounds[r.node] {
		l.store(r)
		return expr{x: r.out, xRoot: r}
	}
	return expr{x: r.expr.x, norm: r.expr.norm, act: r.expr.act, xRoot: r}
}

// addition is act(mask*norm(x) + norm2(r)).
func (l *lowering) addition(node int) (expr, error) {
	n := &l.g.Nodes[node]
	var ops [2]expr
	for i, in := range n.In {
		var e expr
		var err error
		switch r := l.roots[in]; {
		case (l.shared(in) || r != nil) && l.linearConv(in):
			// A normalised convolution that others read too: cheaper to compute again than to store.
			if r, err = l.rootOf(in); err == nil {
				e = l.inline(r)
			}
		default:
			e, err = l.operand(in)
		}
		if err == nil && (e.act != graph.Identity || e.gate != nil || e.addition && e.r != nil) {
			e, err = l.below(in)
		}
		if err != nil {
			return expr{}, err
		}
		ops[i] = e
	}
	a, b := ops[0], ops[1]
	if b.mask != nil || a.mask == nil && a.xConv == nil && b.xConv != nil {
		a, b = b, a
	}
	a.addition = true
	a.r, a.rConv, a.rRoot, a.norm2 = b.x, b.xConv, b.xRoot, b.norm
	return a, nil
}

// linearConv: the node is a batch-norm right behind a convolution.
func (l *lowering) linearConv(node int) bool { return l.g.Nodes[node].Op == graph.OpBatchNorm }
