package train

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"netspace/engine"
	"netspace/weights"
)

// calibrate sets the BN statistics to those over Recipe.PreciseBN training
// images ("precise BN", as the paper authors' tool does it): whole batches of
// the epoch's training images, augmented and in the epoch's order; the mean of
// the batches' means, and as variance the mean of their second moments less
// the square of that mean, where a batch's second moment is its unbiased
// variance plus its squared mean.
//
// With EMA the statistics are those of the averaged weights, which are what is
// evaluated, and replace the averaged statistics; else they replace the
// running ones.
func (r *run) calibrate(ctx context.Context) (err error) {
	if r.Recipe.EMA == 0 {
		return r.calibrateParams(ctx, engine.Buffers)
	}
	// The engine calibrates Params: lend it the averaged ones. What was lent
	// away comes back even after an error, since a checkpoint may follow.
	held := map[string][]float32{}
	for _, set := range []engine.Set{engine.Params, engine.Buffers} {
		for _, t := range weights.Entries(r.Graph, set) {
			held[t.Name] = make([]float32, t.Size())
			if err := r.prog.Get(set, t.Name, held[t.Name]); err != nil {
				return err
			}
		}
	}
	defer func() {
		for _, set := range []engine.Set{engine.Params, engine.Buffers} {
			for _, t := range weights.Entries(r.Graph, set) {
				err = errors.Join(err, r.prog.Set(set, t.Name, held[t.Name]))
			}
		}
	}()
	if err := r.copySets(engine.Params, engine.EMAParams); err != nil {
		return err
	}
	return r.calibrateParams(ctx, engine.EMABuffers)
}

// calibrateParams computes the statistics of the current Params and stores
// them in the set to, when all batches are done.
func (r *run) calibrateParams(ctx context.Context, to engine.Set) error {
	batches := min(r.Recipe.PreciseBN/r.Recipe.Batch, r.steps)
	buffers := r.Graph.Buffers
	mean := make([][]float64, len(buffers)) // of means, at the index of the mean's buffer
	square := make([][]float64, len(buffers))
	var m, v []float32
	it := r.loader.Epoch(r.at.Epoch, 0)
	defer it.Close()
	for k := range batches {
		b, err := it.Next(ctx)
		if err != nil {
			return fmt.Errorf("training images for BN statistics: %w", err)
		}
		if err := r.prog.Forward(b.Images, r.logits, engine.Calibrate, 1); err != nil {
			return fmt.Errorf("BN statistics: %w", err)
		}
		for i := range r.Graph.Nodes {
			pair := r.calibrated(i)
			if len(pair) == 0 {
				continue
			}
			size := buffers[pair[0]].Size()
			m, v = resize(m, size), resize(v, size)
			if err := errors.Join(r.prog.Get(engine.Buffers, buffers[pair[0]].Name, m), r.prog.Get(engine.Buffers, buffers[pair[1]].Name, v)); err != nil {
				return err
			}
			if k == 0 {
				mean[pair[0]], square[pair[0]] = make([]float64, size), make([]float64, size)
			}
			for c := range m {
				mc := float64(m[c])
				mean[pair[0]][c] += mc / float64(batches)
				square[pair[0]][c] += (float64(v[c]) + mc*mc) / float64(batches)
			}
		}
		r.report(Calibrating, k+1, batches, nil)
	}
	for i := range r.Graph.Nodes {
		pair := r.calibrated(i)
		if len(pair) == 0 {
			continue
		}
		mu, sq := mean[pair[0]], square[pair[0]]
		m, v = resize(m, len(mu)), resize(v, len(mu))
		for c := range mu {
			m[c] = float32(mu[c])
			v[c] = float32(max(0, sq[c]-mu[c]*mu[c])) // rounding must not make it negative
		}
		if err := errors.Join(r.prog.Set(to, buffers[pair[0]].Name, m), r.prog.Set(to, buffers[pair[1]].Name, v)); err != nil {
			return err
		}
	}
	return nil
}

// calibrated is the mean's and the variance's buffer of a node whose statistics are recomputed; nil for others.
func (r *run) calibrated(node int) []int {
	if slices.Contains(r.fixed, node) {
		return nil
	}
	return r.Graph.Nodes[node].Buffers
}
