package study

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// A byte far behind every journal's end: locks are mandatory on Windows, and
// viewers read the journal while it is written.
const lockByte = 1 << 30

// lockFile takes the lock of a file without waiting: errLocked if another
// process has it. The system gives it back when the process ends.
func lockFile(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: lockByte})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}

// lockOf tells whether a living process holds the lock of a file.
func lockOf(f *os.File) lockState {
	at := &windows.Overlapped{OffsetHigh: lockByte}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	switch {
	case err == nil:
		_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, at)
		return lockFree
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION):
		return lockHeld
	}
	return lockUnknown
}
