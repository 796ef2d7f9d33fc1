// Package enginetest is the suite that every engine must pass: comparison
// with engine/reference on single ops, blocks, whole networks and random
// graphs, and the promises of engine.Program about modes, sets, errors and
// repeatability.
//
// An engine's own test is one line:
//
//	func TestEngine(t *testing.T) { enginetest.Run(t, e, e.Describe().Precision.Unit()) }
//
// and go test -run 'TestEngine/compare/conv' runs a part of it.
package enginetest

import (
	"slices"
	"testing"

	"netspace/engine"
)

// Run tests an engine whose arithmetic has the given unit roundoff. All
// tolerances follow from it. Tensors cross the interface as float32, so no
// engine is held to more than that.
func Run(t *testing.T, e engine.Engine, unit float64) {
	t.Run("compare", func(t *testing.T) {
		for _, c := range Cases() {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				Compare(t, e, c, unit)
			})
		}
	})
	RunPromises(t, e, unit)
}

// Cases are all networks on which Run compares an engine with the reference.
func Cases() []Case {
	return slices.Concat(convCases(), widthCases(), opCases(), blockCases(), networkCases(), optimizerCases(), largeCases(), threadCases(), fixedCases(), randomCases(40))
}
