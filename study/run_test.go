package study

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestResultsDoNotDependOnWorkers(t *testing.T) {
	want := results(t) // of one worker
	many := newTinyStudy(t)
	many.run(t, 3)
	if diff := cmp.Diff(want, many.export(t)); diff != "" {
		t.Fatalf("1 worker and 3 workers differ:\n%s", diff)
	}
	for _, trial := range many.trials(t) {
		if trial.State != Done || len(trial.Epochs) != 3 || !trial.Epochs[2].Evaluated || trial.Epochs[2].ValError != trial.Error {
			t.Fatalf("trial %+v", trial)
		}
		if trial.Error <= 0 || trial.Error >= 75 {
			t.Errorf("error %v of 4 classes that can be told apart; want below chance", trial.Error)
		}
	}
	left, err := os.ReadDir(filepath.Join(many.dir, checkpointDir))
	if err != nil || len(left) > 0 {
		t.Fatalf("checkpoints left behind: %v, %v", left, err)
	}
}

func TestRunningTwiceTrainsNothingTwice(t *testing.T) {
	s, want := finishedStudy(t)
	// What a crash may leave of a trial that is done.
	id := s.trials(t)[0].ID
	for _, name := range []string{id, id + ".done"} {
		write(t, filepath.Join(s.dir, checkpointDir, name, "checkpoint"), "")
	}
	if events := s.run(t, 2); len(events) > 0 {
		t.Fatalf("the second run did something: %+v", events)
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, checkpointDir)); err != nil || len(left) > 0 {
		t.Fatalf("checkpoints left behind: %v, %v", left, err)
	}
	if got := s.export(t); got != want {
		t.Fatal(cmp.Diff(want, got))
	}
}

func TestRaisingSamplesTrainsOnlyTheNewOnes(t *testing.T) {
	s, before := finishedStudy(t)
	old := len(s.trials(t))
	s.edit(t, "samples: 3", "samples: 5")
	s.edit(t, "spaces: [anynetx-a, regnetx]", "spaces: [anynetx-a, regnetx, anynetx-e]")
	s.edit(t, "name: tiny", "name: larger")
	events := s.run(t, 2)
	trials := s.trials(t)
	distinct := map[string]bool{}
	for _, tr := range trials {
		distinct[tr.ID] = true
		if tr.State != Done {
			t.Fatalf("trial %+v", tr)
		}
	}
	if len(trials) != 15 || count(events, TrialStarted) > len(distinct)-old {
		t.Fatalf("%d trials, %d of them distinct, %d were there, %d started", len(trials), len(distinct), old, count(events, TrialStarted))
	}
	// Back to the first samples: the same results as before.
	s.edit(t, "samples: 5", "samples: 3")
	s.edit(t, ", anynetx-e]", "]")
	s.edit(t, "name: larger", "name: tiny")
	if events := s.run(t, 2); len(events) > 0 {
		t.Fatalf("lowering samples trained something: %+v", events)
	}
	if got := s.export(t); got != before {
		t.Fatal(cmp.Diff(before, got))
	}
}

func TestChangedSettingsAreRefused(t *testing.T) {
	s, _ := finishedStudy(t)
	before := snapshot(t, s.dir)
	for _, c := range []struct{ old, new, want string }{
		{"epochs: 3", "epochs: 4", "recipe.epochs: 4, was 3"},
		{"seed: 7", "seed: 8", "seed: 8, was 7"},
		{"10K..30K", "10K..31K", `regime.flops: "10K..31K", was "10K..30K"`},
		{"stages: 2", "stages: 3", "network.stages: 3, was 2"},
		{"train: 96", "train: 80", "data.train: 80 images, were 96"},
	} {
		s.edit(t, c.old, c.new)
		_, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference"})
		var changed *ChangedError
		var request *RequestError
		if !errors.As(err, &changed) || !errors.As(err, &request) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want one that says %q", c.new, err, c.want)
		}
		s.edit(t, c.new, c.old)
	}
	// Other images under the same name.
	writeImages(t, s.data, 161)
	if _, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference"}); err == nil || !strings.Contains(err.Error(), "images") {
		t.Errorf("other images: error %v", err)
	}
	if diff := cmp.Diff(before, snapshot(t, s.dir)); diff != "" {
		t.Errorf("a refused run changed the folder:\n%s", diff)
	}
}

