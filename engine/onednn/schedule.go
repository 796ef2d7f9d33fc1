//go:build cgo

package onednn

// #include "ns.h"
import "C"

import (
	"math"
	"slices"
	"unsafe"

	"netspace/graph"
)

// op is an ns_op with buffers whose place is not known yet.
type op struct {
	c                 C.ns_op
	x, y, r, r2, h    *buffer
	g1, g2, g3        *buffer
	gate, mask, bc    *buffer
	dw, wd, tmp, prim *buffer // weight gradients of the threads; weights for backward data; a chunk's weight gradient; oneDNN's scratch
	norm, norm2       *norm   // s, t, mean of x and r
	sums, sums2       *norm   // whose gradient sums are taken
	through           *norm   // NS_PASS_B
	conv              *conv
	finish            *norm
	lanes             *buffer
	node              int // whose value it works on; -1: none
}

// loop is one pass over the chunks of the batch.
type loop struct {
	pre, body, post []*op
	chunk           int
	forward         bool
	wide            map[*tensor]*buffer // scratch with the values of a tensor of bfloat16 numbers
}

// scheduler writes the loops: for every root one forward, in order, and one
// backward, in reverse.
type scheduler struct {
	*lowering
	p     *program
	loops []*loop
	cur   *loop
	acc   int64 // doubles of sums in this loop
	accs  int64 // the largest loop's
	steps int   // loops of a training step, if an evaluation has loops of its own

	softmaxes map[int]*buffer // by node: see softmaxLanes
}

func (s *scheduler) begin(chunk int, forward bool) {
	s.cur = &loop{chunk: chunk, forward: forward, wide: map[*tensor]*buffer{}}
	s.acc = int64(s.block) // the loss comes first
}

func (s *scheduler) end() {
	s.accs = max(s.accs, s.acc)
	if len(s.cur.pre)+len(s.cur.body)+len(s.cur.post) == 0 {
		return
	}
	s.loops = append(s.loops, s.cur)
	s.plan.next()
}

// of is what only ops of this kind have: a pointer to the struct of the kind.
func (o *op) of() unsafe.Pointer { return unsafe.Pointer(&o.c.of) }

// newOp fills in what every op has.
func (s *scheduler) newOp(kind C.int32_t, t *tensor) *op {
	o := &op{node: -1}
	o.c.kind = kind
	o.c.s, o.c.t, o.c.mean, o.c.s2, o.c.t2, o.c.mean2 = -1, -1, -1, -1, -1, -1
	o.c.k1, o.c.k2, o.c.k3, o.c.acc, o.c.acc2 = -1, -1, -1, -1, -1
	o.c.lanes = -1
	if t != nil {
		o.c.blocks, o.c.hw = C.int32_t(t.blocks), C.int32_t(t.area())
		o.node = t.node
	}
	return o
}

func (s *scheduler) touch(o *op) {
	for _, b := range []*buffer{o.x, o.y, o.r, o.r2, o.h, o.g1, o.g2, o.g3, o.gate, o.mask, o.bc, o.dw, o.wd, o.lanes} {
		s.plan.use(b)
	}
}

func (s *scheduler) add(o *op) *op {
	s.touch(o)
	s.cur.body = append(s.cur.body, o)
	return o
}

func (s *scheduler) after(o *op) {
	s.touch(o)
	s.cur.post = append(s.cur.post, o)
}

func (s *scheduler) before(o *op) {
	s.touch(o)
	s.cur.pre = append(s.cur.pre, o)
}

// sumsFor reserves n per-channel sums in this loop.
func (s *scheduler) sumsFor(t *tensor, n int64) C.int64_t {
	at := s.acc
	s.acc += n * int64(t.blocks*t.block)
	return C.int64_t(at)
}

// tmp is scratch for a chunk of a tensor.
func (s *scheduler) tmp(t *tensor) *buffer {
	return s.plan.temporary(int64(t.record() * s.cur.chunk))
}

// whole is where a tensor's chunk lies as float32: in its place, or in scratch, to which this loop has widened it.
func (s *scheduler) whole(t *tensor) *buffer {
	if !t.buf.half {
		return s.plan.use(t.buf)
	}
	if b := s.cur.wide[t]; b != nil {
		return b
	}
	o := s.newOp(C.NS_WIDEN, t)
	o.x, o.y = t.buf, s.into(t)
	s.add(o)
	return o.y
}

