package train

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// fullRecipe has every option on that holds state or draws at random.
func fullRecipe() Recipe {
	r := testRecipe()
	r.Optimizer, r.LR = AdamW, 0.01
	r.LRUpdate, r.WarmupEpochs = PerStep, 1
	r.LabelSmoothing, r.Mixup, r.CutMix = 0.1, 0.4, 1
	r.DropPath, r.Dropout = 0.2, 0.3
	r.EMA, r.PreciseBN, r.ClipNorm, r.ZeroGamma = 0.9, 24, 1, true
	r.RandAugment, r.ColorJitter = 1, 0.3
	return r
}

func sgdRecipe() Recipe {
	r := testRecipe()
	r.Nesterov, r.EvalEvery = true, 2
	return r
}

func plainRecipe() Recipe {
	r := testRecipe()
	r.Momentum = 0
	return r
}

// outcome is all that a training leaves, to the bit.
func outcome(t *testing.T, j Job) string {
	t.Helper()
	j.Weights = filepath.Join(t.TempDir(), WeightsName)
	res := mustRun(t, j)
	weights, err := os.ReadFile(j.Weights)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%+v %x", res, weights)
}

// Stopping after any number of steps and resuming gives the same bits as not stopping.
func TestResumeAtAnyStep(t *testing.T) {
	for name, recipe := range map[string]Recipe{"all": fullRecipe(), "sgd": sgdRecipe(), "plain": plainRecipe()} {
		j := testJob(t, recipe)
		want := outcome(t, j)
		for stop := 1; stop <= 15; stop++ {
			first := j
			first.Dir, first.MaxSteps = t.TempDir(), stop
			mustRun(t, first)
			if got, want := stateOf(t, first.Dir), fmt.Sprintf(`{"epoch":%d,"step":%d,`, stop/5, stop%5); !strings.HasPrefix(got, want) {
				t.Fatalf("after %d steps the checkpoint is of %.40s; want %s", stop, got, want)
			}
			second := first
			second.MaxSteps, second.Resume = 0, true
			if got := outcome(t, second); got != want {
				t.Errorf("%s: stopped after %d steps, the outcome differs:\n%.400s\n%.400s", name, stop, got, want)
			}
			// Once more finds it all done.
			if got := outcome(t, second); got != want {
				t.Errorf("%s: resumed when it was done, the outcome differs", name)
			}
		}
	}
}

