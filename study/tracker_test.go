package study

import (
	"math"
	"testing"
	"time"

	"netspace/internal/seeded"
	"netspace/trial"
)

func TestTracker(t *testing.T) {
	start := time.Unix(0, 0)
	r := &Run{totals: Totals{Trials: 5, Done: 1}, waiting: map[trialID]int{1: 0, 2: 1, 3: 2, 4: 3}, history: &history{}}
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

// After a tenth of a study whose networks take as long as their flops say, what is left is known, whatever their order.
func TestTimeLeftFollowsFlops(t *testing.T) {
	const n = 100
	rng := seeded.Rand(t)
	r := &Run{totals: Totals{Trials: n}, Config: Config{Spaces: []string{"x"}, Samples: n}, waiting: map[trialID]int{}, history: &history{samples: map[string][]sample{}}}
	order := rng.Perm(n)
	took := func(i int) float64 { return 3 + 2*float64(order[i]+1) }
	for i := range n {
		r.history.samples["x"] = append(r.history.samples["x"], sample{id: trialID(i), flops: float64(order[i]+1) * 1e6, ref: ref{length: 1}})
		r.waiting[trialID(i)] = i
	}
	now := time.Unix(0, 0)
	k := NewTracker(r, now)
	for i := range n / 10 {
		now = now.Add(time.Duration(took(i) * float64(time.Second)))
		noise := 1 + 0.1*rng.NormFloat64()
		k.Event(Event{Kind: TrialStarted, Task: Task{Space: "x", Index: i}})
		k.Event(Event{Kind: TrialDone, Task: Task{Space: "x", Index: i}, Seconds: took(i) * noise})
	}
	want := 0.0
	for i := n / 10; i < n; i++ {
		want += took(i)
	}
	if got := k.Snapshot(now).Left.Seconds(); math.Abs(got/want-1) > 0.2 {
		t.Errorf("%.0f s left after a tenth; want %.0f", got, want)
	}
}