// into is where an op writes a tensor's chunk as float32; keep follows if that is scratch.
func (s *scheduler) into(t *tensor) *buffer {
	if !t.buf.half {
		return t.buf
	}
	s.cur.wide[t] = s.tmp(t)
	return s.cur.wide[t]
}

// keep rounds what has been written by into, and stores it.
func (s *scheduler) keep(t *tensor) {
	o := s.newOp(C.NS_NARROW, t)
	o.x, o.y, o.h = s.cur.wide[t], s.cur.wide[t], t.buf
	s.add(o)
}

// operandAt is a place of an op for a stored tensor.
type operandAt struct {
	at **buffer
	t  *tensor
}

// reads gives an op stored tensors as operands: as they are where all of them are of bfloat16 numbers or none is, which
// the kernels know, else as float32.
func (s *scheduler) reads(o *op, all ...operandAt) {
	half := true
	for _, r := range all {
		half = half && r.t.buf.half
	}
	for _, r := range all {
		if *r.at = r.t.buf; !half {
			*r.at = s.whole(r.t)
		}
	}
	if half {
		o.c.half = 1
	}
}

func (e *expr) gateBuffer() *buffer {
	if e.gate != nil {
		return e.gate.out.buf
	}
	return nil
}

// value computes a root's value for the chunk: into its tensor where it is
// stored, else into scratch. compute is false where it is stored already.
func (s *scheduler) value(r *root, compute bool) *buffer {
	e := &r.expr
	if e.trivial() {
		return s.whole(e.x)
	}
	if r.out != nil && !compute {
		return s.whole(r.out)
	}
	kind := C.int32_t(C.NS_APPLY_U)
	if e.addition && e.r != nil {
		kind = C.NS_APPLY_A
	}
	o := s.newOp(kind, e.x)
	s.activate(o, e)
	operands := []operandAt{{&o.x, e.x}}
	o.norm, o.gate = e.norm, e.gateBuffer()
	if e.addition {
		o.mask, o.norm2 = e.mask, e.norm2
		if e.r != nil {
			operands = append(operands, operandAt{&o.r, e.r})
		}
	}
	if kind == C.NS_APPLY_A && !r.out.buf.half { // the kernel of halves keeps its sum as such
		o.x, o.r = s.whole(e.x), s.whole(e.r)
	} else {
		s.reads(o, operands...)
	}
	if r.out == nil {
		o.y = s.tmp(e.x)
	} else {
		o.y = s.into(r.out)
	}
	kept := r.out == nil || !r.out.buf.half
	if !kept && o.c.half != 0 && kind == C.NS_APPLY_A {
		o.h, kept = r.out.buf, true
	}
	if s.add(o); !kept {
		s.keep(r.out)
	}
	return o.y
}

// activate gives an op the expression's activation. A sigmoid would lift
// padding lanes from zero, so it gets their mask.
func (s *scheduler) activate(o *op, e *expr) {
	o.c.act = C.int32_t(e.act)
	if e.act == graph.Sigmoid && e.x.channels < e.x.blocks*e.x.block {
		if e.x.lanes == nil {
			e.x.lanes = s.plan.pin("lanes", int64(e.x.blocks*e.x.block))
			s.p.laneMasks = append(s.p.laneMasks, laneMask{e.x.lanes, s.lanes[e.x.node]})
		}
		o.lanes = e.x.lanes
	}
}

// chunkBudget bounds the floats of one image's tensors in a loop times the
// chunk: an eighth of a second-level cache of a MiB, so that what one kernel writes the next one finds there,
// beside what the chunk reads and writes in memory and the same of the next one, which is fetched meanwhile.
const chunkBudget = 32 << 10

// minPositions keeps weight-heavy layers from running on so few positions that reading
// the weights costs more than using them.
const minPositions = 98

// chooseChunk picks how many images go through a root's loop at a time. It
// depends on shapes alone: the same network gives the same bits on every
// machine of one instruction set.
func (s *scheduler) chooseChunk(r *root) int {
	batch := int(s.plan.batch)
	limit := max(1, batch/s.p.opt.Threads) // so that every thread has a chunk
	floats, positions, gemmOnly, least := r.expr.x.record(), r.expr.x.area(), true, 1
	for _, c := range r.convs {
		floats += 2 * c.raw.record()
		positions = min(positions, c.raw.area())
		if c.kind != gemmConv {
			gemmOnly = false
		}
		if s.p.pairs(c) {
			least = 2
		}
	}
	n := limit
	if len(r.convs) == 0 || !gemmOnly {
		n = max(chunkBudget/floats, (minPositions+positions-1)/positions, least)
	}
	n = min(n, limit)
	for batch%n != 0 {
		n--
	}
	return n
}

