// Package weights moves the tensors of a network, by name, between programs and files.
//
// Names are those of the paper authors' tool ("s1.b1.f.a.weight",
// "s1.b1.f.a_bn.running_mean"), shapes are PyTorch's, and files are safetensors
// (package safetensors), so that weights travel:
//
//	f, err := safetensors.ReadFile("w.safetensors")
//	…
//	p, err := eng.Compile(g, engine.Options{Batch: 1, Inference: true})
//	…
//	err = weights.Load(p, g, f) // *MismatchError: all that does not fit
//
// Initial and Initialize give the random weights that a training starts from,
// Of copies them out of a program, and Setting is what a file states about how
// they were trained.
package weights

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"netspace/engine"
	"netspace/graph"
	"netspace/weights/safetensors"
)

// PyTorch is the value of a file's metadata "format" that says so of its names and
// layout; PyTorch's loaders ask for it.
const PyTorch = "pt"

// Entry is a tensor of a network: its name and its shape, as in PyTorch.
type Entry struct {
	Name  string
	Shape []int
}

// Size is the number of elements.
func (e Entry) Size() int {
	n := 1
	for _, d := range e.Shape {
		n *= d
	}
	return n
}

// Entries lists the tensors of a set of a program of g.
func Entries(g *graph.Graph, set engine.Set) []Entry {
	var out []Entry
	if set == engine.Buffers || set == engine.EMABuffers {
		for _, b := range g.Buffers {
			out = append(out, Entry{b.Name, b.Shape})
		}
		return out
	}
	for _, p := range g.Params {
		out = append(out, Entry{p.Name, p.Shape})
	}
	return out
}

// Names maps the name of a network's tensor to its name in a file. Nil leaves names as they are.
type Names func(name string) string

func (n Names) in(name string) string {
	if n == nil {
		return name
	}
	return n(name)
}

// Prefix puts a prefix before every name.
func Prefix(prefix string) Names {
	return func(name string) string { return prefix + name }
}

// Of copies sets of tensors out of a program of g into a new file.
func Of(p engine.Program, g *graph.Graph, sets ...engine.Set) (*safetensors.File, error) {
	f := &safetensors.File{Metadata: map[string]string{}}
	for _, set := range sets {
		if err := Append(f, p, g, set, nil); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Append copies a set of tensors out of a program of g to the end of f.
func Append(f *safetensors.File, p engine.Program, g *graph.Graph, set engine.Set, names Names) error {
	var buf []float32
	for _, e := range Entries(g, set) {
		buf = resize(buf, e.Size())
		if err := p.Get(set, e.Name, buf); err != nil {
			return err
		}
		f.Tensors = append(f.Tensors, safetensors.Float32(names.in(e.Name), e.Shape, buf))
	}
	return nil
}

// Load sets a program's parameters and BN statistics from a file. Every
// parameter must be there in its shape. BN statistics may be left out all
// together, which leaves the program's; PyTorch's num_batches_tracked is
// ignored, and so are the moments and averages of a checkpoint, whose names
// have a slash. Any other tensor is a fault. With faults the program stays as
// it is and the error is a *MismatchError.
func Load(p engine.Program, g *graph.Graph, f *safetensors.File) error {
	left := index(f)
	params, buffers := Entries(g, engine.Params), Entries(g, engine.Buffers)
	if !slices.ContainsFunc(buffers, func(b Entry) bool { _, ok := left[b.Name]; return ok }) {
		buffers = nil
	}
	foundParams, faults := take(left, params, nil)
	foundBuffers, more := take(left, buffers, nil)
	faults = append(faults, more...)
	for _, t := range f.Tensors {
		if _, ok := left[t.Name]; ok && !strings.HasSuffix(t.Name, ".num_batches_tracked") && !strings.Contains(t.Name, "/") {
			faults = append(faults, Fault{Kind: Unexpected, Name: t.Name})
		}
	}
	if len(faults) > 0 {
		return &MismatchError{Faults: faults}
	}
	return errors.Join(set(p, engine.Params, params, foundParams), set(p, engine.Buffers, buffers, foundBuffers))
}

// Restore sets one whole set of a program of g from the tensors of f that names
// leads to; others are not looked at. With faults the program stays as it is and
// the error is a *MismatchError.
func Restore(p engine.Program, g *graph.Graph, s engine.Set, f *safetensors.File, names Names) error {
	entries := Entries(g, s)
	found, faults := take(index(f), entries, names)
	if len(faults) > 0 {
		return &MismatchError{Faults: faults}
	}
	return set(p, s, entries, found)
}

func index(f *safetensors.File) map[string]safetensors.Tensor {
	byName := make(map[string]safetensors.Tensor, len(f.Tensors))
	for _, t := range f.Tensors {
		byName[t.Name] = t
	}
	return byName
}

// take moves the tensors of entries out of left, in their order.
func take(left map[string]safetensors.Tensor, entries []Entry, names Names) ([]safetensors.Tensor, []Fault) {
	found := make([]safetensors.Tensor, len(entries))
	var faults []Fault
	for i, e := range entries {
		name := names.in(e.Name)
		t, ok := left[name]
		delete(left, name)
		switch {
		case !ok:
			faults = append(faults, Fault{Kind: Missing, Name: name, Want: e.Shape})
		case !slices.Equal(t.Shape, e.Shape):
			faults = append(faults, Fault{Kind: Misshapen, Name: name, Has: t.Shape, Want: e.Shape})
		case !t.DType.Float():
			faults = append(faults, Fault{Kind: Mistyped, Name: name, DType: t.DType})
		}
		found[i] = t
	}
	return found, faults
}

// set copies the tensors of entries into a set of p.
func set(p engine.Program, s engine.Set, entries []Entry, tensors []safetensors.Tensor) error {
	var buf []float32
	for i, e := range entries {
		buf = resize(buf, e.Size())
		if err := tensors[i].CopyFloat32(buf); err != nil {
			return err
		}
		if err := p.Set(s, e.Name, buf); err != nil {
			return err
		}
	}
	return nil
}

// FaultKind is what is wrong with a tensor.
type FaultKind uint8

// The kinds of faults.
const (
	Missing    FaultKind = iota // the network has it, the file has not
	Unexpected                  // the file has it, the network has not
	Misshapen                   // its shape is another one
	Mistyped                    // its elements are not floating point
)

// Fault is one tensor of a file that does not fit a network.
type Fault struct {
	Kind  FaultKind
	Name  string            // in the file
	Has   []int             // its shape in the file, if Misshapen
	Want  []int             // its shape in the network, if Missing or Misshapen
	DType safetensors.DType // its type in the file, if Mistyped
}

// String is such as "head.fc.bias is [10], not [100]".
func (f Fault) String() string {
	switch f.Kind {
	case Missing:
		return f.Name + " is missing"
	case Misshapen:
		return fmt.Sprintf("%s is %v, not %v", f.Name, f.Has, f.Want)
	case Mistyped:
		return fmt.Sprintf("%s is %s, not floating point", f.Name, f.DType)
	}
	return f.Name + " is not in the network"
}

// MismatchError lists all that does not fit between a file of weights and a
// network: first the network's tensors in their order, then what is unexpected.
type MismatchError struct {
	Faults []Fault
}

func (e *MismatchError) Error() string {
	const most = 8
	var text []string
	for _, f := range e.Faults[:min(most, len(e.Faults))] {
		text = append(text, f.String())
	}
	if more := len(e.Faults) - most; more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	return "the weights are not of this network: " + strings.Join(text, "; ")
}
