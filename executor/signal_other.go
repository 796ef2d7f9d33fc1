//go:build !unix

package executor

import (
	"os"

	"netspace/study"
)

// signalCause is for systems without signals.
func signalCause(*os.ProcessState) study.Cause { return study.Crashed }
