package study

import (
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"netspace/strict"
)

// Design asks for a design loop (see package design), as a study file states it in the place of samples and spaces: from a start space, rule by rule, to a simpler
// one whose networks are no worse.
type Design struct {
	Start      string  `json:"start"`       // space to begin with
	Networks   int     `json:"networks"`    // trained of a space before a rule is chosen from them, at least
	Delta      float64 `json:"delta"`       // by how much a simpler space may be worse, percentage points
	Alpha      float64 `json:"alpha"`       // chance of any wrong acceptance, in (0, 1)
	Power      float64 `json:"power"`       // of each comparison, in (0, 1)
	MaxSamples int     `json:"max_samples"` // networks of each space in a comparison at most
	EMax       float64 `json:"emax"`        // errors beyond count as this, percent; 0: chosen at the first look of a comparison
	// ShortEpochs is that of Decide.
	ShortEpochs int `json:"short_epochs"`
	// Failures is how many rules may fail before the loop ends; each comparison has a chance of error of Alpha/Failures.
	Failures int `json:"failures"`
	// Retry tries a rule that failed again, on another space than that on which it failed and if the networks of this one support it.
	Retry     bool          `json:"retry"`
	Trainings int           `json:"trainings"` // budget, short ones included; 0: none
	Hours     time.Duration `json:"hours"`     // budget of wall time; 0: none
	Rules     []string      `json:"rules"`     // the user's own candidates, expressions of the space language
}

// DefaultDesign is what a file that states no more than the start asks for.
func DefaultDesign() Design {
	return Design{Networks: 50, Delta: DefaultDelta, Alpha: DefaultAlpha, Power: DefaultPower, MaxSamples: 200, Failures: 3}
}

// readDesign reads the block design of a study file; nil if there is none.
func readDesign(doc *strict.Doc, f *strict.Fields, epochs int) *Design {
	if f == nil {
		return nil
	}
	d := DefaultDesign()
	f.Require("start")
	f.String("start", &d.Start)
	whole(doc, f, "networks", &d.Networks, 20, maxSamples)
	readQuestion(doc, f, &question{&d.Delta, &d.Alpha, &d.Power, &d.EMax, &d.ShortEpochs}, epochs)
	d.MaxSamples = max(DefaultDesign().MaxSamples, d.Networks)
	if f.Has("max_samples") {
		whole(doc, f, "max_samples", &d.MaxSamples, 2, maxSamples)
		if d.MaxSamples < d.Networks {
			doc.Fail(f.Path("max_samples"), strconv.Itoa(d.MaxSamples), "must be at least networks, which is %d", d.Networks)
		}
	}
	whole(doc, f, "failures", &d.Failures, 1, 100)
	f.Bool("retry", &d.Retry)
	d.Trainings, d.Hours = readBudget(doc, f)
	f.Strings("rules", &d.Rules)
	f.Finish()
	return &d
}

// withSpaces gives the text of a study file with a block design the spaces that its loop has come to, and leaves all else as it is written.
func withSpaces(text []byte, spaces []string) ([]byte, error) {
	return edit(text, func(root *yaml.Node) error { return setKey(root, "spaces", spaces, 0) })
}
