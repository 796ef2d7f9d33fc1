package study

import (
	"context"
	"netspace/trial"
	"time"
)

// Executor trains the trials of a run somewhere: on this machine, on a cluster.
//
// Execute asks run.Next for tasks until there are no more, has each of them worked on (see
// Worker) by a worker process, tells run.Report what the worker says of its progress, and
// run.Ended when the worker is done with it, or gone. It returns when every task has ended or, after ctx is done, as soon as all
// workers have stopped. Its error means that the study cannot go on; a trial
// that fails is none. The methods of Run are safe for concurrent use.
type Executor interface {
	Execute(ctx context.Context, run *Run) error
}

// EventKind says what an Event is about.
type EventKind string

// The kinds of events.
const (
	TrialStarted  EventKind = "started"  // a worker begins, or goes on with, a trial
	TrialProgress EventKind = "progress" // how far it is
	TrialEpoch    EventKind = "epoch"    // an epoch is complete
	TrialDone     EventKind = "done"
	TrialFailed   EventKind = "failed" // for good
	TrialPaused   EventKind = "paused" // it has done the epochs that are asked for (see Goal)
	TrialLost     EventKind = "lost"   // the worker died; the trial is tried again
)

// Event is something that happened to a trial. As JSON it is what a worker process says of it.
type Event struct {
	Kind   EventKind `json:"kind"`
	Worker int       `json:"-"` // place of the worker, from 0
	Task   Task      `json:"-"`

	// Of TrialProgress and TrialEpoch.
	Share           float64       `json:"share,omitempty"`             // of the training that is done, [0, 1]
	ImagesPerSecond float64       `json:"images_per_second,omitempty"` // of training steps; 0 until measured
	Left            time.Duration `json:"left,omitempty"`              // until the end of the trial; 0 until measured

	Epoch       *Epoch  `json:"epoch,omitempty"` // of TrialEpoch
	Error       float64 `json:"error,omitempty"` // of TrialDone and TrialFailed: percent
	Seconds     float64 `json:"-"`               // of TrialDone: that the training took
	trial.Death         // of TrialFailed and TrialLost
}
