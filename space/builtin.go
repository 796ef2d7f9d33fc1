package space

import (
	"embed"
	"path"
	"slices"
	"strings"
)

//go:embed builtin/*.yaml
var builtinFiles embed.FS

// Names lists the built-in spaces, sorted.
func Names() []string {
	entries, err := builtinFiles.ReadDir("builtin")
	if err != nil { // the folder is part of the program
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
	}
	slices.Sort(names)
	return names
}
