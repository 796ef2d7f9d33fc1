package space

import (
	"context"
	"testing"

	"netspace/metric"
)

// BenchmarkSample draws 500 networks at 360–400 MFLOPs with one worker, as
// DDS §3.1 does, and reports candidates and networks per second.
func BenchmarkSample(b *testing.B) {
	for _, name := range []string{"anynetx-a", "anynetx-e", "regnetx", "regnetx-restricted"} {
		b.Run(name, func(b *testing.B) {
			s, err := Load(name)
			if err != nil {
				b.Fatal(err)
			}
			var candidates, networks int64
			for i := range b.N {
				_, r, err := s.Sample(context.Background(), Config{Regime: Regime{Bounds: metric.Bounds{metric.Flops: {Min: 360e6, Max: 400e6}}}, Seed: uint64(i), Workers: 1}, 500)
				if err != nil {
					b.Fatal(err)
				}
				candidates += r.Candidates
				networks += int64(r.Networks)
			}
			b.ReportMetric(float64(candidates)/b.Elapsed().Seconds(), "candidates/s")
			b.ReportMetric(float64(networks)/b.Elapsed().Seconds(), "kept/s")
		})
	}
}
