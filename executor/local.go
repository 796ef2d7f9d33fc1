// Package executor holds the executors of studies: where their workers run. Local starts
// them as processes on this machine, Slurm in jobs of a cluster.
//
// A worker process is this program again. So a program that runs studies calls WorkerMain
// first thing in main:
//
//	func main() {
//		executor.WorkerMain(new(trial.Any))
//		...
//	}
//
// All executors pass the suite in executor/executortest.
package executor

import (
	"bufio"
	"cmp"
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

	"github.com/dustin/go-humanize"

	"netspace/internal/machine"
	"netspace/internal/tail"
	"netspace/study"
	"netspace/trial"
)

// Local is the study.Executor of this machine: worker processes, each at one trial at
// a time, so that a crash or an out-of-memory kill costs one attempt and nothing else.
type Local struct {
	Workers int // processes at once; 0 means one per core
	// Command starts a worker process, a program that calls WorkerMain; nil means this program.
	Command []string
	// Env is added to the environment of the workers.
	Env []string
	// Silence is how long a worker may give no sign of life, which it does every second, before it is taken for
	// dead and ended; 0 means a minute.
	Silence time.Duration
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
	var p *process
	defer func() {
		if p != nil {
			p.end()
		}
	}()
	for {
		task, ok, err := run.Next(ctx)
		if err != nil || !ok {
			return err
		}
		for again := true; again && ctx.Err() == nil; {
			if p == nil {
				if p, err = l.start(slot); err != nil {
					return err
				}
			}
			last, death := l.attempt(ctx, p, slot, task, run)
			if last.Kind != workerReady && last.Kind != workerLost { // it is gone
				p = nil
			}
			switch {
			case death != nil && death.Reason == errNoWorker.Error():
				return errNoWorker
			case last.Kind == workerBroken:
				return fmt.Errorf("trial %s (%s): %s", task.ID, task.Name(), last.Reason)
			case ctx.Err() != nil:
				death = nil // ended for not stopping in time, if it died: no attempt is lost
			}
			if task, again, err = run.Ended(slot, task, death); err != nil {
				return err
			}
		}
	}
}

// process is a worker process.
type process struct {
	cmd        *exec.Cmd
	in         io.WriteCloser
	said       chan said   // what it writes; closed when it is gone
	complaints tail.Writer // of the attempt that it is at
	kills      int         // oomKills when that began
}

// start starts a worker process.
func (l Local) start(slot int) (*process, error) {
	p := &process{cmd: exec.Command(l.Command[0], l.Command[1:]...), said: make(chan said)}
	// One trial, one thread: the cores go to trials. Go gets a second one for
	// loading images while C code computes.
	p.cmd.Env = append(os.Environ(), append([]string{"OMP_NUM_THREADS=1", "GOMAXPROCS=2", workerVariable + "=1", fmt.Sprintf("%s=%d", slotVariable, slot)}, l.Env...)...)
	p.cmd.Stderr = &p.complaints
	p.cmd.WaitDelay = stopGrace // for what it started and left behind
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	go func() {
		defer close(p.said)
		lines := bufio.NewReader(out)
		for {
			line, err := readLine(lines)
			if err != nil {
				return
			}
			var s said
			if json.Unmarshal(line, &s) == nil { // else a library that prints: not ours
				p.said <- s
			}
		}
	}()
	return p, nil
}

// maxSaid bounds a line that a worker writes.
const maxSaid = 1 << 20