// forwardRoot computes a root's value and what its convolutions and poolings make of it.
func (s *scheduler) forwardRoot(r *root) {
	s.begin(r.chunk, true)
	e := &r.expr
	if len(r.convs)+len(r.maxpools)+len(r.drops)+len(r.maps) > 0 || r.out != nil && !e.trivial() {
		x := s.value(r, true)
		for _, c := range r.convs {
			kept := c.kind == identityConv || !c.raw.buf.half
			if c.kind != identityConv {
				s.convForward(c, x)
			}
			if c.norm != nil && !c.norm.bias {
				f := s.newOp(C.NS_FIN_STATS, c.raw)
				f.finish = c.norm
				stats := (*C.ns_fin_stats)(f.of())
				*stats = C.ns_fin_stats{chunk: C.int32_t(r.chunk), epsilon: C.double(s.g.Nodes[c.norm.node].Epsilon)}
				if s.fixed(c.norm) {
					stats.fixed = 1
				} else {
					o := s.newOp(C.NS_STATS, c.raw)
					o.x, o.c.acc = s.whole(c.raw), s.sumsFor(c.raw, 3)
					if !kept {
						o.h, kept = c.raw.buf, true
					}
					s.add(o)
					f.c.acc = o.c.acc
				}
				s.after(f)
			}
			if !kept {
				s.keep(c.raw)
			}
		}
		for _, d := range r.drops {
			s.dropOp(d, e.x, x, d.expr.x.buf)
		}
		for _, m := range r.maxpools {
			o := s.windowOp(C.NS_MAX_F, r, m)
			o.x, o.y = x, m.expr.x.buf
			s.add(o)
		}
		for _, m := range r.maps {
			o := s.mapOp(true, r, m)
			o.x, o.y = x, m.expr.x.buf
			s.add(o)
		}
	}
	for _, p := range r.pools {
		o := s.newOp(C.NS_POOL, e.x)
		o.y = p.expr.x.buf
		if r.out != nil {
			s.reads(o, operandAt{&o.x, r.out})
		} else {
			s.reads(o, operandAt{&o.x, e.x})
			o.norm = e.norm
			s.activate(o, e)
		}
		s.add(o)
	}
	s.end()
}

// evaluation adds the loops of a pass without gradients where those of a step round what they keep: as of a program that
// rounds nothing, in memory that a step has for other things.
func (s *scheduler) evaluation() {
	s.steps = len(s.loops)
	for _, t := range s.tensors {
		if !t.buf.pinned {
			t.buf = s.plan.perImage(t.buf.name, t.record())
		}
	}
	for _, r := range s.roots {
		if r != nil {
			s.forwardRoot(r)
		}
	}
}

// fixed says that a batch norm's statistics are the running ones in every pass.
func (s *scheduler) fixed(n *norm) bool { return slices.Contains(s.p.opt.FixedNorms, n.node) }

func (s *scheduler) windowOp(kind C.int32_t, r, m *root) *op {
	o := s.newOp(kind, r.expr.x)
	n := &s.g.Nodes[m.node]
	pad := (n.Kernel - 1) / 2
	if n.Op == graph.OpAvgPool {
		pad = n.Pad
	}
	*(*C.ns_window)(o.of()) = C.ns_window{
		h: C.int32_t(r.expr.x.h), w: C.int32_t(r.expr.x.w), oh: C.int32_t(n.H), ow: C.int32_t(n.W),
		kernel: C.int32_t(n.Kernel), stride: C.int32_t(n.Stride), pad: C.int32_t(pad),
	}
	return o
}

// mapOp is the op of an average pooling, fold or softmax m of a root, or of its gradient.
func (s *scheduler) mapOp(forward bool, r, m *root) *op {
	which := func(f, b C.int32_t) C.int32_t {
		if forward {
			return f
		}
		return b
	}
	n := &s.g.Nodes[m.node]
	switch n.Op {
	case graph.OpAvgPool:
		return s.windowOp(which(C.NS_AVG_F, C.NS_AVG_B), r, m)
	case graph.OpFold:
		o := s.newOp(which(C.NS_FOLD, C.NS_UNFOLD), r.expr.x)
		(*C.ns_parts)(o.of()).parts = C.int32_t(n.Parts)
		return o
	}
	o := s.newOp(which(C.NS_SOFTMAX_F, C.NS_SOFTMAX_B), r.expr.x)
	o.lanes = s.softmaxLanes(m)
	*(*C.ns_parts)(o.of()) = C.ns_parts{parts: C.int32_t(n.Parts), channels: C.int32_t(ceil(n.C/n.Parts, s.block))}
	if !forward {
		o.r = s.whole(m.expr.x)
	}
	return o
}

