//go:build !cgo

package onednn

import "netspace/engine"

// New says that this build has no cgo.
func New() (engine.Engine, error) {
	return nil, &engine.ErrUnavailable{Engine: Name, Reason: "this netspace was built without cgo; build it with CGO_ENABLED=1, a C compiler and oneDNN (Debian: apt-get install gcc libdnnl-dev)"}
}
