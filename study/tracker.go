package study

import (
	"slices"
	"time"
)

// Tracker follows the events of a Run. It is not safe for concurrent use.
type Tracker struct {
	totals  Totals
	pending int // when the run began
	began   time.Time
	workers map[int]*WorkerState
}

// WorkerState is what one worker is at.
type WorkerState struct {
	Worker          int
	Task            Task
	Share           float64 // of the training, [0, 1]
	ImagesPerSecond float64 // of training; 0 until measured
	Epoch           *Epoch  // last complete one, nil if none is

	base float64 // share that an earlier session had done
	seen bool    // base is known
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
	return &Tracker{totals: r.Totals(), pending: r.Pending(), began: now, workers: map[int]*WorkerState{}}
}

// Event takes note of an event.
func (t *Tracker) Event(e Event) {
	w := t.workers[e.Worker]
	if w == nil || e.Kind == TrialStarted {
		w = &WorkerState{Worker: e.Worker, Task: e.Task}
		t.workers[e.Worker] = w
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
		t.totals.Done++
		if t.totals.Best == nil || e.Error < t.totals.Best.Error {
			t.totals.Best = &Best{ID: e.Task.ID, Space: e.Task.Space, Index: e.Task.Index, Error: e.Error}
		}
		delete(t.workers, e.Worker)
	case TrialFailed:
		t.totals.Failed++
		delete(t.workers, e.Worker)
	case TrialLost:
		delete(t.workers, e.Worker)
	}
}

// Snapshot tells how far the run is. All trials of a study are trained on the same
// number of images, so what is left is told from the share of them that
// this run has done.
func (t *Tracker) Snapshot(now time.Time) Snapshot {
	s := Snapshot{Totals: t.totals}
	ended := t.totals.Done + t.totals.Failed
	left := float64(t.totals.Trials - ended)
	done := float64(t.pending) - left
	for _, w := range t.workers {
		s.Workers = append(s.Workers, *w)
		s.ImagesPerSecond += w.ImagesPerSecond
		left -= w.Share
		done += w.Share - w.base
	}
	slices.SortFunc(s.Workers, func(a, b WorkerState) int { return a.Worker - b.Worker })
	if elapsed := now.Sub(t.began); done > 0 {
		s.Left = time.Duration(float64(elapsed) * left / done)
	}
	return s
}
