package analysis

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"netspace/arch"
	"netspace/graph"
	"netspace/metric"
	"netspace/strict"
	"netspace/train"
)

// SearchFile is the log of a search in its folder: a SearchLog as JSON.
const SearchFile = "search.json"

// SearchLog is what a search for the best network of a space came to. Networks are named by their places in the sample of the space, from 0.
type SearchLog struct {
	Name      string  `json:"name"`  // of the study
	Space     string  `json:"space"` // that was searched
	Schedule  string  `json:"schedule"`
	Seed      uint64  `json:"seed"`
	Trainings int     `json:"trainings,omitempty"` // budget in whole trainings; 0: it is Hours
	Hours     float64 `json:"hours,omitempty"`     // budget of wall time
	// Bounds are the budgets that every network keeps.
	Bounds  []SearchBound `json:"bounds"`
	Seconds float64       `json:"seconds"` // wall time so far, of all runs
	// Drawn networks were looked at, of which those that keep no bound of Screened were left out before any training.
	Drawn    int `json:"drawn"`
	Rejected int `json:"rejected"`
	// Latency is what was measured of latencies; nil: no budget asks for it.
	Latency *Latencies `json:"latency,omitempty"`
	// Begun and Sizes are how many networks the clock lets begin, so far, and take part in each round. Empty for a budget of trainings.
	Begun int         `json:"begun,omitempty"`
	Sizes []int       `json:"sizes,omitempty"`
	Rungs []SearchRun `json:"rungs"`
	// Cost of the trainings of all rungs and reruns so far, in whole trainings.
	Cost      float64    `json:"cost"`
	Finalists []Finalist `json:"finalists"` // best first
	// Noise is the standard deviation of the error of one network from seed to seed, percentage points, as the reruns show it.
	Noise float64 `json:"noise"`
	// Fronts are, for each metric, the networks that were trained wholly and that no other one beats in both the metric and the error.
	Fronts []Front `json:"fronts"`
	// Winner is nil until one is chosen.
	Winner *Winner `json:"winner"`
	// Final is the last training of the winner, nil until it is done.
	Final *FinalTraining `json:"final"`
	// Earlier are final trainings of networks that won before the search went on with a larger budget: their test errors were seen, too.
	Earlier []FinalTraining `json:"earlier_finals,omitempty"`
}

// SearchBound is a budget in words and numbers.
type SearchBound struct {
	Metric string `json:"metric"` // flops, params, acts, memory, weights_size, latency
	Unit   string `json:"unit"`
	Range  string `json:"range"` // "..3M"
}

// Latencies are those of one image that a search measured.
type Latencies struct {
	Device   string          `json:"device"`   // that measured
	Measured map[int]float64 `json:"measured"` // milliseconds by network
	// Modelled are networks that a model of what was measured before them kept or rejected. Of those that it kept, the ones that were trained wholly were measured then.
	Modelled map[int]bool `json:"modelled"`
	// Predicted is how many these are. The model, at last of Fitted networks, errs on networks that it has not seen by the share Median, of nine in ten by no more
	// than P90; Model is the standard deviation of the logarithm. Median and P90 are 0 in logs of before they were kept.
	Predicted int     `json:"predicted"`
	Fitted    int     `json:"fitted"`
	Median    float64 `json:"model_median"`
	P90       float64 `json:"model_p90"`
	Model     float64 `json:"model_error"`
}

// SearchRun is a round of a search: some networks, trained for so many epochs.
type SearchRun struct {
	Epochs   int   `json:"epochs"`
	Networks []int `json:"networks"` // in the order in which the last round ranked them
	Failed   int   `json:"failed"`   // of them
	// Cost in whole trainings, less what the round before had trained.
	Cost float64 `json:"cost"`
}

// Finalist is a network that was trained again.
type Finalist struct {
	Index  int       `json:"index"`
	ID     string    `json:"id"`
	Error  float64   `json:"error"`  // of its first training, percent
	Reruns []float64 `json:"reruns"` // errors of trainings with fresh seeds
	Mean   float64   `json:"mean"`   // of the reruns
	// Shrunk is what its error is expected to be of further seeds, with its standard error: the mean of all its trainings, drawn to the
	// mean of all networks that were trained wholly by as much as the noise explains.
	Shrunk   float64 `json:"shrunk"`
	StdError float64 `json:"std_error"`
	// Chance that it is the best of all networks that were tried, by their errors on the validation images over all seeds.
	Chance float64 `json:"chance"`
	graph.Complexity
}

