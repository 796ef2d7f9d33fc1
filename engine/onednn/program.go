//go:build cgo

package onednn

// #include "ns.h"
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"slices"
	"unsafe"

	"netspace/engine"
	"netspace/graph"
)

// memory is zeroed memory outside Go's heap. The system gives it pages when they are touched, so
// what a program may need later is had, and checked, when it is compiled.
type memory struct {
	p    unsafe.Pointer
	size int64 // bytes
	used bool  // touched, but for memory that always is
}

// MemoryError says that there is no memory for a program. It is an engine.ErrMemory.
type MemoryError struct {
	What  string // it was for
	Bytes int64
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("onednn: out of memory: %s of a program takes %d MiB", e.What, (e.Bytes+1<<20-1)>>20)
}

func (e *MemoryError) Unwrap() error { return engine.ErrMemory }

func allocate(what string, floats int64) (memory, error) {
	size := pages(floats)
	m := memory{p: C.ns_alloc(C.size_t(size)), size: size}
	if m.p == nil {
		return memory{}, &MemoryError{what, size}
	}
	return m, nil
}

// pages is the number of bytes of the pages, at least one, that hold so many floats.
func pages(floats int64) int64 { return max(4096, (floats*4+4095)/4096*4096) }

// structures is zeroed C memory for n of a struct; C keeps pointers into it.
func structures[T any](n int) (*T, error) {
	var t T
	p := (*T)(C.ns_calloc(C.size_t(max(1, n)), C.size_t(unsafe.Sizeof(t))))
	if p == nil {
		return nil, &MemoryError{"the list of ops", int64(n) * int64(unsafe.Sizeof(t))}
	}
	return p, nil
}

func (m *memory) free() {
	if m.p != nil {
		C.ns_free(m.p, C.size_t(m.size))
		m.p = nil
	}
}

func (m memory) floats() []float32 {
	if m.p == nil {
		return nil
	}
	return unsafe.Slice((*float32)(m.p), m.size/4)
}

// kept is the memory if it is in use, else nil.
func (m memory) kept() []float32 {
	if !m.used {
		return nil
	}
	return m.floats()
}

// program is a compiled network.
type program struct {
	engine     *Engine
	g          *graph.Graph
	opt        engine.Options
	c          *C.ns_program // C memory: C keeps pointers into it
	run        *C.ns_run_args
	update     *C.ns_update_args
	arena      memory
	scratch    memory
	sums       memory
	stage      memory
	moment1    memory
	moment2    memory
	emaParams  memory
	emaBuffers memory
	ops        []C.ns_op
	zones      [][]float32 // see planner.zone
	opConv     []*conv
	opNode     []int // whose value an op works on; -1: none

	shapes     map[C.ns_shape]*prims
	shapeNames map[*prims]string
	weights    map[string]*weight
	vectors    map[string]vectorAt
	running    map[string]vectorAt

	staged                        int // floats of the largest weight in PyTorch's layout
	params, grads, stats          *buffer
	paramSize, weightEnd, normEnd int64 // floats: weights, then BN gamma and beta, then biases
	bufferSize                    int64
	averaged                      []span // of the running statistics: all but those of fixed norms
	plainInput                    bool
	block                         int // channels side by side
	images, targets               *buffer
	imageLanes, targetLanes       lanes
	logits                        *tensor
	logitLanes                    []int
	masks                         []maskAt
	laneMasks                     []laneMask
	tables                        []table
	masksClear                    bool // all masks are 1
	fused                         bool // convolutions do what follows them: see fuse.go
	joined                        []joined
	kept                          map[int]*buffer // by node: what a step rounds to bfloat16
}

// laneMask is 1 in the lanes that hold a channel.
type laneMask struct {
	buf   *buffer
	lanes lanes
}

// table is a list of numbers that a kernel reads.
type table struct {
	buf *buffer
	at  []int32
}

// maskAt is where a drop-path's or dropout's factors go.
type maskAt struct {
	buf   *buffer
	lanes []int // dropout: channel -> lane; nil for drop-path
	area  int   // dropout: size of the map
}

