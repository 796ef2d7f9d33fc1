//go:build cgo

package onednn

import (
	"testing"

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

func TestEngine(t *testing.T) { enginetest.Run(t, open(t)) }

// What runs in blocks of 16 channels on this machine runs in blocks of 8 on others.
func TestNarrowBlocks(t *testing.T) {
	e := open(t)
	if !e.wide {
		t.Skip("this processor has no AVX-512: all tests ran in blocks of 8")
	}
	e.wide = false
	for _, c := range enginetest.Cases() {
		if blockOf(c.Graph, true) == 16 {
			t.Run(c.Name, func(t *testing.T) { enginetest.Compare(t, e, c) })
		}
	}
}
