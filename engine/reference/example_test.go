package reference_test

import (
	"fmt"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/graph"
)

// A linear classifier learns to tell two images apart.
func Example() {
	var r graph.Recorder
	x := r.Input(2, 1, 1)
	r.Linear(graph.Name{Part: "head.fc"}, x, 2)
	g, err := r.Graph()
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := reference.New().Compile(g, engine.Options{Batch: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	batch := engine.Batch{
		Images:  []float32{1, 0, 0, 1}, // [N,C,H,W]
		Targets: []float32{1, 0, 0, 1}, // [N,classes]
	}
	for range 3 {
		loss, err := p.Step(batch, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := p.Update(engine.Update{LR: 1}); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%.3f\n", loss)
	}
	// Output:
	// 0.693
	// 0.474
	// 0.348
}
