//go:build !unix

package study

import "errors"

func makePipe(string) error { return errors.ErrUnsupported }
