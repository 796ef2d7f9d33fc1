//go:build !unix

package executor

import (
	"os"
	"syscall"

	"netspace/trial"
)

// warning is another name of os.Interrupt where there are no jobs.
const warning = syscall.SIGINT

// signalCause is for systems without signals.
func signalCause(*os.ProcessState) trial.Cause { return trial.Crashed }