func (e *Engine) compile(g *graph.Graph, o engine.Options) (*program, error) {
	p := e.newProgram(g, o, blockOf(g, e.wide))
	if err := p.build(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// newProgram is a program without ops.
func (e *Engine) newProgram(g *graph.Graph, o engine.Options, block int) *program {
	return &program{
		engine: e, g: g, opt: o, block: block,
		shapes: map[C.ns_shape]*prims{}, shapeNames: map[*prims]string{},
		weights: map[string]*weight{}, vectors: map[string]vectorAt{}, running: map[string]vectorAt{},
	}
}

// newLowering places the lanes of the graph's values, of which none has a buffer yet.
func (p *program) newLowering() *lowering {
	nodes := len(p.g.Nodes)
	l := &lowering{
		g: p.g, block: p.block, plan: &planner{batch: int64(p.opt.Batch), zone: p.engine.zone}, masks: map[int]*buffer{},
		rounds: make([]bool, nodes), consumers: make([][]int, nodes), roots: make([]*root, nodes), convs: make([]*conv, nodes), stored: make([]*tensor, nodes),
	}
	l.lanes, l.kinds = layouts(p.g, p.block)
	return l
}

func (p *program) build() error {
	g, l := p.g, p.newLowering()
	var err error
	if l.rounds, err = p.opt.Rounds(g); err != nil {
		return fmt.Errorf("onednn: %w", err)
	}
	p.plainInput = plainInputFits(g)
	for _, i := range g.Stochastic() {
		n := &g.Nodes[i]
		m := maskAt{}
		if n.Op == graph.OpDropPath {
			m.buf = l.plan.perImage("drop-path", 1)
		} else {
			m.area = n.H * n.W
			m.buf = l.plan.perImage("dropout", len(l.lanes[i])*m.area)
			m.lanes = l.lanes[i].index(n.C)
		}
		m.buf.pinned = true
		l.masks[i] = m.buf
		p.masks = append(p.masks, m)
	}
	if err := l.lower(); err != nil {
		return err
	}
	if p.fused {
		p.joined = l.fuse()
	}
	s := &scheduler{lowering: l, p: p, softmaxes: map[int]*buffer{}}
	if p.plainInput {
		in := g.Input()
		l.stored[0].buf.record = int64(in.C * in.H * in.W)
		l.stored[0].buf.size = int64(ceil(int(l.stored[0].buf.record)*p.opt.Batch, 16))
	}
	for _, r := range l.roots {
		if r != nil {
			r.chunk = s.chooseChunk(r)
		}
	}
	if err := p.makeWeights(l); err != nil {
		return err
	}
	// Places that Go fills before a run.
	p.images, p.imageLanes = l.stored[0].buf, l.lanes[0]
	p.images.pinned = true
	out := l.roots[len(g.Nodes)-1]
	p.logits, p.logitLanes = out.out, l.lanes[out.node].index(out.out.channels)
	p.logits.buf.pinned = true
	for _, r := range l.roots {
		if r != nil {
			s.forwardRoot(r)
		}
	}
	if !p.opt.Inference {
		p.targets = l.plan.perImage("targets", out.out.record())
		p.targets.pinned = true
		s.lossLoop(out, p.targets)
		for i := len(l.roots) - 1; i >= 0; i-- {
			if l.roots[i] != nil {
				s.backwardRoot(l.roots[i])
			}
		}
	}
	if slices.Contains(l.rounds, true) {
		if err := p.findKept(l); err != nil {
			return err
		}
		s.evaluation()
	}
	return p.emit(s)
}

// findKept makes sure that what a step is to round has been stored, each node once.
func (p *program) findKept(l *lowering) error {
	p.kept = map[int]*buffer{}
	for _, t := range l.tensors {
		if t.buf.half && p.kept[t.node] != nil {
			return l.fail(t.node, "its output would be rounded twice")
		} else if t.buf.half {
			p.kept[t.node] = t.buf
		}
	}
	for node, rounds := range l.rounds {
		if rounds && p.kept[node] == nil {
			return l.fail(node, "its output is to be rounded, and is not stored")
		}
	}
	return nil
}

// emit places the buffers, allocates, and writes the C program.
func (p *program) emit(s *scheduler) error {
	size := s.plan.place()
	threads := int64(p.opt.Threads)
	scratchStride := (s.plan.scratch + 1023) / 1024 * 1024
	accStride := (s.accs + 15) / 16 * 16
	for _, w := range p.weights {
		p.staged = max(p.staged, w.plain)
	}
	type piece struct {
		to     *memory
		what   string
		floats int64
		later  bool // not touched, and so not held, before an optimizer or a moving average needs it
	}
	pieces := []piece{
		{to: &p.arena, what: "activations and weights", floats: size},
		{to: &p.scratch, what: "the scratch of the threads", floats: scratchStride * threads},
		{to: &p.sums, what: "the sums of the threads", floats: 2 * accStride * threads},
		{to: &p.stage, what: "a weight", floats: int64(p.staged)},
		{to: &p.emaParams, what: "the moving average", floats: p.params.size, later: true},
		{to: &p.emaBuffers, what: "the moving average", floats: p.stats.size, later: true},
	}
	if !p.opt.Inference {
		pieces = append(pieces, piece{&p.moment1, "the first moment", p.params.size, false}, piece{&p.moment2, "the second moment", p.params.size, true})
	}
	held := int64(0)
	for _, m := range pieces {
		if !m.later {
			held += pages(m.floats)
		}
	}
	if err := p.opt.Fits(held); err != nil {
		return err
	}
	var err error
	for _, m := range pieces {
		if *m.to, err = allocate(m.what, m.floats); err != nil {
			return err
		}
	}
	p.guard(s.plan, size, scratchStride)
	count := 0
	for _, l := range s.loops {
		count += len(l.pre) + len(l.body) + len(l.post)
	}
	if p.c, err = structures[C.ns_program](1); err != nil {
		return err
	}
	if p.run, err = structures[C.ns_run_args](1); err != nil {
		return err
	}
	if p.update, err = structures[C.ns_update_args](1); err != nil {
		return err
	}
	if p.c.ops, err = structures[C.ns_op](count); err != nil {
		return err
	}
	if p.c.loops, err = structures[C.ns_loop](len(s.loops)); err != nil {
		return err
	}
	p.ops = unsafe.Slice(p.c.ops, count)
	loops := unsafe.Slice(p.c.loops, len(s.loops))
	at := 0
	write := func(ops []*op) C.int32_t {
		for _, o := range ops {
			p.ops[at] = p.resolve(o)
			p.opConv, p.opNode = append(p.opConv, o.conv), append(p.opNode, o.node)
			at++
		}
		return C.int32_t(at)
	}
	for i, l := range s.loops {
		c := &loops[i]
		c.pre = C.int32_t(at)
		c.body = write(l.pre)
		c.post = write(l.body)
		c.end = write(l.post)
		c.chunk = C.int32_t(l.chunk)
		if l.forward {
			c.forward = 1
		}
	}
	if threads > 1 {
		if p.c.pool = C.ns_pool_new(C.int(threads)); p.c.pool == nil {
			return fmt.Errorf("onednn: the system refuses %d threads", threads)
		}
	}
	p.c.kernels, p.c.block = C.ns_kernels_for(C.int(p.block)), C.int32_t(p.block)
	p.c.steps = C.int32_t(len(loops))
	if s.steps > 0 {
		p.c.steps, p.c.evaluate = C.int32_t(s.steps), C.int32_t(s.steps)
	}
	p.c.nloops, p.c.batch, p.c.threads = C.int32_t(len(loops)), C.int32_t(p.opt.Batch), C.int32_t(threads)
	p.c.fetch = C.ns_fetch_room()
	p.c.arena, p.c.scratch, p.c.acc = (*C.float)(p.arena.p), (*C.float)(p.scratch.p), (*C.double)(p.sums.p)
	p.c.scratch_stride, p.c.acc_stride = C.int64_t(scratchStride), C.int64_t(accStride)

	ones := p.area(p.stats)
	for _, b := range p.g.Buffers {
		v := p.running[b.Name]
		if b.Name == p.g.Buffers[p.g.Nodes[b.Node].Buffers[1]].Name {
			for _, lane := range v.channels {
				ones[v.off+int64(lane)] = 1
			}
		}
	}
	for _, w := range p.weights {
		if w.mask == nil {
			continue
		}
		src := make([]float32, len(w.at))
		for i := range src {
			src[i] = 1
		}
		mask := *w
		mask.off = 0
		if err := p.pack(&mask, src, p.area(w.mask)); err != nil {
			return err
		}
	}
	for _, m := range p.laneMasks {
		dst := p.area(m.buf)
		for i, ch := range m.lanes {
			if ch >= 0 {
				dst[i] = 1
			}
		}
	}
	for _, t := range p.tables {
		dst := p.area(t.buf)
		copy(unsafe.Slice((*int32)(unsafe.Pointer(&dst[0])), len(dst)), t.at)
	}
	return p.setMasks(nil)
}

// area is a buffer's memory.
func (p *program) area(b *buffer) []float32 { return p.arena.floats()[b.off : b.off+b.size] }

func ref(b *buffer) C.ns_ref {
	switch {
	case b == nil:
		return C.ns_ref{0, C.NS_NONE}
	case b.scratch:
		return C.ns_ref{C.int64_t(b.off), C.NS_SCRATCH}
	}
	return C.ns_ref{C.int64_t(b.off), C.int64_t(b.record)}
}

// resolve replaces buffers by their places.
func (p *program) resolve(o *op) C.ns_op {
	c := o.c
	c.x, c.y, c.r, c.r2, c.h = ref(o.x), ref(o.y), ref(o.r), ref(o.r2), ref(o.h)
	c.g1, c.g2, c.g3 = ref(o.g1), ref(o.g2), ref(o.g3)
	c.gate, c.mask, c.bc = ref(o.gate), ref(o.mask), ref(o.bc)
	c.s, c.t, c.mean = p.affine(o.norm, c.s, c.t)
	c.s2, c.t2, c.mean2 = p.affine(o.norm2, -1, -1)
	if o.lanes != nil {
		c.lanes = C.int64_t(o.lanes.off)
	}
	if n := o.through; n != nil {
		a := n.channels
		c.k1 = C.int64_t(a.work.off + 4*a.size)
		c.k2 = C.int64_t(a.work.off + 5*a.size)
		c.k3 = C.int64_t(a.work.off + 6*a.size)
	}
	if n := o.finish; n != nil {
		a := n.channels
		c.weight2 = C.int64_t(p.params.off + a.beta)
		if p.grads != nil {
			c.grad2 = C.int64_t(p.grads.off + a.beta)
		}
		if n.bias {
			c.bias = 1
		} else {
			c.weight = C.int64_t(p.params.off + a.gamma)
			if p.grads != nil {
				c.grad = C.int64_t(p.grads.off + a.gamma)
			}
			c.s, c.t, c.mean = p.affine(n, -1, -1)
			c.inv = C.int64_t(a.work.off + 3*a.size)
			c.k1 = C.int64_t(a.work.off + 4*a.size)
			c.k2 = C.int64_t(a.work.off + 5*a.size)
			c.k3 = C.int64_t(a.work.off + 6*a.size)
			c.run_mean = C.int64_t(p.stats.off + a.runMean)
			c.run_var = C.int64_t(p.stats.off + a.runVar)
		}
	}
	if k := o.conv; k != nil {
		w := k.weight
		c.weight = C.int64_t(p.params.off + w.off)
		if p.grads != nil {
			c.grad = C.int64_t(p.grads.off + w.off)
		}
		if w.prims != nil {
			c.conv = w.prims.c
		}
		c.dw = c.grad
		if o.dw != nil {
			c.dw = C.int64_t(o.dw.off)
		}
		if o.wd != nil {
			if c.kind == C.NS_REORDER_D {
				(*C.ns_reorder)(unsafe.Pointer(&c.of)).to = C.int64_t(o.wd.off)
			} else {
				c.weight = C.int64_t(o.wd.off)
			}
		}
		if o.tmp != nil {
			(*C.ns_conv_w)(unsafe.Pointer(&c.of)).next = C.int64_t(o.tmp.off)
		}
		if o.prim != nil {
			c.prim_scratch = C.int64_t(o.prim.off)
		}
		if w.mask != nil && c.kind == C.NS_FIN_DW {
			(*C.ns_fin_dw)(unsafe.Pointer(&c.of)).mask = C.int64_t(w.mask.off)
		}
	}
	return c
}

// affine gives the places of a norm's scale, shift and mean.
func (p *program) affine(n *norm, s, t C.int64_t) (C.int64_t, C.int64_t, C.int64_t) {
	switch {
	case n == nil:
		return s, t, -1
	case n.bias:
		return -1, C.int64_t(p.params.off + n.channels.beta), -1
	}
	a := n.channels
	return C.int64_t(a.work.off), C.int64_t(a.work.off + a.size), C.int64_t(a.work.off + 2*a.size)
}

// Memory is the number of bytes outside Go's heap, without oneDNN's code.
func (p *program) Memory() int64 {
	total := int64(0)
	for _, m := range []memory{p.arena, p.scratch, p.sums} {
		total += m.size
	}
	for _, m := range []memory{p.stage, p.moment1, p.moment2, p.emaParams, p.emaBuffers} {
		if m.used {
			total += m.size
		}
	}
	return total
}

// Close frees the program. Closing twice is harmless.
func (p *program) Close() error {
	if p.engine.closing != nil && p.c != nil {
		p.engine.closing(p)
	}
	if p.c != nil {
		C.ns_pool_free(p.c.pool)
		C.free(unsafe.Pointer(p.c.spent))
		C.free(unsafe.Pointer(p.c.ops))
		C.free(unsafe.Pointer(p.c.loops))
	}
	for _, q := range p.shapes {
		C.ns_conv_free(q.c)
	}
	p.shapes = nil
	for _, m := range []*memory{&p.arena, &p.scratch, &p.sums, &p.stage, &p.moment1, &p.moment2, &p.emaParams, &p.emaBuffers} {
		m.free()
	}
	C.free(unsafe.Pointer(p.c))
	C.free(unsafe.Pointer(p.run))
	C.free(unsafe.Pointer(p.update))
	p.c, p.run, p.update = nil, nil, nil
	return nil
}
