// Package tail keeps what a program says before it dies: the beginning of its output and the end.
package tail

import (
	"strings"
	"sync"
)

// most is how many bytes are kept of the beginning, and of the end.
const most = 8 << 10

// Writer keeps the first and the last of what is written to it. Its zero value is ready to use, and it is safe for
// concurrent use.
type Writer struct {
	mu          sync.Mutex
	first, last []byte
}

// Write implements io.Writer; it never fails.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(p)
	if room := most - len(w.first); room > 0 {
		k := min(room, len(p))
		w.first = append(w.first, p[:k]...)
		p = p[k:]
	}
	w.last = append(w.last, p...)
	if extra := len(w.last) - most; extra > 0 {
		w.last = append(w.last[:0], w.last[extra:]...)
	}
	return n, nil
}

// Reset forgets everything.
func (w *Writer) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.first, w.last = w.first[:0], w.last[:0]
}

// String is all that is kept.
func (w *Writer) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.first) + string(w.last)
}

// Lines are the last lines that are kept.
func (w *Writer) Lines() string { return Lines(w.String()) }

// Lines are the last lines of a text, 20 at most.
func Lines(text string) string {
	const most = 20
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}
