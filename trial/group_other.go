//go:build !unix

package trial

import (
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

func askGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }

func causeOf(*os.ProcessState) Cause { return Crashed }
