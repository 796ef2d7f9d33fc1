//go:build !cgo

package onednn

import "netspace/engine"

// Info describes the library and the processor as doctor shows them.
type Info struct {
	Version string `json:"version"`
	ISA     string `json:"isa"`
}

// New says that this build has no cgo.
func New() (engine.Engine, error) {
	return nil, &engine.ErrUnavailable{Engine: "onednn", Reason: "this netspace was built without cgo; build it with CGO_ENABLED=1, a C compiler and oneDNN (Debian: apt-get install gcc libdnnl-dev)"}
}

// Describe returns nothing in a build without cgo.
func Describe() Info { return Info{} }

// PeakGFLOPS returns 0 in a build without cgo.
func PeakGFLOPS(float64) float64 { return 0 }
