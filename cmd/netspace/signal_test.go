//go:build unix

package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A signal ends a command also where it looks at nothing: here it waits for
// somebody to read a pipe.
func TestSignalsEndWhatDoesNotListen(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: exitInterrupted, syscall.SIGTERM: exitPreempted} {
		c := netspaceCmd(t, "convert", "RegNetX-200MF", "-o", pipe)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		watchdog := time.AfterFunc(30*time.Second, func() { c.Process.Kill() })
		time.Sleep(300 * time.Millisecond) // it listens for signals from its beginning on; later it waits
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := c.Wait()
		watchdog.Stop()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != want {
			t.Errorf("%v: %v; want status %d", signal, err, want)
		}
	}
}