// softmaxLanes is where the channels of a softmax are in a record, of its input and of
// its output, part by part. The last one is repeated to fill a vector.
func (s *scheduler) softmaxLanes(m *root) *buffer {
	if b := s.softmaxes[m.node]; b != nil {
		return b
	}
	n := &s.g.Nodes[m.node]
	in, out := s.lanes[n.In[0]].index(n.C), s.lanes[m.node].index(n.C)
	run := n.C / n.Parts / n.Groups // channels of a part of a group
	count := ceil(run*n.Groups, s.block)
	at := make([]int32, 2*n.Parts*count)
	for j := range n.Parts {
		for k := range count {
			c := min(k, run*n.Groups-1)
			for i, lane := range []int{in[(c/run*n.Parts+j)*run+c%run], out[j*run*n.Groups+c]} {
				at[(i*n.Parts+j)*count+k] = int32(lane/s.block*s.block*n.H*n.W + lane%s.block)
			}
		}
	}
	b := s.plan.pin("softmax", int64(len(at)))
	s.softmaxes[m.node] = b
	s.p.tables = append(s.p.tables, table{b, at})
	return b
}

func (s *scheduler) convOp(kind C.int32_t, gemm C.int32_t, c *conv) *op {
	o := s.newOp(kind, c.raw)
	o.conv = c
	if c.kind == gemmConv {
		o.c.kind = gemm
		*(*C.ns_gemm)(o.of()) = C.ns_gemm{out: C.int32_t(len(s.lanes[c.node])), in: C.int32_t(len(s.lanes[c.root.node]))}
	} else {
		o.prim = s.plan.temporary(int64(c.weight.prims.info.scratch+3) / 4)
	}
	return o
}

func (s *scheduler) convForward(c *conv, x *buffer) {
	if c.epilogue.on {
		s.fusedForward(c, x)
		return
	}
	s.plainForward(c, x, s.into(c.raw))
}

func (s *scheduler) plainForward(c *conv, x, y *buffer) {
	o := s.convOp(C.NS_CONV_F, C.NS_GEMM_F, c)
	o.x, o.y = x, y
	s.add(o)
}

// reached drops the consumers that no gradient comes from: what does not lead
// to the logits.
func reached[T any](all []T, dz func(T) *buffer) []T {
	var live []T
	for _, c := range all {
		if dz(c) != nil {
			live = append(live, c)
		}
	}
	return live
}

// backwardRoot sends the gradients of a root's consumers through its expression.
func (s *scheduler) backwardRoot(r *root) {
	e := &r.expr
	convs := reached(r.convs, func(c *conv) *buffer { return c.dz })
	maxpools := reached(r.maxpools, func(m *root) *buffer { return m.dz })
	drops := reached(r.drops, func(d *root) *buffer { return d.dz })
	maps := reached(r.maps, func(m *root) *buffer { return m.dz })
	consumers := len(convs) + len(maxpools) + len(drops) + len(maps)
	if consumers+len(r.sources) == 0 {
		return
	}
	s.begin(r.chunk, false)
	var scratch []*buffer // gradients made in this loop
	direct := (*buffer)(nil)
	plain := e.gate != nil || e.act == graph.Identity && e.norm == nil && !e.addition
	if r.grad && plain && consumers == 1 && len(r.sources) == 0 {
		// The one consumer's gradient is the root's: no pass over it.
		direct = s.plan.perImage("gradient", e.x.record())
	}
	target := func() *buffer {
		if direct != nil {
			return direct
		}
		b := s.tmp(e.x)
		scratch = append(scratch, b)
		return b
	}
	x := (*buffer)(nil)
	if consumers > len(maps) { // whose gradients do not need it
		x = s.value(r, false)
	}
	for _, c := range convs {
		s.convBackward(c, x, target)
	}
	if r.grad {
		for _, d := range drops {
			s.dropOp(d, e.x, d.dz, target())
		}
		for _, m := range maxpools {
			o := s.windowOp(C.NS_MAX_B, r, m)
			o.x, o.g1, o.y = x, m.dz, target()
			s.add(o)
		}
		for _, m := range maps {
			o := s.mapOp(false, r, m)
			o.g1, o.y = m.dz, target()
			s.add(o)
		}
		s.passRoot(r, scratch, direct)
	}
	s.end()
}

