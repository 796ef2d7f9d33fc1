package study

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"

	"netspace/strict"
)

// Repeats say which networks of a study are trained again with other seeds, which tells how much of the differences
// between networks is noise. They may change while a study goes on.
type Repeats struct {
	Times    int `yaml:"times"`              // further trainings of each, from 0
	Networks int `yaml:"networks,omitempty"` // the first so many of each space; 0: all
}

const maxRepeats = 100

// readRepeats reads repeats: 2, or {times: 2, networks: 20}.
func readRepeats(doc *strict.Doc, f *strict.Fields) (r Repeats) {
	v, ok := f.Value("repeats")
	if !ok {
		return r
	}
	m, ok := v.Fields()
	if !ok {
		word, _ := v.Text()
		n, err := strconv.Atoi(word)
		if err != nil || n < 0 || n > maxRepeats {
			v.Fail("must be a number from 0 to %d, or {times: 2, networks: 20}", maxRepeats)
		}
		return Repeats{Times: n}
	}
	m.Require("times")
	whole(doc, m, "times", &r.Times, 0, maxRepeats)
	if m.Has("networks") {
		whole(doc, m, "networks", &r.Networks, 1, maxSamples)
	}
	m.Finish()
	return r
}

// of is how often the network at a place of a sample is trained again.
func (r Repeats) of(index int) int {
	if r.Networks > 0 && index >= r.Networks {
		return 0
	}
	return r.Times
}

// union repeats what either repeats.
func (r Repeats) union(o Repeats) Repeats {
	switch {
	case r.Times == 0:
		return o
	case o.Times == 0:
		return r
	}
	u := Repeats{Times: max(r.Times, o.Times), Networks: max(r.Networks, o.Networks)}
	if r.Networks == 0 || o.Networks == 0 {
		u.Networks = 0
	}
	return u
}

// rerunOf gives the identity and the seed of a network's rerun, from 1. They follow from the identity of its first training, which
// has in it all that decides a result, so nothing has to be written down.
func rerunOf(first trialID, rerun int) (id trialID, seed uint64) {
	sum := sha256.Sum256(fmt.Appendf(nil, "rerun %d of %s", rerun, first))
	return trialID(binary.BigEndian.Uint64(sum[:])), binary.BigEndian.Uint64(sum[8:]) >> 11
}

// training is one that a study asks for.
type training struct {
	id     trialID
	space  string
	index  int
	rerun  int     // 0: the first training of the network, whose error is that of the population
	flops  float64 // multiply-adds of a forward pass, of a short training the share of its epochs
	epochs int     // allEpochs, or the first so many
}

func (t training) best(r *result) Best {
	return Best{ID: t.id.String(), Space: t.space, Index: t.index, Error: r.Error}
}

// shareOf is the share of a whole training that some epochs are.
func shareOf(epochs int, c Config) float64 { return min(1, float64(epochs)/float64(c.Recipe.Epochs)) }

// wanted gives to see the trainings that a study asks for, each once, in the order in which they are begun: the first
// network of every space, so that the populations grow side by side, and reruns when all networks are trained.
func (h *history) wanted(c Config, visit func(training)) {
	seen := map[trialID]bool{}
	last, most := 0, map[trialID]int{} // epochs of a network that two spaces have in common
	for _, name := range c.Spaces {
		_, any := h.extent(name, c.Samples)
		last = max(last, any)
		for index, s := range h.samples[name][:min(any, len(h.samples[name]))] {
			most[s.id] = max(most[s.id], h.epochsOf(name, index, c.Samples))
		}
	}
	for rerun := range 1 + h.mostReruns(c) {
		for index := range last {
			for _, name := range c.Spaces {
				all := h.samples[name]
				if index >= len(all) || all[index].ref.length == 0 {
					continue
				}
				if h.epochsOf(name, index, c.Samples) == 0 || rerun > 0 && rerun > h.rerunsOf(name, index, c) {
					continue
				}
				p := training{all[index].id, name, index, rerun, all[index].flops, most[all[index].id]}
				if rerun > 0 {
					p.id, _ = rerunOf(p.id, rerun)
					p.epochs = allEpochs
				}
				p.flops *= shareOf(p.epochs, c)
				if !seen[p.id] {
					seen[p.id] = true
					visit(p)
				}
			}
		}
	}
}
