package study

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"netspace/strict"
)

// Decide asks for a comparison of two spaces that ends as soon as it is decided (see package design), as a study file states it.
type Decide struct {
	Between    [2]string `json:"between"`     // A and B, spaces of the study: may B be kept in the place of A?
	Delta      float64   `json:"delta"`       // by how much B may be worse, percentage points, 0 to 100
	Alpha      float64   `json:"alpha"`       // chance of a wrong finding, in (0, 1)
	Power      float64   `json:"power"`       // chance of finding that B is not worse if both are equally good, in (0, 1)
	MaxSamples int       `json:"max_samples"` // networks of each space at most, at least 2
	Batch      int       `json:"batch"`       // networks of each space to add between two looks at least; 0: no least number
	EMax       float64   `json:"emax"`        // errors beyond count as this, percent; 0: chosen at the first look
	// ShortEpochs is the length of short trainings; 0: what pays most, AllEpochs: none.
	ShortEpochs int `json:"short_epochs"`
	// Futility ends the comparison, undecided, as soon as it is unlikely that B will be found not to be worse (see stats.Sequential).
	Futility bool `json:"futility"`
}

// AllEpochs as the length of short trainings says that there are none.
const AllEpochs = -1

// Defaults of Decide.
const (
	DefaultDelta      = 0.5 // percentage points: seldom noise and seldom irrelevant
	DefaultAlpha      = 0.05
	DefaultPower      = 0.8
	DefaultMaxSamples = 500 // what DDS trains of a space
)

// DefaultDecide is what a file that states no more than the spaces asks for.
func DefaultDecide() Decide {
	return Decide{Delta: DefaultDelta, Alpha: DefaultAlpha, Power: DefaultPower, MaxSamples: DefaultMaxSamples}
}

// ParseDecide reads the question of a study as its file states it, from one line, {between: [a, b], delta: 1}. What it does not state is as
// the study's own question has it, or as DefaultDecide.
func ParseDecide(text string, c Config) (*Decide, error) {
	doc, err := strict.Parse([]byte("decide: "+text), "decide")
	if err != nil {
		return nil, err
	}
	base := DefaultDecide()
	if c.Decide != nil {
		base = *c.Decide
	}
	f := doc.Root()
	d := readDecide(doc, f.Map("decide"), base, c.Spaces, c.Recipe.Epochs)
	f.Finish()
	return d, doc.Err()
}

// readDecide reads the block decide of a study file; nil if there is none.
func readDecide(doc *strict.Doc, f *strict.Fields, d Decide, spaces []string, epochs int) *Decide {
	if f == nil {
		return nil
	}
	if d.Between[0] == "" {
		f.Require("between")
	}
	var between []string
	f.Strings("between", &between)
	if f.Has("between") {
		if len(between) != 2 || between[0] == between[1] {
			doc.Fail(f.Path("between"), "", "must be two spaces, [A, B]: may B be kept in the place of A?")
		} else {
			for i, name := range between {
				if !slices.Contains(spaces, name) && len(spaces) > 0 {
					doc.Fail(strict.Index(f.Path("between"), i), name, "%s", strict.OneOf(name, spaces...))
				}
			}
			d.Between = [2]string(between)
		}
	}
	readQuestion(doc, f, &question{&d.Delta, &d.Alpha, &d.Power, &d.EMax, &d.ShortEpochs}, epochs)
	whole(doc, f, "max_samples", &d.MaxSamples, 2, maxSamples)
	whole(doc, f, "batch", &d.Batch, 1, maxSamples)
	f.Bool("futility", &d.Futility)
	f.Finish()
	return &d
}

// question is what comparisons have in common.
type question struct {
	delta, alpha, power, emax *float64
	shortEpochs               *int
}

func readQuestion(doc *strict.Doc, f *strict.Fields, q *question, epochs int) {
	number := func(name string, to *float64, fits func(float64) bool, rule string) {
		f.Float(name, to)
		if f.Has(name) && !fits(*to) {
			doc.Fail(f.Path(name), strconv.FormatFloat(*to, 'g', -1, 64), "%s", rule)
		}
	}
	share := func(v float64) bool { return v >= 0.001 && v <= 0.999 }
	number("delta", q.delta, func(v float64) bool { return v >= 0 && v <= 100 }, "must be from 0 to 100 percentage points")
	number("alpha", q.alpha, share, "must be from 0.001 to 0.999")
	number("power", q.power, share, "must be from 0.001 to 0.999")
	number("emax", q.emax, func(v float64) bool { return v > 0 && v <= 100 }, "must be above 0 and at most 100 percent")
	f.Word("short_epochs", func(word string) error {
		if word == "auto" {
			*q.shortEpochs = 0
			return nil
		}
		n, err := strconv.Atoi(word)
		switch {
		case err != nil || n < 0:
			return errors.New("must be auto, a number of epochs below recipe.epochs, or 0 for no short trainings")
		case n >= epochs:
			return fmt.Errorf("must be below recipe.epochs, which is %d", epochs)
		case n == 0:
			n = AllEpochs
		}
		*q.shortEpochs = n
		return nil
	})
}
