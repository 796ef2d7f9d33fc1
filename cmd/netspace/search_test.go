package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	if printed, said, status = netspace(t, "search", dir, "--engine", "reference"); status != exitOK || strings.Contains(said, "training") || !strings.Contains(printed, "netspace export") && !strings.Contains(printed, " export ") {
		t.Errorf("again: status %d: %s%s", status, printed, said)
	}
	for flag, want := range map[string]string{
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
