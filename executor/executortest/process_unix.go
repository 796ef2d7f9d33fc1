//go:build unix

package executortest

import "syscall"

// kill ends this process as the kernel does it when memory runs out.
func kill() {
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
	select {}
}

// stop stops this process until it is ended.
func stop() {
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP)
	select {}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
