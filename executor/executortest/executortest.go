// Package executortest is the suite that every executor of studies passes.
//
// The suite's workers are the test program itself, with a trainer that only pretends to
// train, or misbehaves. Its TestMain calls WorkerMain first:
//
//	func TestMain(m *testing.M) { executortest.WorkerMain(); os.Exit(m.Run()) }
//
//	func TestConformance(t *testing.T) {
//		executortest.Run(t, func(slots int, env ...string) study.Executor {
//			return executor.Local{Workers: slots, Env: env}
//		})
//	}
package executortest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"netspace/internal/tinydata"
	"netspace/study"
	"netspace/trial"
)

// patience is how long a machine that does other things may take for what
// usually takes a moment.
const patience = 30 * time.Second

// Run tests an executor. start makes one that runs so many workers at once, each this
// program with env added to its environment, and that takes workers for dead that are silent for some seconds.
func Run(t *testing.T, start func(slots int, env ...string) study.Executor) {
	if runtime.GOOS == "windows" {
		t.Skip("the suite kills processes by signals")
	}
	s := suite{start: start}
	for _, c := range []struct {
		name string
		test func(suite, *testing.T)
	}{
		{"all trials end, in the same results with any number of slots", suite.slots},
		{"a trial that fails costs itself alone", suite.failures},
		{"a killed worker is tried again", suite.killedOnce},
		{"a worker that always dies fails its trial", suite.alwaysDies},
		{"a machine that cannot train fails none", suite.unfit},
		{"one network that cannot be trained fails alone", suite.oneUnfit},
		{"a worker that is stopped is noticed", suite.stopped},
		{"a trial may take as long as the study says", suite.limits},
		{"what else is printed is no harm", suite.garbage},
		{"a result in the journal counts, told or not", suite.mute},
		{"an error that is no trial's stops the study", suite.broken},
		{"cancelling stops everything, and can be gone on from", suite.cancel},
		{"a worker that does not stop is ended", suite.stubborn},
		{"nothing to do", suite.nothing},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(s, t) })
	}
}

type suite struct {
	start func(slots int, env ...string) study.Executor
}

// fixture is a study of a few networks, and where its workers leave their process ids.
type fixture struct {
	file, dir, pids string
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	base := t.TempDir()
	f := fixture{file: filepath.Join(base, "study.yaml"), dir: filepath.Join(base, "out"), pids: filepath.Join(base, "pids")}
	images := filepath.Join(base, "images")
	tinydata.Write(t, images, 48)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(base, "cache"))
	if err := os.Mkdir(f.pids, 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`name: fixture
data: {name: %q, train: 32, validation: 16}
network: {stem: {type: cifar, width: 4}, stages: 2}
regime: {flops: 10K..30K}
recipe: {epochs: 4, batch: 16}
samples: 3
seed: 7
spaces: [anynetx-a, regnetx]
`, images)
	if err := os.WriteFile(f.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return f
}

