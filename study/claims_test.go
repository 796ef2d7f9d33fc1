package study

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netspace/engine"
	"netspace/train"
	"netspace/trial"
)

// fake is a trainer that counts epochs in its folder instead of training. wait is called after each.
type fake struct {
	wait func(ctx context.Context, t trial.Task, epoch int)
}

func (fake) Describe(trial.Task) (engine.Description, error) {
	return engine.Description{Name: "fake"}, nil
}

func (f fake) Train(ctx context.Context, t trial.Task, dir string, report func(train.Progress)) (res train.Result, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return res, err
	}
	done := 0
	if text, err := os.ReadFile(filepath.Join(dir, "epochs")); err == nil {
		done, _ = strconv.Atoi(string(text))
	}
	for e := 1; e <= 3; e++ {
		res.Error = float64(t.Seed%1000)/20 + 10/float64(e)
		stats := train.EpochStats{Epoch: e, Evaluated: true, ValError: res.Error}
		res.Epochs = append(res.Epochs, stats)
		if e <= done {
			continue
		}
		if f.wait != nil {
			f.wait(ctx, t, e)
		}
		if ctx.Err() != nil {
			return res, ctx.Err()
		}
		if err := os.WriteFile(filepath.Join(dir, "epochs"), []byte(strconv.Itoa(e)), 0o644); err != nil {
			return res, err
		}
		report(train.Progress{Done: float64(e) / 3, Finished: &stats})
	}
	return res, nil
}

