package reference_test

import (
	"testing"

	"netspace/engine/enginetest"
	"netspace/engine/reference"
)

// The comparison with itself is of no use, but what the suite asks beyond the
// numbers is asked of the reference too.
func TestEngine(t *testing.T) { enginetest.Run(t, reference.New()) }
