package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"netspace/engine/engines"
)

// tinyStudyFile writes a study of two small networks per space, and its
// images, that the reference engine trains in seconds.
func tinyStudyFile(t *testing.T, recipe string) string {
	t.Helper()
	dir := t.TempDir()
	const n, side = 160, 8
	var images, labels bytes.Buffer
	for _, v := range []uint32{0x803, n, side, side} {
		binary.Write(&images, binary.BigEndian, v)
	}
	for _, v := range []uint32{0x801, n} {
		binary.Write(&labels, binary.BigEndian, v)
	}
	for i := range n {
		labels.WriteByte(byte(i % 4))
		for p := range side * side {
			images.WriteByte(byte((i*p*7 + i%4*60) % 251))
		}
	}
	for name, data := range map[string][]byte{"train-images-idx3-ubyte": images.Bytes(), "train-labels-idx1-ubyte": labels.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return writeFile(t, "tiny.yaml", fmt.Sprintf(`name: tiny
data: {name: %s, train: 96, validation: 64}
network: {stem: {type: cifar, width: 4}, stages: 2}
regime: {flops: 10K..30K}
recipe: {%s}
samples: 2
seed: 3
spaces: [anynetx-a, regnetx]
`, dir, recipe))
}

func export(t *testing.T, dir string) string {
	t.Helper()
	out, errs, status := netspace(t, "study", "export", dir)
	if status != exitOK || strings.Count(out, "\n") != 5 {
		t.Fatalf("export: status %d, %s%s", status, out, errs)
	}
	return out
}

// Ctrl-C reaches the run and its workers, stops them in under two seconds, says
// what to type, and what was typed gives the results of a run that was not interrupted.
func TestStudyInterruptAndContinue(t *testing.T) {
	file := tinyStudyFile(t, "epochs: 6, batch: 16, lr: 0.02")
	whole := filepath.Join(t.TempDir(), "whole")
	if _, errs, status := netspace(t, "study", "run", file, "--dir", whole, "--engine", "reference", "--workers", "1"); status != exitOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	var dir, said string
	var took time.Duration
	for range 3 { // a machine that is busy with other things may be late once
		dir = filepath.Join(t.TempDir(), "cut up")
		if took, said = interruptStudy(t, file, dir, syscall.SIGINT, exitInterrupted); took <= 2*time.Second {
			break
		}
	}
	if took > 2*time.Second {
		t.Errorf("stopping took %v; want at most 2 s", took)
	}
	want := "study run '" + dir + "' --workers 2 --engine reference"
	if !strings.Contains(said, want) {
		t.Fatalf("said %q; want %q", said, want)
	}
	// A scheduler ends a run in the same way, but for the status: of one that begins, and of one that goes on.
	interruptStudy(t, file, filepath.Join(t.TempDir(), "new"), syscall.SIGTERM, exitPreempted)
	interruptStudy(t, dir, "", syscall.SIGTERM, exitPreempted)
	if _, errs, status := netspace(t, "study", "run", dir, "--workers", "2", "--engine", "reference"); status != exitOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	if a, b := export(t, whole), export(t, dir); a != b {
		t.Fatalf("an interrupted study gives\n%s\nnot\n%s", b, a)
	}
}

// The exit status says who stopped a run while it sampled, too.
func TestStudyStoppedWhileSampling(t *testing.T) {
	file := tinyStudyFile(t, "epochs: 6, batch: 16, lr: 0.02")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte("samples: 2"), []byte("samples: 900000"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	for signal, want := range map[syscall.Signal]int{syscall.SIGTERM: exitPreempted, syscall.SIGINT: exitInterrupted} {
		dir := filepath.Join(t.TempDir(), "out")
		c := netspaceCmd(t, "study", "run", file, "--dir", dir, "--engine", "reference")
		errs, err := c.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for in := bufio.NewScanner(errs); in.Scan(); {
			if strings.HasPrefix(in.Text(), "sampling") {
				_ = c.Process.Signal(signal)
			}
		}
		_ = c.Wait()
		if status := c.ProcessState.ExitCode(); status != want {
			t.Errorf("%v: status %d; want %d", signal, status, want)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%v: the folder was made: %v", signal, err)
		}
	}
}

// interruptStudy starts a study or goes on with it, sends a signal to it and its workers after its first epoch, and gives
// how long it took to stop, and what it said.
func interruptStudy(t *testing.T, file, dir string, signal syscall.Signal, want int) (took time.Duration, said string) {
	t.Helper()
	args := []string{"study", "run", file, "--engine", "reference", "--workers", "2", "--json"}
	if dir != "" {
		args = append(args, "--dir", dir)
	}
	c := netspaceCmd(t, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell does it
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var asked time.Time
	for in := bufio.NewScanner(out); in.Scan(); {
		var e struct{ Event string }
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", in.Text(), err)
		}
		if e.Event == "epoch" && asked.IsZero() {
			asked = time.Now()
			if err := syscall.Kill(-c.Process.Pid, signal); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = c.Wait()
	if status := c.ProcessState.ExitCode(); status != want {
		t.Fatalf("%v: status %d, want %d: %s", signal, status, want, errs.String())
	}
	return time.Since(asked), errs.String()
}

// A study is moved to where its images lie elsewhere, gets more samples, and its page says who made what.
func TestStudyMoved(t *testing.T) {
	file := tinyStudyFile(t, "epochs: 1, batch: 16, lr: 0.02")
	base := t.TempDir()
	dir, images, moved, pictures := filepath.Join(base, "out"), filepath.Join(base, "images"), filepath.Join(base, "moved"), filepath.Join(base, "pictures")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "{name: ")
	old, _, _ := strings.Cut(rest, ",")
	if err := os.CopyFS(images, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	file = writeFile(t, "tiny.yaml", strings.Replace(string(text), old, images, 1))
	if _, errs, status := netspace(t, "study", "run", file, "--dir", dir, "--engine", "reference"); status != exitOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	for from, to := range map[string]string{dir: moved, images: pictures} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	again := filepath.Join(moved, "study.yaml")
	text, err = os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(again, bytes.Replace(text, []byte("samples: 2"), []byte("samples: 3"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, errs, status := netspace(t, "study", "run", moved, "--engine", "reference"); status != exitUsage || !strings.Contains(errs, "--data PATH") {
		t.Fatalf("status %d: %s", status, errs)
	}
	if _, errs, status := netspace(t, "study", "run", moved, "--engine", "reference", "--data", pictures); status != exitOK || strings.Contains(errs, "warning") {
		t.Fatalf("status %d: %s", status, errs)
	}
	page := filepath.Join(base, "page.html")
	if _, errs, status := netspace(t, "report", moved, "-o", page); status != exitOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if made := "by reference on cpu in fp64"; !bytes.Contains(html, []byte(made)) {
		t.Errorf("the page does not say %q", made)
	}
}

// Two runs of one study at the same time, as on two machines that share a folder: each network is
// trained once, both end when all are done, and one that is killed is made up for.
func TestStudyTwoRuns(t *testing.T) {
	file := tinyStudyFile(t, "epochs: 6, batch: 16, lr: 0.02")
	alone, shared := filepath.Join(t.TempDir(), "alone"), filepath.Join(t.TempDir(), "shared")
	if _, errs, status := netspace(t, "study", "run", file, "--dir", alone, "--engine", "reference"); status != exitOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	start := func() (*exec.Cmd, *bytes.Buffer) {
		c, out := netspaceCmd(t, "study", "run", file, "--dir", shared, "--engine", "reference", "--workers", "1", "--json"), &bytes.Buffer{}
		c.Stdout = out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c, out
	}
	killed, _ := start()
	a, outA := start()
	b, outB := start()
	time.AfterFunc(300*time.Millisecond, func() { _ = killed.Process.Kill() })
	_ = killed.Wait()
	for _, c := range []*exec.Cmd{a, b} {
		if err := c.Wait(); err != nil {
			t.Errorf("a run ended with %v", err)
		}
	}
	started := map[string]int{}
	for line := range strings.Lines(outA.String() + outB.String()) {
		var e struct{ Event, Trial string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if e.Event == "started" {
			started[e.Trial]++
		}
	}
	for trial, n := range started {
		if n > 1 {
			t.Errorf("trial %s was trained %d times", trial, n)
		}
	}
	if want, got := export(t, alone), export(t, shared); got != want {
		t.Errorf("two runs give\n%s\nnot\n%s", got, want)
	}
}

func TestStudyWithFailures(t *testing.T) {
	file := tinyStudyFile(t, "epochs: 2, batch: 16, lr: 1000, momentum: 0.99, weight_decay: 1")
	dir := filepath.Join(t.TempDir(), "out")
	_, errs, status := netspace(t, "study", "run", file, "--dir", dir, "--engine", "reference")
	if status != exitTrials || !strings.Contains(errs, "diverged") || !strings.Contains(errs, "of 4 networks failed") {
		t.Fatalf("status %d: %s", status, errs)
	}
	// Nothing is left to do, and the failures are still there.
	if _, errs, status := netspace(t, "study", "run", dir, "--engine", "reference", "--quiet"); status != exitTrials || strings.Count(errs, "\n") != 1 {
		t.Fatalf("status %d: %s", status, errs)
	}
	out, _, status := netspace(t, "study", "status", dir)
	if status != exitOK || !strings.Contains(out, "failed: regnetx #0") && !strings.Contains(out, "failed: anynetx-a #0") {
		t.Fatalf("status %d: %s", status, out)
	}
}

// A study names the damaged images that it leaves out.
func TestStudyDamagedImages(t *testing.T) {
	data, bad := photoFolder(t, 120, 7)
	file := writeFile(t, "photos.yaml", fmt.Sprintf(`name: photos
data: {name: %s, resolution: 8}
network: {stem: {type: cifar, width: 4}, stages: 2}
regime: {flops: 10K..60K}
recipe: {epochs: 1, batch: 16}
samples: 1
spaces: [regnetx]
`, data))
	_, errs, status := netspace(t, "study", "run", file, "--dir", filepath.Join(t.TempDir(), "out"), "--engine", "reference")
	if status != exitOK || !strings.Contains(errs, "damaged images, left out: 1") || !strings.Contains(errs, bad[0]) {
		t.Errorf("status %d: %s", status, errs)
	}
}

func TestStudyRequestErrors(t *testing.T) {
	file := tinyStudyFile(t, "epochs: 2, batch: 16")
	bad := writeFile(t, "bad.yaml", `name: a/b
data: {name: fashion-mnist, trian: 100}
network: {stages: 99}
regime: {flops: 4M-5M}
recipe: {epochs: 0, learning_rate: 0.1}
samples: none
spaces: []
`)
	dir := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"study", "run", bad, "--dir", dir, "--engine", "reference"}, []string{
			"bad.yaml:1: name", "bad.yaml:2: data.trian", "did you mean train", "bad.yaml:3: network.stages", "bad.yaml:4: regime.flops",
			"bad.yaml:5: recipe.epochs", "recipe.learning_rate", "bad.yaml:6: samples", "bad.yaml:7: spaces"}},
		{[]string{"study", "run", filepath.Join(dir, "none.yaml"), "--engine", "reference"}, []string{"none.yaml", "no such file"}},
		{[]string{"study", "run", file, "--dir", dir, "--executor", "slrum"}, []string{"must be local"}},
		{[]string{"study", "run", file, "--dir", dir, "--workers", "-1"}, []string{"--workers -1"}},
		{[]string{"study", "run", file, "--dir", dir, "--engine", "onednm"}, []string{"onednn"}},
		{[]string{"study", "run"}, []string{"usage: netspace study run FILE|DIR"}},
		{[]string{"study", "status", t.TempDir()}, []string{"no study in this folder"}},
		{[]string{"study", "export", dir, "--format", "xlsx"}, []string{"no study in this folder"}},
	} {
		out, errs, status := netspace(t, c.args...)
		if status != exitUsage || out != "" {
			t.Errorf("%v: status %d, printed %q: %s", c.args, status, out, errs)
		}
		for _, w := range c.want {
			if !strings.Contains(errs, w) {
				t.Errorf("%v: said %q; want %q", c.args, errs, w)
			}
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a wrong request wrote something: %v", err)
	}
}

func TestDoctor(t *testing.T) {
	out, errs, status := netspace(t, "doctor", "--json")
	var r doctorReport
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitOK || errs != "" {
		t.Fatalf("status %d, %v: %s%s", status, err, out, errs)
	}
	if r.CPU.Cores < 1 || len(r.Engines) != len(engines.Names()) || len(r.Data) == 0 || !r.Engines[1].Available {
		t.Fatalf("%+v", r)
	}
	if out, _, status := netspace(t, "doctor"); status != exitOK || strings.Count(out, "\n") < 7 {
		t.Fatalf("status %d: %s", status, out)
	}
}
