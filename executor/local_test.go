package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/executor"
	"netspace/executor/executortest"
	"netspace/internal/seeded"
	"netspace/internal/tinydata"
	"netspace/study"
	"netspace/trial"
)

// The test program is also the worker process, of the suite and of a trainer that
// trains, and the parent of workers that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "as-trainer" {
		os.Exit(asTrainer())
	}
	executortest.WorkerMain()
	if os.Getenv("NETSPACE_TEST_COUNTER") != "" {
		executor.WorkerMain(counter{})
	}
	executor.WorkerMain(held{&trial.Any{Builtin: trial.Builtin{Open: func(string) (engine.Engine, error) { return reference.New(), nil }}}})
	if os.Getenv("NETSPACE_TEST_PARENT") != "" {
		if err := runParent(context.Background(), os.Args[1], os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestConformance(t *testing.T) {
	executortest.Run(t, func(slots int, env ...string) study.Executor {
		return executor.Local{Workers: slots, Env: env, Silence: 8 * time.Second}
	})
}

// runParent runs a study to its end, with two workers.
func runParent(ctx context.Context, file, dir string) error {
	r, err := study.Start(ctx, study.Request{File: file, Dir: dir})
	if err != nil {
		return err
	}
	defer r.Close()
	return r.Execute(ctx, executor.Local{Workers: 2}, nil)
}

// tinyStudy is a study of networks that the reference engine trains in a
// fraction of a second each.
type tinyStudy struct{ dir, file string }

func newTinyStudy(t *testing.T) tinyStudy {
	t.Helper()
	base := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(base, "cache"))
	images := filepath.Join(base, "images")
	tinydata.Write(t, images, 160)
	s := tinyStudy{dir: filepath.Join(base, "out"), file: filepath.Join(base, "tiny.yaml")}
	text := fmt.Sprintf(`name: tiny
data: {name: %s, train: 96, validation: 64}
network: {stem: {type: cifar, width: 4}, stages: 2}
regime: {flops: 10K..30K}
recipe: {epochs: 3, batch: 16, lr: 0.05, flip: false, pad: 1}
samples: 3
seed: 7
spaces: [anynetx-a, regnetx]
`, images)
	if err := os.WriteFile(s.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// add adds a line to the study file.
func (s tinyStudy) add(t *testing.T, line string) {
	t.Helper()
	text, err := os.ReadFile(s.file)
	if err == nil {
		err = os.WriteFile(s.file, append(text, line+"\n"...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s tinyStudy) start(t *testing.T) *study.Run {
	t.Helper()
	r, err := study.Start(t.Context(), study.Request{File: s.file, Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// export gives the study's results.
func (s tinyStudy) export(t *testing.T) string {
	t.Helper()
	st, err := study.Open(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := st.Export(t.Context(), &out, study.ExportOptions{Format: study.JSONL}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// undisturbed are the results of a tiny study that was left alone.
var undisturbed string

func results(t *testing.T) string {
	t.Helper()
	if undisturbed == "" {
		s := newTinyStudy(t)
		r := s.start(t)
		defer r.Close()
		if err := r.Execute(t.Context(), executor.Local{}, nil); err != nil {
			t.Fatal(err)
		}
		undisturbed = s.export(t)
	}
	return undisturbed
}

// started is what a worker writes when it begins.
type started struct {
	Trial string
	PID   int
}

// workers lists the processes that the journals name, the latest last.
func (s tinyStudy) workers(t *testing.T) []started {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "journal", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var all []started
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var r struct{ Start *started }
			if json.Unmarshal([]byte(line), &r) == nil && r.Start != nil {
				all = append(all, *r.Start)
			}
		}
	}
	return all
}

// A worker that is killed costs its attempt and nothing else.
func TestKilledWorkers(t *testing.T) {
	want := results(t)
	s := newTinyStudy(t)
	s.add(t, "retries: 100") // who is killed may just have gone on to the next trial
	rng := seeded.Rand(t)
	r := s.start(t)
	defer r.Close()
	killed := map[string]int{}
	lost := 0
	err := r.Execute(t.Context(), executor.Local{Workers: 2}, func(e study.Event) {
		switch {
		case e.Kind == study.TrialLost:
			lost++
			if !strings.Contains(e.Reason, "killed") {
				t.Errorf("reason %q; want one that says killed", e.Reason)
			}
		case e.Kind == study.TrialFailed:
			t.Errorf("%+v", e)
		case e.Share > 0 && killed[e.Task.ID] < 2 && rng.IntN(3) == 0:
			for _, w := range s.workers(t) { // those of earlier attempts are gone
				if w.Trial == e.Task.ID && syscall.Kill(w.PID, syscall.SIGKILL) == nil {
					killed[e.Task.ID]++
				}
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

// The parent as a process of its own, so that it can be killed.
func TestKilledParentLosesNothing(t *testing.T) {
	want := results(t)
	s := newTinyStudy(t)
	rng := seeded.Rand(t)
	kills := 0
	for round := 0; ; round++ {
		if round == 40 {
			t.Fatal("the study does not end")
		}
		done := doneTrials(t, s)
		cmd := exec.Command(os.Args[0], s.file, s.dir)
		cmd.Env = append(os.Environ(), "NETSPACE_TEST_PARENT=1")
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
		case <-time.After(moment(rng, round+6)): // once it has begun to train
			_ = cmd.Process.Kill()
			<-ended
			kills++
		}
		// The workers see that their parent is gone, and go too.
		killed := time.Now()
		for _, w := range s.workers(t) {
			for ; syscall.Kill(w.PID, 0) == nil; time.Sleep(5 * time.Millisecond) {
				if time.Since(killed) > patience {
					t.Fatalf("worker %d still runs %v after its parent was killed", w.PID, patience)
				}
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

// doneTrials are those that have a result; none before the study is planned.
func doneTrials(t *testing.T, s tinyStudy) map[string]bool {
	t.Helper()
	done := map[string]bool{}
	st, err := study.Open(t.Context(), s.dir)
	if errors.Is(err, study.ErrNoStudy) {
		return done
	}
	if err != nil {
		t.Fatal(err)
	}
	populations, err := st.Populations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range populations {
		for _, tr := range p.Trials {
			if tr.State == study.Done {
				done[tr.ID] = true
			}
		}
	}
	return done
}

func TestInterruptStopsAtOnceAndContinues(t *testing.T) {
	want := results(t)
	s := newTinyStudy(t)
	rng := seeded.Rand(t)
	fastest := patience // what an overloaded machine adds is not what this is about
	for round := 0; ; round++ {
		if round == 40 {
			t.Fatal("the study does not end")
		}
		r := s.start(t)
		ctx, cancel := context.WithCancel(t.Context())
		var asked atomic.Int64 // the run may end just before it is asked to
		time.AfterFunc(moment(rng, round), func() { asked.Store(time.Now().UnixNano()); cancel() })
		err := r.Execute(ctx, executor.Local{Workers: 2}, func(e study.Event) {
			if e.Kind == study.TrialLost {
				t.Errorf("an interruption cost an attempt: %s", e.Reason)
			}
		})
		took := time.Since(time.Unix(0, asked.Load()))
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
}
