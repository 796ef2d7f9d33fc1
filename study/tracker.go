package study

import (
	"slices"
	"time"
)

// Tracker follows the events of a Run. It is not safe for concurrent use.
type Tracker struct {
	run     *Run
	totals  Totals
	pending int // when the run began
	began   time.Time
	workers map[int]*WorkerState
	most    int  // workers at once so far
	known   line // seconds by flops, of all trainings so far

	leftFlops float64 // of what has not ended
}

// line is a straight line that is fitted to points, both of whose coefficients are not negative.
type line struct{ n, x, y, xx, xy float64 }

func (l *line) add(x, y float64) {
	l.n, l.x, l.y, l.xx, l.xy = l.n+1, l.x+x, l.y+y, l.xx+x*x, l.xy+x*y
}

// sum is that of the values at n places that add up to x.
func (l line) sum(n, x float64) float64 {
	if l.n == 0 {
		return 0
	}
	slope := 0.0
	if d := l.n*l.xx - l.x*l.x; d > 1e-9*l.n*l.xx {
		slope = (l.n*l.xy - l.x*l.y) / d
	}
	offset := (l.y - slope*l.x) / l.n
	switch {
	case slope < 0:
		slope, offset = 0, l.y/l.n
	case offset < 0 && l.xx > 0:
		slope, offset = l.xy/l.xx, 0
	}
	return n*offset + x*slope
}

// WorkerState is what one worker is at.
type WorkerState struct {
	Worker          int
	Task            Task
	Share           float64 // of the training, [0, 1]
	ImagesPerSecond float64 // of training; 0 until measured
	Epoch           *Epoch  // last complete one, nil if none is

	flops float64 // of its network
	base  float64 // share that an earlier session had done
	seen  bool    // base is known
}

// Snapshot is how far a run is.
type Snapshot struct {
	Totals
	ImagesPerSecond float64       // of training, all workers together
	Left            time.Duration // until the end of the run, 0 until that can be told
	Workers         []WorkerState // those at work, by number
}

// NewTracker begins to follow a run that is about to be executed.
func NewTracker(r *Run, now time.Time) *Tracker {
	t := &Tracker{run: r, totals: r.Totals(), pending: r.Pending(), began: now, workers: map[int]*WorkerState{}}
	r.experience(t.known.add, func(flops float64) { t.leftFlops += flops })
	return t
}

// Event takes note of an event.
func (t *Tracker) Event(e Event) {
	w := t.workers[e.Worker]
	if w == nil || e.Kind == TrialStarted {
		w = &WorkerState{Worker: e.Worker, Task: e.Task}
		w.flops = t.run.cost(e.Task.Space, e.Task.Index)
		t.workers[e.Worker] = w
		t.most = max(t.most, len(t.workers))
	}
	switch e.Kind {
	case TrialProgress, TrialEpoch:
		if !w.seen {
			w.base, w.seen = e.Share, true
		}
		w.Share, w.ImagesPerSecond = e.Share, e.ImagesPerSecond
		if e.Kind == TrialEpoch {
			w.Epoch = e.Epoch
		}
	case TrialDone:
		flops := t.run.cost(e.Task.Space, e.Task.Index)
		t.known.add(flops, e.Seconds)
		t.leftFlops -= flops
		t.totals.done(Best{ID: e.Task.ID, Space: e.Task.Space, Index: e.Task.Index, Error: e.Error}, e.Task.Rerun)
		delete(t.workers, e.Worker)
	case TrialPaused:
		t.totals.Done++
		t.leftFlops -= t.run.cost(e.Task.Space, e.Task.Index)
		delete(t.workers, e.Worker)
	case TrialFailed:
		t.totals.Failed++
		t.leftFlops -= t.run.cost(e.Task.Space, e.Task.Index)
		delete(t.workers, e.Worker)
	case TrialLost:
		delete(t.workers, e.Worker)
	}
}

// Snapshot tells how far the run is. What is left is told from how long networks of such flops took to train, in this run and before it;
// until one has ended, from the share that this run has done.
func (t *Tracker) Snapshot(now time.Time) Snapshot {
	s := Snapshot{Totals: t.totals}
	ended := t.totals.Done + t.totals.Failed
	left := float64(t.totals.Trials - ended)
	done := float64(t.pending) - left
	flops := t.leftFlops
	for _, w := range t.workers {
		s.Workers = append(s.Workers, *w)
		s.ImagesPerSecond += w.ImagesPerSecond
		left -= w.Share
		flops -= w.Share * w.flops
		done += w.Share - w.base
	}
	slices.SortFunc(s.Workers, func(a, b WorkerState) int { return a.Worker - b.Worker })
	switch elapsed := now.Sub(t.began); {
	case t.known.n > 0 && t.known.y > 0 && t.most > 0:
		s.Left = time.Duration(t.known.sum(max(0, left), max(0, flops)) / float64(t.most) * float64(time.Second))
	case done > 0:
		s.Left = time.Duration(float64(elapsed) * left / done)
	}
	return s
}
