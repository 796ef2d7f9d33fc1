// Package interop reads the network descriptions of other tools: the YAML of
// the paper authors' tool (pycls) and the INI files of the RegNet search in
// PyTorch. Resolve is how every command turns a MODEL argument into a spec.
package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"netspace/arch"
	"netspace/strict"
)

// Format is the kind of a network description.
type Format string

// The formats that Resolve understands.
const (
	FormatZoo          Format = "zoo"           // the name of a published model
	FormatSpec         Format = "spec"          // a spec file, YAML or JSON
	FormatPycls        Format = "pycls"         // the paper authors' YAML
	FormatRegNetSearch Format = "regnet-search" // INI of the RegNet search
)

// Model is a network that was found by name or read from a file.
type Model struct {
	Name    string // of the zoo, or the path as given
	Format  Format
	Spec    arch.Spec
	Ignored []string // fields of a foreign file that mean nothing here, by path
	Notes   []string // what reading a foreign file assumed or left out, one sentence each
}

// Resolve finds a network by the name of a published model, or reads a spec
// file, a pycls YAML or a RegNet-search INI, which it tells apart by what is in
// them. Faults of a file come as a *strict.Error, all at once; an unknown name
// comes with the nearest ones.
func Resolve(model string) (Model, error) {
	if m, ok := arch.Published(model); ok {
		return Model{Name: m.Name, Format: FormatZoo, Spec: m.Spec}, nil
	}
	data, err := strict.ReadFile(model)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err := arch.Lookup(model) // says what is nearest
		return Model{}, err
	case err != nil:
		return Model{}, fmt.Errorf("model %s: %w", model, err)
	}
	return Parse(data, model)
}

// Parse reads a network description of any format; filename is for messages.
func Parse(data []byte, filename string) (Model, error) {
	if isINI(data) {
		return parseRegNetSearch(data, filename)
	}
	doc, err := strict.Parse(data, filename)
	if err != nil {
		return Model{}, err
	}
	if root := doc.Root(); isPycls(root) {
		return readPycls(doc, root)
	}
	spec, err := arch.ParseSpec(data, filename)
	return Model{Name: filename, Format: FormatSpec, Spec: spec}, err
}

// isINI says whether the first line that is not empty or a comment is a section.
func isINI(data []byte) bool {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' || line[0] == ';' {
			continue
		}
		// A list would be the only YAML that begins like this, and no spec is a list.
		return line[0] == '[' && line[len(line)-1] == ']' && !bytes.ContainsAny(line, ",:\"")
	}
	return false
}

// isPycls says whether any of the sections that describe a network is there.
func isPycls(root *strict.Fields) bool {
	for _, name := range []string{"MODEL", "ANYNET", "REGNET", "RESNET", "EN"} {
		if root.Has(name) {
			return true
		}
	}
	return false
}
