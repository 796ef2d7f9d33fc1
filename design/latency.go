package design

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"netspace/analysis"
	"netspace/latency"
	"netspace/metric"
	"netspace/study"
)

// Before a model of latency is asked, so many networks are measured.
const modelledFrom = 16

// latencies measures networks, and tells of the others by what was measured.
type latencies struct {
	within metric.Range // milliseconds
	meter  latency.Meter
	graph  func(t study.Trial) (latency.Task, error)
	log    *analysis.Latencies
	save   func() error
}

// keeps tells whether the latency of a network is within a range, by networks before it in the sample alone: so that a search that is run again comes to the same
// answers. Where a model of these says so clearly, by two standard errors, the network is not measured.
func (l *latencies) keeps(ctx context.Context, t study.Trial, known []study.Trial) (bool, error) {
	r := l.within
	if ms, ok := l.log.Measured[t.Index]; ok && !l.log.Late[t.Index] {
		return r.Contains(ms), nil
	}
	var x []study.Trial
	var y []float64
	for _, n := range known[:t.Index] {
		if ms, ok := l.log.Measured[n.Index]; ok && !l.log.Late[n.Index] {
			x, y = append(x, n), append(y, ms)
		}
	}
	if len(x) >= modelledFrom {
		m, err := fitLatency(x, y)
		if err != nil {
			return false, err
		}
		l.log.Model, l.log.Fitted = m.deviation, len(x)
		ms := m.predict(t)
		low, high := ms*math.Exp(-2*m.deviation), ms*math.Exp(2*m.deviation)
		switch {
		case high < r.Min || low > r.Max:
			l.log.Predicted++
			return false, nil
		case low >= r.Min && high <= r.Max:
			l.log.Predicted++
			return true, nil
		}
	}
	ms, err := l.measure(ctx, t)
	return r.Contains(ms), err
}

// measure measures a network and takes note of it.
func (l *latencies) measure(ctx context.Context, t study.Trial) (float64, error) {
	if ms, ok := l.log.Measured[t.Index]; ok {
		return ms, nil
	}
	task, err := l.graph(t)
	if err != nil {
		return 0, err
	}
	r, err := l.meter.Measure(ctx, task)
	if err != nil {
		return 0, fmt.Errorf("measure the latency of network %d of %s: %w", t.Index, t.Space, err)
	}
	l.log.Measured[t.Index] = r.Milliseconds
	return r.Milliseconds, l.save()
}

// latencyModel tells the logarithm of a latency by a linear model of what is known of a network.
type latencyModel struct {
	weights   []float64
	deviation float64 // of the logarithm, of networks that it was not fitted to: by leaving each out
}

// latencyFeatures are logarithms, since what an op costs grows with its size: of multiply-adds, parameters, activations and blocks.
func latencyFeatures(t study.Trial) []float64 {
	blocks := 1.0
	if n, ok := t.Spec.AnyNet(); ok {
		blocks = float64(n.Depth())
	}
	c := t.Complexity
	return []float64{1, math.Log(float64(c.Flops)), math.Log(float64(c.Params)), math.Log(float64(c.Acts)), math.Log(blocks)}
}

// fitLatency fits the model; a little ridge keeps it whole where features go along.
func fitLatency(networks []study.Trial, ms []float64) (m latencyModel, err error) {
	rows, cols := len(networks), len(latencyFeatures(networks[0]))
	x, y := mat.NewDense(rows, cols, nil), mat.NewVecDense(rows, nil)
	for i, t := range networks {
		x.SetRow(i, latencyFeatures(t))
		y.SetVec(i, math.Log(ms[i]))
	}
	var square, inverse mat.Dense
	square.Mul(x.T(), x)
	for k := 1; k < cols; k++ {
		square.Set(k, k, square.At(k, k)+1e-3)
	}
	var condition mat.Condition
	if err := inverse.Inverse(&square); err != nil && !errors.As(err, &condition) {
		return m, fmt.Errorf("the model of latency: %w", err)
	}
	var right, weights mat.VecDense
	right.MulVec(x.T(), y)
	weights.MulVec(&inverse, &right)
	m.weights = slices.Clone(weights.RawVector().Data)
	sum := 0.0
	for i, t := range networks {
		f := mat.NewVecDense(cols, latencyFeatures(t))
		leverage := mat.Inner(f, &inverse, f)
		rest := (y.AtVec(i) - m.log(t)) / math.Max(0.05, 1-leverage)
		sum += rest * rest
	}
	m.deviation = math.Sqrt(sum / float64(rows))
	return m, nil
}

func (m latencyModel) log(t study.Trial) (v float64) {
	for k, f := range latencyFeatures(t) {
		v += m.weights[k] * f
	}
	return v
}

func (m latencyModel) predict(t study.Trial) float64 { return math.Exp(m.log(t)) }