// Cancelling anywhere — in a step, while BN statistics are computed, while
// evaluating — and resuming gives the same bits, however often it happens.
func TestCancelAnywhere(t *testing.T) {
	j := testJob(t, fullRecipe())
	want := outcome(t, j)
	events := 0
	j.Progress = func(Progress) { events++ }
	mustRun(t, j)
	for every := 1; every < events; every += 3 {
		j.Dir, j.Resume = t.TempDir(), true
		stops := 0
		for {
			ctx, cancel := context.WithCancel(context.Background())
			left, at := every, ""
			j.Progress = func(p Progress) {
				if left--; left == 0 {
					cancel()
					if p.Phase == Training && p.Finished == nil {
						at = fmt.Sprintf(`{"epoch":%d,"step":%d,`, p.Epoch-1, p.Step)
					}
				}
			}
			_, err := Run(ctx, j)
			cancel()
			if err == nil {
				break
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if got := stateOf(t, j.Dir); !strings.HasPrefix(got, at) {
				t.Fatalf("cancelled at %s, the checkpoint is of %.40s", at, got)
			}
			if stops++; stops > 3*events {
				break // an evaluation takes more events than this: it starts over each time
			}
		}
		j.Progress = nil
		if got := outcome(t, j); got != want {
			t.Fatalf("cancelled every %d events, %d times: the outcome differs\n%.300s\n%.300s", every, stops, got, want)
		}
	}
}

// A kill leaves the last checkpoint of the clock, or none.
func TestCheckpointByTheClock(t *testing.T) {
	j := testJob(t, fullRecipe())
	want := outcome(t, j)
	j.Dir, j.CheckpointEvery = t.TempDir(), 1
	saved := filepath.Join(t.TempDir(), CheckpointName)
	j.OnStep = func(s StepStats) error {
		if s.Step == 8 { // the checkpoint there is of seven or eight finished steps
			data, err := os.ReadFile(filepath.Join(j.Dir, CheckpointName))
			if err != nil {
				return err
			}
			return os.WriteFile(saved, data, 0o644)
		}
		return nil
	}
	mustRun(t, j)
	if got := stateOf(t, filepath.Dir(saved)); !strings.HasPrefix(got, `{"epoch":1,"step":3,`) {
		t.Fatalf("state %.80s; want that after 8 steps", got)
	}
	j.OnStep, j.Dir, j.Resume = nil, filepath.Dir(saved), true
	if got := outcome(t, j); got != want {
		t.Error("continued from that checkpoint, the outcome differs")
	}
}

// stateOf reads the state in the checkpoint of a folder.
func stateOf(t *testing.T, dir string) string {
	t.Helper()
	f, err := safetensors.ReadFile(filepath.Join(dir, CheckpointName))
	if err != nil {
		t.Fatal(err)
	}
	return f.Metadata[keyState]
}

// A checkpoint that cannot be written ends a training only if nobody is told.
func TestCheckpointCannotBeWritten(t *testing.T) {
	j := testJob(t, testRecipe())
	j.Dir = t.TempDir()
	want := outcome(t, j)
	gone := errors.New("")
	j.OnStep = func(s StepStats) error {
		if s.Step == 0 { // a folder where the checkpoint's file belongs
			return os.Mkdir(filepath.Join(j.Dir, CheckpointName), 0o755)
		}
		return nil
	}
	if err := os.RemoveAll(j.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), j); err == nil || !strings.Contains(err.Error(), "checkpoint") {
		t.Errorf("error %v; want one of the checkpoint", err)
	}
	if err := os.RemoveAll(j.Dir); err != nil {
		t.Fatal(err)
	}
	warned := 0
	j.Warn = func(err error) { warned++; gone = err }
	if got := outcome(t, j); got != want || warned != 4 { // three epochs, and once more at the end
		t.Errorf("%d warnings, the last %v; the outcome is the same: %v", warned, gone, got == want)
	}
}