// dropOp multiplies by the factors of a dropout or drop-path, forward and backward alike.
func (s *scheduler) dropOp(d *root, t *tensor, x, y *buffer) {
	o := s.newOp(C.NS_MUL, t)
	o.x, o.r, o.y = x, s.masks[d.node], y
	if s.g.Nodes[d.node].Op == graph.OpDropPath {
		o.c.kind = C.NS_PASS_B
		o.x, o.r, o.g1, o.mask = nil, nil, x, s.masks[d.node]
	}
	s.add(o)
}

// convBackward sends a convolution's gradient through its norm, to its weight,
// and to its input where target gives it a place.
func (s *scheduler) convBackward(c *conv, x *buffer, target func() *buffer) {
	d := c.dz
	if n := c.norm; n != nil && !n.bias || c.dzMask != nil {
		o := s.newOp(C.NS_PASS_B, c.raw)
		if c.kind == identityConv {
			if !c.root.grad {
				return
			}
			d = target()
		} else {
			d = s.tmp(c.raw)
		}
		o.y, o.g1, o.mask = d, c.dz, c.dzMask
		if n != nil && !n.bias {
			s.reads(o, operandAt{&o.x, c.raw})
			o.through = n
		}
		s.add(o)
	}
	if c.kind == identityConv {
		return
	}
	s.weightGradient(c, x, d)
	if !c.root.grad {
		return
	}
	o := s.convOp(C.NS_CONV_D, C.NS_GEMM_D, c)
	o.x, o.y = d, target()
	if c.kind != gemmConv && c.weight.prims.info.same_d == 0 {
		o.wd = s.plan.fixed("weights for backward data", int64(c.weight.prims.info.wd)/4)
		pre := s.newOp(C.NS_REORDER_D, nil)
		pre.conv, pre.wd = c, o.wd
		s.before(pre)
	}
	s.add(o)
}

func (s *scheduler) weightGradient(c *conv, x, d *buffer) {
	w, threads := c.weight, int64(s.p.opt.Threads)
	o := s.convOp(C.NS_CONV_W, C.NS_GEMM_W, c)
	o.x, o.r = x, d
	size := w.size
	same := true
	if c.kind != gemmConv {
		same = w.prims.info.same_w != 0
		size = int64(w.prims.info.ww) / 4
		if w.prims.info.adds == 0 {
			o.tmp = s.plan.temporary(size)
		}
	}
	stride := (size + 15) / 16 * 16
	if threads > 1 || !same {
		o.dw = s.plan.fixed("weight gradients", stride*threads)
	}
	o.c.dw_stride = C.int64_t(stride)
	if o.tmp != nil {
		(*C.ns_conv_w)(o.of()).size = C.int64_t(size)
	}
	s.add(o)
	if o.dw == nil && w.mask == nil {
		return // the one thread has written the gradient in its place
	}
	f := s.newOp(C.NS_FIN_DW, nil)
	f.conv, f.dw = c, o.dw
	f.c.dw_stride = C.int64_t(stride)
	fin := (*C.ns_fin_dw)(f.of())
	*fin = C.ns_fin_dw{size: C.int64_t(size), mask: -1, mask_size: C.int64_t(w.size)}
	if !same {
		fin.relayout = 1
	}
	s.after(f)
}

