package space

import (
	"math/big"
	"slices"
	"sort"
)

// draw takes one value from a table, or from an interval if it has no table,
// and writes it to every slot of to.
type draw struct {
	to     []int
	values []float64 // ascending, or descending for rules that descend
	tail   []float64 // tail[k] is the weight of the values from k on, times what later draws of the chain can still do
	guide  []int32   // see makeGuide; nil: none
	from   []int     // the first value allowed after each value of the draw before; nil: all

	lo, hi float64 // ends of a continuous prior; for a logarithmic one their logarithms
	log    bool
}

// pick gives the index of a value for a uniform u in [0,1), from the k0-th
// value on. The chance of k is (tail[k]-tail[k+1])/tail[k0], to within 2^-53.
func (d *draw) pick(u float64, k0 int) int {
	lo, hi := k0, len(d.values)
	if k0 == 0 && d.guide != nil {
		b := int(u * guideSize)
		lo, hi = int(d.guide[b+1]), int(d.guide[b])+1
	}
	// The last k with tail[k] > r. It falls as u grows, as rounding keeps order.
	r := u * d.tail[k0]
	for hi-lo > 1 {
		mid := int(uint(lo+hi) >> 1)
		if d.tail[mid] > r {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// guideSize is the number of equal parts of [0,1) for which a guide knows where to search.
const guideSize = 256

// makeGuide prepares pick from the first value on: guide[b] is the pick of b/guideSize.
func (d *draw) makeGuide() {
	if len(d.values) < 4 || d.from != nil {
		return
	}
	guide := make([]int32, guideSize+1)
	for b := range guide {
		guide[b] = int32(d.pick(min(float64(b)/guideSize, 1-0x1p-53), 0))
	}
	d.guide = guide
}

// count is the number of ways to take values for a whole chain of draws.
func count(chain []draw) *big.Int {
	var after []*big.Int // after[k]: ways of the draws after this one, given its value k or a later one, summed from k on
	total := big.NewInt(1)
	for i := len(chain) - 1; i >= 0; i-- {
		ways := make([]*big.Int, len(chain[i].values)+1)
		sum := new(big.Int)
		ways[len(ways)-1] = new(big.Int)
		for k := len(chain[i].values) - 1; k >= 0; k-- {
			w := big.NewInt(1)
			if i+1 < len(chain) {
				w = after[0]
				if from := chain[i+1].from; from != nil {
					w = after[from[k]]
				}
			}
			sum = new(big.Int).Add(sum, w)
			ways[k] = sum
		}
		after, total = ways, ways[0]
	}
	return total
}

// class is a set of stages that have one value.
type class struct {
	stages []int
	table  table
}

// order says how the values of successive classes relate.
type order struct {
	descending bool
	strict     bool
}

// holds says whether b may follow a.
func (o order) holds(a, b float64) bool {
	if o.descending {
		a, b = b, a
	}
	return a < b || a == b && !o.strict
}

func (k RuleKind) order() (order, bool) {
	switch k {
	case NonDecreasing:
		return order{}, true
	case NonIncreasing:
		return order{descending: true}, true
	case Increasing:
		return order{strict: true}, true
	case Decreasing:
		return order{descending: true, strict: true}, true
	}
	return order{}, false
}

// link makes draws of classes in order, such that each value keeps the order to
// the one before. Weights are those of the conditional distribution: each
// value's own times all that can follow it. The second result is the weight of
// everything that keeps the order: its probability where tables are normalised.
func link(classes []class, o order) ([]draw, float64) {
	chain := make([]draw, len(classes))
	for i := range classes {
		values, weights := slices.Clone(classes[i].table.values), slices.Clone(classes[i].table.weights)
		if o.descending {
			slices.Reverse(values)
			slices.Reverse(weights)
		}
		chain[i].values, chain[i].tail = values, weights
		if i > 0 {
			chain[i].from = follow(chain[i-1].values, values, o)
		}
	}
	for i := len(chain) - 1; i >= 0; i-- {
		d := &chain[i]
		if i+1 < len(chain) {
			next := &chain[i+1]
			for k := range d.tail {
				d.tail[k] *= next.tail[next.from[k]]
			}
		}
		d.tail = append(d.tail, 0)
		for k := len(d.tail) - 2; k >= 0; k-- {
			d.tail[k] += d.tail[k+1]
		}
	}
	return chain, chain[0].tail[0]
}

// follow gives for each value of prev the index of the first of values that may follow it.
func follow(prev, values []float64, o order) []int {
	from := make([]int, len(prev))
	for k, v := range prev {
		from[k] = sort.Search(len(values), func(j int) bool { return o.holds(v, values[j]) })
	}
	return from
}

// single makes a draw of one class on its own.
func single(c class) (draw, float64) {
	chain, weight := link([]class{c}, order{})
	return chain[0], weight
}
