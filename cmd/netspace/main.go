// Command netspace designs network design spaces. See the README.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"netspace/executor"
	"netspace/trial"
)

// The exit statuses, stable: scripts depend on them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2   // the request was wrong; nothing was written
	exitTrials      = 3   // a study finished with failed trials
	exitPreempted   = 75  // stopped by the scheduler, resumable
	exitInterrupted = 130 // interrupted, resumable
)

// exitError carries the status that the process should exit with.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of the request: the process exits with exitUsage.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// usage marks err as an error of the request; nil stays nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitUsage, err}
}

func main() {
	executor.WorkerMain(new(trial.Any))
	start(run)
}

// start ends the process with the status that program returns. A panic is never
// status 2, with which Go ends a program and which here means a wrong request:
// on this goroutine it is status 1, on another one the process aborts.
func start(program func() int) {
	debug.SetTraceback("crash")
	status := exitFailed
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "netspace: this is a bug, please report it with all of the following: panic: %v\n\n%s", r, debug.Stack())
		}
		os.Exit(status)
	}()
	status = program()
}

func run() int {
	// Schedulers end a job with SIGTERM and start it again elsewhere; a person presses Ctrl-C.
	scheduled, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, stop := signal.NotifyContext(scheduled, os.Interrupt)
	defer stop()
	stopped := func() int {
		if scheduled.Err() != nil {
			return exitPreempted
		}
		return exitInterrupted
	}
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	a.grace.Store(int64(promptly))
	context.AfterFunc(ctx, func() {
		signal.Reset(os.Interrupt, syscall.SIGTERM) // a second one ends the process as it ends any other
		time.AfterFunc(time.Duration(a.grace.Load()), func() {
			fmt.Fprintln(os.Stderr, "netspace: stopped")
			os.Exit(stopped())
		})
	})
	err := a.root().ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(os.Stderr, "netspace:", err)
	var e *exitError
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return stopped()
	case errors.As(err, &e):
		return e.status
	}
	return exitFailed
}

// What a command may still do after a signal. Everything on disk is whole at
// every instant, so most just end; trainings first write what they have.
const (
	promptly  = 100 * time.Millisecond // to say where it stopped
	withGrace = 3 * time.Second        // longer than workers take to write their checkpoints
)
