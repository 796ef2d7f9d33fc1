// Package enginetest is the suite that every engine must pass: comparison
// with engine/reference on single ops, blocks, whole networks and random
// graphs, and the promises of engine.Program about modes, sets, errors and
// repeatability.
//
// An engine's own test is one line:
//
//	func TestEngine(t *testing.T) { enginetest.Run(t, e) }
//
// and go test -run 'TestEngine/compare/conv' runs a part of it.
package enginetest

import (
	"slices"
	"testing"

	"netspace/engine"
)

// Run tests an engine.
func Run(t *testing.T, e engine.Engine) {
	t.Run("compare", func(t *testing.T) {
		for _, c := range Cases() {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				Compare(t, e, c)
			})
		}
	})
	RunPromises(t, e)
}

// Cases are all networks on which Run compares an engine with the reference.
func Cases() []Case {
	return slices.Concat(convCases(), widthCases(), opCases(), blockCases(), networkCases(), optimizerCases(), largeCases(), threadCases(), randomCases(40))
}
