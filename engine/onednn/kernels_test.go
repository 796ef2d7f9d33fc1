//go:build cgo

package onednn

import (
	"fmt"
	"strings"
	"testing"

	"netspace/engine"
	"netspace/graph"
)

// No shape that the families make may fall to oneDNN's scalar reference code,
// which is hundreds of times slower.
func TestNoReferenceKernels(t *testing.T) {
	for _, k := range []int{1, 3, 5, 7} {
		for _, stride := range []int{1, 2} {
			for _, pixels := range []int{1, 2, 3, 5, 8, 15} {
				for _, width := range []int{1, 2, 4, 8, 12, 24, 48} {
					t.Run(fmt.Sprintf("k%d-s%d-%d-g%d", k, stride, pixels, width), func(t *testing.T) {
						var rec graph.Recorder
						x := rec.Input(16, pixels, pixels)
						x = rec.Conv(graph.Name{Part: "a"}, x, graph.Conv{Out: 48, Kernel: 1, Stride: 1, Groups: 1})
						x = rec.Conv(graph.Name{Part: "b"}, x, graph.Conv{Out: 48, Kernel: k, Stride: stride, Groups: 48 / width})
						rec.Linear(graph.Name{Part: "head"}, rec.GlobalPool(x), 10)
						g, err := rec.Graph()
						if err != nil {
							t.Fatal(err)
						}
						p, err := open(t).compile(g, engine.Options{Batch: 8}.WithDefaults())
						if err != nil {
							t.Fatal(err)
						}
						defer p.Close()
						for name, w := range p.weights {
							for _, impl := range p.impls(w) {
								if strings.HasPrefix(impl, "ref") || strings.HasPrefix(impl, "gemm") {
									t.Errorf("%s runs on %s", name, impl)
								}
							}
						}
					})
				}
			}
		}
	}
}