// readLine reads a line, of one that is too long the beginning.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line) < maxSaid {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// end ends a worker that has nothing to do.
func (p *process) end() {
	p.in.Close()
	kill := time.AfterFunc(stopGrace, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	for range p.said { // until it is gone
	}
	_ = p.cmd.Wait()
}

// attempt has a worker at a task until it is ready for the next one, or gone. It gives its last word, if it had
// one, and what it died of, if it neither stopped nor finished.
func (l Local) attempt(ctx context.Context, p *process, slot int, task study.Task, run *study.Run) (last study.Event, death *trial.Death) {
	watch := watch{limits: run.Config.Limits, silence: cmp.Or(l.Silence, time.Minute), of: "trial_memory"}
	if watch.limits.TrialMemory == 0 {
		watch.limits.TrialMemory = machine.ReadMemory().Bound() / int64(l.Slots())
		watch.of = fmt.Sprintf("what each of %d workers has of this machine, as no trial_memory is stated", l.Slots())
	}
	task.Memory = watch.limits.TrialMemory
	line, err := json.Marshal(task)
	if err != nil {
		return last, &trial.Death{Reason: fmt.Sprintf("start a worker: %v", err)}
	}
	// A worker lives long: what was before is not this attempt's.
	p.complaints.Reset()
	p.kills = oomKills()
	go func() { _, _ = p.in.Write(append(line, '\n')) }() // a worker that died already is seen below
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	stop := ctx.Done()
	for {
		select {
		case s, alive := <-p.said:
			if !alive {
				p.in.Close() // it may have closed its output only
				kill := time.AfterFunc(stopGrace, func() { _ = p.cmd.Process.Kill() })
				err := p.cmd.Wait()
				kill.Stop()
				switch {
				case last.Kind != "":
					return last, nil
				case watch.verdict != nil:
					death = watch.verdict
				default:
					death = deathOf(err, p.cmd, p.complaints.String(), oomKills() > p.kills)
				}
				death.Log = p.complaints.Lines()
				return last, death
			}
			e := s.Event
			e.Worker, e.Task = slot, task
			switch watch.heard(s); e.Kind {
			case study.TrialStarted, study.TrialProgress:
				run.Report(e)
			case study.TrialEpoch:
				if e.Epoch != nil {
					run.Report(e)
				}
			case workerStopped, workerBroken:
				last = e // it goes now
			case workerReady:
				return e, nil
			case workerLost:
				if e.Cause == trial.Killed && oomKills() > p.kills {
					e.Cause = trial.OutOfMemory
				}
				return e, &e.Death
			}
		case <-tick.C:
			if watch.tick(); watch.verdict != nil {
				_ = p.cmd.Process.Kill() // also one that is stopped
			}
		case <-stop:
			stop = nil
			p.in.Close()
			kill := time.AfterFunc(stopGrace+200*time.Millisecond, func() { _ = p.cmd.Process.Kill() })
			defer kill.Stop()
		}
	}
}

// watch sees to it that a worker gets on. It counts seconds in which this process ran itself: if both
// are stopped, or the machine sleeps, nobody is to blame.
type watch struct {
	limits  study.Limits
	of      string // what the limit of memory is
	silence time.Duration

	total, still, quiet time.Duration // since the attempt began, since progress, since any word
	begun               bool          // it has made a step
	memory              int64         // resident bytes, as it said last
	verdict             *trial.Death  // why it is to be ended
}

// beginning is how much longer than between steps a worker may take until the first one: it opens and decodes images.
const beginning = 6

func (w *watch) heard(s said) {
	w.quiet = 0
	switch s.Kind {
	case workerAlive:
		w.memory = s.Memory
	case study.TrialProgress, study.TrialEpoch:
		w.still, w.begun = 0, true
	}
}

func (w *watch) tick() {
	w.total += time.Second
	w.still += time.Second
	w.quiet += time.Second
	stall := w.limits.StallTimeout
	if !w.begun {
		stall *= beginning
	}
	say := func(cause trial.Cause, format string, args ...any) {
		w.verdict = &trial.Death{Cause: cause, Reason: fmt.Sprintf(format, args...)}
	}
	switch limit := w.limits.TrialMemory; {
	case w.quiet > w.silence:
		say(trial.Stalled, "the worker gave no sign of life for %v: it was stopped, or the machine is overloaded", w.silence)
	case stall > 0 && w.still > stall:
		say(trial.Stalled, "no progress for %v (stall_timeout)", stall)
	case w.limits.TrialTimeout > 0 && w.total > w.limits.TrialTimeout:
		say(trial.TimedOut, "not done after %v (trial_timeout)", w.limits.TrialTimeout)
	case limit > 0 && w.memory > limit:
		say(trial.OutOfMemory, "the worker took %s of memory, more than %s (%s)", humanize.IBytes(uint64(w.memory)), humanize.IBytes(uint64(limit)), w.of)
	}
}

// deathOf says why a worker died, as well as can be known.
func deathOf(err error, cmd *exec.Cmd, complaints string, oom bool) *trial.Death {
	var exit *exec.ExitError
	said := firstComplaint(complaints)
	switch {
	case strings.Contains(complaints, errNoWorker.Error()):
		return &trial.Death{Cause: trial.Crashed, Reason: errNoWorker.Error()}
	case oom:
		return &trial.Death{Cause: trial.OutOfMemory, Reason: "out of memory: the kernel ended the worker"}
	case strings.HasPrefix(said, "panic:"), strings.HasPrefix(said, "fatal error:"): // a Go program that aborts
		return &trial.Death{Cause: trial.Crashed, Reason: "the worker crashed: " + said}
	case errors.As(err, &exit) && !exit.Exited():
		return &trial.Death{Cause: signalCause(exit.ProcessState), Reason: "the worker was ended by " + exit.ProcessState.String()}
	case said == "":
		return &trial.Death{Cause: trial.Crashed, Reason: fmt.Sprintf("the worker ended without a result: %s", cmd.ProcessState)}
	}
	return &trial.Death{Cause: trial.Crashed, Reason: "the worker crashed: " + said}
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
