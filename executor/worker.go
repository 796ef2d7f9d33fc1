package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"netspace/internal/machine"
	"netspace/study"
	"netspace/trial"
)

// The protocol between an executor and a worker process: the worker reads study.Tasks
// as JSON lines from its standard input, works on one after the other, and writes study.Events
// as JSON lines to its standard output; after each task it says how that went, and at all times every second that it
// is alive. The end of the input tells it to stop, which is also what it sees when its parent dies; so no worker
// outlives its parent for long. A result goes into a journal before the end of its task is told.

// What a worker says besides what happens to its trial.
const (
	workerAlive   study.EventKind = "alive"
	workerReady   study.EventKind = "ready"        // what came of the task is in the journals, and the next one may come
	workerLost    study.EventKind = "lost trainer" // the program that trained died without a result; the next task may come
	workerStopped study.EventKind = "stopped"      // it was told to stop, and the checkpoint holds what it did
	workerBroken  study.EventKind = "broken"       // not the trial's fault: no other trial would fare better
)

// said is a line that a worker writes.
type said struct {
	study.Event
	Memory int64 `json:"memory,omitempty"` // of workerAlive: resident bytes, 0 where the system does not say
}

// heartbeat is the time between two signs of life.
const heartbeat = time.Second

// workerVariable is set in the environment of worker processes.
const workerVariable = "NETSPACE_WORKER"

// slotVariable tells a worker, and the program of its trainer, its place among those of a run, from 0: which GPU to use, say.
const slotVariable = "NETSPACE_SLOT"

// errNoWorker is what a program says that was started as a worker and runs studies: once more
// itself, and so on.
var errNoWorker = errors.New("executor: this process was started as a worker, but its main did not call executor.WorkerMain first")

// stopGrace is how long a worker may take to stop by itself: enough for a
// checkpoint of a usual network. After it the process ends; the last
// checkpoint on disk then counts.
const stopGrace = 1200 * time.Millisecond

// WorkerMain makes this process a worker if Local started it as one, or what a job does if Slurm did, and then does
// not return; in any other process it does nothing. Programs that run
// studies call it at the beginning of main, before they read flags or
// print. The trainer is the one that trains the trials.
func WorkerMain(trainer trial.Trainer) {
	if order := os.Getenv(sessionVariable); order != "" {
		os.Unsetenv(sessionVariable)
		os.Exit(runSession(order, trainer))
	}
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

// serve works on the tasks that come in, until the input ends. kill ends the process; it is called when the
// worker was told to stop and did not in time.
func serve(ctx context.Context, from io.Reader, to io.Writer, trainer trial.Trainer, kill func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tasks := make(chan study.Task)
	unreadable := make(chan error, 1)
	go func() { // until the parent closes it, or is no more
		defer cancel()
		for in := json.NewDecoder(from); ; {
			var task study.Task
			if err := in.Decode(&task); err != nil {
				if !errors.Is(err, io.EOF) {
					unreadable <- fmt.Errorf("read a task: %w", err)
				}
				return
			}
			select {
			case tasks <- task:
			case <-ctx.Done():
				return
			}
		}
	}()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopGrace, kill) })
	defer stop()
	preferForOOM()

	var mu sync.Mutex
	out := json.NewEncoder(to)
	say := func(s said) { // a parent that is gone is seen by the input's end
		mu.Lock()
		defer mu.Unlock()
		_ = out.Encode(s)
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	go func() {
		for range beat.C {
			say(said{Event: study.Event{Kind: workerAlive}, Memory: machine.Resident()})
			if ctx.Err() != nil {
				return
			}
		}
	}()

	var worker study.Worker
	defer worker.Close()
	for {
		var task study.Task
		select {
		case task = <-tasks:
		case <-ctx.Done():
			select {
			case err := <-unreadable:
				return err
			default:
				return nil
			}
		}
		var lost *trial.LostError
		err := worker.Work(ctx, task, trainer, func(e study.Event) { say(said{Event: e}) })
		switch {
		case err != nil && ctx.Err() != nil:
			say(said{Event: study.Event{Kind: workerStopped}})
			return nil
		case errors.As(err, &lost):
			say(said{Event: study.Event{Kind: workerLost, Death: lost.Death}})
			continue
		case err != nil:
			say(said{Event: study.Event{Kind: workerBroken, Death: trial.Death{Reason: err.Error()}}})
			return nil
		}
		say(said{Event: study.Event{Kind: workerReady}})
	}
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
