//go:build cgo

package onednn

// #include "ns.h"
import "C"

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"netspace/engine"
)

func (p *program) setImages(images []float32) error {
	in := p.g.Input()
	area := in.H * in.W
	if want := p.opt.Batch * in.C * area; len(images) != want {
		return fmt.Errorf("onednn: %d image values, want %d", len(images), want)
	}
	dst := p.area(p.images)
	for n := range p.opt.Batch {
		src := images[n*in.C*area:]
		rec := dst[n*int(p.images.record):]
		if p.plainInput {
			copy(rec[:in.C*area], src)
			continue
		}
		for lane, ch := range p.imageLanes {
			if ch < 0 {
				continue
			}
			at := rec[lane/p.block*area*p.block+lane%p.block:]
			for i, v := range src[ch*area : (ch+1)*area] {
				at[i*p.block] = v
			}
		}
	}
	return nil
}

func (p *program) setTargets(targets []float32) error {
	c := len(p.logitLanes)
	if want := p.opt.Batch * c; len(targets) != want {
		return fmt.Errorf("onednn: %d target values, want %d", len(targets), want)
	}
	dst, rec := p.area(p.targets), int(p.targets.record)
	for n := range p.opt.Batch {
		copy(dst[n*rec:n*rec+c], targets[n*c:])
	}
	return nil
}

func (p *program) getLogits(logits []float32) error {
	if logits == nil {
		return nil
	}
	c := len(p.logitLanes)
	if want := p.opt.Batch * c; len(logits) != want {
		return fmt.Errorf("onednn: room for %d logits, want %d", len(logits), want)
	}
	src, rec := p.area(p.logits.buf), int(p.logits.buf.record)
	for n := range p.opt.Batch {
		copy(logits[n*c:(n+1)*c], src[n*rec:])
	}
	return nil
}

// setMasks copies drop-path and dropout factors in; nil: 1 everywhere.
func (p *program) setMasks(masks [][]float32) error {
	if masks == nil {
		if p.masksClear {
			return nil
		}
		for _, m := range p.masks {
			dst := p.area(m.buf)
			for i := range dst {
				dst[i] = 1
			}
		}
		p.masksClear = true
		return nil
	}
	if len(masks) != len(p.masks) {
		return fmt.Errorf("onednn: %d masks, want %d", len(masks), len(p.masks))
	}
	p.masksClear = false
	for i, m := range p.masks {
		want := p.opt.Batch * max(1, len(m.lanes)*m.area)
		if len(masks[i]) != want {
			return fmt.Errorf("onednn: mask %d has %d values, want %d", i, len(masks[i]), want)
		}
		dst := p.area(m.buf)
		if m.lanes == nil {
			copy(dst, masks[i])
			continue
		}
		for n := range p.opt.Batch {
			for ch, lane := range m.lanes {
				at := dst[n*int(m.buf.record)+lane/p.block*m.area*p.block+lane%p.block:]
				for k, v := range masks[i][(n*len(m.lanes)+ch)*m.area:][:m.area] {
					at[k*p.block] = v
				}
			}
		}
	}
	return nil
}

func (p *program) execute() error {
	if C.ns_run(p.c, p.run) == 0 {
		return nil
	}
	i := int(p.run.fail_op)
	name, shape := "primitive", "op"
	if i >= 0 && i < len(p.opConv) && p.opConv[i] != nil {
		c := p.opConv[i]
		shape = p.g.Nodes[c.node].Name
		if c.weight.prims != nil {
			shape += ", " + p.shapeNames[c.weight.prims]
		} else {
			g := (*C.ns_gemm)(unsafe.Pointer(&p.ops[i].of))
			shape += fmt.Sprintf(", matrix product %d -> %d", g.in, g.out)
		}
		switch p.ops[i].kind {
		case C.NS_CONV_F, C.NS_CONV_E, C.NS_GEMM_F:
			name = "forward"
		case C.NS_CONV_D, C.NS_GEMM_D:
			name = "backward data"
		case C.NS_CONV_W, C.NS_GEMM_W:
			name = "backward weights"
		default:
			name = "reorder"
		}
	}
	return &Error{name, shape, C.GoString(C.ns_status(p.run.fail_status))}
}

// Step runs forward and backward; see engine.Program.
func (p *program) Step(b engine.Batch, logits []float32) (float64, error) {
	if p.opt.Inference {
		return 0, fmt.Errorf("onednn: the program was compiled for inference")
	}
	if err := p.setImages(b.Images); err != nil {
		return 0, err
	}
	if err := p.setTargets(b.Targets); err != nil {
		return 0, err
	}
	if err := p.setMasks(b.Masks); err != nil {
		return 0, err
	}
	p.run.stats, p.run.backward, p.run.momentum = 1, 1, C.double(p.opt.BNMomentum)
	if err := p.execute(); err != nil {
		return 0, err
	}
	return float64(p.run.loss) / float64(p.opt.Batch), p.getLogits(logits)
}

