package latency

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"netspace/graph"
)

// Sample is a network whose latency was measured.
type Sample struct {
	Task         Task
	Milliseconds float64
}

// Model predicts latencies of one device at one batch and number of threads, from
// those of networks that were measured there (Fit). It is there to pass over networks without
// measuring them; a latency that is reported is measured.
//
// The prediction is a sum over the layers of a network, with costs per multiply-add, per byte
// that is read or written and per layer for each kind of layer. Costs are at least 0, so that a network
// with another layer is never predicted to be faster.
type Model struct {
	batch, threads int
	costs          [features]float64 // milliseconds
	seen           [features]bool    // of some sample
	errors         Errors
}

// Errors tell how far predictions are off on networks that a model was not fitted to: each
// sample is predicted by a model of the samples in other folds.
type Errors struct {
	Median    float64 // of |predicted-measured|/measured
	P90       float64 // its 90th percentile
	Deviation float64 // root mean square of log(measured/predicted)
}

// MinSamples is how many networks Fit asks for.
const MinSamples = 16

// folds of the cross-validation.
const folds = 10

// The kinds of layers that have costs of their own: blocks of all types are made of these.
const (
	dense     = iota // convolutions larger than 1×1 of one group
	pointwise        // 1×1 convolutions
	grouped          // convolutions of several channels to a group
	depthwise        // of one channel to a group
	gates            // convolutions of 1×1 maps
	head             // the classifier, and what a run costs besides its layers
	between          // additions, gates, poolings: what is no convolution and nothing that one does on its way
	kinds

	perFlop, perLane, perByte, perLayer = 0, 1, 2, 3
	costsOfKind                         = 4
	features                            = costsOfKind * kinds
)

// Processors compute channels in vectors, and what does not fill the last one costs as if it did: multiply-adds are counted as
// they are, and in whole vectors.
const (
	lanes      = 16 // of a vector
	groupLanes = 8  // of a group of channels; smaller groups share a vector
)

// count adds up the features of a task.
func count(t Task) (x [features]float64) {
	for i := range t.Graph.Nodes {
		n := &t.Graph.Nodes[i]
		kind := between
		flops, inLanes, weights, moved := 0, 0, 0, elements(n)
		for _, in := range n.In {
			moved += elements(&t.Graph.Nodes[in])
		}
		switch n.Op {
		case graph.OpInput, graph.OpBatchNorm, graph.OpActivation, graph.OpDropPath, graph.OpDropout:
			continue // nothing, or done by the convolution in front of it
		case graph.OpConv, graph.OpLinear:
			groups, in, out := max(1, n.Groups), t.Graph.Nodes[n.In[0]].C, n.C
			area, taps := n.H*n.W, max(1, n.Kernel*n.Kernel)
			width := in / groups
			flops = area * taps * width * out
			switch {
			case groups == 1:
				out = whole(out, lanes)
			case width >= groupLanes:
				width, out = whole(width, groupLanes), groups*whole(out/groups, groupLanes)
			case width > 1:
				width, out = groupLanes, whole(out, groupLanes)
			}
			weights = taps * width * out
			inLanes = area * weights
			switch {
			case n.Op == graph.OpLinear:
				kind = head
			case n.H*n.W == 1:
				kind = gates
			case groups == n.C && groups > 1:
				kind = depthwise
			case groups > 1:
				kind = grouped
			case n.Kernel > 1:
				kind = dense
			default:
				kind = pointwise
			}
		}
		k := costsOfKind * kind
		x[k+perFlop] += float64(t.Batch) * float64(flops)
		x[k+perLane] += float64(t.Batch) * float64(inLanes)
		x[k+perByte] += 4 * (float64(t.Batch)*float64(moved) + float64(weights))
		x[k+perLayer]++
	}
	return x
}

// whole rounds up to whole vectors.
func whole(n, lanes int) int { return (n + lanes - 1) / lanes * lanes }

// elements of a value, in whole vectors.
func elements(n *graph.Node) int { return whole(n.C, lanes) * n.H * n.W }

