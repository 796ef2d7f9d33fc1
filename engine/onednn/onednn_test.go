//go:build cgo

package onednn

import (
	"testing"

	"netspace/engine"
	"netspace/engine/enginetest"
)

func open(t testing.TB) *Engine {
	t.Helper()
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return e.(*Engine)
}

func TestEngine(t *testing.T) { enginetest.Run(t, open(t), engine.FP32.Unit()) }

// What runs on wide vectors on this machine runs on others without.
func TestWithoutAVX512(t *testing.T) {
	e := open(t)
	if !e.wide {
		t.Skip("this processor has no AVX-512: all tests ran without")
	}
	e.wide = false
	for _, c := range enginetest.Cases() {
		t.Run(c.Name, func(t *testing.T) { enginetest.Compare(t, e, c, engine.FP32.Unit()) })
	}
}