// add adds lines to the study file.
func (f fixture) add(t *testing.T, lines string) {
	t.Helper()
	text, err := os.ReadFile(f.file)
	if err == nil {
		err = os.WriteFile(f.file, append(text, lines+"\n"...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f fixture) open(t *testing.T) *study.Run {
	t.Helper()
	r, err := study.Start(t.Context(), study.Request{File: f.file, Dir: f.dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// outcome is what a run came to.
type outcome struct {
	events []study.Event
	err    error
	trials []study.Trial
}

// run executes what remains of the study with workers that behave in a way, and checks
// what must be true of every run. see, if not nil, is told of the events.
func (s suite) run(t *testing.T, f fixture, ctx context.Context, slots int, behaviour string, see func(study.Event)) outcome {
	t.Helper()
	r := f.open(t)
	defer r.Close()
	var o outcome
	o.err = r.Execute(ctx, s.start(slots, behaviourVariable+"="+behaviour, pidsVariable+"="+f.pids), func(e study.Event) {
		o.events = append(o.events, e)
		if see != nil {
			see(e)
		}
	})
	f.noneLeft(t)
	o.trials = f.trials(t)
	o.inOrder(t, slots)
	return o
}

// noneLeft checks that the workers are gone when Execute has returned.
func (f fixture) noneLeft(t *testing.T) {
	t.Helper()
	files, err := os.ReadDir(f.pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		pid, err := strconv.Atoi(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if alive(pid) {
			t.Errorf("worker %d outlives Execute", pid)
		}
	}
}

func (f fixture) trials(t *testing.T) []study.Trial {
	t.Helper()
	s, err := study.Open(t.Context(), f.dir)
	if err != nil {
		t.Fatal(err)
	}
	populations, err := s.Populations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []study.Trial
	for _, p := range populations {
		all = append(all, p.Trials...)
	}
	return all
}

func (f fixture) export(t *testing.T) string {
	t.Helper()
	s, err := study.Open(t.Context(), f.dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := s.Export(t.Context(), &out, study.ExportOptions{Format: study.JSONL}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func (o outcome) count(kind study.EventKind) int {
	n := 0
	for _, e := range o.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// states counts the trials by state.
func (o outcome) states() map[study.State]int {
	n := map[study.State]int{}
	for _, tr := range o.trials {
		n[tr.State]++
	}
	return n
}

// inOrder checks that every attempt begins before it goes on, epoch by epoch, and
// that a trial ends once and last; and that no slot is at two trials at once.
func (o outcome) inOrder(t *testing.T, slots int) {
	t.Helper()
	at := map[int]string{}    // trial by worker
	epoch := map[string]int{} // last one, by trial
	ended := map[string]bool{}
	for i, e := range o.events {
		id := e.Task.ID
		fail := func(what string) {
			t.Errorf("event %d of %d, %s of trial %s by worker %d: %s", i, len(o.events), e.Kind, id, e.Worker, what)
		}
		if e.Worker < 0 || e.Worker >= slots {
			fail("there is no such worker")
		}
		if ended[id] {
			fail("the trial has ended")
		}
		if e.Kind != study.TrialStarted && at[e.Worker] != id && e.Kind != study.TrialLost && e.Kind != study.TrialFailed && e.Kind != study.TrialDone {
			fail("it was not started")
		}
		switch e.Kind {
		case study.TrialStarted:
			if at[e.Worker] != "" {
				fail("the worker is at trial " + at[e.Worker])
			}
			at[e.Worker], epoch[id] = id, 0
		case study.TrialEpoch:
			if e.Epoch == nil || e.Epoch.Epoch <= epoch[id] {
				fail("epochs go backwards")
			} else {
				epoch[id] = e.Epoch.Epoch
			}
		case study.TrialLost:
			at[e.Worker] = ""
		case study.TrialDone, study.TrialFailed:
			at[e.Worker], ended[id] = "", true
		}
	}
}

func (s suite) slots(t *testing.T) {
	var want string
	for _, slots := range []int{1, 4} {
		f := newFixture(t)
		o := s.run(t, f, t.Context(), slots, works, nil)
		if o.err != nil || o.states()[study.Done] != len(o.trials) || o.count(study.TrialDone) != o.count(study.TrialStarted) || o.count(study.TrialLost) > 0 {
			t.Fatalf("%d slots: %v, %v", slots, o.err, o.states())
		}
		for _, e := range o.events {
			if e.Kind == study.TrialDone && !slices.ContainsFunc(o.trials, func(tr study.Trial) bool { return tr.ID == e.Task.ID && tr.Error == e.Error }) {
				t.Errorf("told an error of %v for trial %s, which is not in the journals", e.Error, e.Task.ID)
			}
		}
		if want == "" {
			want = f.export(t)
		}
		if got := f.export(t); got != want {
			t.Fatalf("%d slots give\n%s\nnot\n%s", slots, got, want)
		}
	}
}

func (s suite) failures(t *testing.T) {
	o := s.run(t, newFixture(t), t.Context(), 2, fails, nil)
	n := o.states()
	if o.err != nil || n[study.Failed] == 0 || n[study.Done] == 0 || n[study.Failed]+n[study.Done] != len(o.trials) || o.count(study.TrialLost) > 0 {
		t.Fatalf("%v, %v", o.err, n)
	}
	for _, tr := range o.trials {
		if tr.State == study.Failed && (tr.Reason != failure || tr.Error != study.ChanceError(tinydata.Classes, 1)) {
			t.Errorf("trial %s: %q, error %v", tr.ID, tr.Reason, tr.Error)
		}
	}
}

func (s suite) killedOnce(t *testing.T) {
	undisturbed := newFixture(t)
	s.run(t, undisturbed, t.Context(), 2, works, nil)
	f := newFixture(t)
	o := s.run(t, f, t.Context(), 2, killedOnce, nil)
	if o.err != nil || o.states()[study.Done] != len(o.trials) {
		t.Fatalf("%v, %v", o.err, o.states())
	}
	if lost, done := o.count(study.TrialLost), o.count(study.TrialDone); lost != done {
		t.Errorf("%d attempts were lost; want one for each of %d trials", lost, done)
	}
	for _, e := range o.events {
		if e.Kind == study.TrialLost && !strings.Contains(e.Reason, "killed") {
			t.Errorf("lost for %q; want a reason that says killed", e.Reason)
		}
		// The first attempt left two epochs behind it.
		if e.Kind == study.TrialEpoch && e.Task.Attempt == 2 && e.Epoch.Epoch <= 2 {
			t.Errorf("trial %s began anew", e.Task.ID)
		}
	}
	same(t, f, undisturbed)
}

// same checks that two studies of the same networks have the same results.
func same(t *testing.T, a, b fixture) {
	t.Helper()
	if got, want := a.export(t), b.export(t); got != want {
		t.Errorf("the study has\n%s\nnot\n%s", got, want)
	}
}

func (s suite) alwaysDies(t *testing.T) {
	for behaviour, want := range map[string]struct {
		reason string
		cause  trial.Cause
	}{killed: {"killed", trial.Killed}, panics: {failure, trial.Crashed}} {
		f := newFixture(t)
		o := s.run(t, f, t.Context(), 2, behaviour, nil)
		if o.err != nil || o.states()[study.Failed] != len(o.trials) {
			t.Errorf("%s: %v, %v", behaviour, o.err, o.states())
		}
		for _, tr := range o.trials {
			if !strings.Contains(tr.Reason, want.reason) || !strings.Contains(tr.Reason, "attempt 3 of 3") || tr.Cause != want.cause {
				t.Errorf("%s: failed for %+v", behaviour, tr.Death)
			}
			if behaviour == panics && !strings.Contains(tr.Log, failure) {
				t.Errorf("the last lines of a worker that died are not kept: %+v", tr.Death)
			}
		}
		if failed := o.count(study.TrialFailed); o.count(study.TrialLost) != 2*failed {
			t.Errorf("%s: %d lost, %d failed; want two lost for each failed", behaviour, o.count(study.TrialLost), failed)
		}
		// Who was merely killed is tried again, who died of itself is not.
		again := s.run(t, f, t.Context(), 2, works, nil)
		if want := map[bool]study.State{true: study.Done, false: study.Failed}[behaviour == killed]; again.err != nil || again.states()[want] != len(o.trials) {
			t.Errorf("%s, and run again: %v, %v; want all %s", behaviour, again.err, again.states(), want)
		}
	}
}

// Workers that do not get as far as a step, whatever they are given, are the machine's fault.
func (s suite) unfit(t *testing.T) {
	for _, behaviour := range []string{deaf, early} {
		f := newFixture(t)
		for range 2 { // and that again does not add up
			o := s.run(t, f, t.Context(), 2, behaviour, nil)
			var machine *study.MachineError
			if n := o.states(); !errors.As(o.err, &machine) || n[study.Failed]+n[study.Done] > 0 {
				t.Fatalf("%s: %v, %v", behaviour, o.err, n)
			}
		}
		if o := s.run(t, f, t.Context(), 2, works, nil); o.err != nil || o.states()[study.Done] != len(o.trials) {
			t.Fatalf("%s: afterwards: %v, %v", behaviour, o.err, o.states())
		}
	}
}

// One network that never gets as far as a step, among others that do, is that network's fault.
func (s suite) oneUnfit(t *testing.T) {
	f := newFixture(t)
	o := s.run(t, f, t.Context(), 1, firstEarly, nil)
	if n := o.states(); o.err != nil || n[study.Failed] != 1 || n[study.Done] != len(o.trials)-1 {
		t.Fatalf("%v, %v", o.err, n)
	}
}

// A worker that hangs or is stopped is ended, and its trial tried again.
func (s suite) stopped(t *testing.T) {
	undisturbed := newFixture(t)
	s.run(t, undisturbed, t.Context(), 2, works, nil)
	f := newFixture(t)
	o := s.run(t, f, t.Context(), 2, stoppedOnce, nil)
	if o.err != nil || o.states()[study.Done] != len(o.trials) || o.count(study.TrialLost) == 0 {
		t.Fatalf("%v, %v, %d lost", o.err, o.states(), o.count(study.TrialLost))
	}
	for _, e := range o.events {
		if e.Kind == study.TrialLost && e.Cause != trial.Stalled {
			t.Errorf("lost for %+v", e.Death)
		}
	}
	same(t, f, undisturbed)
}

// What takes longer than the study allows has failed.
func (s suite) limits(t *testing.T) {
	for text, cause := range map[string]trial.Cause{"trial_timeout: 1s": trial.TimedOut, "stall_timeout: 1s, retries: 0": trial.Stalled} {
		f := newFixture(t)
		f.add(t, strings.ReplaceAll(text, ", ", "\n"))
		o := s.run(t, f, t.Context(), 6, hangs, nil)
		if n := o.states(); o.err != nil || n[study.Failed] != len(o.trials) {
			t.Fatalf("%s: %v, %v", text, o.err, n)
		}
		for _, tr := range o.trials {
			if tr.Cause != cause {
				t.Errorf("%s: failed for %+v", text, tr.Death)
			}
		}
	}
}

func (s suite) garbage(t *testing.T) {
	undisturbed := newFixture(t)
	s.run(t, undisturbed, t.Context(), 2, works, nil)
	f := newFixture(t)
	if o := s.run(t, f, t.Context(), 2, garbage, nil); o.err != nil || o.count(study.TrialLost) > 0 {
		t.Fatalf("%v, %d lost", o.err, o.count(study.TrialLost))
	}
	same(t, f, undisturbed)
}

func (s suite) mute(t *testing.T) {
	f := newFixture(t)
	o := s.run(t, f, t.Context(), 2, mute, nil)
	if o.err != nil || o.states()[study.Done] != len(o.trials) || o.count(study.TrialLost) > 0 {
		t.Fatalf("%v, %v, %d lost", o.err, o.states(), o.count(study.TrialLost))
	}
	if o.count(study.TrialDone) == 0 {
		t.Error("nobody was told that trials are done")
	}
}

func (s suite) broken(t *testing.T) {
	f := newFixture(t)
	o := s.run(t, f, t.Context(), 2, broken, nil)
	if o.err == nil || !strings.Contains(o.err.Error(), failure) || errors.Is(o.err, context.Canceled) {
		t.Fatalf("error %v; want %q", o.err, failure)
	}
	if n := o.states(); n[study.Failed] > 0 || n[study.Done] > 0 {
		t.Fatalf("%v", n)
	}
	if o := s.run(t, f, t.Context(), 2, works, nil); o.err != nil || o.states()[study.Done] != len(o.trials) {
		t.Fatalf("afterwards: %v, %v", o.err, o.states())
	}
}

func (s suite) cancel(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	epochs := map[string]int{}
	o := s.run(t, f, ctx, 2, slow, func(e study.Event) {
		if e.Kind == study.TrialEpoch {
			if epochs[e.Task.ID] = e.Epoch.Epoch; len(epochs) == 2 {
				cancel()
			}
		}
	})
	if !errors.Is(o.err, context.Canceled) || o.states()[study.Done]+o.states()[study.Failed] > 0 || o.count(study.TrialLost) > 0 {
		t.Fatalf("%v, %v, %d lost", o.err, o.states(), o.count(study.TrialLost))
	}
	o = s.run(t, f, t.Context(), 2, works, func(e study.Event) {
		if e.Kind == study.TrialEpoch && e.Epoch.Epoch <= epochs[e.Task.ID] {
			t.Errorf("trial %s began anew", e.Task.ID)
		}
	})
	if o.err != nil || o.states()[study.Done] != len(o.trials) {
		t.Fatalf("%v, %v", o.err, o.states())
	}
	undisturbed := newFixture(t)
	s.run(t, undisturbed, t.Context(), 2, works, nil)
	same(t, f, undisturbed)
	// Cancelled before it begins, it begins nothing.
	f = newFixture(t)
	if o = s.run(t, f, ctx, 2, works, nil); !errors.Is(o.err, context.Canceled) || len(o.events) > 0 {
		t.Fatalf("%v, %d events", o.err, len(o.events))
	}
}

func (s suite) stubborn(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o := s.run(t, f, ctx, 1, stubborn, func(study.Event) { cancel() })
	if !errors.Is(o.err, context.Canceled) || o.states()[study.Failed] > 0 || o.count(study.TrialLost) > 0 {
		t.Fatalf("%v, %v, %d lost", o.err, o.states(), o.count(study.TrialLost))
	}
}

func (s suite) nothing(t *testing.T) {
	f := newFixture(t)
	s.run(t, f, t.Context(), 2, works, nil)
	if o := s.run(t, f, t.Context(), 2, works, nil); o.err != nil || len(o.events) > 0 {
		t.Fatalf("%v, %d events", o.err, len(o.events))
	}
}
