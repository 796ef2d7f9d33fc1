package analysis

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"netspace/strict"
)

// LadderFile is the log of a design loop in its folder: a Ladder as JSON.
const LadderFile = "design.json"

// Ladder is what a design loop came to: spaces, each the one before with a rule more.
type Ladder struct {
	Name  string  `json:"name"`  // of the study
	Start string  `json:"start"` // the space that it began with
	Found string  `json:"found"` // the space that it came to
	Delta float64 `json:"delta"` // by how much a simpler space may be worse, percentage points
	// Alpha bounds the chance that any rule was kept although its space is worse by Delta or more: every comparison has a chance of Alpha over the
	// number of rules that may fail, and only failures use it up.
	Alpha float64 `json:"alpha"`
	Log10 float64 `json:"log10_size"` // of the number of networks of the start space
	// Why the loop ended; "" while it goes on.
	Why     LadderEnd `json:"why"`
	Seconds float64   `json:"seconds"` // wall time so far, of all runs
	Rungs   []Rung    `json:"rungs"`   // in the order of their comparisons
}

// LadderEnd says why a design loop ended.
type LadderEnd string

// The ends.
const (
	NoRule      LadderEnd = "no rule is left"
	Exhausted   LadderEnd = "too many rules failed"
	OutOfBudget LadderEnd = "the budget is spent"
)

// Rung is a rule that a design loop tried.
type Rung struct {
	Number int    `json:"number"` // from 1
	Base   string `json:"base"`   // space that it was tried on
	Space  string `json:"space"`  // the one with the rule
	File   string `json:"file"`   // of the space, in the folder
	Rule   string `json:"rule"`
	Label  string `json:"label"` // the rule in words
	// What the population of the base said of the rule before: its standing, the networks that it was chosen from, and the gain that they promised, in
	// points of area; nil: nothing.
	Standing Standing `json:"standing"`
	Networks int      `json:"networks"`
	Expected *float64 `json:"expected"`
	Before   float64  `json:"log10_before"` // sizes of the two spaces
	After    float64  `json:"log10_after"`

	Accepted bool    `json:"accepted"`
	Finding  string  `json:"finding"`
	Alpha    float64 `json:"alpha"` // of the comparison
	// Difference of the mean errors, the rule's space less its base, percentage points, errors beyond EMax counted as it; with an interval that holds for
	// all looks together.
	Difference float64         `json:"difference"`
	Lo         *float64        `json:"lo"`
	Hi         *float64        `json:"hi"`
	AtMost     *float64        `json:"at_most"` // bound from above at a one-sided level of Alpha, on which "not worse" rests
	EMax       float64         `json:"emax"`
	Full       int             `json:"full"`  // trainings of each space
	Short      int             `json:"short"` // of each space, the full ones among them
	Looks      int             `json:"looks"`
	Cost       float64         `json:"cost"` // in whole trainings of each space
	Text       string          `json:"text"` // the decision in words
	Decision   json.RawMessage `json:"decision"`
}

// ReadLadder reads the log of a design loop in a folder. The error wraps fs.ErrNotExist if there is none.
func ReadLadder(dir string) (l Ladder, err error) {
	file := filepath.Join(dir, LadderFile)
	text, err := strict.ReadFile(file)
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return l, fmt.Errorf("%s: %w", file, err)
	}
	return l, nil
}

// Spaces are the start and those of the rules that were kept, in order.
func (l Ladder) Spaces() []string {
	all := []string{l.Start}
	for _, r := range l.Rungs {
		if r.Accepted {
			all = append(all, r.Space)
		}
	}
	return all
}
