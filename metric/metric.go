// Package metric is the table of what networks are measured by: flops, params
// and acts (DDS §3.1).
//
// A metric is a row of the table. Everything that speaks of metrics walks it:
// keys of a regime and names in expressions, flags, columns of samples, models
// and exports, statistics of samples, axes of figures, JSON.
//
//	for _, m := range metric.Counted() {
//		fmt.Println(m.Name, m.Format(float64(m.Of(network.Complexity))))
//	}
//
// Another counted metric costs a field of graph.Complexity, which graph.Counter
// fills and package arch adds up over parts, and here an ID and a row. One that only a machine can tell, as a
// latency, is a row without Of: Counted leaves it out, so no sampler promises
// it and no table has an empty column, until values are stored beside a result.
package metric

import (
	"slices"

	"netspace/graph"
)

// ID is the place of a metric in the table and in a Table.
type ID int

// The metrics.
const (
	Flops ID = iota
	Params
	Acts
	Number = iota // of metrics
)

// Aggregation says how the metric of a network follows from those of its parts.
type Aggregation uint8

// The aggregations.
const (
	Sum Aggregation = iota // the parts run one after the other, and each adds its own
	Max                    // the parts take turns, and the largest decides
)

// Metric is a row of the table.
type Metric struct {
	ID          ID
	Name        string // in files, JSON, flags and expressions: "flops"
	Unit        string // of one, in plural: "multiply-adds"; values and ranges are numbers of it
	Example     string // of ranges that are usual, for help
	Aggregation Aggregation
	// Of reads the metric off what was counted of a network for one image; nil
	// for what only a machine can tell.
	Of func(graph.Complexity) int64
}

var table = [Number]Metric{
	{Flops, "flops", "multiply-adds", "360M..400M or ..1.6B", Sum, func(c graph.Complexity) int64 { return c.Flops }},
	{Params, "params", "parameters", "..8M", Sum, func(c graph.Complexity) int64 { return c.Params }},
	{Acts, "acts", "activations", "2M..5M", Sum, func(c graph.Complexity) int64 { return c.Acts }},
}

// Counted lists the metrics that follow from the network alone, in the order in
// which they are shown everywhere.
func Counted() []Metric {
	return slices.DeleteFunc(slices.Clone(table[:]), func(m Metric) bool { return m.Of == nil })
}

// Metric is the row.
func (id ID) Metric() Metric { return table[id] }

// Total is the metric of a network whose parts have these; 0 without any.
func (m Metric) Total(parts ...int64) int64 {
	total := int64(0)
	for _, v := range parts {
		if m.Aggregation == Max {
			total = max(total, v)
		} else {
			total += v
		}
	}
	return total
}

// Format writes a value as tables and messages show it, with three digits and a suffix: "398M".
func (m Metric) Format(v float64) string { return Short(v) }

// Values holds a number for each metric.
type Values = Table[float64]

// Count gives the metrics of a network that was counted; 0 for what only a
// machine can tell. It allocates nothing.
func Count(c graph.Complexity) Values {
	var v Values
	for i := range table {
		if of := table[i].Of; of != nil {
			v[i] = float64(of(c))
		}
	}
	return v
}
