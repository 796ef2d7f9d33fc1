package design

import (
	"context"
	"fmt"

	"netspace/analysis"
	"netspace/latency"
	"netspace/metric"
	"netspace/study"
)

// latencies measures networks, and tells of the others by what was measured.
type latencies struct {
	within metric.Range // milliseconds
	meter  latency.Meter
	task   func(t study.Trial) (latency.Task, error)
	log    *analysis.Latencies
	save   func() error

	looked  int              // so many networks were looked at
	samples []latency.Sample // of them
	model   *latency.Model   // of so many samples; nil: of too few
	fitted  int
}

// keeps tells whether the latency of a network is within a range, by networks before it in the sample alone. Where a model of these says so clearly, the network
// is not measured. What a model said is in the log and holds when the search is run again.
func (l *latencies) keeps(ctx context.Context, t study.Trial, known []study.Trial) (bool, error) {
	if kept, ok := l.log.Modelled[t.Index]; ok {
		return kept, nil
	}
	if ms, ok := l.log.Measured[t.Index]; ok {
		return l.within.Contains(ms), nil
	}
	if err := l.fit(known[:t.Index]); err != nil {
		return false, err
	}
	if l.model != nil {
		task, err := l.task(t)
		if err != nil {
			return false, err
		}
		low, high, err := l.model.Interval(task)
		if err != nil {
			return false, err
		}
		if kept := l.within.Contains(low) && l.within.Contains(high); kept || high < l.within.Min || low > l.within.Max {
			l.log.Modelled[t.Index] = kept
			l.log.Predicted = len(l.log.Modelled)
			return kept, nil
		}
	}
	ms, err := l.measure(ctx, t)
	return l.within.Contains(ms), err
}

// fit fits the model to what was measured of networks when the search looked at them, if there is more of that than before. What was measured later, of networks
// that a model had decided on, is left out.
func (l *latencies) fit(networks []study.Trial) (err error) {
	for ; l.looked < len(networks); l.looked++ {
		t := networks[l.looked]
		ms, measured := l.log.Measured[t.Index]
		if _, late := l.log.Modelled[t.Index]; !measured || late {
			continue
		}
		task, err := l.task(t)
		if err != nil {
			return err
		}
		l.samples = append(l.samples, latency.Sample{Task: task, Milliseconds: ms})
	}
	if len(l.samples) == l.fitted || len(l.samples) < latency.MinSamples {
		return nil
	}
	if l.model, err = latency.Fit(l.samples); err != nil {
		return err
	}
	l.fitted = len(l.samples)
	e := l.model.Errors()
	l.log.Fitted, l.log.Model, l.log.Median, l.log.P90 = l.fitted, e.Deviation, e.Median, e.P90
	return nil
}

// measure measures a network and takes note of it.
func (l *latencies) measure(ctx context.Context, t study.Trial) (float64, error) {
	if ms, ok := l.log.Measured[t.Index]; ok {
		return ms, nil
	}
	task, err := l.task(t)
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