// on begins a run of a study as another machine would.
func (s tinyStudy) on(t *testing.T, host string, lease time.Duration) *Run {
	t.Helper()
	r, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Host: host, Lease: lease, Trainer: fake{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// events collects what happens in several runs.
type events struct {
	mu  sync.Mutex
	all []Event
}

func (e *events) add(x Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
}

func (e *events) count(kind EventKind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return count(e.all, kind)
}

// die ends a run as a kill would: its journal has no writer any more, and no word says so.
func (r *Run) die() { r.log.f.Close() }

// undisturbedFakes are the results of a study that one run saw to alone.
func undisturbedFakes(t *testing.T) string {
	t.Helper()
	s := newTinyStudy(t)
	r := s.on(t, "alone", 0)
	if err := r.Execute(t.Context(), inProcess{1, fake{}}, nil); err != nil {
		t.Fatal(err)
	}
	return s.export(t)
}

func TestRunsShareAStudy(t *testing.T) {
	want := undisturbedFakes(t)
	s := newTinyStudy(t)
	var all events
	var runs sync.WaitGroup
	var starts []*Run
	for _, host := range []string{"a", "b", "b", "c"} { // two of them on one machine
		starts = append(starts, s.on(t, host, 0))
	}
	for _, r := range starts {
		runs.Go(func() {
			x := inProcess{2, fake{wait: func(context.Context, trial.Task, int) { time.Sleep(time.Millisecond) }}}
			if err := r.Execute(t.Context(), x, all.add); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	trials := map[string]bool{}
	for _, tr := range s.trials(t) {
		trials[tr.ID] = true
	}
	if n := all.count(TrialStarted); n != len(trials) {
		t.Errorf("%d trainings of %d trials", n, len(trials))
	}
	// Every run is told of every trial, its own and the others'.
	if n := all.count(TrialDone); n != 4*len(trials) {
		t.Errorf("%d ends were told to 4 runs of %d trials", n, len(trials))
	}
	if got := s.export(t); got != want {
		t.Error(cmp.Diff(want, got))
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, checkpointDir)); err != nil || len(left) > 0 {
		t.Errorf("checkpoints left behind: %v, %v", left, err)
	}
}

func TestClaimsOfTheDeadAreTakenOver(t *testing.T) {
	want := undisturbedFakes(t)
	for _, c := range []struct {
		name  string
		host  string        // of the run that takes over
		lease time.Duration // of the one that dies
	}{
		{"on another machine when the lease is over", "b", 300 * time.Millisecond},
		{"on this machine at once", "a", time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newTinyStudy(t)
			dead := s.on(t, "a", c.lease)
			task, ok, err := dead.Next(t.Context())
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var w Worker
			defer w.Close()
			err = w.Work(ctx, task, fake{wait: func(_ context.Context, _ trial.Task, epoch int) {
				if epoch == 3 {
					cancel()
				}
			}}, func(Event) {})
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			dead.die()
			var all events
			r := s.on(t, c.host, 0)
			if err := r.Execute(t.Context(), inProcess{1, fake{}}, all.add); err != nil {
				t.Fatal(err)
			}
			var epochs []int
			for _, e := range all.all {
				if e.Task.ID == task.ID && e.Kind == TrialEpoch {
					if epochs = append(epochs, e.Epoch.Epoch); e.Task.Attempt != 2 {
						t.Errorf("attempt %d; want 2", e.Task.Attempt)
					}
				}
			}
			if !slices.Equal(epochs, []int{3}) {
				t.Errorf("epochs %v after the takeover; want the third alone", epochs)
			}
			if got := s.export(t); got != want {
				t.Error(cmp.Diff(want, got))
			}
		})
	}
}

// A claim whose run is alive holds, however long its training takes.
func TestRenewedClaimsHold(t *testing.T) {
	s := newTinyStudy(t)
	const lease = 300 * time.Millisecond
	var all events
	slow := fake{wait: func(_ context.Context, _ trial.Task, epoch int) {
		if epoch == 1 {
			time.Sleep(2 * lease)
		}
	}}
	a, b := s.on(t, "a", lease), s.on(t, "b", lease)
	var runs sync.WaitGroup
	for _, r := range []*Run{a, b} {
		runs.Go(func() {
			if err := r.Execute(t.Context(), inProcess{2, slow}, all.add); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	if started, lost := all.count(TrialStarted), all.count(TrialLost); started != a.Totals().Trials || lost > 0 {
		t.Errorf("%d trainings of %d trials, %d lost", started, a.Totals().Trials, lost)
	}
}

// A run whose machine slept finds its trial taken over: it stops, and loses no attempt by it.
func TestSleeperGivesWay(t *testing.T) {
	want := undisturbedFakes(t)
	s := newTinyStudy(t)
	sleeper := s.on(t, "a", 50*time.Millisecond)
	task, _, err := sleeper.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var told events
	sleeper.report = told.add
	var w Worker
	defer w.Close()
	err = w.Work(t.Context(), task, fake{wait: func(_ context.Context, _ trial.Task, epoch int) {
		if epoch != 2 {
			return
		}
		time.Sleep(60 * time.Millisecond)
		other := s.on(t, "b", 0)
		if err := other.Execute(t.Context(), inProcess{1, fake{}}, nil); err != nil {
			t.Error(err)
		}
	}}, told.add)
	if err != nil {
		t.Fatalf("the sleeper's work ended with %v", err)
	}
	if _, again, err := sleeper.Ended(0, task, &trial.Death{Reason: "it was killed, say"}); again || err != nil {
		t.Fatalf("again %v, %v", again, err)
	}
	if told.count(TrialDone) != 1 || told.count(TrialLost) > 0 {
		t.Fatalf("%+v", told.all)
	}
	if got := s.export(t); got != want {
		t.Error(cmp.Diff(want, got))
	}
}

// A trial is shown as running while a run that lives has claimed it, or a worker is at it.
func TestStateOfALostTrial(t *testing.T) {
	s := newTinyStudy(t)
	running := func() (n int) {
		for _, tr := range s.trials(t) {
			if tr.State == Running {
				n++
			}
		}
		return n
	}
	r := s.on(t, hostName(), time.Hour)
	task, _, err := r.Next(t.Context())
	if err != nil || running() != 1 {
		t.Fatalf("%d trials run, %v; want the one that is claimed", running(), err)
	}
	r.die()
	if n := running(); n != 0 {
		t.Fatalf("%d trials run after their run died; want 0", n)
	}
	// A worker may outlive its run for a moment.
	id, err := parseID(task.ID)
	if err != nil {
		t.Fatal(err)
	}
	j, err := openFreeJournal(s.dir, hostName())
	if err != nil {
		t.Fatal(err)
	}
	if err := j.begin(Maker{}, startRecord{Trial: id, Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	if n := running(); n != 1 {
		t.Fatalf("%d trials run while a worker is at one; want 1", n)
	}
	j.Close()
	if n := running(); n != 0 {
		t.Fatalf("%d trials run after their worker died; want 0", n)
	}
}

func TestTakeOver(t *testing.T) {
	for _, c := range []struct {
		name    string
		there   []string // files below the trial's folder
		attempt int
		want    []string
	}{
		{"nothing", nil, 1, nil},
		{"its own", []string{"1/a"}, 1, []string{"1/a"}},
		{"the last one before", []string{"1/a", "3/b"}, 4, []string{"1/a", "4/b"}},
		{"a later one is not touched", []string{"1/a", "3/b"}, 2, []string{"2/a", "3/b"}},
		{"version 1", []string{"a", "b"}, 2, []string{"2/a", "2/b"}},
	} {
		dir := t.TempDir()
		for _, file := range c.there {
			write(t, filepath.Join(dir, file), "")
		}
		own, err := takeOver(dir, c.attempt)
		if err != nil || own != filepath.Join(dir, strconv.Itoa(c.attempt)) {
			t.Errorf("%s: %s, %v", c.name, own, err)
		}
		var got []string
		for file := range snapshot(t, dir) {
			name, _ := filepath.Rel(dir, file)
			got = append(got, name)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v; want %v", c.name, got, c.want)
		}
	}
}
