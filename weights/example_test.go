package weights_test

import (
	"fmt"
	"log"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/graph"
	"netspace/weights"
)

// Load says all that is wrong with a file, not just the first thing.
func ExampleLoad() {
	network := func(classes int) *graph.Graph {
		var r graph.Recorder
		x := r.Conv(graph.Name{Part: "stem.conv"}, r.Input(3, 8, 8), graph.Conv{Out: 8, Kernel: 3, Stride: 1, Groups: 1})
		r.Linear(graph.Name{Part: "head.fc"}, r.GlobalPool(x), classes)
		g, err := r.Graph()
		if err != nil {
			log.Fatal(err)
		}
		return g
	}
	trained := weights.Initial(network(10), 1, false) // or safetensors.ReadFile
	for _, classes := range []int{10, 100} {
		g := network(classes)
		p, err := reference.New().Compile(g, engine.Options{Batch: 1, Inference: true})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(weights.Load(p, g, trained))
		if err := p.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// <nil>
	// the weights are not of this network: head.fc.weight is [10 8], not [100 8]; head.fc.bias is [10], not [100]
}