// passRoot adds up a root's gradients, sends them through its activation, and
// hands them to what lies below.
func (s *scheduler) passRoot(r *root, scratch []*buffer, direct *buffer) {
	e := &r.expr
	var plain []*buffer
	var gated, mean *source
	for i := range r.sources {
		q := &r.sources[i]
		switch {
		case q.mean && mean == nil:
			mean = q
		case q.gate != nil && gated == nil:
			gated = q
		case !q.mean && q.gate == nil:
			plain = append(plain, q.buf)
		default: // rare: a second gate or pooling reads the value
			b := s.tmp(e.x)
			o := s.newOp(C.NS_PASS_U, e.x)
			o.y = b
			if q.mean {
				o.bc = q.buf
			} else {
				o.g3, o.gate = q.buf, q.gate
			}
			s.add(o)
			scratch = append(scratch, b)
		}
	}
	grads := append(scratch, plain...)
	room := 3
	if gated != nil {
		room = 2
	}
	for len(grads) > room { // rare: add two up first
		o := s.newOp(C.NS_APPLY_A, e.x)
		sum := s.tmp(e.x)
		o.x, o.r, o.y = grads[0], grads[1], sum
		s.add(o)
		grads = append([]*buffer{sum}, grads[2:]...)
	}
	owned := func(c *conv, n *norm) bool { return c != nil && n != nil }
	trivialPass := e.gate != nil || !owned(e.xConv, e.norm) && e.act == graph.Identity && !owned(e.rConv, e.norm2)
	switch {
	case direct != nil:
		r.dz = direct
	case trivialPass && len(grads) == 1 && !grads[0].scratch && gated == nil && mean == nil:
		r.dz = grads[0]
	default:
		r.dz = s.plan.perImage("gradient", e.x.record())
		kind := C.int32_t(C.NS_PASS_U)
		if e.addition {
			kind = C.NS_PASS_A
		}
		o := s.newOp(kind, e.x)
		o.y = r.dz
		for i, slot := range []**buffer{&o.g1, &o.g2, &o.g3}[:min(len(grads), room)] {
			*slot = grads[i]
		}
		if gated != nil {
			o.g3, o.gate = gated.buf, gated.gate
		}
		if mean != nil {
			o.bc = mean.buf
		}
		if e.gate == nil {
			operands := []operandAt{{&o.x, e.x}}
			o.norm, o.c.act = e.norm, C.int32_t(e.act)
			if owned(e.xConv, e.norm) {
				o.sums, o.c.acc = e.norm, s.sumsFor(e.x, 2)
				s.finishGrad(e.norm, e.x, o.c.acc)
			}
			if e.addition {
				o.mask, o.norm2 = e.mask, e.norm2
				// The sum before the activation, and the other norm's sums, ask for it; the ReLU's output says where it passed.
				if e.r != nil && (owned(e.rConv, e.norm2) || e.act != graph.ReLU && e.act != graph.Identity) {
					operands = append(operands, operandAt{&o.r, e.r})
				}
				if owned(e.rConv, e.norm2) {
					o.sums2, o.c.acc2 = e.norm2, s.sumsFor(e.x, 2)
					s.finishGrad(e.norm2, e.x, o.c.acc2)
				}
				if e.act == graph.ReLU {
					operands = append(operands, operandAt{&o.r2, r.out})
					o.c.relu_y = 1
				}
			}
			s.reads(o, operands...)
		}
		s.add(o)
	}
	if e.gate != nil && e.gate.grad {
		o := s.newOp(C.NS_DGATE, e.x)
		y := s.plan.perImage("gate gradient", e.x.blocks*e.x.block)
		s.reads(o, operandAt{&o.x, e.x})
		o.g1, o.y, o.norm = r.dz, y, e.norm
		s.activate(o, e)
		s.add(o)
		e.gate.sources = append(e.gate.sources, source{buf: y})
	}
	switch {
	case e.xConv != nil:
		e.xConv.dz, e.xConv.dzMask = r.dz, e.mask
	case e.xRoot != nil && e.xRoot.grad:
		e.xRoot.sources = append(e.xRoot.sources, source{buf: r.dz, gate: e.gateBuffer()})
	}
	switch {
	case e.rConv != nil:
		e.rConv.dz = r.dz
	case e.rRoot != nil && e.rRoot.grad:
		e.rRoot.sources = append(e.rRoot.sources, source{buf: r.dz})
	}
	if s.g.Nodes[r.node].Op == graph.OpGlobalPool {
		in := s.roots[s.g.Nodes[r.node].In[0]]
		in.sources = append(in.sources, source{buf: r.dz, mean: true})
	}
}

func (s *scheduler) finishGrad(n *norm, t *tensor, acc C.int64_t) {
	o := s.newOp(C.NS_FIN_GRAD, t)
	o.finish, o.c.acc = n, acc
	count := float64(s.plan.batch) * float64(t.area())
	if !n.bias && s.fixed(n) {
		count = math.Inf(1)
	}
	(*C.ns_fin_grad)(o.of()).count = C.double(count)
	s.after(o)
}

// lossLoop turns logits and targets into the loss and its gradient.
func (s *scheduler) lossLoop(out *root, targets *buffer) {
	n := &s.g.Nodes[out.node]
	s.begin(out.chunk, false)
	o := s.newOp(C.NS_LOSS, out.out)
	(*C.ns_loss)(o.of()).classes = C.int32_t(n.C * n.H * n.W)
	d := s.plan.perImage("loss gradient", out.out.record())
	o.x, o.r, o.y = out.out.buf, targets, d
	s.add(o)
	out.sources = append(out.sources, source{buf: d})
	s.end()
}