// The advice of a *CorruptionError works for every line: delete it, run again.
func TestDeletedLinesAreMadeUpFor(t *testing.T) {
	s, want := finishedStudy(t)
	files, err := journalFiles(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for _, kind := range []string{`"study":`, `"trial":{`, `"done":`} {
		var lines []string // of this kind, with its file
		var at []string
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if strings.Contains(line, kind) {
					lines, at = append(lines, line), append(at, file)
				}
			}
		}
		if len(lines) == 0 {
			t.Fatalf("no record %s", kind)
		}
		i := rng.IntN(len(lines))
		text, err := os.ReadFile(at[i])
		if err != nil {
			t.Fatal(err)
		}
		write(t, at[i], strings.Replace(string(text), lines[i], "", 1))
		if _, err := Open(s.dir); (err != nil) != (kind == `"study":`) {
			t.Errorf("opened without %s: %v", kind, err)
		}
		s.run(t, 1)
		if got := s.export(t); got != want {
			t.Fatalf("without one %s:\n%s", kind, cmp.Diff(want, got))
		}
	}
}

func TestMovedImagesAreTheSame(t *testing.T) {
	s, want := finishedStudy(t)
	if err := os.Rename(s.data, s.data+"2"); err != nil {
		t.Fatal(err)
	}
	s.edit(t, s.data, s.data+"2")
	if events := s.run(t, 2); len(events) > 0 || s.export(t) != want {
		t.Fatalf("moving the images trained something: %+v", events)
	}
}

func TestWrongRequestWritesNothing(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"10K..30K", "10K..30K, rules: [\"depth <= 0\"]", "depth <= 0"},
		{"batch: 16", "batch: 97", "batch"},
		{"name: ", "nome: ", "did you mean name?"},
		{"spaces: [anynetx-a", "spaces: [anynetx-q", "anynetx-a"},
		{"/images", "/pictures", "pictures"},
	} {
		s := newTinyStudy(t)
		s.edit(t, c.old, c.new)
		_, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference"})
		var request *RequestError
		if !errors.As(err, &request) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want one of the request that says %q", c.new, err, c.want)
		}
		if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the study folder was made: %v", c.new, err)
		}
	}
}

