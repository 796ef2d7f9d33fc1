package stats

import (
	"errors"
	"fmt"
	"math"
)

// Course is a comparison of two spaces from its first network to its end: it says how many networks are to be
// trained next, judges them, and so on until it is over. It depends on nothing but its settings and what it is shown, so that it
// can be gone through again at any time. A copy of it goes on by itself.
type Course struct {
	CourseOptions
	EMax    float64        // errors beyond it count as it: given, or chosen at the first look
	known   [2][][]float64 // features, ranked
	monitor Monitor
	goal    Goal
	// expected is the variance that the looks so far let expect of the next one; 0: there are none.
	expected float64
	steps    []Step
}

// CourseOptions are the settings of a Course.
type CourseOptions struct {
	Sequential
	EMax   float64 // see Course; 0: DefaultEMax of the errors of the first look
	Most   int     // networks of each space that may be trained, at least 2
	Batch  int     // networks of each space that are at least added between looks; 0: 1
	Epochs int     // of a whole training, at least 1
	// ShortEpochs is the length of short trainings; 0: what the first look shows to pay most, Epochs: none.
	ShortEpochs int
}

// Goal is how many of the first networks of each space are trained: Full of them wholly, Short of them, as many or more, for at least Epochs
// epochs.
type Goal struct {
	Full   int `json:"full"`
	Short  int `json:"short"`
	Epochs int `json:"epochs"` // 0 if Short is Full
}

// Trained is what is known of the networks of one space, in the order in which they were drawn.
type Trained struct {
	Known  [][]float64 // features of all networks that were drawn, the same at all looks: as many as may be trained, or more; nil: none
	Final  []float64   // errors of the first Goal.Full, percent
	Curves [][]Seen    // of the first Goal.Short, one Seen for each of the first Goal.Epochs epochs at least; all, of those with a final error
}

// Seen is what was seen of a training in one epoch: features such as loss and error.
type Seen []float64

// Step is one look of a Course.
type Step struct {
	Goal
	Controlled
	Expected float64 // variance that the look before let expect of this one, by which it spent its level; 0: there was none
	Judgement
}

// The first look is at so many networks of each space: fewer tell too little of their own spread.
const firstLook = 10

// Between two looks the networks grow by this factor: a decision then costs at most that much more than one network earlier.
const growth = 1.15

// enough is how far the last look aims beyond the information that the design uses: variances are estimated, and another look for the last hundredth would cost more.
const enough = 1.02

// worthwhile is the share of the cost that short trainings must save to be used: what they save is itself an estimate.
const worthwhile = 0.9

// NewCourse begins a comparison.
func NewCourse(o CourseOptions) (*Course, error) {
	switch {
	case o.Most < 2:
		return nil, fmt.Errorf("stats: at most %d networks of each space; a comparison needs 2 at least", o.Most)
	case o.Batch < 0 || o.Epochs < 1 || o.ShortEpochs < 0 || o.ShortEpochs > o.Epochs:
		return nil, fmt.Errorf("stats: batches of %d, %d epochs, %d of short trainings", o.Batch, o.Epochs, o.ShortEpochs)
	case o.EMax != 0:
		if err := checkEMax(o.EMax); err != nil {
			return nil, err
		}
	}
	monitor, err := o.Begin()
	if err != nil {
		return nil, err
	}
	first := min(o.Most, max(firstLook, o.Batch))
	return &Course{CourseOptions: o, EMax: o.EMax, monitor: *monitor, goal: Goal{Full: first, Short: first}}, nil
}

// Goal is what must have been trained for the next look; after the last one it is that of the last one.
func (c *Course) Goal() Goal { return c.goal }

// Steps are the looks that were taken.
func (c *Course) Steps() []Step { return c.steps }

// Over tells whether the comparison has come to its end.
func (c *Course) Over() bool { return len(c.steps) > 0 && c.steps[len(c.steps)-1].Over() }

