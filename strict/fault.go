// Package strict reads YAML and JSON files into typed values and reports all
// that is wrong with a file at once: file, line, path of the field, the value
// and what is allowed.
//
//	doc, err := strict.Parse(text, "net.yaml")
//	f := doc.Root()
//	f.Int("depth", &depth)
//	f.Finish()       // what was not read is not known
//	err = doc.Err()  // *Error: all faults, with their lines
package strict

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hbollon/go-edlib"
)

// Fault is one thing that is wrong with a file or value.
type Fault struct {
	File  string // "" when the value did not come from a file
	Line  int    // from 1; 0 if unknown
	Path  string // of the field: "stages[1].width"; "" for the whole file
	Value string // as given; "" if there is none, as for a missing field
	Rule  string // what is wrong and what is allowed
}

// Error gives "net.yaml:7: stages[1].width: 0: must be from 1 to 32768", without
// control characters, and without the middle of what is very long.
func (f Fault) Error() string {
	f.File, f.Path, f.Value, f.Rule = printable(f.File, 400), printable(f.Path, 200), printable(f.Value, 100), printable(f.Rule, 1000)
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

// printable is a text of a file as it may stand in a terminal: control
// characters and what is no text are written as Go writes them, and of a text
// longer than most bytes the middle is left out.
func printable(s string, most int) string {
	if len(s) > most {
		head, tail := s[:most*3/4], s[len(s)-most/4:]
		s = strings.ToValidUTF8(head, "") + "…" + strings.ToValidUTF8(tail, "")
	}
	plain := func(r rune) bool { return r != utf8.RuneError && strconv.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if plain(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// Error holds the faults of a file, in the order of its lines.
type Error struct {
	Faults []Fault
	More   int // faults that were counted only
}

// maxPrinted is how many faults Error gives in words: as many as one reads.
const maxPrinted = 20

// Error gives one line per fault, and how many there are besides.
func (e *Error) Error() string {
	var lines []string
	for _, f := range e.Faults[:min(len(e.Faults), maxPrinted)] {
		lines = append(lines, f.Error())
	}
	if more := len(e.Faults) - len(lines) + e.More; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// maxFaults is how many faults are kept: beyond it, none is a surprise.
const maxFaults = 200

// Faults collects what is wrong. Its zero value is ready.
type Faults struct {
	list   []Fault
	failed map[string]bool // paths
	more   int             // faults that did not fit into the list
}

func (f *Faults) full() bool { return len(f.list) >= maxFaults }

// Add adds a fault.
func (f *Faults) Add(fault Fault) {
	if f.failed == nil {
		f.failed = map[string]bool{}
	}
	f.failed[fault.Path] = true
	if f.full() {
		f.more++
		return
	}
	f.list = append(f.list, fault)
}

// Failed says whether a fault was found at exactly this path.
func (f *Faults) Failed(path string) bool { return f.failed[path] }

// Err is nil if nothing was added, else an *Error with the faults by line.
func (f *Faults) Err() error {
	if len(f.list) == 0 {
		return nil
	}
	slices.SortStableFunc(f.list, func(a, b Fault) int { return a.Line - b.Line })
	return &Error{Faults: f.list, More: f.more}
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

// maxWord is the longest word that can be a misspelt one.
const maxWord = 100

// Nearest gives up to n of the words that are spelt most like word, nearest
// first: those that begin like it, within a third of its length in edits (a swap of neighbours is one), and
// those of which one contains the other.
func Nearest(word string, words []string, n int) []string {
	type near struct {
		word string
		dist int
	}
	if len(word) > maxWord {
		return nil
	}
	low := strings.ToLower(word)
	var found []near
	for _, w := range words {
		lw := strings.ToLower(w)
		d := edlib.OSADamerauLevenshteinDistance(low, lw)
		if n := len(low); n >= 4 && n < len(lw) { // a misspelt beginning
			d = min(d, edlib.OSADamerauLevenshteinDistance(low, lw[:n])+1)
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