// Fit finds the costs with the least relative errors, and measures those on networks not seen by
// cross-validation. All samples must be of one batch and number of threads, and there must be
// MinSamples of them; the same samples give the same model.
func Fit(samples []Sample) (*Model, error) {
	if len(samples) < MinSamples {
		return nil, fmt.Errorf("latency: a model of %d networks: it takes at least %d", len(samples), MinSamples)
	}
	x, y := make([][features]float64, len(samples)), make([]float64, len(samples))
	var first Task
	for i, s := range samples {
		t, err := s.Task.withDefaults()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			first = t
		}
		if t.Batch != first.Batch || t.Threads != first.Threads {
			return nil, fmt.Errorf("latency: a model of batches of %d and of %d, on %d and on %d threads: all samples must be of one", first.Batch, t.Batch, first.Threads, t.Threads)
		}
		if !(s.Milliseconds > 0) || math.IsInf(s.Milliseconds, 0) {
			return nil, fmt.Errorf("latency: a network of %g ms: must be above 0", s.Milliseconds)
		}
		x[i], y[i] = count(t), s.Milliseconds
	}
	m := &Model{batch: first.Batch, threads: first.Threads, costs: leastRelative(x, y)}
	for _, row := range x {
		for k, v := range row {
			m.seen[k] = m.seen[k] || v > 0
		}
	}
	var off []float64
	square := 0.0
	for i, p := range crossValidate(x, y) {
		off = append(off, math.Abs(p-y[i])/y[i])
		square += math.Pow(math.Log(y[i]/p), 2)
	}
	slices.Sort(off)
	m.errors = Errors{stat.Quantile(0.5, stat.Empirical, off, nil), stat.Quantile(0.9, stat.Empirical, off, nil), math.Sqrt(square / float64(len(off)))}
	return m, nil
}

// crossValidate predicts each sample by the others' fold.
func crossValidate(x [][features]float64, y []float64) []float64 {
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(y))
	predicted := make([]float64, len(y))
	for fold := range folds {
		var xs [][features]float64
		var ys []float64
		for k, i := range order {
			if k%folds != fold {
				xs, ys = append(xs, x[i]), append(ys, y[i])
			}
		}
		costs := leastRelative(xs, ys)
		for k, i := range order {
			if k%folds == fold {
				predicted[i] = math.Max(dot(costs, x[i]), math.SmallestNonzeroFloat64) // the logarithm is finite
			}
		}
	}
	return predicted
}

func dot(a, b [features]float64) (sum float64) {
	for k := range a {
		sum += a[k] * b[k]
	}
	return sum
}

// sweeps over the costs; far more than it takes for the third digit.
const sweeps = 1000

// shrinkage of the costs, in parts of the samples' own pull: it decides between features that the samples
// cannot tell apart. A hundredth errs least on the networks of testdata.
const shrinkage = 1e-2

// leastRelative minimises the sum of ((costs·x-y)/y)² over costs of at least 0, one cost after the other.
func leastRelative(x [][features]float64, y []float64) (costs [features]float64) {
	var scale [features]float64 // of a feature over y, so that costs are comparable
	rows := make([][features]float64, len(y))
	for i := range y {
		for k, v := range x[i] {
			rows[i][k] = v / y[i]
			scale[k] += rows[i][k] * rows[i][k]
		}
	}
	var product [features][features]float64
	var pull [features]float64
	for k := range scale {
		scale[k] = math.Sqrt(scale[k])
	}
	for i := range rows {
		for k := range scale {
			if scale[k] == 0 {
				continue
			}
			rows[i][k] /= scale[k]
			pull[k] += rows[i][k]
		}
		for k := range scale {
			for j := range scale {
				product[k][j] += rows[i][k] * rows[i][j]
			}
		}
	}
	for range sweeps {
		for k := range costs {
			if scale[k] == 0 {
				continue // no sample has such a layer
			}
			left := pull[k]
			for j, c := range costs {
				if j != k {
					left -= product[k][j] * c
				}
			}
			costs[k] = max(0, left/(product[k][k]+shrinkage))
		}
	}
	for k := range costs {
		if scale[k] > 0 {
			costs[k] /= scale[k]
		}
	}
	return costs
}

// Errors of the model on networks that it has not seen.
func (m *Model) Errors() Errors { return m.errors }

// ErrOther says that a model is asked for another batch or number of threads than it was fitted to.
var ErrOther = errors.New("latency: the model is of another batch or number of threads")

// Predict is the latency in milliseconds. The error is ErrOther.
func (m *Model) Predict(t Task) (float64, error) {
	t, err := t.withDefaults()
	if err != nil {
		return 0, err
	}
	if t.Batch != m.batch || t.Threads != m.threads {
		return 0, ErrOther
	}
	return dot(m.costs, count(t)), nil
}

// Interval is where the latency of a network lies that the model has not seen, in milliseconds: two deviations
// of the logarithm to either side, about 19 in 20. What a kind of layer costs that no sample has is not known: hi is then
// infinite. The error is ErrOther.
func (m *Model) Interval(t Task) (lo, hi float64, err error) {
	p, err := m.Predict(t)
	if err != nil {
		return 0, 0, err
	}
	lo, hi = p*math.Exp(-2*m.errors.Deviation), p*math.Exp(2*m.errors.Deviation)
	for k, v := range count(t) {
		if v > 0 && !m.seen[k] {
			hi = math.Inf(1)
		}
	}
	return lo, hi, nil
}
