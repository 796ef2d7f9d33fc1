package study

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netspace/internal/seeded"
	"netspace/internal/tinydata"
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
	tinydata.Write(t, s.data, 161)
	if _, err := Start(t.Context(), Request{File: s.file, Dir: s.dir, Engine: "reference"}); err == nil || !strings.Contains(err.Error(), "images") {
		t.Errorf("other images: error %v", err)
	}
	if diff := cmp.Diff(before, snapshot(t, s.dir)); diff != "" {
		t.Errorf("a refused run changed the folder:\n%s", diff)
	}
}

// What the lines said that are gone is made up for by the next run.
func TestDeletedLinesAreMadeUpFor(t *testing.T) {
	s, want := finishedStudy(t)
	files, err := journalFiles(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	rng := seeded.Rand(t)
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
		if _, err := Open(t.Context(), s.dir); err != nil {
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
	for {
		task, ok, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if task.Recipe.LR == 0.05 || fmt.Sprint(task.Spec.Recipe["lr"]) != fmt.Sprint(task.Recipe.LR) || task.Recipe.Epochs != 3 {
			t.Errorf("recipe %+v for spec %v", task.Recipe, task.Spec.Recipe)
		}
	}
	r.Close()
	if events := s.run(t, 2); count(events, TrialDone) != 3 {
		t.Fatalf("%+v", events)
	}
	st, err := Open(t.Context(), s.dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := st.Export(t.Context(), &out, ExportOptions{Format: CSV}); err != nil {
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

// A trial that is interrupted leaves a checkpoint of its last step and goes on from there.
func TestInterruptedTrialIsNotStartedOver(t *testing.T) {
	s := newTinyStudy(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := s.start(t)
	trial, share := "", 0.0
	err := r.Execute(ctx, testWorkers(1), func(e Event) {
		if e.Kind == TrialProgress && e.Share > share {
			trial, share = e.Task.ID, e.Share
			cancel()
		}
	})
	r.Close()
	if !errors.Is(err, context.Canceled) || share == 0 || share >= 1.0/3 {
		t.Fatalf("error %v at %v; want an interruption within the first of three epochs", err, share)
	}
	first := -1.0
	for _, e := range s.run(t, 1) {
		if e.Task.ID == trial && (e.Kind == TrialProgress || e.Kind == TrialEpoch) && first < 0 {
			first = e.Share
		}
	}
	if first <= share {
		t.Fatalf("the trial was at %.2f of its training when it was interrupted and went on at %.2f", share, first)
	}
}
