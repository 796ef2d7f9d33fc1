//go:build !unix

package atomicfile

import (
	"errors"
	"os"
)

// lock fails: nobody can tell whether a writer lives.
func lock(*os.File) error { return errors.ErrUnsupported }
