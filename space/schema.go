package space

import (
	"bytes"
	_ "embed"
	"encoding/json"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (2020-12) of space files: schema.json with the
// names of blocks filled in.
func Schema() []byte {
	words, err := json.Marshal(BlockWords())
	if err != nil {
		panic(err) // a list of words is always JSON
	}
	return bytes.Replace(schema, []byte(`"$blocks"`), bytes.ReplaceAll(words, []byte(","), []byte(", ")), 1)
}
