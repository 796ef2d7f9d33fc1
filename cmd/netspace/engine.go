package main

import (
	"netspace/engine"
	"netspace/engine/reference"
	"netspace/internal/strict"
)

// engineNames lists the engines that --engine takes, the default first.
var engineNames = [...]string{"onednn", "reference"}

// openEngine returns the engine of that name. One that this build or machine
// lacks is an error of the request.
func openEngine(name string) (engine.Engine, error) {
	switch name {
	case "onednn":
		return nil, usage(&engine.ErrUnavailable{Engine: name, Reason: "this build has none; --engine reference is slow but needs nothing"})
	case "reference":
		return reference.New(), nil
	}
	return nil, usagef("engine %q: %s", name, strict.OneOf(name, engineNames[:]...))
}
