//go:build unix

package dataset

import (
	"errors"
	"math"
	"syscall"
)

// mapFile maps a file read-only, so that all processes that use it share its pages;
// where that fails it reads it. The returned function gives it back.
func mapFile(path string) ([]byte, func() error, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if st.Size() == 0 || st.Size() > math.MaxInt {
		return nil, nil, errors.New("size of the file is out of range")
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(st.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return readWhole(path)
	}
	return data, func() error { return syscall.Munmap(data) }, nil
}
