package metric_test

import (
	"fmt"

	"netspace/graph"
	"netspace/metric"
)

func Example() {
	k := graph.Complexity{Flops: 397_678_568, Params: 5_157_512, Acts: 7_023_000}
	bounds := metric.Bounds{metric.Flops: {Min: 360e6, Max: 400e6}}
	for _, m := range metric.Counted() {
		v := float64(m.Of(k))
		fmt.Println(m.Name, m.Format(v), m.Unit, bounds[m.ID].Contains(v))
	}
	// Output:
	// flops 398M multiply-adds true
	// params 5.16M parameters true
	// acts 7.02M activations true
}
