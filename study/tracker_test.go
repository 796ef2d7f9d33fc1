package study

import (
	"testing"
	"time"

	"netspace/trial"
)

func TestTracker(t *testing.T) {
	start := time.Unix(0, 0)
	r := &Run{totals: Totals{Trials: 5, Done: 1}, waiting: map[trialID]int{1: 0, 2: 1, 3: 2, 4: 3}}
	k := NewTracker(r, start)
	if s := k.Snapshot(start); s.Left != 0 || s.Done != 1 || s.Trials != 5 || len(s.Workers) != 0 {
		t.Fatalf("at the start: %+v", s)
	}
	k.Event(Event{Kind: TrialStarted, Worker: 1, Task: Task{Task: trial.Task{ID: "a"}, Space: "x"}})
	k.Event(Event{Kind: TrialStarted, Worker: 0, Task: Task{Task: trial.Task{ID: "b"}, Space: "y"}})
	k.Event(Event{Kind: TrialProgress, Worker: 1, Share: 0, ImagesPerSecond: 100})
	k.Event(Event{Kind: TrialProgress, Worker: 1, Share: 0.5, ImagesPerSecond: 100})
	// An earlier session had done half of b: it counts as done, not as speed.
	k.Event(Event{Kind: TrialProgress, Worker: 0, Share: 0.5, ImagesPerSecond: 50})
	s := k.Snapshot(start.Add(10 * time.Second))
	if s.ImagesPerSecond != 150 || len(s.Workers) != 2 || s.Workers[0].Task.ID != "b" {
		t.Fatalf("%+v", s)
	}
	// Half a trial in 10 s; 4 - 0.5 - 0.5 = 3 are left.
	if s.Left != 60*time.Second {
		t.Fatalf("%v left; want 60s", s.Left)
	}
	k.Event(Event{Kind: TrialDone, Worker: 1, Task: Task{Task: trial.Task{ID: "a"}, Space: "x"}, Error: 12})
	k.Event(Event{Kind: TrialFailed, Worker: 0, Task: Task{Task: trial.Task{ID: "b"}, Space: "y"}, Error: 90})
	s = k.Snapshot(start.Add(20 * time.Second))
	if s.Done != 2 || s.Failed != 1 || s.Best == nil || s.Best.ID != "a" || s.Best.Error != 12 || len(s.Workers) != 0 {
		t.Fatalf("%+v", s)
	}
	if s.Left != 20*time.Second { // two in 20 s, two left
		t.Fatalf("%v left; want 20s", s.Left)
	}
	k.Event(Event{Kind: TrialStarted, Worker: 0, Task: Task{Task: trial.Task{ID: "c"}}})
	k.Event(Event{Kind: TrialLost, Worker: 0, Task: Task{Task: trial.Task{ID: "c"}}})
	if s = k.Snapshot(start.Add(20 * time.Second)); s.Failed != 1 || len(s.Workers) != 0 {
		t.Fatalf("a lost attempt counted: %+v", s)
	}
}