// Front is a Pareto front: of the error against a metric.
type Front struct {
	Metric string       `json:"metric"`
	Points []FrontPoint `json:"points"` // ascending in the metric, and so descending in the error
	// Others are the other networks that were trained wholly.
	Others []FrontPoint `json:"others"`
}

// FrontPoint is a network.
type FrontPoint struct {
	Index int     `json:"index"`
	Value float64 `json:"value"` // of the metric
	Error float64 `json:"error"` // percent, mean of all its trainings
}

// NewFront divides networks into those of the front and the others.
func NewFront(metric string, networks []FrontPoint) Front {
	f := Front{Metric: metric, Points: []FrontPoint{}, Others: []FrontPoint{}}
	networks = slices.Clone(networks)
	slices.SortStableFunc(networks, func(a, b FrontPoint) int { return cmp.Or(cmp.Compare(a.Value, b.Value), cmp.Compare(a.Error, b.Error)) })
	least := math.Inf(1)
	for _, n := range networks {
		if n.Error < least {
			least, f.Points = n.Error, append(f.Points, n)
		} else {
			f.Others = append(f.Others, n)
		}
	}
	return f
}

// Winner is the network that a search chose.
type Winner struct {
	Index int       `json:"index"`
	ID    string    `json:"id"`
	Spec  arch.Spec `json:"spec"`
	File  string    `json:"file"` // spec file in the folder
	graph.Complexity
	Memory      int64 `json:"memory"`       // bytes, see graph.Graph.PeakMemory
	WeightsSize int64 `json:"weights_size"` // bytes of all tensors as float32
	// Latency as measured, milliseconds; nil if no budget asks for it.
	Latency *float64 `json:"latency,omitempty"`
	// Chance that it is the best of the finalists, and of all networks that were tried.
	OfFinalists float64 `json:"chance_of_finalists"`
	OfAll       float64 `json:"chance_of_all"`
	// Regret is by how much the best of all networks that were tried is expected to be better, percentage points.
	Regret float64 `json:"regret"`
	// Estimate of its error by images that nothing was chosen by, nil if none were asked for or its weights are not to be had.
	Estimate *Estimate `json:"estimate"`
}

// Estimate is an error on images that nothing was chosen by, of a training with a fresh seed, as the search trains.
type Estimate struct {
	Images int     `json:"images"`
	Error  float64 `json:"error"` // percent
	Lo     float64 `json:"lo"`    // 95 % interval for the chance of an error on further images, with these weights
	Hi     float64 `json:"hi"`
}

// FinalTraining is the training of a winner on all training images. The test images are read at its end, once.
type FinalTraining struct {
	ID         string        `json:"id"` // of the network's trial
	Recipe     train.Recipe  `json:"recipe"`
	Threads    int           `json:"threads"`
	Images     int           `json:"train_images"`
	Test       train.Metrics `json:"test"`
	TestLo     float64       `json:"test_lo"` // 95 % interval for the chance of an error on further images
	TestHi     float64       `json:"test_hi"`
	Seconds    float64       `json:"seconds"`
	Weights    string        `json:"weights"` // file in the folder; "": the trainer writes none
	TrainLoss  float64       `json:"train_loss"`
	TrainError float64       `json:"train_error"` // percent, in the last epoch
}

// ReadSearchLog reads the log of a search in a folder. The error wraps fs.ErrNotExist if there is none.
func ReadSearchLog(dir string) (s SearchLog, err error) {
	file := filepath.Join(dir, SearchFile)
	text, err := strict.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	if t := s.Latency; t != nil && t.Modelled == nil {
		if t.Modelled, err = s.modelled(text); err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
	}
	return s, nil
}

// modelled are the networks that a model decided on in a log of before it named them: they were looked at and not measured, or late, and those of the first round
// were kept.
func (s SearchLog) modelled(text []byte) (map[int]bool, error) {
	var earlier struct {
		Latency struct {
			Late map[int]bool `json:"late"`
		} `json:"latency"`
	}
	if err := json.Unmarshal(text, &earlier); err != nil {
		return nil, err
	}
	all := map[int]bool{}
	if len(s.Rungs) == 0 {
		return all, nil
	}
	for i := range s.Drawn {
		if _, measured := s.Latency.Measured[i]; !measured || earlier.Latency.Late[i] {
			all[i] = slices.Contains(s.Rungs[0].Networks, i)
		}
	}
	return all, nil
}

// BoundsOf lists bounds that are set.
func BoundsOf(b metric.Bounds) []SearchBound {
	all := []SearchBound{}
	for _, m := range metric.Counted() {
		if r := b[m.ID]; !r.IsZero() {
			all = append(all, SearchBound{m.Name, m.Unit, r.String()})
		}
	}
	return all
}