// A space may draw parts of the recipe and the resolution: each trial is trained with its own.
func TestSpaceThatDrawsTheRecipe(t *testing.T) {
	s := newTinyStudy(t)
	file := filepath.Join(filepath.Dir(s.file), "lr.yaml")
	write(t, file, `name: lr-sweep
base: regnetx
parameters:
  recipe.lr: {log-uniform: 0.01..0.1}
  resolution: {values: [8, 12]}
`)
	s.edit(t, "[anynetx-a, regnetx]", "["+file+"]")
	r := s.start(t)
	for _, task := range r.Pending() {
		if task.Recipe.LR == 0.05 || fmt.Sprint(task.Spec.Recipe["lr"]) != fmt.Sprint(task.Recipe.LR) || task.Recipe.Epochs != 3 {
			t.Errorf("recipe %+v for spec %v", task.Recipe, task.Spec.Recipe)
		}
	}
	r.Close()
	if events := s.run(t, 2); count(events, TrialDone) != 3 {
		t.Fatalf("%+v", events)
	}
	st, err := Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := st.Export(&out, ExportOptions{Format: CSV}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	resolution, lr := slices.Index(rows[0], "resolution"), slices.Index(rows[0], "recipe.lr")
	for i, trial := range s.trials(t) {
		if row := rows[i+1]; row[resolution] != strconv.Itoa(trial.Spec.Resolution) || row[lr] != fmt.Sprint(trial.Spec.Recipe["lr"]) {
			t.Errorf("%v of %+v", row, trial.Spec)
		}
	}
}

// snapshot gives the content of every file below a folder.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A worker that is killed costs its attempt and nothing else.
func TestKilledWorkers(t *testing.T) {
	want := results(t)
	s := newTinyStudy(t)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	r := s.start(t)
	defer r.Close()
	killed := map[string]int{}
	lost := 0
	err := r.Execute(t.Context(), testWorkers(t, 2), func(e Event) {
		switch {
		case e.Kind == TrialLost:
			lost++
			if !strings.Contains(e.Reason, "killed") {
				t.Errorf("reason %q; want one that says killed", e.Reason)
			}
		case e.Kind == TrialFailed:
			t.Errorf("%+v", e)
		case killed[e.Task.Trial] < maxAttempts-1 && rng.IntN(3) == 0:
			// The journal of the worker says which process it is.
			if killWorkerOf(t, s.dir, e.Task.Trial) {
				killed[e.Task.Trial]++
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.export(t); got != want {
		t.Fatalf("%d workers were killed:\n%s", lost, cmp.Diff(want, got))
	}
	if len(killed) > 0 && lost == 0 {
		t.Errorf("killed %v, nothing lost", killed)
	}
}

// killWorkerOf kills the process that is at a trial, by what the journals say.
func killWorkerOf(t *testing.T, dir, trial string) bool {
	t.Helper()
	files, err := journalFiles(dir)
	if err != nil {
		t.Error(err)
	}
	for _, file := range files {
		last := startRecord{}
		_, err := readJournal(file, func(r record) error {
			switch {
			case r.Start != nil:
				last = *r.Start
			case r.Done != nil, r.Failed != nil:
				last = startRecord{}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if last.Trial == trial {
			return syscall.Kill(last.PID, syscall.SIGKILL) == nil
		}
	}
	return false
}

func TestWorkerThatAlwaysCrashesFails(t *testing.T) {
	s := newTinyStudy(t)
	s.edit(t, "samples: 3", "samples: 1")
	s.edit(t, "spaces: [anynetx-a, regnetx]", "spaces: [regnetx]")
	r, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "crash"})
	if err != nil {
		t.Fatal(err)
	}
	var events []Event
	if err := r.Execute(t.Context(), testWorkers(t, 1), func(e Event) { events = append(events, e) }); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if count(events, TrialLost) != maxAttempts-1 || count(events, TrialFailed) != 1 {
		t.Fatalf("%+v", events)
	}
	trial := s.trials(t)[0]
	if trial.State != Failed || trial.Error != 75 || !strings.Contains(trial.Reason, "the engine broke") {
		t.Fatalf("%+v", trial)
	}
	// It stays failed, unless it is asked to be tried again.
	for _, retry := range []bool{false, true} {
		r, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "crash", Retry: retry})
		if err != nil {
			t.Fatal(err)
		}
		pending := r.Pending()
		r.Close()
		if retry && (len(pending) != 1 || pending[0].Attempt != maxAttempts+1 || pending[0].losses != 0) || !retry && len(pending) != 0 {
			t.Fatalf("retry %v: pending %+v", retry, pending)
		}
	}
}

func TestDivergedTrialStaysInItsPopulation(t *testing.T) {
	s := newTinyStudy(t)
	s.edit(t, "lr: 0.05", "lr: 1000")
	s.edit(t, "epochs: 3", "epochs: 3, momentum: 0.99, label_smoothing: 0.1, weight_decay: 1")
	events := s.run(t, 2)
	failed := 0
	trials := s.trials(t)
	for _, tr := range trials {
		switch tr.State {
		case Failed:
			failed++
			if tr.Error != 75 || !strings.Contains(tr.Reason, "diverged") {
				t.Errorf("%+v", tr)
			}
		case Done:
		default:
			t.Errorf("state %s", tr.State)
		}
	}
	if failed == 0 || len(trials) != 6 || failed != count(events, TrialFailed) || count(events, TrialLost) > 0 {
		t.Fatalf("%d of %d failed, %d events", failed, len(trials), count(events, TrialFailed))
	}
}

// The parent as a process of its own, so that it can be killed.
func TestKilledParentLosesNothing(t *testing.T) {
	want := results(t)
	s := newTinyStudy(t)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	kills := 0
	for round := 0; ; round++ {
		if round == 40 {
			t.Fatal("the study does not end")
		}
		done := doneTrials(t, s)
		cmd := exec.Command(os.Args[0], s.file, s.dir)
		cmd.Env = append(os.Environ(), "NETSPACE_TEST=parent")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the parent ended with %v", err)
			}
			if got := s.export(t); got != want {
				t.Fatalf("after %d kills:\n%s", kills, cmp.Diff(want, got))
			}
			if kills < 2 {
				t.Errorf("the parent was killed %d times; want more to learn something", kills)
			}
			t.Logf("%d kills", kills)
			return
		case <-time.After(moment(rng, round)):
			_ = cmd.Process.Kill()
			<-ended
			kills++
		}
		// The workers see that their parent is gone, and go too.
		killed := time.Now()
		for busy := "x"; busy != ""; time.Sleep(5 * time.Millisecond) {
			var err error
			if busy, err = busyJournal(s.dir); err != nil {
				t.Fatal(err)
			}
			if time.Since(killed) > patience {
				t.Fatalf("%s is still written %v after the parent was killed", busy, patience)
			}
		}
		for id := range done {
			if !doneTrials(t, s)[id] {
				t.Fatalf("trial %s was done before the kill and is not after it", id)
			}
		}
	}
}

// patience is how long a machine that does other things may take for what
// usually takes a second.
const patience = 20 * time.Second

// moment is a random time to disturb a study after its start, the later the more
// often it was disturbed: a slow machine must come to an end, too.
func moment(rng *rand.Rand, round int) time.Duration {
	return time.Duration((1 + rng.Float64()) * math.Pow(1.25, float64(round)) * float64(30*time.Millisecond))
}

func doneTrials(t *testing.T, s tinyStudy) map[string]bool {
	t.Helper()
	h, err := readHistory(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	done := map[string]bool{}
	for id, o := range h.outcomes {
		if o.done != nil {
			done[id] = true
		}
	}
	return done
}

func TestInterruptStopsAtOnceAndContinues(t *testing.T) {
	want := results(t)
	s := newTinyStudy(t)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	fastest := patience // what an overloaded machine adds is not what this is about
	for round := 0; ; round++ {
		if round == 40 {
			t.Fatal("the study does not end")
		}
		r := s.start(t)
		ctx, cancel := context.WithCancel(t.Context())
		var asked time.Time
		time.AfterFunc(moment(rng, round), func() { asked = time.Now(); cancel() })
		err := r.Execute(ctx, testWorkers(t, 2), nil)
		took := time.Since(asked)
		cancel()
		r.Close()
		if err == nil {
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		fastest = min(fastest, took)
	}
	if fastest > 2*time.Second {
		t.Errorf("the fastest stop took %v; want at most 2 s", fastest)
	}
	if got := s.export(t); got != want {
		t.Fatal(cmp.Diff(want, got))
	}
	for _, o := range mustHistory(t, s.dir).outcomes {
		if len(o.lost) > 0 {
			t.Fatalf("an interruption cost an attempt: %+v", o.lost)
		}
	}
}

// A trial that is interrupted leaves a checkpoint of its last step and goes on from there.
func TestInterruptedTrialIsNotStartedOver(t *testing.T) {
	s := newTinyStudy(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := s.start(t)
	trial, share := "", 0.0
	err := r.Execute(ctx, testWorkers(t, 1), func(e Event) {
		if e.Kind == TrialProgress && e.Share > share {
			trial, share = e.Task.Trial, e.Share
			cancel()
		}
	})
	r.Close()
	if !errors.Is(err, context.Canceled) || share == 0 || share >= 1.0/3 {
		t.Fatalf("error %v at %v; want an interruption within the first of three epochs", err, share)
	}
	first := -1.0
	for _, e := range s.run(t, 1) {
		if e.Task.Trial == trial && (e.Kind == TrialProgress || e.Kind == TrialEpoch) && first < 0 {
			first = e.Share
		}
	}
	if first <= share {
		t.Fatalf("the trial was at %.2f of its training when it was interrupted and went on at %.2f", share, first)
	}
}

func mustHistory(t *testing.T, dir string) *history {
	t.Helper()
	h, err := readHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSecondRunOfAFolderIsRefused(t *testing.T) {
	s := newTinyStudy(t)
	r := s.start(t)
	defer r.Close()
	_, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference"})
	if err == nil || !strings.Contains(err.Error(), "another netspace runs the study") {
		t.Fatalf("error %v", err)
	}
}

// A trial whose worker died must not be shown as running for ever.
func TestStateOfALostTrial(t *testing.T) {
	s := newTinyStudy(t)
	r := s.start(t)
	task, _ := r.Next()
	j, err := openFreeJournal(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.append(false, record{Start: &startRecord{Trial: task.Trial, Attempt: 1}}); err != nil {
		t.Fatal(err)
	}
	states := func() (running int) {
		for _, tr := range s.trials(t) {
			if tr.State == Running {
				running++
			}
		}
		return running
	}
	if n := states(); n != 1 {
		t.Fatalf("%d trials run; want 1", n)
	}
	j.Close()
	if n := states(); n != 0 {
		t.Fatalf("%d trials run after their worker died; want 0", n)
	}
	r.Close()
}