// Forward computes logits; see engine.Program.
func (p *program) Forward(images, logits []float32, mode engine.Mode, momentum float64) error {
	if err := p.setImages(images); err != nil {
		return err
	}
	if err := p.setMasks(nil); err != nil {
		return err
	}
	p.run.stats, p.run.backward, p.run.momentum = 0, 0, C.double(momentum)
	switch mode {
	case engine.Evaluate:
	case engine.Calibrate:
		p.run.stats = 1
	case engine.EvaluateEMA:
		if !p.emaParams.used {
			return fmt.Errorf("onednn: no moving average has been kept")
		}
		p.swapEMA()
		defer p.swapEMA()
	default:
		return fmt.Errorf("onednn: forward in mode %d: the modes are 0 to %d", mode, engine.Calibrate)
	}
	if err := p.execute(); err != nil {
		return err
	}
	return p.getLogits(logits)
}

func (p *program) swapEMA() {
	swap := func(b *buffer, m memory) {
		if b.size > 0 {
			C.ns_swap((*C.float)(unsafe.Pointer(&p.area(b)[0])), (*C.float)(m.p), C.int64_t(b.size))
		}
	}
	swap(p.params, p.emaParams)
	swap(p.stats, p.emaBuffers)
}

// Update applies the gradients; see engine.Program.
func (p *program) Update(u engine.Update) (float64, error) {
	if p.opt.Inference {
		return 0, fmt.Errorf("onednn: the program was compiled for inference")
	}
	if u.Optimizer > engine.AdamW || u.Optimizer != engine.SGD && u.Step < 1 {
		return 0, fmt.Errorf("onednn: optimizer %d in step %d: the optimizers are 0 to %d, Adam's steps count from 1", u.Optimizer, u.Step, engine.AdamW)
	}
	if u.Rates != nil && len(u.Rates) != len(p.g.Params) {
		return 0, fmt.Errorf("onednn: %d rates for %d parameters", len(u.Rates), len(p.g.Params))
	}
	params, grads := p.area(p.params), p.area(p.grads)
	args := p.update // in C memory: a step allocates nothing
	*args = C.ns_update_args{
		kind: C.int32_t(u.Optimizer), lr: C.double(u.LR), momentum: C.double(u.Momentum),
		beta1: C.double(u.Beta1), beta2: C.double(u.Beta2), eps: C.double(u.Epsilon), scale: 1, ema: C.double(u.EMADecay),
	}
	if u.Nesterov {
		args.nesterov = 1
	}
	if u.Optimizer != engine.SGD || u.Momentum != 0 {
		p.moment1.used = true
	}
	if u.Optimizer != engine.SGD {
		p.moment2.used = true
		args.bias1 = C.double(1 - math.Pow(u.Beta1, float64(u.Step)))
		args.bias2 = C.double(1 - math.Pow(u.Beta2, float64(u.Step)))
	}
	averaging := u.EMADecay > 0 && p.emaParams.used
	norm := 0.0
	if u.ClipNorm > 0 {
		squares := func(from, to int64) float64 {
			return float64(C.ns_norm2((*C.float)(unsafe.Pointer(&grads[from])), C.int64_t(to-from)))
		}
		if !slices.Contains(u.Rates, 0) {
			norm = squares(0, p.paramSize)
		} else {
			for i, rate := range u.Rates {
				if rate != 0 {
					norm += squares(p.span(p.g.Params[i].Name))
				}
			}
		}
		norm = math.Sqrt(norm)
		args.scale = C.double(min(1, u.ClipNorm/(norm+1e-6)))
	}
	part := func(from, to int64, decay float64) {
		if from == to {
			return
		}
		args.wd = C.double(decay)
		at := func(m memory, use bool) *C.float {
			if !use {
				return nil
			}
			return (*C.float)(unsafe.Pointer(&m.floats()[from]))
		}
		C.ns_update((*C.float)(unsafe.Pointer(&params[from])), (*C.float)(unsafe.Pointer(&grads[from])),
			at(p.moment1, u.Optimizer != engine.SGD || u.Momentum != 0), at(p.moment2, u.Optimizer != engine.SGD), at(p.emaParams, averaging), C.int64_t(to-from), args)
	}
	if u.Rates == nil {
		part(0, p.weightEnd, u.WeightDecay)
		part(p.weightEnd, p.normEnd, u.BNWeightDecay)
		part(p.normEnd, p.paramSize, u.BiasWeightDecay)
	}
	for i, rate := range u.Rates {
		if rate == 0 {
			continue
		}
		args.lr = C.double(u.LR * rate)
		from, to := p.span(p.g.Params[i].Name)
		switch {
		case from < p.weightEnd:
			part(from, to, u.WeightDecay)
		case from < p.normEnd:
			part(from, to, u.BNWeightDecay)
		default:
			part(from, to, u.BiasWeightDecay)
		}
	}
	if u.EMADecay > 0 && !averaging {
		p.needEMA() // the average begins with the updated values
	}
	if averaging {
		for _, s := range p.averaged {
			C.ns_ema((*C.float)(unsafe.Pointer(&p.emaBuffers.floats()[s.from])), (*C.float)(unsafe.Pointer(&p.area(p.stats)[s.from])), C.int64_t(s.to-s.from), C.double(u.EMADecay))
		}
	}
	return norm, nil
}

