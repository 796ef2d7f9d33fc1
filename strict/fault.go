// Package strict reads YAML and JSON files into typed values and reports all
// that is wrong with a file at once: file, line, path of the field, the value
// and what is allowed.
package strict

import (
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing that is wrong with a file or value.
type Fault struct {
	File  string // "" when the value did not come from a file
	Line  int    // from 1; 0 if unknown
	Path  string // of the field: "stages[1].width"; "" for the whole file
	Value string // as given; "" if there is none, as for a missing field
	Rule  string // what is wrong and what is allowed
}

// Error gives "net.yaml:7: stages[1].width: 0: must be from 1 to 32768".
func (f Fault) Error() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(f.File)
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d", f.Line)
		}
		b.WriteString(": ")
	}
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	if f.Value != "" {
		b.WriteString(f.Value + ": ")
	}
	b.WriteString(f.Rule)
	return b.String()
}

// Error holds all faults of a file, in the order of its lines.
type Error struct{ Faults []Fault }

// Error gives one line per fault.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Faults collects what is wrong. Its zero value is ready.
type Faults struct{ list []Fault }

// Add adds a fault.
func (f *Faults) Add(fault Fault) { f.list = append(f.list, fault) }

// Err is nil if nothing was added, else an *Error with the faults by line.
func (f *Faults) Err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b Fault) int { return a.Line - b.Line })
	return &Error{Faults: f.list}
}

// OneOf says what is allowed, and which allowed word is the nearest to a misspelt one.
func OneOf(word string, allowed ...string) string {
	rule := "must be " + list(allowed)
	if near := Nearest(word, allowed, 1); len(near) > 0 {
		rule += fmt.Sprintf(" (did you mean %s?)", near[0])
	}
	return rule
}

func list(words []string) string {
	switch n := len(words); n {
	case 0:
		return "absent"
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
}

// Nearest gives up to n of the words that are spelt most like word, nearest
// first: those that begin like it, within a third of its length in edits, and
// those of which one contains the other.
func Nearest(word string, words []string, n int) []string {
	type near struct {
		word string
		dist int
	}
	low := strings.ToLower(word)
	var found []near
	for _, w := range words {
		lw := strings.ToLower(w)
		d := distance(low, lw)
		if n := len(low); n >= 4 && n < len(lw) { // a misspelt beginning
			d = min(d, distance(low, lw[:n])+1)
		}
		if d <= max(1, len(low)/3) || len(low) > 2 && strings.Contains(lw, low) || len(lw) > 2 && 2*len(lw) >= len(low) && strings.Contains(low, lw) {
			found = append(found, near{w, d})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return a.dist - b.dist })
	out := make([]string, 0, n)
	for _, f := range found[:min(n, len(found))] {
		out = append(out, f.word)
	}
	return out
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