func checkpointOf(t *testing.T, j Job) (path string, data []byte) {
	t.Helper()
	j.MaxSteps = 7
	mustRun(t, j)
	path = filepath.Join(j.Dir, CheckpointName)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

// A checkpoint with any damage is refused, or holds the same all the same (as
// when a letter of its header changes case where that means nothing).
func TestDamagedCheckpoint(t *testing.T) {
	j := testJob(t, fullRecipe())
	j.Dir, j.Resume = t.TempDir(), true
	path, data := checkpointOf(t, j)
	want, err := safetensors.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(damaged []byte) *CheckpointError {
		t.Helper()
		if err := os.WriteFile(path, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := newRun(j)
		if err != nil {
			t.Fatal(err)
		}
		err = r.begin()
		if err == nil {
			return nil
		}
		var bad *CheckpointError
		if !errors.As(err, &bad) {
			t.Fatalf("error %v; want a *CheckpointError", err)
		}
		return bad
	}
	for _, n := range []int{0, 7, 8, 100, len(data) / 2, len(data) - 1} {
		if err := refused(data[:n]); err == nil || !strings.Contains(err.Reason, "damaged") {
			t.Errorf("cut to %d of %d bytes: %v", n, len(data), err)
		}
	}
	if err := refused(append(bytes.Clone(data), 0)); err == nil {
		t.Error("a byte too many was taken")
	}
	for at := 0; at < len(data); at += 1 + len(data)/300 {
		damaged := bytes.Clone(data)
		damaged[at] ^= 1 << (at % 8)
		if err := refused(damaged); err == nil {
			got, err := safetensors.Parse(damaged)
			if err != nil || checksum(got) != checksum(want) {
				t.Errorf("bit %d of byte %d changed and was taken", at%8, at)
			}
		}
	}
	if err := refused(data); err != nil {
		t.Errorf("undamaged: %v", err)
	}
}

func TestForeignCheckpoint(t *testing.T) {
	j := testJob(t, testRecipe())
	j.Dir, j.Resume = t.TempDir(), true
	path, data := checkpointOf(t, j)
	for want, change := range map[string]func(*Job){
		"its recipe is":  func(j *Job) { j.Recipe.LR = 0.2 },
		"its seed is 5":  func(j *Job) { j.Seed = 6 },
		"its network is": func(j *Job) { r := j.Recipe; r.DropPath = 0.1; j.Graph = testNet(t, r) },
		"its data is":    func(j *Job) { j.Data.Train = madeUp(40, 9) },
		"its engine is":  func(j *Job) { j.Engine = renamed{reference.New()} },
		"its init is":    func(j *Job) { j.Init = weights.Initial(j.Graph, 9, false) },
	} {
		other := j
		data := *j.Data
		other.Data = &data
		change(&other)
		_, err := Run(context.Background(), other)
		var bad *CheckpointError
		if !errors.As(err, &bad) || !strings.Contains(bad.Reason, want) || bad.Path != path {
			t.Errorf("error %v; want one with %q", err, want)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
		t.Error("a refused checkpoint was changed")
	}
	if err := safetensors.WriteFile(path, weights.Initial(j.Graph, 1, false)); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), j); err == nil || !strings.Contains(err.Error(), "not a checkpoint") {
		t.Errorf("plain weights: error %v", err)
	}
}

type renamed struct{ engine.Engine }

func (renamed) Describe() engine.Description { return engine.Description{Name: "other"} }

// The weights within a checkpoint can be used as weights.
func TestCheckpointAsWeights(t *testing.T) {
	j := testJob(t, fullRecipe())
	j.Dir = t.TempDir()
	_, data := checkpointOf(t, j)
	f, err := safetensors.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	p, err := reference.New().Compile(j.Graph, engine.Options{Batch: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := weights.Load(p, j.Graph, f); err != nil {
		t.Error(err)
	}
}

func TestSessionFiles(t *testing.T) {
	dir := t.TempDir()
	check := func(want bool, when string) {
		t.Helper()
		if got, err := Unfinished(dir); err != nil || got != want {
			t.Errorf("%s: unfinished %v, %v; want %v", when, got, err, want)
		}
	}
	check(false, "at first")
	j := testJob(t, testRecipe())
	j.Dir = dir
	res := mustRun(t, j)
	check(true, "with a checkpoint")
	if err := WriteResult(dir, res, res.Epochs); err != nil {
		t.Fatal(err)
	}
	check(false, "with a result")
	// A training that begins anew leaves nothing of the one before in place, from its start.
	j.MaxSteps = 1
	j.OnStep = func(StepStats) error {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("a new training found %v", left)
		}
		return nil
	}
	mustRun(t, j)
	check(true, "with the checkpoint of one step")
	if err := clearSession(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// TestResumeVersion1 continues a checkpoint that the first version of the
// program wrote, with a BN epsilon that only its recipe states.
func TestResumeVersion1(t *testing.T) {
	r := fullRecipe()
	r.BNEpsilon = 1e-3
	j := testJob(t, r)
	want := outcome(t, j)
	data, err := os.ReadFile("testdata/version1.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	j.Dir, j.Resume = t.TempDir(), true
	if err := os.WriteFile(filepath.Join(j.Dir, CheckpointName), data, 0o644); err != nil {
		t.Fatal(err)
	}
	resumed := 0
	j.OnStep = func(s StepStats) error { resumed++; return nil }
	got := outcome(t, j)
	if resumed != 8 {
		t.Errorf("%d steps after the 7 of the checkpoint; want 8", resumed)
	}
	if got != want && runtime.GOARCH == "amd64" { // where it was written; others may fuse multiply and add
		t.Errorf("resumed, the outcome differs\n%.400s\n%.400s", got, want)
	}
}
