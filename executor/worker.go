package executor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"netspace/study"
	"netspace/trial"
)

// The protocol between an executor and a worker process: the worker reads one
// study.Task as a JSON line from its standard input, works on it, and writes study.Events
// as JSON lines to its standard output. The end of the input tells it to stop,
// which is also what it sees when its parent dies; so no worker outlives its
// parent for long. The result goes into a journal before it is told.

// What a worker says besides what happens to its trial.
const (
	workerStopped study.EventKind = "stopped" // it was told to stop, and the checkpoint holds what it did
	workerBroken  study.EventKind = "broken"  // not the trial's fault: no other trial would fare better
)

// workerVariable is set in the environment of worker processes.
const workerVariable = "NETSPACE_WORKER"

// errNoWorker is what a program says that was started as a worker and runs studies: once more
// itself, and so on.
var errNoWorker = errors.New("executor: this process was started as a worker, but its main did not call executor.WorkerMain first")

// stopGrace is how long a worker may take to stop by itself: enough for a
// checkpoint of a usual network. After it the process ends; the last
// checkpoint on disk then counts.
const stopGrace = 1200 * time.Millisecond

// WorkerMain makes this process a worker if Local started it as one, and then does
// not return; in any other process it does nothing. Programs that run
// studies with Local call it at the beginning of main, before they read flags or
// print. The trainer is the one that trains the trials.
func WorkerMain(trainer trial.Trainer) {
	if os.Getenv(workerVariable) == "" {
		return
	}
	os.Unsetenv(workerVariable) // the trainer may start programs, too
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, os.Stdin, os.Stdout, trainer, func() { os.Exit(1) }); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve works on the one task that comes in. kill ends the process; it is called when the worker
// was told to stop and did not in time.
func serve(ctx context.Context, from io.Reader, to io.Writer, trainer trial.Trainer, kill func()) error {
	in := bufio.NewReader(from)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	var task study.Task
	if err := json.Unmarshal(line, &task); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in) // until the parent closes it, or is no more
		cancel()
	}()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, kill) })
	defer stop()
	preferForOOM()

	out := json.NewEncoder(to)
	say := func(e study.Event) { _ = out.Encode(e) } // a parent that is gone is seen by the input's end
	err = study.Work(ctx, task, trainer, say)
	switch {
	case err != nil && ctx.Err() != nil:
		say(study.Event{Kind: workerStopped})
	case err != nil:
		say(study.Event{Kind: workerBroken, Reason: err.Error()})
	}
	return nil
}

// preferForOOM asks the kernel to end a worker before its parent when memory
// runs out, for that costs one trial. Where it cannot be asked nothing changes.
func preferForOOM() {
	f, err := os.OpenFile("/proc/self/oom_score_adj", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = f.WriteString("500")
}
