package main

import (
	"netspace/engine"
	"netspace/engine/engines"
)

// openEngine returns the engine of that name. One that does not exist, or that this build
// or machine lacks, is an error of the request.
func openEngine(name string) (engine.Engine, error) {
	e, err := engines.Open(engines.Config{Name: name})
	return e, usage(err)
}
