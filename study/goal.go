package study

import (
	"fmt"
	"math"
	"slices"
)

// Goal is what a study is to train of a space besides what its file asks for: a comparison that ends as soon as it is
// decided asks for more and more (see package design). Goals are remembered in the folder, so that all runs of
// the study, on whatever machine, work towards them.
type Goal struct {
	Drawn int `json:"drawn"` // networks that are drawn at least, trained or not
	Full  int `json:"full"`  // of the first so many networks all epochs
	// Of the first so many networks at least the first epochs: a training that stops there and can be gone on with.
	Short  int `json:"short,omitempty"`
	Epochs int `json:"epochs,omitempty"`
	// Chosen networks, by their places in ascending order: of each at least the first Epochs epochs, or all if that is 0, and
	// then so many Reruns, whole trainings with other seeds.
	Chosen []int `json:"chosen,omitempty"`
	Reruns int   `json:"reruns,omitempty"`
}

// goalRecord is a goal in a plan.
type goalRecord struct {
	Space string `json:"space"`
	Goal
}

// pausedRecord says that a training has done the epochs that were asked for, and can be gone on with.
type pausedRecord struct {
	Trial   trialID `json:"trial"`
	Attempt int     `json:"attempt"`
	Seconds float64 `json:"seconds"` // wall time of training so far
	Epochs  []Epoch `json:"epochs"`  // all so far
}

func (g Goal) check() error {
	if g.Drawn < 0 || g.Drawn > maxSamples || g.Full < 0 || g.Full > g.Drawn || g.Short < 0 || g.Short > g.Drawn || g.Epochs < 0 || g.Short > g.Full && g.Epochs == 0 {
		return fmt.Errorf("a goal of %d full and %d short trainings of %d epochs, of %d networks", g.Full, g.Short, g.Epochs, g.Drawn)
	}
	for i, index := range g.Chosen {
		if index < 0 || index >= g.Drawn || i > 0 && index <= g.Chosen[i-1] {
			return fmt.Errorf("a goal that chooses network %d of %d, in no order", index, g.Drawn)
		}
	}
	if g.Reruns < 0 || g.Reruns > maxRepeats || g.Reruns > 0 && g.Epochs > 0 {
		return fmt.Errorf("a goal of %d reruns of %d epochs", g.Reruns, g.Epochs)
	}
	return nil
}

// chooses tells whether a network is one of those chosen.
func (g Goal) chooses(index int) bool {
	_, found := slices.BinarySearch(g.Chosen, index)
	return found
}

// of is for how many epochs the goal has a network trained.
func (g Goal) of(index int) int {
	switch {
	case index < g.Full, g.Epochs == 0 && g.chooses(index):
		return allEpochs
	case index < g.Short, g.chooses(index):
		return g.Epochs
	}
	return 0
}

// within tells whether who reaches o has reached g.
func (g Goal) within(o Goal) bool {
	outside := func(index int) bool {
		return g.of(index) > o.of(index) || g.Reruns > 0 && (g.Reruns > o.Reruns || !o.chooses(index))
	}
	return g.Drawn <= o.Drawn && g.Full <= o.Full && (g.Short <= o.Full || g.Short <= o.Short && g.Epochs <= o.Epochs) && !slices.ContainsFunc(g.Chosen, outside)
}

// addGoal takes note of a goal; old ones remain.
func (h *history) addGoal(space string, g Goal) {
	if !h.known(space, g) {
		h.goals[space] = append(h.goals[space], g)
	}
}

// known tells whether a goal adds nothing to those that are known.
func (h *history) known(space string, g Goal) bool {
	return slices.ContainsFunc(h.goals[space], g.within)
}

// allEpochs stands for a whole training.
const allEpochs = math.MaxInt

// epochsOf is for how many epochs a network is to be trained, in a study that asks for so many samples.
func (h *history) epochsOf(space string, index, samples int) (epochs int) {
	if index < samples {
		return allEpochs
	}
	for _, g := range h.goals[space] {
		epochs = max(epochs, g.of(index))
	}
	return epochs
}

// rerunsOf is how often a network is to be trained again with other seeds.
func (h *history) rerunsOf(space string, index int, c Config) (reruns int) {
	if h.epochsOf(space, index, c.Samples) == allEpochs {
		reruns = c.Repeats.of(index)
	}
	for _, g := range h.goals[space] {
		if g.chooses(index) {
			reruns = max(reruns, g.Reruns)
		}
	}
	return reruns
}

// mostReruns is how often any network is to be trained again at most.
func (h *history) mostReruns(c Config) (reruns int) {
	reruns = c.Repeats.Times
	for _, goals := range h.goals {
		for _, g := range goals {
			reruns = max(reruns, g.Reruns)
		}
	}
	return reruns
}

// extent is how many networks of a space are to be trained wholly, and how many at all.
func (h *history) extent(space string, samples int) (full, any int) {
	full = samples
	for _, g := range h.goals[space] {
		full, any = max(full, g.Full), max(any, g.Short)
		if n := len(g.Chosen); n > 0 {
			any = max(any, g.Chosen[n-1]+1)
		}
	}
	return full, max(full, any)
}
