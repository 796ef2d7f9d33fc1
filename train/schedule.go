package train

import "math"

// baseLR is lr₀: the learning rate at full height, scaled to the batch if
// LRBatch says so (linear scaling rule; docs/method.md §5: reference lr 0.1 for batch 128).
func (r Recipe) baseLR() float64 {
	if r.LRBatch == 0 {
		return r.LR
	}
	return r.LR * float64(r.Batch) / float64(r.LRBatch)
}

// learningRate is the rate at time t in epochs, 0 <= t < Epochs: lr₀ times the
// schedule times the warm-up, the formulas of the paper authors' tool. DDS
// evaluates it at whole epochs; see StepLR.
func (r Recipe) learningRate(t float64) float64 {
	lr := r.baseLR() * r.factor(t)
	if t < r.WarmupEpochs {
		alpha := t / r.WarmupEpochs
		lr *= r.WarmupFactor*(1-alpha) + alpha
	}
	return lr
}

// StepLR is the rate of a step (from 0) of an epoch (from 0) of the given
// number of steps: learningRate at the whole number of epochs, or with LRUpdate
// "step" at epoch + step/steps.
func (r Recipe) StepLR(epoch, step, steps int) float64 {
	t := float64(epoch)
	if r.LRUpdate == PerStep {
		t += float64(step) / float64(steps)
	}
	return r.learningRate(t)
}

func (r Recipe) factor(t float64) float64 {
	at := t / float64(r.Epochs)
	switch r.Schedule {
	case Cosine:
		return r.FinalFactor + (1-r.FinalFactor)*0.5*(1+math.Cos(math.Pi*at))
	case Linear:
		return r.FinalFactor + (1-r.FinalFactor)*(1-at)
	case Exponential:
		return math.Pow(r.FinalFactor, at)
	case Step:
		f := 1.0
		for _, e := range r.DecayEpochs {
			if t >= e {
				f *= r.Decay
			}
		}
		return f
	}
	return 1
}

// Covering returns the recipe with enough epochs of so many images for a
// number of steps, and not fewer than it has.
func (r Recipe) Covering(steps, images int) Recipe {
	if perEpoch := images / r.Batch; perEpoch > 0 {
		r.Epochs = max(r.Epochs, (steps+perEpoch-1)/perEpoch)
	}
	return r
}
