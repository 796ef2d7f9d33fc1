//go:build cgo

package onednn

import (
	"fmt"
	"strings"
	"testing"
)

// GFLOP/s of single convolutions, forward, to the data and to the weights, on as many images as go through a
// loop at a time, which the second-level cache holds. ONEDNN_MAX_CPU_ISA=AVX2 shows those of AVX2.
//
//	go test -run '^$' -bench Convolutions ./engine/onednn
func BenchmarkConvolutions(b *testing.B) {
	e := open(b)
	for _, c := range []convolution{
		{in: 24, out: 24, h: 28, w: 28, kernel: 1},
		{in: 56, out: 56, h: 14, w: 14, kernel: 1},
		{in: 104, out: 224, h: 4, w: 4, kernel: 1},
		{in: 64, out: 64, h: 32, w: 32, kernel: 1},
		{in: 128, out: 160, h: 16, w: 16, kernel: 1},
		{in: 320, out: 320, h: 8, w: 8, kernel: 1},
		{in: 64, out: 64, h: 32, w: 32, kernel: 3},
		{in: 64, out: 64, h: 8, w: 8, kernel: 3},
		{in: 64, out: 128, h: 16, w: 16, kernel: 3, stride: 2},
		{in: 64, out: 64, h: 14, w: 14, kernel: 3, groups: 8},
		{in: 64, out: 64, h: 14, w: 14, kernel: 3, groups: 4},
		{in: 72, out: 72, h: 14, w: 14, kernel: 3, groups: 3},
		{in: 24, out: 24, h: 28, w: 28, kernel: 3, groups: 12},
		{in: 64, out: 64, h: 14, w: 14, kernel: 3, groups: 32},
		{in: 64, out: 64, h: 14, w: 14, kernel: 3, groups: 16},
		{in: 24, out: 24, h: 28, w: 28, kernel: 3, groups: 3},
		{in: 64, out: 64, h: 28, w: 28, kernel: 3, stride: 2, groups: 16},
		{in: 72, out: 72, h: 7, w: 7, kernel: 3, groups: 9},
		{in: 72, out: 72, h: 28, w: 28, kernel: 3, stride: 2, groups: 3},
		{in: 96, out: 96, h: 28, w: 28, kernel: 3, groups: 96},
		{in: 96, out: 96, h: 28, w: 28, kernel: 3, stride: 2, groups: 96},
		{in: 144, out: 144, h: 14, w: 14, kernel: 5, groups: 144},
		{in: 144, out: 144, h: 14, w: 14, kernel: 5, stride: 2, groups: 144},
		{in: 72, out: 72, h: 14, w: 14, kernel: 7, groups: 72},
		{in: 1, out: 16, h: 28, w: 28, kernel: 3, planes: true},
		{in: 3, out: 24, h: 32, w: 32, kernel: 3, planes: true},
		{in: 3, out: 32, h: 96, w: 96, kernel: 3, stride: 2, planes: true},
		{in: 3, out: 64, h: 224, w: 224, kernel: 7, stride: 2, planes: true},
	} {
		c.stride, c.groups = max(1, c.stride), max(1, c.groups)
		area := c.h * c.w / c.stride / c.stride
		c.chunk = max(2, chunkBudget/(c.in*c.h*c.w+2*c.out*area), (minPositions+area-1)/area) &^ 1
		c.batch = c.chunk
		b.Run(fmt.Sprintf("%dx%d/%d-%d@%d/stride%d/groups%d", c.kernel, c.kernel, c.in, c.out, c.h, c.stride, c.groups), func(b *testing.B) {
			block := 8
			if width := c.in / c.groups; e.wide && (c.planes || c.in%16 == 0) && c.out%16 == 0 && (width%16 == 0 || width < 8) { // as blockOf has it
				block = 16
			}
			h := c.schedule(b, e, block)
			defer h.Close()
			h.end()
			if err := h.emit(h.scheduler); err != nil {
				b.Fatal(err)
			}
			h.program.run.stats, h.program.run.backward = 1, 1
			h.Profile(true)
			best := map[string]float64{}
			for range b.N {
				before := h.Costs()
				if err := h.execute(); err != nil {
					b.Fatal(err)
				}
				for i, c := range h.Costs() {
					if c.Flops > 0 {
						best[c.Kind] = max(best[c.Kind], c.Flops/(c.Seconds-before[i].Seconds)*1e-9)
					}
				}
			}
			for kind, rate := range best {
				b.ReportMetric(rate, strings.ReplaceAll(strings.TrimPrefix(kind, "convolution "), " ", "-")+"-GFLOP/s")
			}
		})
	}
}
