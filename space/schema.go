package space

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (2020-12) of space files.
func Schema() []byte { return slices.Clone(schema) }
