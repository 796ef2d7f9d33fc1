package graph_test

import (
	"fmt"

	"netspace/graph"
)

// residual writes a small network into any sink, op by op.
func residual(s graph.Sink) {
	name := func(part string) graph.Name { return graph.Name{Stage: 1, Block: 1, Part: part} }
	x := s.Input(3, 32, 32)
	x = s.Conv(graph.Name{Part: "stem.conv"}, x, graph.Conv{Out: 16, Kernel: 3, Stride: 1, Groups: 1})
	y := s.Conv(name("f.a"), x, graph.Conv{Out: 16, Kernel: 3, Stride: 1, Groups: 4})
	y = s.BatchNorm(name("f.a_bn"), y, graph.BatchNorm{EndsBranch: true})
	x = s.Activation(s.Add(x, y), graph.ReLU)
	s.Linear(graph.Name{Part: "head.fc"}, s.GlobalPool(x), 10)
}

// One description of a network serves to count it, without recording it, and to train it.
func Example() {
	var k graph.Counter
	residual(&k)
	fmt.Println(k.Flops, "flops,", k.Params, "params,", k.Acts, "acts")

	var r graph.Recorder
	residual(&r)
	g, err := r.Graph()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range g.Params {
		fmt.Println(p.Name, p.Shape)
	}
	// Output:
	// 1032362 flops, 1210 params, 32778 acts
	// stem.conv.weight [16 3 3 3]
	// s1.b1.f.a.weight [16 4 3 3]
	// s1.b1.f.a_bn.weight [16]
	// s1.b1.f.a_bn.bias [16]
	// head.fc.weight [10 16]
	// head.fc.bias [10]
}
