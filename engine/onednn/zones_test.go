//go:build cgo

package onednn

import (
	"testing"

	"netspace/engine"
	"netspace/engine/enginetest"
)

// Every case again with zones around all buffers: nothing writes there, and
// what is read there would be seen in the results, since it is no number.
func TestZones(t *testing.T) {
	for _, wide := range []bool{true, false} {
		e := open(t)
		if wide && !e.wide {
			continue
		}
		e.wide, e.zone = wide, 64
		programs := 0
		e.closing = func(p *program) {
			programs++
			if len(p.zones) < 4 {
				t.Errorf("%d zones", len(p.zones))
			}
			if err := p.touched(); err != nil {
				t.Error(err)
			}
		}
		for _, c := range enginetest.Cases() {
			small := c.Graph.Complexity().Flops*int64(c.Batch) < 1_000_000
			if !small {
				continue
			}
			t.Run(c.Name, func(t *testing.T) { enginetest.Compare(t, e, c, engine.FP32.Unit()) })
		}
		if programs < 50 {
			t.Errorf("only %d programs", programs)
		}
	}
}

// A float that is written beside a buffer is found.
func TestZonesFindAWrite(t *testing.T) {
	e := open(t)
	e.zone = 16
	p, err := e.compile(network(t, 16, 8, 0), engine.Options{Batch: 4}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.touched(); err != nil { // and allows access
		t.Fatal(err)
	}
	p.zones[len(p.zones)/2][3] = 0
	if p.touched() == nil {
		t.Error("a write was not found")
	}
}
