package graph_test

import (
	"testing"

	"netspace/graph"
)

// While the convolution of the residual branch runs the images are gone, and its input and output are there.
func TestPeakMemory(t *testing.T) {
	var r graph.Recorder
	residual(&r)
	g, err := r.Graph()
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(4 * 2 * 16 * 32 * 32); g.PeakMemory() != want {
		t.Errorf("%d bytes of activations, want %d", g.PeakMemory(), want)
	}
	weights := 16*3*9 + 16*4*9 + 4*16 + 10*16 + 10
	if want := int64(4 * weights); g.WeightBytes() != want {
		t.Errorf("%d bytes of weights, want %d", g.WeightBytes(), want)
	}
}
