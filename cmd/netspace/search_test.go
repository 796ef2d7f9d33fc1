package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netspace/internal/seeded"
	"netspace/internal/tinydata"
)

// The road from flags to a network with weights; the folder goes on, and what is wrong is told by flag.
func TestSearchCommand(t *testing.T) {
	images := filepath.Join(t.TempDir(), "images")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir(), "cache"))
	tinydata.Write(t, images, 160)
	dir := filepath.Join(t.TempDir(), "out")
	flags := []string{"search", "--space", "anynetx-a", "--data", images, "--flops", "..60K", "--stages", "2", "--stem", "cifar:4", "--epochs", "3", "--batch", "16", "--train-images", "96",
		"--val-images", "32", "--trainings", "8", "--finalists", "2", "--reruns", "2", "--final-epochs", "1", "--engine", "reference", "--workers", "2", "--out", dir}
	printed, said, status := netspace(t, append(flags, "--json")...)
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	var l struct {
		Event  string
		Winner struct {
			Flops    int64
			Estimate struct{ Images int }
		}
		Final struct {
			TrainImages int `json:"train_images"`
			Test        struct{ Images int }
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &l); err != nil || status != exitOK || l.Event != "search" || l.Winner.Flops > 60_000 || l.Winner.Estimate.Images != 32 ||
		l.Final.TrainImages != 160 || l.Final.Test.Images == 0 {
		t.Fatalf("status %d, %v: %+v\n%s%s", status, err, l, printed, said)
	}
	for _, name := range []string{"search.json", "search.html", "winner.yaml", "winner/weights.safetensors", "study.yaml"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "checkpoints")); err != nil || len(left) > 0 {
		t.Errorf("checkpoints of networks that were dropped are left: %v, %v", left, err)
	}
	if printed, said, status = netspace(t, "search", dir, "--engine", "reference"); status != exitOK || strings.Contains(said, "training") || !strings.Contains(printed, "netspace export") && !strings.Contains(printed, " export ") {
		t.Errorf("again: status %d: %s%s", status, printed, said)
	}
	for flag, want := range map[string]string{
		"--trainer=perl":      "must be builtin, pytorch",
		"--label-smoothing=2": "label_smoothing",
		"--trainings=2":       "--trainings: 2: must be at least twice",
		"--schedule=best":     "--schedule: best: must be",
		"--memory=much":       "--memory: much: must be a range of bytes",
		"--latency=3":         "must be a range of times",
		"--hours=1":           "--hours or --trainings",
		"--val-images=2000":   "val 2000",
		"--space=nowhere":     "nowhere",
		"--final-epochs=-1":   "--final-epochs",
		"--channels=3":        "--channels",
		"--latency-command=x": "--latency",
	} {
		if _, said, status := netspace(t, append(flags, "--out", filepath.Join(t.TempDir(), "other"), flag)...); status != exitUsage || !strings.Contains(said, want) {
			t.Errorf("%s: status %d: %s", flag, status, said)
		}
	}
	if _, said, status := netspace(t, "search", dir, "--flops", "..1K"); status != exitUsage || !strings.Contains(said, "--flops") {
		t.Errorf("status %d: %s", status, said)
	}
}

// searchFlags state a search that takes a second or two.
func searchFlags(t *testing.T, more ...string) []string {
	t.Helper()
	images := filepath.Join(t.TempDir(), "images")
	tinydata.Write(t, images, 160)
	return append([]string{"search", "--space", "anynetx-a", "--data", images, "--flops", "..60K", "--stages", "2", "--stem", "cifar:4", "--epochs", "3", "--batch", "16", "--train-images", "96",
		"--val-images", "32", "--trainings", "10", "--finalists", "2", "--reruns", "2", "--final-epochs", "2", "--workers", "2"}, more...)
}

// searchOutcome is all that a search leaves, but for times.
func searchOutcome(t *testing.T, dir string) string {
	t.Helper()
	var l map[string]any
	text, err := os.ReadFile(filepath.Join(dir, "search.json"))
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	if err != nil {
		t.Fatal(err)
	}
	final, ok := l["final"].(map[string]any)
	if !ok {
		t.Fatalf("no final training: %s", text)
	}
	delete(l, "seconds")
	delete(final, "seconds")
	if text, err = json.MarshalIndent(l, "", " "); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"winner.yaml", "winner/weights.safetensors"} {
		file, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a program need not write weights
			t.Fatal(err)
		}
		text = fmt.Appendf(text, "\n%x", file)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "checkpoints")); err != nil || len(left) > 0 {
		t.Errorf("checkpoints are left: %v, %v", left, err)
	}
	return string(text)
}

