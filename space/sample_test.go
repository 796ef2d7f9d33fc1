package space

import (
	"context"
	"testing"
	"time"
)

func TestSmoke(t *testing.T) {
	for _, name := range Names() {
		s, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		nets, r, err := s.Sample(context.Background(), Config{Regime: Regime{Flops: Range{360e6, 400e6}}, Workers: 1}, 500)
		if err != nil {
			t.Fatal(err)
		}
		d := time.Since(at)
		t.Logf("%s %v: %d of %d, %.0f/s, kept %.0f/s\n%+v\n%v %v", name, d, len(nets), r.Candidates, float64(r.Candidates)/d.Seconds(), 500/d.Seconds(), r, nets[0].Spec, nets[0].Complexity)
	}
}
