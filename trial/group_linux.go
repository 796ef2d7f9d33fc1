package trial

import (
	"os/exec"
	"syscall"
)

// ownGroup puts a program into a process group of its own, and ties its life to this process.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
