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

func TestEngine(t *testing.T) { enginetest.Run(t, open(t)) }

var _ engine.Engine = (*Engine)(nil)
