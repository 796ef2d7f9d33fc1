//go:build !unix

package executor

import (
	"os"

	"netspace/trial"
)

// signalCause is for systems without signals.
func signalCause(*os.ProcessState) trial.Cause { return trial.Crashed }
