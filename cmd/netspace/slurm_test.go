package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The command line of a study on a cluster: its submitter is killed, interrupted, cancelled, and the study gives the
// results of a run on this machine.
func TestStudyOnSlurm(t *testing.T) {
	if os.Getenv("SLURM_TEST_DIR") == "" {
		t.Skip("no Slurm to test with: make test-slurm")
	}
	if out, errs, status := netspace(t, "doctor"); status != exitOK || !strings.Contains(out, "low (default): up, 2 of 2 nodes work, each with 8 CPUs, 3.9 GiB, gpu:2, time limit infinite") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	file := tinyStudyFile(t, "epochs: 150, batch: 16, lr: 0.02")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, "executor: {slurm: {workers: 2, memory: 100MB, time: 10m, options: [--comment=\"it's ours\"]}}\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	local, dir := filepath.Join(t.TempDir(), "local"), filepath.Join(t.TempDir(), "on a cluster")
	if _, errs, status := netspace(t, "study", "run", file, "--dir", local, "--engine", "reference", "--executor", "local"); status != exitOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	if out, errs, status := netspace(t, "study", "cancel", local); status != exitOK || !strings.HasPrefix(out, "no job") {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}

	interrupted := func(signal syscall.Signal) (errs string, status int) {
		c := netspaceCmd(t, "study", "run", file, "--dir", dir, "--engine", "reference")
		said := &watched{text: make(chan string, 1000)}
		c.Stderr = said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		deadline := time.After(time.Minute)
		for !strings.Contains(errs, "submitted 2 jobs") && !strings.Contains(errs, "2 jobs of this study are in the queue") {
			select {
			case part := <-said.text:
				errs += part
			case <-deadline:
				t.Fatalf("no jobs: %s", errs)
			}
		}
		_ = c.Process.Signal(signal)
		_ = c.Wait()
		for len(said.text) > 0 {
			errs += <-said.text
		}
		return errs, c.ProcessState.ExitCode()
	}
	interrupted(syscall.SIGKILL)
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitPreempted} {
		if errs, status := interrupted(signal); status != want || !strings.Contains(errs, "2 jobs of this study are in the queue already") || !strings.Contains(errs, "study cancel") {
			t.Fatalf("%v: status %d: %s", signal, status, errs)
		}
	}
	if out, errs, status := netspace(t, "study", "cancel", dir); status != exitOK || !strings.HasPrefix(out, "cancelled 2 jobs") {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	if out, errs, status := netspace(t, "study", "run", dir, "--engine", "reference", "--partition", "nowhere"); status != exitUsage || !strings.Contains(errs, "nowhere") {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	if _, errs, status := netspace(t, "study", "run", dir, "--engine", "reference"); status != exitOK {
		jobs, _ := exec.Command("squeue", "--states=all").CombinedOutput()
		t.Fatalf("status %d: %s%s", status, errs, jobs)
	}
	if a, b := export(t, local), export(t, dir); a != b {
		t.Fatalf("on a cluster:\n%s\nnot\n%s", b, a)
	}
}

// A search whose networks a cluster trains, killed on its way, comes to the same end as on this machine.
func TestSearchOnSlurm(t *testing.T) {
	if os.Getenv("SLURM_TEST_DIR") == "" {
		t.Skip("no Slurm to test with: make test-slurm")
	}
	flags := searchFlags(t, "--engine", "reference")
	local, dir := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "out")
	if _, errs, status := netspace(t, append(flags, "--out", local, "--executor", "local")...); status != exitOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	flags = append(flags, "--out", dir, "--executor", "slurm", "--job-memory", "100MB", "--time", "10m")
	c := netspaceCmd(t, flags...)
	said := &watched{text: make(chan string, 1000)}
	c.Stderr = said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for errs := ""; !strings.Contains(errs, "submitted 2 jobs"); {
		select {
		case part := <-said.text:
			errs += part
		case <-deadline:
			t.Fatalf("no jobs: %s", errs)
		}
	}
	_ = c.Process.Kill()
	_ = c.Wait()
	if _, errs, status := netspace(t, flags...); status != exitOK {
		jobs, _ := exec.Command("squeue", "--states=all").CombinedOutput()
		t.Fatalf("status %d: %s%s", status, errs, jobs)
	}
	if want, got := searchOutcome(t, local), searchOutcome(t, dir); got != want {
		t.Fatalf("on a cluster:\n%s", cmp.Diff(want, got))
	}
}

// watched passes on what is written to it.
type watched struct{ text chan string }

func (w *watched) Write(p []byte) (int, error) {
	w.text <- string(p)
	return len(p), nil
}

// Flags of a cluster are checked before anything is written.
func TestSlurmFlags(t *testing.T) {
	file := tinyStudyFile(t, "epochs: 1, batch: 16")
	dir := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"--partition goes with --executor slurm", []string{"--executor", "local", "--partition", "p"}},
		{"--executor slrum: must be local or slurm (did you mean slurm?)", []string{"--executor", "slrum"}},
		{"--time: 30s: must be a time from 2m to 8760h", []string{"--time", "30s"}},
		{"--partition: a b: must be a name", []string{"--partition", "a b"}},
		{"--memory lots: must be a size", []string{"--memory", "lots"}},
		{"--cpus: -1: must be from 1 to 4096", []string{"--cpus", "-1"}},
		{"--sbatch: --time=3: has a key of its own: time", []string{"--sbatch=--time=3"}},
		{"--sbatch: --array=1: is what netspace states itself", []string{"--sbatch", "--array=1"}},
	} {
		_, errs, status := netspace(t, append([]string{"study", "run", file, "--dir", dir}, c.args...)...)
		if status != exitUsage || !strings.Contains(errs, c.want) {
			t.Errorf("%q: status %d: %s; want %q", c.args, status, errs, c.want)
		}
	}
	c := netspaceCmd(t, "study", "run", file, "--dir", dir, "--executor", "slurm")
	c.Env = append(c.Env, "PATH=")
	if out, _ := c.CombinedOutput(); c.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), "sbatch is not in PATH") {
		t.Errorf("status %d: %s", c.ProcessState.ExitCode(), out)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder was made: %v", err)
	}
}