// span is where a parameter lies in the array of all.
func (p *program) span(name string) (from, to int64) {
	if w := p.weights[name]; w != nil {
		return w.off, w.off + w.size
	}
	v := p.vectors[name]
	lanes := int64(slices.Max(v.channels) + 1)
	return v.off, v.off + (lanes+7)/8*8
}

// needEMA begins the moving average with the present values.
func (p *program) needEMA() {
	if p.emaParams.used {
		return
	}
	p.emaParams.used, p.emaBuffers.used = true, true
	copy(p.emaParams.floats(), p.area(p.params))
	copy(p.emaBuffers.floats(), p.area(p.stats))
}

// areaOf is the memory of a set, or nil if the program does not keep it yet.
func (p *program) areaOf(set engine.Set) []float32 {
	switch set {
	case engine.Params:
		return p.area(p.params)
	case engine.Buffers:
		return p.area(p.stats)
	case engine.Gradients:
		if p.grads != nil {
			return p.area(p.grads)
		}
	case engine.Moment1:
		return p.moment1.kept()
	case engine.Moment2:
		return p.moment2.kept()
	case engine.EMAParams:
		return p.emaParams.kept()
	case engine.EMABuffers:
		return p.emaBuffers.kept()
	}
	return nil
}

func (p *program) find(set engine.Set, name string, n int) (*weight, vectorAt, error) {
	if set == engine.Buffers || set == engine.EMABuffers {
		v, ok := p.running[name]
		if !ok {
			return nil, v, fmt.Errorf("onednn: no buffer %q", name)
		}
		if len(v.channels) != n {
			return nil, v, fmt.Errorf("onednn: %s has %d values, not %d", name, len(v.channels), n)
		}
		return nil, v, nil
	}
	if w := p.weights[name]; w != nil {
		if len(w.at) != n {
			return nil, vectorAt{}, fmt.Errorf("onednn: %s has %d values, not %d", name, len(w.at), n)
		}
		return w, vectorAt{}, nil
	}
	v, ok := p.vectors[name]
	if !ok {
		return nil, v, fmt.Errorf("onednn: no parameter %q", name)
	}
	if len(v.channels) != n {
		return nil, v, fmt.Errorf("onednn: %s has %d values, not %d", name, len(v.channels), n)
	}
	return nil, v, nil
}

// Get copies a tensor out; see engine.Program.
func (p *program) Get(set engine.Set, name string, dst []float32) error {
	w, v, err := p.find(set, name, len(dst))
	if err != nil {
		return err
	}
	area := p.areaOf(set)
	if area == nil {
		return fmt.Errorf("onednn: the program keeps no such tensors yet (%s)", name)
	}
	if w != nil {
		return p.unpack(w, area, dst)
	}
	for ch, lane := range v.channels {
		dst[ch] = area[v.off+int64(lane)]
	}
	return nil
}

// Set copies a tensor in; see engine.Program.
func (p *program) Set(set engine.Set, name string, src []float32) error {
	w, v, err := p.find(set, name, len(src))
	if err != nil {
		return err
	}
	switch set {
	case engine.Moment1:
		p.moment1.used = p.moment1.p != nil
	case engine.Moment2:
		p.moment2.used = p.moment2.p != nil
	case engine.EMAParams, engine.EMABuffers:
		p.needEMA()
	}
	area := p.areaOf(set)
	if area == nil {
		return fmt.Errorf("onednn: the program was compiled for inference (%s)", name)
	}
	if w != nil {
		return p.pack(w, src, area)
	}
	for ch, lane := range v.channels {
		area[v.off+int64(lane)] = src[ch]
	}
	return nil
}
