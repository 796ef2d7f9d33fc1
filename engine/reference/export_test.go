package reference

import "netspace/engine"

// LossAt is the loss of a training step's forward pass after adding delta to
// element k of a parameter, in full float64; the running statistics stay.
func (p *Program) LossAt(b engine.Batch, param, k int, delta float64) float64 {
	w := &p.sets[engine.Params][param][k]
	old := *w
	*w += delta
	p.forward(b.Images, pass{params: p.sets[engine.Params], buffers: p.sets[engine.Buffers], batchStats: true, masks: b.Masks, keeps: true})
	*w = old
	return p.loss(b.Targets)
}
