package analysis

import (
	"encoding/json"
	"math"

	"netspace/stats"
)

// Range is a confidence interval in JSON.
type Range struct {
	Lo float64 `json:"lo"`
	Hi float64 `json:"hi"`
}

// SpaceJSON is the line of one space in machine-readable output. Errors are in
// percent, the area in percentage points.
type SpaceJSON struct {
	Study     string           `json:"study"`
	Space     string           `json:"space"`
	Imported  string           `json:"imported,omitempty"` // format that it was read from; absent: a study trained it
	N         int              `json:"n"`                  // finished, failed ones included
	Failed    int              `json:"failed"`             // counted with the error of chance
	Pending   int              `json:"pending"`            // not finished, not counted
	Min       float64          `json:"min"`
	Mean      float64          `json:"mean"`
	Median    float64          `json:"median"`
	Area      float64          `json:"area"` // under the EDF up to EMax
	EMax      float64          `json:"emax"`
	Level     float64          `json:"level"`     // of the intervals
	Intervals map[string]Range `json:"intervals"` // of min, mean, median, area; empty with one network
	Noise     *NoiseJSON       `json:"noise,omitempty"`
}

// NoiseJSON is how much trainings of one network differ, with other seeds.
type NoiseJSON struct {
	Networks  int      `json:"networks"`  // that were trained more than once
	Trainings int      `json:"trainings"` // of these
	StdDev    float64  `json:"std_dev"`   // of trainings of one network, percentage points
	Interval  Range    `json:"interval"`  // of std_dev
	Share     *float64 `json:"share"`     // of the variance of the population; null if that is 0
}

func noiseJSON(n stats.Noise) *NoiseJSON {
	line := &NoiseJSON{Networks: n.Networks, Trainings: n.Trainings, StdDev: n.StdDev.Value, Interval: Range{n.StdDev.Lo, n.StdDev.Hi}}
	if !math.IsNaN(n.Share) {
		line.Share = &n.Share
	}
	return line
}

// DifferenceJSON is B less A in machine-readable output.
type DifferenceJSON struct {
	Difference float64  `json:"difference"`
	Lo         *float64 `json:"lo"`     // null with one network
	Hi         *float64 `json:"hi"`     // null with one network
	Better     *float64 `json:"better"` // probability that B is better; null with one network
}

// PairJSON is the line of one pair of spaces in machine-readable output.
type PairJSON struct {
	A      string         `json:"a"`
	B      string         `json:"b"`
	Min    DifferenceJSON `json:"min"`
	Mean   DifferenceJSON `json:"mean"`
	Median DifferenceJSON `json:"median"`
	Area   DifferenceJSON `json:"area"`
	KS     struct {
		D     float64 `json:"d"`
		P     float64 `json:"p"`
		PHolm float64 `json:"p_holm"` // adjusted for the number of pairs
	} `json:"ks"`
	NotWorse struct {
		Delta float64  `json:"delta"`
		PMean *float64 `json:"p_mean"` // null with one network
		PArea *float64 `json:"p_area"` // null with one network
	} `json:"not_worse"`
}

// JSON is the space as a line of machine-readable output.
func (s Space) JSON() SpaceJSON {
	line := SpaceJSON{
		Study: s.Study, Space: s.Label, Imported: s.Imported, N: s.N, Failed: s.Failed, Pending: s.Pending,
		Min: s.Min.Value, Mean: s.Mean.Value, Median: s.Median.Value, Area: s.Area.Value,
		EMax: s.EMax, Level: Level, Intervals: map[string]Range{},
	}
	if s.Noise != nil {
		line.Noise = noiseJSON(*s.Noise)
	}
	for name, e := range map[string]stats.Estimate{"min": s.Min, "mean": s.Mean, "median": s.Median, "area": s.Area} {
		if e.Known() {
			line.Intervals[name] = Range{e.Lo, e.Hi}
		}
	}
	return line
}

// MarshalJSON writes a SpaceJSON.
func (s Space) MarshalJSON() ([]byte, error) { return json.Marshal(s.JSON()) }

// JSON is the pair as a line of machine-readable output.
func (p Pair) JSON() PairJSON {
	line := PairJSON{
		A: p.LabelA, B: p.LabelB,
		Min: differenceJSON(p.Min), Mean: differenceJSON(p.Mean), Median: differenceJSON(p.Median), Area: differenceJSON(p.Area),
	}
	line.KS.D, line.KS.P, line.KS.PHolm = p.KS.D, p.KS.P, p.PHolm
	line.NotWorse.Delta = p.NotWorse.Delta
	line.NotWorse.PMean, line.NotWorse.PArea = known(p.NotWorse.P), known(p.NotWorseArea.P)
	return line
}

// MarshalJSON writes a PairJSON.
func (p Pair) MarshalJSON() ([]byte, error) { return json.Marshal(p.JSON()) }

// readingJSON is a Reading in JSON.
type readingJSON struct {
	Verdict Verdict         `json:"verdict"`
	First   int             `json:"first"`
	Second  *int            `json:"second"` // null: there is one space only
	Area    *DifferenceJSON `json:"area"`   // null with it
	Alike   bool            `json:"alike"`
	Needed  int             `json:"needed"`
}

// MarshalJSON writes the reading with null for what there is not.
func (r Reading) MarshalJSON() ([]byte, error) {
	out := readingJSON{Verdict: r.Verdict, First: r.First, Alike: r.Alike, Needed: r.Needed}
	if r.Second >= 0 {
		area := differenceJSON(r.Area)
		out.Second, out.Area = &r.Second, &area
	}
	return json.Marshal(out)
}

func differenceJSON(d stats.Difference) DifferenceJSON {
	return DifferenceJSON{d.Value, known(d.Lo), known(d.Hi), known(d.Better)}
}

// known is nil for what is not known, which JSON has no number for.
func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}
