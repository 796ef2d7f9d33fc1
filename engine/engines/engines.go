// Package engines knows the engines by name. It is where a program that trains
// gets one:
//
//	e, err := engines.Open(engines.Config{}) // the default engine, on the processor
//
// A new engine is one row of the table here, and must pass engine/enginetest.
package engines

import (
	"fmt"
	"slices"
	"strings"

	"netspace/engine"
	"netspace/engine/onednn"
	"netspace/engine/reference"
	"netspace/strict"
)

// Config says which engine is wanted. The zero value means the default one
// with the first device and precision that it offers.
type Config struct {
	Name      string           // of Names; "" means Default
	Device    string           // that computes: engine.CPU; "" means the engine's own choice
	Precision engine.Precision // of the arithmetic; "" means the engine's own choice
}

// Default is the engine that is meant where none is named.
const Default = onednn.Name

// row is one engine: what it offers, the default first, and how it is opened.
type row struct {
	name       string
	about      string
	devices    []string
	precisions []engine.Precision
	open       func(device string, precision engine.Precision) (engine.Engine, error)
}

// table lists the engines, the default first.
func table() []row {
	return []row{
		{Default, "fast", []string{engine.CPU}, []engine.Precision{engine.FP32},
			func(string, engine.Precision) (engine.Engine, error) { return onednn.New() }},
		{reference.Name, "plain Go, slow: to check the other", []string{engine.CPU}, []engine.Precision{engine.FP64},
			func(string, engine.Precision) (engine.Engine, error) { return reference.New(), nil }},
	}
}

// Names lists the engines, the default first.
func Names() []string {
	var names []string
	for _, r := range table() {
		names = append(names, r.name)
	}
	return names
}

// Help says what the engines are, in one line for a flag.
func Help() string {
	var parts []string
	for _, r := range table() {
		parts = append(parts, fmt.Sprintf("%s (%s)", r.name, r.about))
	}
	return strings.Join(parts, " or ")
}

// UnknownError says that there is no engine of a name, or that it does not
// offer a device or a precision, and what there is.
type UnknownError struct {
	What   string // "engine", "device of engine reference", …
	Value  string // as asked for
	Reason string // what is allowed
}

func (e *UnknownError) Error() string { return fmt.Sprintf("%s %q: %s", e.What, e.Value, e.Reason) }

// Open opens an engine. The error is an *UnknownError if there is no such
// engine, and an *engine.ErrUnavailable if this build or machine lacks it.
func Open(c Config) (engine.Engine, error) {
	rows := table()
	at := 0
	if c.Name != "" {
		at = slices.IndexFunc(rows, func(r row) bool { return r.name == c.Name })
		if at < 0 {
			return nil, &UnknownError{"engine", c.Name, strict.OneOf(c.Name, Names()...)}
		}
	}
	r := rows[at]
	device, err := choose("device of engine "+r.name, c.Device, r.devices)
	if err != nil {
		return nil, err
	}
	precision, err := choose("precision of engine "+r.name, c.Precision, r.precisions)
	if err != nil {
		return nil, err
	}
	return r.open(device, precision)
}

// choose is what is wanted if it is offered, and the first of what is offered if nothing is.
func choose[T ~string](what string, want T, offered []T) (T, error) {
	if want == "" {
		return offered[0], nil
	}
	if !slices.Contains(offered, want) {
		words := make([]string, len(offered))
		for i, o := range offered {
			words[i] = string(o)
		}
		return "", &UnknownError{what, string(want), strict.OneOf(string(want), words...)}
	}
	return want, nil
}
