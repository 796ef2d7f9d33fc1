package main

import (
	"netspace/engine"
	"netspace/engine/onednn"
	"netspace/engine/reference"
	"netspace/strict"
)

// engineNames lists the engines that --engine takes, the default first.
var engineNames = [...]string{"onednn", "reference"}

// openEngine returns the engine of that name. One that this build or machine
// lacks is an error of the request.
func openEngine(name string) (engine.Engine, error) {
	switch name {
	case "onednn":
		e, err := onednn.New()
		return e, usage(err)
	case "reference":
		return reference.New(), nil
	}
	return nil, usagef("engine %q: %s", name, strict.OneOf(name, engineNames[:]...))
}
