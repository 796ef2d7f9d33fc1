//go:build unix

package trial

import (
	"os"
	"os/exec"
	"syscall"
)

// askGroup asks a program, and what it has started, to stop.
func askGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }

// killGroup ends a program and what it has started.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// causeOf tells a program that was ended by others from one that ended by itself.
func causeOf(s *os.ProcessState) Cause {
	if s == nil {
		return Crashed
	}
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return CauseOfSignal(status.Signal())
	}
	return Crashed
}

// CauseOfSignal tells signals that a process brings upon itself from those that others send.
func CauseOfSignal(s syscall.Signal) Cause {
	switch s {
	case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT:
		return Killed
	}
	return Crashed
}
