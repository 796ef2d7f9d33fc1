//go:build unix

package executor

import (
	"os"
	"syscall"

	"netspace/trial"
)

// warning is the signal that warns a job of the end of its time.
const warning = syscall.SIGUSR1

// signalCause is the cause of a death by a signal.
func signalCause(s *os.ProcessState) trial.Cause {
	if status, ok := s.Sys().(syscall.WaitStatus); ok {
		return trial.CauseOfSignal(status.Signal())
	}
	return trial.Crashed
}
