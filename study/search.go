package study

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"netspace/metric"
	"netspace/strict"
	"netspace/train"
)

// Search asks for a search (see package design), as a study file states it in the place of samples and spaces: for the best network of a space within budgets,
// trained in the end on all training images.
type Search struct {
	Space string // to search
	// Schedule of the trainings, one of Schedules.
	Schedule string
	// Eta of halving: about one network in so many goes on, for that many times as many epochs; 2 to 10.
	Eta int
	// Budget of the search: Trainings counts whole ones, short ones and reruns by their epochs; Hours is wall time, the final training within it. One of
	// them is 0, and says nothing.
	Trainings int
	Hours     time.Duration
	Finalists int // networks that are trained again before one is chosen, at least 2
	Reruns    int // trainings of each of them with fresh seeds, at least 2
	// Estimate is how many images that nothing is chosen by measure the error of the winner: those that a larger validation set would have besides; 0: none.
	Estimate int
	Memory   metric.Range // bytes of activations of an inference of one image (see graph.Graph.PeakMemory); zero: any
	// WeightsSize are the bytes of all tensors as float32; zero: any.
	WeightsSize metric.Range
	// Latency of one image in milliseconds, on one thread of the machine that the search runs on, or by LatencyCommand (see latency.Command); zero: any.
	Latency        metric.Range
	LatencyCommand []string
	// Final is the recipe of the last training.
	Final train.Recipe
	// Threads of the last training, and of the one for the estimate; 1 to 1024. Their bits depend on it.
	Threads int
}

// The schedules of a search.
const (
	Halving = "halving" // all begin, the better ones go on
	Random  = "random"  // all are trained wholly
)

// Schedules lists them.
func Schedules() []string { return []string{Halving, Random} }

// Defaults of Search.
const (
	DefaultFinalists   = 4
	DefaultReruns      = 3
	DefaultFinalFactor = 5 // as many times the epochs of the search has the final training
)

// readSearch reads the block search of a study file; nil if there is none.
func readSearch(doc *strict.Doc, f *strict.Fields, recipe train.Recipe) *Search {
	if f == nil {
		return nil
	}
	s := Search{Schedule: Halving, Eta: 3, Finalists: DefaultFinalists, Reruns: DefaultReruns, Threads: 1}
	f.Require("space", "budget")
	f.String("space", &s.Space)
	f.Word("schedule", func(word string) error {
		if !slices.Contains(Schedules(), word) {
			return errors.New(strict.OneOf(word, Schedules()...))
		}
		s.Schedule = word
		return nil
	})
	whole(doc, f, "eta", &s.Eta, 2, 10)
	whole(doc, f, "finalists", &s.Finalists, 2, 100)
	whole(doc, f, "reruns", &s.Reruns, 2, maxRepeats)
	if f.Has("estimate") {
		whole(doc, f, "estimate", &s.Estimate, 0, 1<<31)
	}
	s.Trainings, s.Hours = readBudget(doc, f)
	if f.Has("budget") && (s.Trainings == 0) == (s.Hours == 0) && !doc.Failed(f.Path("budget")) {
		doc.Fail(f.Path("budget"), "", "must be {trainings: 40}, whole trainings or as much in shorter ones, or {hours: 2}")
	}
	if most := s.Trainings / 2; s.Trainings > 0 && s.Finalists*s.Reruns > most {
		doc.Fail(f.Path("budget"), strconv.Itoa(s.Trainings), "must be at least twice the %d trainings that %d reruns of %d finalists take", s.Finalists*s.Reruns, s.Reruns, s.Finalists)
	}
	for _, b := range []struct {
		name string
		to   *metric.Range
	}{{"memory", &s.Memory}, {"weights_size", &s.WeightsSize}} {
		f.Word(b.name, func(word string) (err error) { *b.to, err = ParseBytes(word); return err })
	}
	readLatency(f, &s)
	s.Final = recipe
	s.Final.Epochs *= DefaultFinalFactor
	if final := f.Map("final"); final != nil {
		if final.Has("threads") {
			whole(doc, final, "threads", &s.Threads, 1, 1024)
		}
		s.Final.Read(doc, final.Map("recipe"))
		final.Finish()
	}
	f.Finish()
	return &s
}

// readLatency reads latency: ..3ms, or {range: ..3ms, command: [program, argument…]}.
func readLatency(f *strict.Fields, s *Search) {
	v, ok := f.Value("latency")
	if !ok {
		return
	}
	const rule = "must be a range of times such as ..3ms, or {range: ..3ms, command: [program, argument…]}"
	text, isText := v.Text()
	if m, isMap := v.Fields(); isMap {
		m.Word("range", func(word string) error {
			text = word
			return nil
		})
		m.Strings("command", &s.LatencyCommand)
		m.Finish()
		isText = len(s.LatencyCommand) > 0 && s.LatencyCommand[0] != ""
	}
	var err error
	if s.Latency, err = ParseTimes(text); err != nil || !isText {
		v.Fail("%s", rule)
	}
}

// ParseTimes reads a range of times in milliseconds: ..3ms, 500us..2ms.
func ParseTimes(text string) (metric.Range, error) {
	return readRange(text, errors.New("must be a range of times such as ..3ms or 500us..2ms"), func(side string) (float64, error) {
		d, err := time.ParseDuration(side)
		return float64(d) / float64(time.Millisecond), err
	})
}

// readBudget reads budget: {trainings: 40} or {hours: 2}.
func readBudget(doc *strict.Doc, f *strict.Fields) (trainings int, spent time.Duration) {
	b := f.Map("budget")
	if b == nil {
		return 0, 0
	}
	whole(doc, b, "trainings", &trainings, 1, maxSamples)
	hours := 0.0
	b.Float("hours", &hours)
	if b.Has("hours") && !(hours > 0 && hours <= 1e5) {
		doc.Fail(b.Path("hours"), strconv.FormatFloat(hours, 'g', -1, 64), "must be above 0 and at most 100000")
	}
	b.Finish()
	return trainings, time.Duration(hours * float64(time.Hour))
}

// ParseBytes reads a range of bytes: ..2MB, 100KB..1MiB.
func ParseBytes(text string) (metric.Range, error) {
	return readRange(text, errors.New("must be a range of bytes such as ..2MB or 100KB..1MiB"), func(side string) (float64, error) {
		bytes, err := humanize.ParseBytes(side)
		return float64(bytes), err
	})
}

// readRange reads a range whose sides have units.
func readRange(text string, fault error, read func(side string) (float64, error)) (r metric.Range, err error) {
	low, high, ok := strings.Cut(text, "..")
	if !ok || low == "" && high == "" {
		return r, fault
	}
	r.Max = math.Inf(1)
	for _, side := range []struct {
		text string
		to   *float64
	}{{low, &r.Min}, {high, &r.Max}} {
		if side.text = strings.TrimSpace(side.text); side.text == "" {
			continue
		}
		if *side.to, err = read(side.text); err != nil || *side.to < 0 {
			return metric.Range{}, fault
		}
	}
	if r.Validate() != nil || r.Max == 0 {
		return metric.Range{}, fault
	}
	return r, nil
}
