//go:build unix

package executor

import (
	"os"
	"syscall"

	"netspace/study"
)

// signalCause tells signals that a process brings upon itself from those that others send.
func signalCause(s *os.ProcessState) study.Cause {
	if status, ok := s.Sys().(syscall.WaitStatus); ok {
		switch status.Signal() {
		case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT:
			return study.Killed
		}
	}
	return study.Crashed
}
