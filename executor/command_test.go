//go:build linux

package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netspace/engine"
	"netspace/engine/pytorch"
	"netspace/executor"
	"netspace/study"
	"netspace/trial"
)

// asTrainer is a program of a user's, which counts epochs. It dies once, at the beginning of each trial's third epoch, if it is told to.
func asTrainer() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var task struct {
		Seed        uint64
		Checkpoints string
		Recipe      struct{ Epochs int }
	}
	if err := json.NewDecoder(os.Stdin).Decode(&task); err != nil || os.Getenv("NETSPACE_SLOT") == "" {
		fmt.Fprintln(os.Stderr, "no task: ", err)
		return 2
	}
	file := filepath.Join(task.Checkpoints, "epochs")
	text, _ := os.ReadFile(file)
	done, _ := strconv.Atoi(string(text))
	value := 0.0
	for e := 1; e <= task.Recipe.Epochs; e++ {
		if value = float64(task.Seed%1000)/20 + 10/float64(e); e <= done {
			continue
		}
		if mark := filepath.Join(os.Getenv("NETSPACE_TEST_MARKS"), fmt.Sprint(task.Seed)); e == 3 && os.Getenv("NETSPACE_TEST_MARKS") != "" && os.Mkdir(mark, 0o755) == nil {
			fmt.Fprintln(os.Stderr, "Segmentation fault")
			return 139
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return 75
		}
		if os.WriteFile(file, []byte(strconv.Itoa(e)), 0o644) != nil {
			return 1
		}
		fmt.Printf("{\"event\":\"epoch\",\"epoch\":%d,\"train_loss\":%v,\"val_error\":%v}\n", e, value, value)
	}
	fmt.Printf("{\"event\":\"result\",\"error\":%v}\n", value)
	return 0
}

// A program of a user's trains a study: it may die, and is ended with the run and gone on with, to the same results.
func TestStudyWithAProgramAsTrainer(t *testing.T) {
	c := newChaos(t)
	text, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.file, fmt.Appendf(text, "trainer: {command: [%q, as-trainer]}\n", os.Args[0]), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, dir string, see func(study.Event)) error {
		r, err := study.Start(t.Context(), study.Request{File: c.file, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		return r.Execute(ctx, executor.Local{Workers: 3}, see)
	}
	quiet := filepath.Join(c.base, "quiet")
	if err := run(t.Context(), quiet, nil); err != nil {
		t.Fatal(err)
	}
	want := c.export(t, quiet)

	marks := filepath.Join(c.base, "marks")
	if err := os.Mkdir(marks, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NETSPACE_TEST_MARKS", marks)
	dir := filepath.Join(c.base, "study")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lost, done := 0, 0
	see := func(e study.Event) {
		switch e.Kind {
		case study.TrialLost:
			if lost++; e.Cause != trial.Crashed || !strings.Contains(e.Log, "Segmentation fault") {
				t.Errorf("lost for %+v", e.Death)
			}
		case study.TrialDone:
			done++
		case study.TrialEpoch:
			if done >= 5 {
				cancel()
			}
		}
	}
	if err := run(ctx, dir, see); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := run(t.Context(), dir, see); err != nil {
		t.Fatal(err)
	}
	if got := c.export(t, dir); got != want {
		t.Fatal(cmp.Diff(want, got))
	}
	if lost == 0 {
		t.Error("no program died")
	}
	// Another program would give other results.
	if err := os.WriteFile(c.file, append(text, "trainer: {command: [python3, other.py]}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	var changed *study.ChangedError
	if _, err := study.Start(t.Context(), study.Request{File: c.file, Dir: dir, Trainer: counter{}}); !errors.As(err, &changed) || !strings.Contains(err.Error(), "trainer.command") {
		t.Errorf("another trainer: %v", err)
	}
}

// PyTorch trains a study, which is killed, interrupted and goes on to the same results.
func TestStudyWithPyTorch(t *testing.T) {
	var lacking *engine.ErrUnavailable
	if _, err := pytorch.Open(pytorch.Config{Device: engine.CPU}); errors.As(err, &lacking) {
		t.Skip(lacking)
	}
	c := newChaos(t)
	text, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`samples: \d+`).ReplaceAll(text, []byte("samples: 3"))
	if err := os.WriteFile(c.file, append(text, "trainer: {pytorch: {device: cpu}}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, dir string, see func(study.Event)) error {
		r, err := study.Start(t.Context(), study.Request{File: c.file, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		return r.Execute(ctx, executor.Local{Workers: 1}, see)
	}
	quiet, dir := filepath.Join(c.base, "quiet"), filepath.Join(c.base, "study")
	if err := run(t.Context(), quiet, nil); err != nil {
		t.Fatal(err)
	}
	// A worker is killed while PyTorch computes for it: PyTorch goes with it, and the trial goes on.
	python, lost := 0, 0
	killed := filepath.Join(c.base, "killed")
	if err := run(t.Context(), killed, func(e study.Event) {
		switch {
		case e.Kind == study.TrialLost:
			lost++
		case e.Kind == study.TrialEpoch && python == 0:
			for _, worker := range workers(os.Getpid()) {
				for _, python = range workers(worker) {
					_ = syscall.Kill(worker, syscall.SIGKILL)
				}
			}
		}
	}); err != nil || python == 0 || lost != 1 {
		t.Fatalf("%v; process %d, %d attempts lost", err, python, lost)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if words, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", python)); len(words) == 0 { // it is gone, or a zombie
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("PyTorch, process %d, outlives its worker", python)
		}
	}
	if want, got := c.export(t, quiet), c.export(t, killed); got != want {
		t.Error(cmp.Diff(want, got))
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := 0
	err = run(ctx, dir, func(e study.Event) {
		if e.Kind == study.TrialDone {
			done++
		}
		if e.Kind == study.TrialEpoch && done >= 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := run(t.Context(), dir, func(e study.Event) {
		if e.Kind == study.TrialFailed || e.Kind == study.TrialLost {
			t.Errorf("%s: %+v", e.Kind, e.Death)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if want, got := c.export(t, quiet), c.export(t, dir); got != want {
		t.Fatal(cmp.Diff(want, got))
	}
	if s, err := study.Open(t.Context(), dir); err != nil || len(s.Provenance().Makers) != 1 || s.Provenance().Makers[0].Engine.Name != pytorch.Name {
		t.Errorf("made by %+v, %v", s, err)
	}
	// Another precision would give other results; where Python is does not matter.
	for trainer, want := range map[string]string{"{pytorch: {device: cpu, precision: bf16}}": "trainer.pytorch.precision", "{pytorch: {device: cpu, precision: auto, per_device: 4}}": ""} {
		if err := os.WriteFile(c.file, append(text, "trainer: "+trainer+"\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := study.Start(t.Context(), study.Request{File: c.file, Dir: dir, Trainer: counter{}})
		if want == "" && err == nil {
			r.Close()
		} else if want == "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("trainer %s: %v, want %q", trainer, err, want)
		}
	}
}
