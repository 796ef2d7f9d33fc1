package space

import "sort"

// table is a finite distribution: distinct values, ascending, with weights.
type table struct{ values, weights []float64 }

func (t *table) add(v, w float64) {
	t.values = append(t.values, v)
	t.weights = append(t.weights, w)
}

// Len, Less and Swap order a table by value.
func (t *table) Len() int           { return len(t.values) }
func (t *table) Less(i, j int) bool { return t.values[i] < t.values[j] }
func (t *table) Swap(i, j int) {
	t.values[i], t.values[j] = t.values[j], t.values[i]
	t.weights[i], t.weights[j] = t.weights[j], t.weights[i]
}

func (t *table) sort() { sort.Sort(t) }

func (t *table) sum() float64 {
	s := 0.0
	for _, w := range t.weights {
		s += w
	}
	return s
}

func (t *table) normalize() {
	s := t.sum()
	for i := range t.weights {
		t.weights[i] /= s
	}
}

// filter keeps the values that keep accepts, with their weights.
func (t table) filter(keep func(v float64) bool) table {
	var out table
	for i, v := range t.values {
		if keep(v) {
			out.add(v, t.weights[i])
		}
	}
	return out
}

// product is the distribution of two equal draws, one from each: the common
// values with the products of their weights, not normalised.
func (t table) product(u table) table {
	var out table
	j := 0
	for i, v := range t.values {
		for j < len(u.values) && u.values[j] < v {
			j++
		}
		if j < len(u.values) && u.values[j] == v {
			out.add(v, t.weights[i]*u.weights[j])
		}
	}
	return out
}

// flat gives every value the weight 1.
func (t table) flat() table {
	w := make([]float64, len(t.values))
	for i := range w {
		w[i] = 1
	}
	return table{t.values, w}
}