// asTrainer is a program of a user's, whose errors follow from the network and the seed. It takes a while over its epochs, and goes on where it was.
func asTrainer() int {
	var task struct {
		Seed          uint64
		Checkpoints   string
		Steps         int
		StepsPerEpoch int `json:"steps_per_epoch"`
		Final         bool
		Recipe        struct{ Epochs int }
		Network       struct{ Complexity struct{ Flops int } }
	}
	if err := json.NewDecoder(os.Stdin).Decode(&task); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	last := task.Recipe.Epochs
	if task.Steps > 0 {
		last = task.Steps / task.StepsPerEpoch
	}
	file, done := "", 0
	if task.Checkpoints != "" {
		file = filepath.Join(task.Checkpoints, "epochs")
		text, _ := os.ReadFile(file)
		done, _ = strconv.Atoi(string(text))
	}
	v := 0.0
	for e := 1; e <= last; e++ {
		// What was done is told again: who heard it may have been killed before it was kept.
		if v = 30 + float64(task.Network.Complexity.Flops%1000)/50 + float64(task.Seed%100)/50 + 10/float64(e); e > done {
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Printf("{\"event\":\"epoch\",\"epoch\":%d,\"train_loss\":2,\"train_error\":%v,\"val_loss\":2,\"val_error\":%v}\n", e, v, v)
		if file != "" && e > done && (os.WriteFile(file+".new", []byte(strconv.Itoa(e)), 0o644) != nil || os.Rename(file+".new", file) != nil) {
			return 1
		}
	}
	test := ""
	if task.Final {
		test = `,"test":{"error":40,"loss":2,"images":160}`
	}
	fmt.Printf("{\"event\":\"result\",\"error\":%v,\"loss\":2%s}\n", v, test)
	return 0
}

// A search that is killed at any instant, again and again, comes to the same end, bit for bit; with a program of the user's as the trainer, too.
func TestSearchIsKilled(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir(), "cache"))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	rng := seeded.Rand(t)
	for by, flags := range map[string][]string{
		"builtin": searchFlags(t, "--engine", "reference"),
		"program": searchFlags(t, "--trainer", fmt.Sprintf("{command: [%q, as-trainer]}", self)),
	} {
		quiet, dir := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "out") // a search is named by its folder
		began := time.Now()
		if _, said, status := netspace(t, append(flags, "--out", quiet)...); status != exitOK {
			t.Fatalf("%s: status %d: %s", by, status, said)
		}
		took := time.Since(began)
		flags = append(flags, "--out", dir)
		for range 6 {
			c := netspaceCmd(t, flags...)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(time.Duration(rng.Int64N(int64(took))), func() { _ = c.Process.Kill() })
			_ = c.Wait()
			timer.Stop()
		}
		if _, said, status := netspace(t, flags...); status != exitOK {
			t.Fatalf("%s: status %d: %s", by, status, said)
		}
		if want, got := searchOutcome(t, quiet), searchOutcome(t, dir); got != want {
			t.Errorf("%s: killed: %s", by, cmp.Diff(want, got))
		}
	}
}

// With a larger budget networks go on that were dropped, to the results of a search that had it from the beginning.
func TestSearchGoesOn(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", filepath.Join(t.TempDir(), "cache"))
	flags := searchFlags(t, "--engine", "reference")
	whole, dir := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "out")
	for _, args := range [][]string{{"--out", dir}, {"--out", dir, "--trainings", "20"}, {"--out", whole, "--trainings", "20"}} {
		if _, said, status := netspace(t, append(flags, args...)...); status != exitOK {
			t.Fatalf("%v: status %d: %s", args, status, said)
		}
	}
	var want, got struct {
		Rungs  []struct{ Networks []int }
		Winner struct {
			ID       string
			Estimate struct{ Error float64 }
		}
		Final struct{ Test struct{ Error, Loss float64 } }
	}
	for _, x := range []struct {
		dir string
		to  any
	}{{whole, &want}, {dir, &got}} {
		text, err := os.ReadFile(filepath.Join(x.dir, "search.json"))
		if err == nil {
			err = json.Unmarshal(text, x.to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !cmp.Equal(want, got) {
		t.Error(cmp.Diff(want, got))
	}
}
