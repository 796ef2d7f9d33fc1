package reference_test

import (
	"testing"

	"netspace/engine/enginetest"
	"netspace/engine/reference"
)

// The reference disturbed as float32 would passes the suite as an engine of
// float32 does; that the exact one does shows little.
func TestFloat32LikeEnginePasses(t *testing.T) {
	enginetest.Run(t, reference.WithRounding(1.0/(1<<24), 99))
}
