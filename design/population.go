package design

import (
	"cmp"
	"context"
	"math"

	"netspace/stats"
	"netspace/study"
)

// population is what a folder knows of a space.
type population struct {
	trials []study.Trial
	known  [][]float64
}

// knownNetworks are drawn of each space to know their features. They cost next to nothing, and what trained networks tell of others is
// worth the more the more others there are.
const knownNetworks = 2000

// features are what the networks of both spaces tell without being trained, the first ones those that may be trained.
func features(ctx context.Context, s *study.Study, q *study.Decide) (known [2][][]float64, err error) {
	common := math.MaxInt
	for i, name := range q.Between {
		networks, err := s.Sample(ctx, name, max(knownNetworks, q.MaxSamples))
		if err != nil {
			return known, err
		}
		for _, t := range networks {
			row := Features(t)
			known[i], common = append(known[i], row), min(common, len(row))
		}
	}
	for i := range known {
		for k, row := range known[i] {
			known[i][k] = row[:common]
		}
	}
	return known, nil
}

// Features are what is known of a network before it is trained and may tell how good it will be: its complexities and, if it is made of stages,
//
//   - params per block, blocks, those of the last stage,
//   - the widths of the first and the last stage, the mean width of blocks, how far widths fall from stage to stage (sum of logarithms),
//   - the narrowest width within blocks, and that of the last stage's,
//   - the geometric means, over the stages, of bottleneck ratios, of group widths and of the weights of 3×3 convolutions.
//
// The regression of a decision takes those that help; of what tells nothing it loses little.
func Features(t study.Trial) []float64 {
	c := t.Complexity
	all := []float64{float64(c.Flops), float64(c.Params), float64(c.Acts)}
	n, ok := t.Spec.AnyNet()
	if !ok {
		return all
	}
	var widths, fall, ratio, group, weights float64
	narrowest, inner, depth := math.Inf(1), 0.0, float64(n.Depth())
	for i, s := range n.Stages {
		b := cmp.Or(s.Bottleneck, 1)
		inner = float64(s.Width) / b
		g := cmp.Or(float64(s.GroupWidth), inner)
		narrowest = math.Min(narrowest, inner)
		widths += float64(s.Depth * s.Width)
		if i > 0 {
			fall += math.Max(0, math.Log(float64(n.Stages[i-1].Width)/float64(s.Width)))
		}
		ratio += math.Log(b)
		group += math.Log(g)
		weights += math.Log(float64(s.Depth) * inner * g)
	}
	stages := float64(len(n.Stages))
	first, last := n.Stages[0], n.Stages[len(n.Stages)-1]
	return append(all, float64(c.Params)/depth, depth, float64(last.Depth), float64(first.Width), float64(last.Width), widths/depth, fall,
		narrowest, inner, ratio/stages, group/stages, weights/stages)
}

// trained gives what a look asks for; ok is false if it is not all there.
func (p population) trained(goal stats.Goal, epochs int) (t stats.Trained, ok bool) {
	t.Known = p.known
	for i, n := range p.trials[:goal.Short] {
		ended := n.State == study.Done || n.State == study.Failed
		switch {
		case n.Index != i, i < goal.Full && !ended, !ended && lastEpoch(n) < goal.Epochs:
			return t, false
		case i < goal.Full:
			t.Final = append(t.Final, n.Error)
		}
		t.Curves = append(t.Curves, seen(n, epochs))
	}
	return t, true
}

func lastEpoch(t study.Trial) (last int) {
	for _, e := range t.Epochs {
		last = max(last, e.Epoch)
	}
	return last
}

// seen is what was seen of a network in each epoch of its training so far: the loss and the error on the training images, which every epoch
// has and which vary less than errors on few validation images while the learning rate is high. What a network that failed did not
// come to is worse than anything. What a trainer does not tell of an epoch says nothing.
func seen(t study.Trial, epochs int) []stats.Seen {
	none := stats.Seen{0, 0}
	if t.State == study.Failed {
		none = stats.Seen{math.Inf(1), math.Inf(1)}
	}
	curve := make([]stats.Seen, epochs)
	for k := range curve {
		curve[k] = none
	}
	for _, e := range t.Epochs {
		if e.Epoch <= epochs {
			curve[e.Epoch-1] = stats.Seen{e.TrainLoss, e.TrainError}
		}
	}
	return curve
}
