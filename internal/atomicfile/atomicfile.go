// Package atomicfile writes files that are there whole or not at all: a
// reader, or a crash at any instant, sees the old file or the new one.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// WriteFile is Write for data that is at hand.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	return Write(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Write replaces the file at path by what write produces. It writes to a
// temporary name in the same folder, which must exist, syncs the file, renames
// it and syncs the folder. After an error path is as it was and the temporary
// file is gone. A new file gets perm whatever the umask, an old one keeps its own.
//
// What is no file is not replaced: a symbolic link stays, and the file that it
// leads to is written, whether it exists or not; a device, a pipe or a standard
// stream (/dev/stdout) is written to as it stands.
func Write(path string, perm os.FileMode, write func(io.Writer) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	file, stream, err := follow(path)
	if err != nil {
		return err
	}
	switch info, err := os.Stat(file); {
	case stream, err == nil && !info.Mode().IsRegular() && !info.IsDir():
		return through(file, write)
	case err == nil && info.IsDir():
		return errors.New("it is a folder")
	case err == nil:
		perm = info.Mode().Perm()
	}
	return replace(file, perm, write)
}

// Create writes a file that is not there yet, whole: of several processes, on several hosts too, that create
// a file at one time one succeeds, and the error of the others wraps fs.ErrExist.
func Create(path string, data []byte, perm os.FileMode) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("create %s: %w", path, err)
		}
	}()
	finish := func(name string) error {
		err := os.Link(name, path)
		if err == nil || errors.Is(err, fs.ErrExist) {
			return errors.Join(err, os.Remove(name))
		}
		// A file system without hard links: what a crash leaves of the file is then not the whole.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if err == nil {
			_, err = f.Write(data)
			err = errors.Join(err, f.Sync(), f.Close())
		}
		return errors.Join(err, os.Remove(name))
	}
	return temporarily(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	}, finish)
}

// maxLinks is how many links may follow on one another: what Linux allows.
const maxLinks = 40

// follow is the name at the end of a chain of symbolic links; stream says that
// it is an open file of a process, such as /dev/stdout leads to, which has no other name.
func follow(path string) (file string, stream bool, err error) {
	for range maxLinks {
		if strings.HasPrefix(filepath.Clean(path), "/proc/") {
			return path, true, nil
		}
		to, err := os.Readlink(path)
		if err != nil { // no link, or nothing there
			return path, false, nil
		}
		if !filepath.IsAbs(to) {
			// Folders on the way may be links themselves: ".." is of where they lead.
			dir, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return "", false, err
			}
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return "", false, &fs.PathError{Op: "follow", Path: path, Err: errors.New("too many links")}
}

// through writes to what is there already.
func through(file string, write func(io.Writer) error) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0) // appended: a stream may be redirected to a file
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err := write(w); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(w.Flush(), f.Close())
}

// temporary ends the names of files that are not whole yet.
const temporary = ".tmp"

// Sweep removes the temporary files that processes which were killed left in a
// folder. Those of living writers stay: they hold a lock.
func Sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), temporary) {
			continue
		}
		if time.Since(info.ModTime()) < time.Second { // it may have been made, and not be locked yet
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, e.Name()), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if lock(f) == nil {
			os.Remove(f.Name())
		}
		f.Close()
	}
}

func replace(file string, perm os.FileMode, write func(io.Writer) error) error {
	return temporarily(file, perm, write, func(name string) error { return os.Rename(name, file) })
}

// temporarily writes a file under a temporary name beside its own, and lets finish give it that.
func temporarily(file string, perm os.FileMode, write func(io.Writer) error, finish func(name string) error) (err error) {
	dir := filepath.Dir(file)
	f, err := os.CreateTemp(dir, "."+filepath.Base(file)+".*"+temporary)
	if err != nil {
		return err
	}
	_ = lock(f) // for Sweep; a file system without locks keeps what it has
	closed := false
	defer func() {
		if err == nil {
			return
		}
		if !closed {
			f.Close()
		}
		os.Remove(f.Name())
	}()
	w := bufio.NewWriterSize(f, 1<<16)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	// CreateTemp makes files private to the user.
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	closed = true
	if err := f.Close(); err != nil { // some network file systems report a full disk only here
		return err
	}
	if err := finish(f.Name()); err != nil {
		return err
	}
	return SyncDir(dir)
}
