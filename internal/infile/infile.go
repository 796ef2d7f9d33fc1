// Package infile opens files that a user names: regular files of a bounded
// size. A device, a pipe or a folder is refused before it is read, so that no
// name can make the program wait or fill the memory.
package infile

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// RefusedError says why a file is not read.
type RefusedError struct {
	Path   string
	Reason string // "is a folder, not a file"
}

func (e *RefusedError) Error() string { return e.Path + ": " + e.Reason }

// Open opens a regular file for reading.
func Open(path string) (*os.File, error) {
	// A pipe without a writer would make the call wait; a file does not mind.
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() {
		f.Close()
		return nil, &RefusedError{path, "is " + kind(mode) + ", not a file"}
	}
	return f, nil
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

// Read reads a whole regular file of at most that many bytes.
func Read(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	large := func(size int64) error {
		return &RefusedError{path, fmt.Sprintf("has %d bytes: at most %d are read", size, most)}
	}
	if info.Size() > most {
		return nil, large(info.Size())
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1)) // files of /proc and files that grow have another size than they state
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, large(int64(len(data)))
	}
	return data, nil
}
