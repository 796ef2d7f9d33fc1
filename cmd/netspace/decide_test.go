package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A study file that asks for a decision is trained until it is made; the same question is then answered from the folder.
func TestDecide(t *testing.T) {
	file := tinyStudyFile(t, "epochs: 2, batch: 16, lr: 0.05, flip: false, pad: 1")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	file = writeFile(t, "decide.yaml", strings.Replace(string(text), "samples: 2", "decide: {between: [anynetx-a, regnetx], max_samples: 3, delta: 20}", 1))
	dir := filepath.Join(t.TempDir(), "out")
	printed, said, status := netspace(t, "study", "run", file, "--dir", dir, "--engine", "reference", "--workers", "2")
	if status != exitOK || !strings.Contains(printed, "regnetx") || !strings.Contains(printed, "3 networks of each space were trained") {
		t.Fatalf("status %d: %s%s", status, printed, said)
	}
	again, said, status := netspace(t, "decide", dir, "--engine", "reference")
	if status != exitOK || again != printed || !strings.Contains(said, "look 1: 3 networks") || strings.Contains(said, "training") {
		t.Errorf("status %d: %s%s\nand not\n%s", status, again, said, printed)
	}
	other, said, status := netspace(t, "decide", dir, "--engine", "reference", "--json", "--between", "regnetx,anynetx-a")
	lines := strings.Split(strings.TrimSpace(other), "\n")
	var d struct {
		Event, A, B string
		Delta       float64
		Looks       []struct{ Full int }
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &d); err != nil || status != exitOK || d.Event != "decision" || d.A != "regnetx" || d.Delta != 20 || d.Looks[0].Full != 3 {
		t.Errorf("status %d, %v: %+v\n%s%s", status, err, d, other, said)
	}
	for flag, want := range map[string]string{
		"--between=regnetx":   "--between: must be two spaces",
		"--between=regnetx,x": "--between[1]: x: must be anynetx-a or regnetx",
		"--delta=-1":          "--delta: -1: must be from 0 to 100",
		"--short-epochs=2":    "below recipe.epochs",
		"--max-samples=many":  "--max-samples",
		"--futility=perhaps":  "--futility",
	} {
		if _, said, status := netspace(t, "decide", dir, "--engine", "reference", flag); status != exitUsage || !strings.Contains(said, want) {
			t.Errorf("%s: status %d: %s", flag, status, said)
		}
	}
}
