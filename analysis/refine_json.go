package analysis

import (
	"encoding/json"
	"math"

	"netspace/space"
	"netspace/stats"
)

// EffectJSON is networks with a rule less those without in machine-readable
// output; null where it is not known.
type EffectJSON struct {
	Difference *float64 `json:"difference"`
	Lo         *float64 `json:"lo"` // of the simultaneous interval
	Hi         *float64 `json:"hi"`
}

// CandidateJSON is the line of one candidate in machine-readable output. Errors
// are in percentage points, of which less is better; of areas more is.
type CandidateJSON struct {
	// Rule as it stands in a space file: a mapping, or the text of an expression. A
	// change of family is {"family":"regnet"}.
	Rule      json.RawMessage `json:"rule"`
	Label     string          `json:"label"`
	Name      string          `json:"name"`           // of the derived space
	File      string          `json:"file,omitempty"` // that it was written to
	N         int             `json:"n"`              // networks with the rule
	Rest      int             `json:"rest"`           // without it
	Supported bool            `json:"supported"`      // enough of both to compare them
	Standing  Standing        `json:"standing"`
	Mean      EffectJSON      `json:"mean"`
	Median    EffectJSON      `json:"median"`
	Area      EffectJSON      `json:"area"`
	StdDev    *float64        `json:"std_dev"` // of the errors of networks with the rule
	RestStd   *float64        `json:"rest_std_dev"`
	Chosen    bool            `json:"chosen"` // a range that half of the networks chose and the others test
	Model     *Model          `json:"model"`  // null: compared, or not known at all
	// Log10Size is the decimal logarithm of how many times smaller the space gets;
	// null where no setting was found that satisfies the rule.
	Log10Size   *float64         `json:"log10_size"`
	Log10Before space.Estimate   `json:"log10_before"` // of the number of settings, with a 95 % interval
	Log10After  space.Estimate   `json:"log10_after"`
	Exact       bool             `json:"exact"`  // whether the sizes are counted, not estimated
	Needed      int              `json:"needed"` // fresh networks of each space for a decision; 0: not known
	Hours       *float64         `json:"hours"`  // for these of both, one after the other; null: not known
	Of          CandidatesOfJSON `json:"of"`
}

// CandidatesOfJSON is what the candidates of one population have in common.
type CandidatesOfJSON struct {
	Population
	Imported   *Imported `json:"imported,omitempty"`
	Candidates int       `json:"candidates"` // that the intervals are simultaneous for
	Level      float64   `json:"level"`
	By         Measure   `json:"by"` // what ranks and decides
	EMax       float64   `json:"emax"`
	Delta      float64   `json:"delta"`
	Alpha      float64   `json:"alpha"`
	Power      float64   `json:"power"`
	MinSupport int       `json:"min_support"`
	Choosing   int       `json:"choosing"` // networks that chose the ranges
}

// JSON is a candidate as a line of machine-readable output.
func (r Refinement) JSON(c Candidate) (CandidateJSON, error) {
	line := CandidateJSON{
		Label: c.Label, Name: c.Space.Name, N: c.Part, Rest: c.Rest, Supported: c.Supported, Standing: c.Standing,
		Mean: effectJSON(c.Mean), Median: effectJSON(c.Median), Area: effectJSON(c.Area),
		StdDev: known(c.StdDev), RestStd: known(c.RestStdDev), Chosen: c.Chosen, Model: c.Model,
		Log10Size: finite(c.Log10.Value()), Log10Before: c.Log10.Before, Log10After: c.Log10.After, Exact: c.Log10.Exact, Needed: c.Needed,
		Of: CandidatesOfJSON{
			r.Population, r.Source.Imported, len(r.Candidates), Level, r.Options.By, r.EMax, r.Options.Delta, r.Options.Alpha, r.Options.Power, MinSupport, r.Chosen,
		},
	}
	if c.Hours > 0 {
		line.Hours = &c.Hours
	}
	if c.Family != "" {
		text, err := json.Marshal(map[string]string{"family": c.Family})
		line.Rule = text
		return line, err
	}
	text, err := c.Rule.MarshalJSON() // json.Marshal would escape < and >
	line.Rule = text
	return line, err
}

func effectJSON(e stats.Estimate) EffectJSON {
	return EffectJSON{known(e.Value), known(e.Lo), known(e.Hi)}
}

// finite is nil for what is not a number.
func finite(v float64) *float64 {
	if math.IsInf(v, 0) {
		return nil
	}
	return known(v)
}