// Look judges what Goal asked for.
func (c *Course) Look(a, b Trained) (Step, error) {
	if c.Over() {
		return Step{}, errors.New("stats: a look after the comparison is over")
	}
	spaces := [2]Trained{a, b}
	for i := range spaces {
		t := &spaces[i]
		if len(t.Final) < c.goal.Full || len(t.Curves) < c.goal.Short || t.Known != nil && len(t.Known) < c.goal.Short {
			return Step{}, fmt.Errorf("stats: space %d has %d final errors, %d curves and %d networks, short of %+v", i, len(t.Final), len(t.Curves), len(t.Known), c.goal)
		}
		if err := check(t.Final); err != nil {
			return Step{}, err
		}
		t.Final, t.Curves = t.Final[:c.goal.Full], t.Curves[:c.goal.Short]
	}
	if c.EMax == 0 {
		var err error
		if c.EMax, err = DefaultEMax(spaces[0].Final, spaces[1].Final); err != nil {
			return Step{}, err
		}
	}
	first := len(c.steps) == 0
	if first {
		c.known = rank(a.Known, b.Known)
	}
	controlled, err := c.control(spaces, c.goal.Epochs)
	if err != nil {
		return Step{}, err
	}
	judgement, err := c.monitor.Look(Look{Difference: controlled.Difference, Variance: controlled.Variance, Expected: c.expected, Freedom: controlled.Freedom,
		Share: float64(c.goal.Full) / float64(c.Most)})
	if err != nil {
		return Step{}, err
	}
	step := Step{c.goal, controlled, c.expected, judgement}
	c.steps = append(c.steps, step)
	if step.Over() {
		return step, nil
	}
	epochs := c.goal.Epochs
	if first {
		if epochs, err = c.shortEpochs(spaces); err != nil {
			return Step{}, err
		}
	}
	// The last look comes when there will be as much information as the design uses, and not up to 15 % later.
	grown := math.Min(growth, enough*controlled.Variance*c.monitor.most)
	full := min(c.Most, max(c.goal.Full+max(1, c.Batch), int(math.Ceil(grown*float64(c.goal.Full)))))
	next := Goal{Full: full, Short: full, Epochs: epochs}
	known := controlled
	if epochs > 0 {
		if first {
			if known, err = c.control(spaces, epochs); err != nil {
				return Step{}, err
			}
		}
		ratio, _ := c.allocate(known, epochs)
		next.Short = max(next.Full, c.goal.Short, int(math.Min(float64(c.Most), math.Round(ratio*float64(full)))))
	}
	c.goal, c.expected = next, known.expected(next, [2]int{len(a.Known), len(b.Known)})
	return step, nil
}

// control estimates the difference from what was seen up to some epoch of short trainings; 0: nothing.
func (c *Course) control(spaces [2]Trained, epochs int) (Controlled, error) {
	var n [2]Networks
	for i, t := range spaces {
		n[i].Known = t.Known
		for _, e := range t.Final {
			n[i].Final = append(n[i].Final, math.Min(e, c.EMax))
		}
		if epochs == 0 {
			continue
		}
		for _, curve := range t.Curves {
			if len(curve) < epochs {
				return Controlled{}, fmt.Errorf("stats: a curve of %d epochs, %d are asked for", len(curve), epochs)
			}
			n[i].Short = append(n[i].Short, curve[epochs-1])
		}
	}
	for i := range n {
		if err := n[i].complete(); err != nil {
			return Controlled{}, err
		}
	}
	known := c.known
	if spaces[0].Known == nil {
		known = rank(n[0].Known, n[1].Known)
	}
	return control(n, known)
}

// shortEpochs chooses the length of short trainings by the trainings of the first look, 0 if they do not pay.
func (c *Course) shortEpochs(spaces [2]Trained) (epochs int, err error) {
	least := worthwhile
	for k := 1; k < c.Epochs; k++ {
		if c.ShortEpochs != 0 && k != c.ShortEpochs {
			continue
		}
		known, err := c.control(spaces, k)
		if err != nil {
			return 0, err
		}
		if _, cost := c.allocate(known, k); cost < least {
			epochs, least = k, cost
		}
	}
	return epochs, nil
}

// allocate gives how many short trainings for each full one make the variance least for what all cost, and the share of
// the cost without short trainings that then gives the same variance (Cochran 1977, §12.3, for trainings that are gone on with).
func (c *Course) allocate(v Controlled, epochs int) (ratio, cost float64) {
	k := float64(epochs) / float64(c.Epochs)
	residual, short := math.Max(v.Residual, 0), math.Max(v.ByShort, 0)
	if residual == 0 || short == 0 || short*(1-k) <= residual*k {
		return 1, 1
	}
	root := math.Sqrt(residual*(1-k)) + math.Sqrt(short*k)
	return math.Sqrt(short * (1 - k) / (residual * k)), root * root / (residual + short)
}

// Cost is what a goal costs in whole trainings of each space.
func (c *Course) Cost(g Goal) float64 {
	return float64(g.Full) + float64(g.Short-g.Full)*float64(g.Epochs)/float64(c.Epochs)
}
