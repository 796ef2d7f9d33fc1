package engine_test

import (
	"fmt"
	"log"

	"netspace/arch"
	"netspace/engine"
	"netspace/engine/engines"
	"netspace/weights"
)

// Compile a network, start it at random weights, train a few steps on one batch, and ask what it says.
func Example() {
	spec, err := arch.ParseSpec([]byte(`
family: anynet
block: bottleneck
stem: {type: cifar, width: 8}
stages: [{depth: 1, width: 8, stride: 1, bottleneck: 1, group_width: 4}]
`), "tiny.yaml")
	if err != nil {
		log.Fatal(err)
	}
	g, err := spec.Graph(arch.Input{Channels: 1, Height: 4, Width: 4, Classes: 2})
	if err != nil {
		log.Fatal(err)
	}
	e, err := engines.Open(engines.Config{Name: "reference"})
	if err != nil {
		log.Fatal(err)
	}
	p, err := e.Compile(g, engine.Options{Batch: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := weights.Initialize(p, g, 1, false); err != nil {
		log.Fatal(err)
	}
	batch := engine.Batch{Images: make([]float32, 2*1*4*4), Targets: []float32{1, 0, 0, 1}}
	for i := range 16 { // a dark image of class 0, one with a gradient of class 1
		batch.Images[16+i] = float32(i) / 16
	}
	for step := range 10 {
		loss, err := p.Step(batch, nil)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := p.Update(engine.Update{LR: 0.1, Momentum: 0.9, Step: step + 1}); err != nil {
			log.Fatal(err)
		}
		if step%9 == 0 {
			fmt.Printf("step %d: loss %.2f\n", step+1, loss)
		}
	}
	logits := make([]float32, 2*2)
	if err := p.Forward(batch.Images, logits, engine.Evaluate, 0); err != nil {
		log.Fatal(err)
	}
	fmt.Println(logits[0] > logits[1], logits[2] < logits[3])
	// Output:
	// step 1: loss 0.70
	// step 10: loss 0.01
	// true true
}
