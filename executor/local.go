// Package executor holds the executors of studies: where their workers run. Local starts
// them as processes on this machine.
//
// A worker process is this program again. So a program that runs studies calls WorkerMain
// first thing in main:
//
//	func main() {
//		executor.WorkerMain(trial.Builtin{})
//		...
//	}
//
// All executors pass the suite in executor/executortest.
package executor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"netspace/study"
)

// Local is the study.Executor of this machine: worker processes, each for one
// attempt at one trial, so that a crash or an out-of-memory kill costs that
// attempt and nothing else.
type Local struct {
	Workers int // processes at once; 0 means one per core
	// Command starts a worker process, a program that calls WorkerMain; nil means this program.
	Command []string
	// Env is added to the environment of the workers.
	Env []string
}

// Slots is the number of worker processes at once.
func (l Local) Slots() int {
	if l.Workers > 0 {
		return l.Workers
	}
	return runtime.NumCPU()
}

// Execute implements study.Executor.
func (l Local) Execute(ctx context.Context, run *study.Run) error {
	if os.Getenv(workerVariable) != "" {
		return errNoWorker
	}
	if l.Command == nil {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find this program to start workers: %w", err)
		}
		l.Command = []string{self}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for slot := range l.Slots() {
		all.Go(func() {
			if err := l.slot(ctx, slot, run); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

// slot trains one task after the other.
func (l Local) slot(ctx context.Context, slot int, run *study.Run) error {
	for {
		task, ok, err := run.Next(ctx)
		if err != nil || !ok {
			return err
		}
		if err := l.trial(ctx, slot, task, run); err != nil {
			return err
		}
	}
}

// trial tries a task until it has ended: done, or failed.
func (l Local) trial(ctx context.Context, slot int, task study.Task, run *study.Run) error {
	for again := true; again && ctx.Err() == nil; {
		last, died, err := l.attempt(ctx, slot, task, run)
		switch {
		case err != nil:
			return err
		case last.Kind == workerBroken:
			return fmt.Errorf("trial %s (%s #%d): %s", task.ID, task.Space, task.Index, last.Reason)
		case ctx.Err() != nil:
			died = "" // ended for not stopping in time, if it died: no attempt is lost
		}
		if task, again, err = run.Ended(slot, task, died); err != nil {
			return err
		}
	}
	return nil
}

// attempt runs one worker process to its end and gives the last word of one that
// stopped or could not work, and why a worker died that did neither nor finished.
func (l Local) attempt(ctx context.Context, slot int, task study.Task, run *study.Run) (last study.Event, died string, err error) {
	kills := oomKills()
	cmd := exec.Command(l.Command[0], l.Command[1:]...)
	// One trial, one thread: the cores go to trials. Go gets a second one for
	// loading images while C code computes.
	cmd.Env = append(os.Environ(), append([]string{"OMP_NUM_THREADS=1", "GOMAXPROCS=2", workerVariable + "=1"}, l.Env...)...)
	var complaints tail
	cmd.Stderr = &complaints
	line, err := json.Marshal(task)
	if err != nil {
		return last, "", fmt.Errorf("start a worker: %w", err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return last, "", fmt.Errorf("start a worker: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return last, "", fmt.Errorf("start a worker: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return last, "", fmt.Errorf("start a worker: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		in.Close()
		time.AfterFunc(stopGrace+200*time.Millisecond, func() { _ = cmd.Process.Kill() })
	})
	defer stop()
	_, _ = in.Write(append(line, '\n')) // a worker that died already is seen below
	last = listen(out, slot, task, run)
	err = cmd.Wait()
	switch said := complaints.String(); {
	case strings.Contains(said, errNoWorker.Error()):
		return last, "", errNoWorker
	case last.Kind == "":
		died = lossReason(err, cmd, said, oomKills() > kills)
	}
	return last, died, nil
}

// listen passes on what a worker says of its trial and gives its last word, if it had one.
func listen(out io.Reader, slot int, task study.Task, run *study.Run) (last study.Event) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return last
		}
		var e study.Event
		if json.Unmarshal(line, &e) != nil {
			continue // a library that prints: not ours
		}
		e.Worker, e.Task = slot, task
		switch e.Kind {
		case study.TrialStarted, study.TrialProgress:
			run.Report(e)
		case study.TrialEpoch:
			if e.Epoch != nil {
				run.Report(e)
			}
		case workerStopped, workerBroken:
			last = e
		}
	}
}

// lossReason says why a worker died, as well as can be known.
func lossReason(err error, cmd *exec.Cmd, complaints string, oom bool) string {
	var exit *exec.ExitError
	said := firstComplaint(complaints)
	switch {
	case oom:
		return "out of memory: the kernel ended the worker"
	case strings.HasPrefix(said, "panic:"), strings.HasPrefix(said, "fatal error:"): // a Go program that aborts
		return "the worker crashed: " + said
	case errors.As(err, &exit) && !exit.Exited():
		return "the worker was ended by " + exit.ProcessState.String()
	}
	if said == "" {
		return fmt.Sprintf("the worker ended without a result: %s", cmd.ProcessState)
	}
	return "the worker crashed: " + said
}

// firstComplaint finds the line of a dying program's last words that says why.
func firstComplaint(complaints string) string {
	lines := strings.Split(strings.TrimSpace(complaints), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") || strings.HasPrefix(l, "SIG") {
			return l
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

// oomKills counts the processes that the kernel ended for lack of memory since
// it started; 0 where that is not known.
func oomKills() int {
	data, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		var n int
		if _, err := fmt.Sscanf(line, "oom_kill %d", &n); err == nil {
			return n
		}
	}
	return 0
}

// tail keeps the first and the last of what is written to it.
type tail struct {
	mu          sync.Mutex
	first, last []byte
}

const tailSize = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if room := tailSize - len(t.first); room > 0 {
		k := min(room, len(p))
		t.first = append(t.first, p[:k]...)
		p = p[k:]
	}
	t.last = append(t.last, p...)
	if extra := len(t.last) - tailSize; extra > 0 {
		t.last = append(t.last[:0], t.last[extra:]...)
	}
	return n, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.first) + string(t.last)
}
