//go:build unix

package atomicfile

import (
	"os"
	"syscall"
)

// lock takes the lock of an open file, which goes with the process; an error if another one holds it.
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
