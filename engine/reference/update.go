package reference

import (
	"fmt"
	"math"

	"netspace/engine"
	"netspace/graph"
)

// Update implements engine.Program, with the formulas of torch.optim and
// torch.nn.utils.clip_grad_norm_. The first update with an EMA starts it as a
// copy of the updated values.
func (p *Program) Update(u engine.Update) (float64, error) {
	if p.o.Inference {
		return 0, errInference
	}
	if u.Optimizer > engine.AdamW || u.Optimizer != engine.SGD && u.Step < 1 {
		return 0, fmt.Errorf("reference: update: optimizer %d in step %d: the optimizers are 0 to 2, Adam's steps count from 1", u.Optimizer, u.Step)
	}
	if u.Rates != nil && len(u.Rates) != len(p.g.Params) {
		return 0, fmt.Errorf("reference: update: %d rates for %d parameters", len(u.Rates), len(p.g.Params))
	}
	grads := p.sets[engine.Gradients]
	norm, scale := 0.0, 1.0
	if u.ClipNorm > 0 {
		for i, g := range grads {
			if rate(u, i) == 0 {
				continue
			}
			for _, v := range g {
				norm += v * v
			}
		}
		norm = math.Sqrt(norm)
		scale = math.Min(1, u.ClipNorm/(norm+1e-6))
	}
	if u.Momentum != 0 || u.Optimizer != engine.SGD {
		p.create(engine.Moment1)
	}
	if u.Optimizer != engine.SGD {
		p.create(engine.Moment2)
	}
	p.reseed()
	for i, param := range p.g.Params {
		if rate(u, i) == 0 {
			continue
		}
		lr := u.LR * rate(u, i)
		w, decay := p.sets[engine.Params][i], decayOf(u, param.Role)
		for k := range w {
			g := grads[i][k] * scale
			switch u.Optimizer {
			case engine.SGD:
				g += decay * w[k]
				if u.Momentum != 0 {
					v := &p.sets[engine.Moment1][i][k]
					*v = u.Momentum**v + g
					if u.Nesterov {
						g += u.Momentum * *v
					} else {
						g = *v
					}
				}
				w[k] -= lr * g
			case engine.Adam:
				w[k] -= lr * p.adam(u, i, k, g+decay*w[k])
			case engine.AdamW:
				w[k] -= lr * decay * w[k]
				w[k] -= lr * p.adam(u, i, k, g)
			}
		}
		p.round(w, 1)
	}
	if u.EMADecay > 0 {
		p.average(u)
	}
	p.keep(engine.Params, engine.Moment1, engine.Moment2, engine.EMAParams, engine.EMABuffers)
	return norm, nil
}

// adam updates both moments of a weight with gradient g and returns its
// direction (Kingma and Ba 2015, algorithm 1).
func (p *Program) adam(u engine.Update, i, k int, g float64) float64 {
	m, v := &p.sets[engine.Moment1][i][k], &p.sets[engine.Moment2][i][k]
	*m = u.Beta1**m + (1-u.Beta1)*g
	*v = u.Beta2**v + (1-u.Beta2)*g*g
	t := float64(u.Step)
	root := math.Sqrt(*v / (1 - math.Pow(u.Beta2, t)))
	return *m / (1 - math.Pow(u.Beta1, t)) / (root + u.Epsilon)
}

func (p *Program) average(u engine.Update) {
	d := u.EMADecay
	if p.sets[engine.EMAParams] == nil {
		p.create(engine.EMAParams)
		return
	}
	for _, s := range [][2]engine.Set{{engine.EMAParams, engine.Params}, {engine.EMABuffers, engine.Buffers}} {
		for i, ema := range p.sets[s[0]] {
			if s[0] == engine.EMAParams && rate(u, i) == 0 || s[0] == engine.EMABuffers && p.fixed[p.g.Buffers[i].Node] {
				continue
			}
			for k, v := range p.sets[s[1]][i] {
				ema[k] = d*ema[k] + (1-d)*v
			}
		}
	}
}

// rate is the factor of the learning rate of parameter i.
func rate(u engine.Update, i int) float64 {
	if u.Rates == nil {
		return 1
	}
	return u.Rates[i]
}

func decayOf(u engine.Update, r graph.Role) float64 {
	switch r {
	case graph.Gamma, graph.Beta:
		return u.BNWeightDecay
	case graph.Bias:
		return u.BiasWeightDecay
	}
	return u.WeightDecay
}
