package space

import (
	"bytes"
	_ "embed"
	"encoding/json"

	"netspace/metric"
)

//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (2020-12) of space files: schema.json with the
// names of blocks and of metrics filled in.
func Schema() []byte {
	words, err := json.Marshal(BlockWords())
	if err != nil {
		panic(err) // a list of words is always JSON
	}
	filled := bytes.Replace(schema, []byte(`"$blocks"`), bytes.ReplaceAll(words, []byte(","), []byte(", ")), 1)
	before, line, after := cutLine(filled, []byte(`"$metric"`))
	for _, m := range metric.Counted() {
		before = append(before, bytes.Replace(line, []byte("$metric"), []byte(m.Name), 1)...)
	}
	return append(before, after...)
}

// cutLine splits text around the line that holds mark.
func cutLine(text, mark []byte) (before, line, after []byte) {
	at := bytes.Index(text, mark)
	from, to := bytes.LastIndexByte(text[:at], '\n')+1, at+bytes.IndexByte(text[at:], '\n')+1
	return bytes.Clone(text[:from]), text[from:to], text[to:]
}
