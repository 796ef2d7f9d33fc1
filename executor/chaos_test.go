//go:build linux

package executor_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"netspace/executor"
	"netspace/internal/seeded"
	"netspace/internal/tinydata"
	"netspace/study"
)

// chaos is a study that is disturbed.
type chaos struct {
	base, file string
	rng        *rand.Rand
}

func newChaos(t *testing.T) chaos {
	c := chaos{base: t.TempDir(), rng: seeded.Rand(t)}
	t.Setenv("XDG_CACHE_HOME", filepath.Join(c.base, "cache"))
	c.file = filepath.Join(c.base, "study.yaml")
	images := filepath.Join(c.base, "images")
	tinydata.Write(t, images, 48)
	text := fmt.Sprintf(`name: chaos
data: {name: %q, train: 32, validation: 16}
network: {stem: {type: cifar, width: 4}, stages: 2}
regime: {flops: 10K..30K}
recipe: {epochs: 5, batch: 16}
retries: 100
samples: 10
spaces: [anynetx-a, regnetx]
`, images)
	if err := os.WriteFile(c.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts a process that runs the study in a folder.
func (c chaos) start(t *testing.T, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], c.file, dir)
	cmd.Env = append(os.Environ(), "NETSPACE_TEST_PARENT=1", "NETSPACE_TEST_COUNTER=1")
	cmd.Stderr = &strings.Builder{}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// workers are the processes that a process has started and that live.
func workers(parent int) (pids []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func (c chaos) export(t *testing.T, dir string) string {
	t.Helper()
	return tinyStudy{dir: dir}.export(t)
}

// damage tears or flips something in a journal.
func (c chaos) damage(t *testing.T, dir string, tear bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "journal", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		return
	}
	file := files[c.rng.IntN(len(files))]
	data, err := os.ReadFile(file)
	if err != nil || len(data) == 0 {
		return
	}
	if tear {
		data = data[:len(data)-min(len(data), 1+c.rng.IntN(60))]
	} else {
		data[c.rng.IntN(len(data))] ^= 1 << c.rng.IntN(8)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A study is killed, stopped and damaged at random moments, over and over: it always goes on, nothing that was finished is lost
// but what damage took, and in the end the results are those of a study that was left alone.
func TestChaos(t *testing.T) {
	disturbances := 100
	if n, err := strconv.Atoi(os.Getenv("NETSPACE_CHAOS")); err == nil {
		disturbances = n
	}
	c := newChaos(t)
	quiet := filepath.Join(c.base, "quiet")
	if cmd := c.start(t, quiet); cmd.Wait() != nil {
		t.Fatal(cmd.Stderr)
	}
	want := c.export(t, quiet)
	counts := map[string]int{}
	studies := 0
	for total := 0; total < disturbances; studies++ {
		dir := filepath.Join(c.base, fmt.Sprint("study", studies))
		damaged := 0
		for ended := false; !ended; {
			before := len(doneTrials(t, tinyStudy{dir: dir}))
			cmd := c.start(t, dir)
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			var err error
			select {
			case err = <-done:
				ended = true
			case <-time.After(time.Duration(5+c.rng.IntN(80)) * time.Millisecond):
				what := []string{"parent", "parent", "worker", "worker", "both", "tear", "flip"}[c.rng.IntN(7)]
				if total >= disturbances {
					what = "nothing"
				}
				children := workers(cmd.Process.Pid)
				if (what == "worker" || what == "both") && len(children) > 0 {
					_ = syscall.Kill(children[c.rng.IntN(len(children))], syscall.SIGKILL)
				}
				if what == "worker" || what == "nothing" {
					if err = <-done; err == nil {
						ended = true
					}
				} else {
					_ = cmd.Process.Kill()
					<-done
					c.gone(t, children)
				}
				if what == "tear" || what == "flip" {
					c.damage(t, dir, what == "tear")
					damaged++
				}
				counts[what]++
				if what != "nothing" {
					total++
				}
			}
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if err != nil {
				t.Fatalf("after %v: %v: %s", counts, err, cmd.Stderr)
			}
			if after := len(doneTrials(t, tinyStudy{dir: dir})); after < before-2*damaged {
				t.Fatalf("after %v: %d trials were done, %d are", counts, before, after)
			}
		}
		if got := c.export(t, dir); got != want {
			t.Fatalf("after %v:\n%s", counts, cmp.Diff(want, got))
		}
		if left, err := os.ReadDir(filepath.Join(dir, "checkpoints")); err != nil || len(left) > 0 {
			t.Fatalf("checkpoints left behind: %v, %v", left, err)
		}
	}
	t.Logf("%v in %d studies", counts, studies)
}

// gone waits until processes are no more.
func (c chaos) gone(t *testing.T, pids []int) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		alive := 0
		for _, pid := range pids {
			// The process that inherits them may take its time to bury them.
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err == nil && !strings.Contains(string(stat), ") Z ") {
				alive++
			}
		}
		if alive == 0 {
			return
		}
		if time.Since(began) > patience {
			t.Fatalf("%d workers outlive their run", alive)
		}
	}
}

// When the disk is full a run ends with an error and fails no trial; when there is room again it goes on.
func TestFullDisk(t *testing.T) {
	c := newChaos(t)
	quiet := filepath.Join(c.base, "quiet")
	if cmd := c.start(t, quiet); cmd.Wait() != nil {
		t.Fatal(cmd.Stderr)
	}
	disk := filepath.Join(c.base, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip("no small file system to fill: ", err)
	}
	defer func() { _ = unix.Unmount(disk, unix.MNT_DETACH) }()
	dir := filepath.Join(disk, "study")
	ballast := filepath.Join(disk, "ballast")
	full := 0
	for left := 0; ; left += 2048 { // the disk fills later and later
		_ = os.WriteFile(ballast, make([]byte, 256<<10), 0o644) // as much as there is room for
		if info, err := os.Stat(ballast); err == nil {
			_ = os.Truncate(ballast, max(0, info.Size()-int64(left)))
		}
		cmd := c.start(t, dir)
		err := cmd.Wait()
		if err == nil {
			break
		}
		if said := fmt.Sprint(cmd.Stderr); !strings.Contains(said, "no space left") {
			t.Fatalf("%v: %s", err, said)
		}
		full++
	}
	if full < 3 {
		t.Errorf("the disk was full %d times; want more to learn something", full)
	}
	if got, want := c.export(t, dir), c.export(t, quiet); got != want {
		t.Fatal(cmp.Diff(want, got))
	}
}

// A worker that is stopped while it trains is noticed, and its trial is tried again.
func TestStoppedWorker(t *testing.T) {
	c := newChaos(t)
	dir := filepath.Join(c.base, "study")
	r, err := study.Start(t.Context(), study.Request{File: c.file, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	t.Setenv("NETSPACE_TEST_COUNTER", "1")
	stopped, lost := false, 0
	err = r.Execute(t.Context(), executor.Local{Workers: 1, Silence: 8 * time.Second}, func(e study.Event) {
		if e.Kind == study.TrialEpoch && !stopped {
			stopped = true
			for _, pid := range workers(os.Getpid()) {
				_ = syscall.Kill(pid, syscall.SIGSTOP)
			}
		}
		if e.Kind == study.TrialLost {
			lost++
		}
	})
	if err != nil || lost == 0 {
		t.Fatalf("%v, %d lost; want one at least", err, lost)
	}
}
