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

// Load sets a program's parameters and BN statistics from a file, whichever Naming
// its tensors have. Every parameter must be there in its shape. BN statistics may be
// left out all together, which leaves the program's. What PyTorch adds does not matter:
// num_batches_tracked is ignored, and so is a "module." before all names; nor do the moments
// and averages of a checkpoint, whose names have a slash. Any other tensor is a fault. With faults the
// program stays as it is and the error is a *MismatchError, or an *AmbiguousError.
func Load(p engine.Program, g *graph.Graph, f *safetensors.File) error {
	m, err := match(f, g)
	if err != nil {
		return err
	}
	return errors.Join(set(p, engine.Params, m.params, m.foundParams), set(p, engine.Buffers, m.buffers, m.foundBuffers))
}

// Translate gives the tensors of f the names of g, in its order, and says which ones
// they had. What does not fit is an error as in Load.
func Translate(f *safetensors.File, g *graph.Graph) (*safetensors.File, Naming, error) {
	m, err := match(f, g)
	if err != nil {
		return nil, m.naming, err
	}
	out := &safetensors.File{Metadata: f.Metadata}
	entries := slices.Concat(m.params, m.buffers)
	for i, t := range slices.Concat(m.foundParams, m.foundBuffers) {
		t.Name = entries[i].Name
		out.Tensors = append(out.Tensors, t)
	}
	return out, m.naming, nil
}

// Ends tells for how many channels of images and how many classes the tensors of f are, by the
// shapes of the first convolution and of the classifier. g is the network for any
// number of both; 0 stands for what f does not have.
func Ends(f *safetensors.File, g *graph.Graph) (channels, classes int, err error) {
	file := index(f)
	_, names, err := namingOf(file, g)
	if err != nil {
		return 0, 0, err
	}
	for _, p := range g.Params {
		shape := file[names.in(p.Name)].Shape
		switch {
		case p.Role == graph.ConvWeight && channels == 0 && len(shape) == 4:
			channels = shape[1] * g.Nodes[p.Node].Groups
		case p.Role == graph.LinearWeight && len(shape) == 2:
			classes = shape[0]
		}
	}
	return channels, classes, nil
}

// matching is what of a file belongs to a network.
type matching struct {
	naming                    Naming
	params, buffers           []Entry // buffers: none if the file has none
	foundParams, foundBuffers []safetensors.Tensor
}

func match(f *safetensors.File, g *graph.Graph) (m matching, err error) {
	left := index(f)
	var names Names
	if m.naming, names, err = namingOf(left, g); err != nil {
		return m, err
	}
	m.params, m.buffers = Entries(g, engine.Params), Entries(g, engine.Buffers)
	if !slices.ContainsFunc(m.buffers, func(b Entry) bool { _, ok := left[names.in(b.Name)]; return ok }) {
		m.buffers = nil
	}
	var faults, more []Fault
	m.foundParams, faults = take(left, m.params, names)
	m.foundBuffers, more = take(left, m.buffers, names)
	faults = append(faults, more...)
	for _, t := range f.Tensors {
		name := named(t)
		if _, ok := left[name]; ok && !ignored(name) {
			faults = append(faults, Fault{Kind: Unexpected, Name: name})
		}
	}
	if len(faults) > 0 {
		return m, &MismatchError{Naming: m.naming, Faults: faults}
	}
	return m, nil
}

// ignored says whether a tensor of a file is none of the network's, and no fault.
func ignored(name string) bool {
	return strings.HasSuffix(name, ".num_batches_tracked") || strings.Contains(name, "/")
}

// namingOf tells the naming of a file's tensors: the one that most of the network's
// parameters are found under.
func namingOf(file map[string]safetensors.Tensor, g *graph.Graph) (Naming, Names, error) {
	naming, names, most := Pycls, Names(nil), -1
	for _, n := range Namings() {
		to, err := n.Of(g)
		if err != nil {
			continue
		}
		hits, other := 0, ""
		for _, p := range g.Params {
			if _, ok := file[to.in(p.Name)]; ok {
				hits++
				if to.in(p.Name) != names.in(p.Name) {
					other = p.Name
				}
			}
		}
		switch {
		case hits == len(g.Params) && hits == most && other != "":
			return "", nil, &AmbiguousError{[2]Naming{naming, n}, [2]string{names.in(other), to.in(other)}}
		case hits > most:
			naming, names, most = n, to, hits
		}
	}
	return naming, names, nil
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

// dataParallel is what PyTorch puts before all names of a network that several devices train.
const dataParallel = "module."

// named is the name of a tensor without that.
func named(t safetensors.Tensor) string { return strings.TrimPrefix(t.Name, dataParallel) }

func index(f *safetensors.File) map[string]safetensors.Tensor {
	byName := make(map[string]safetensors.Tensor, len(f.Tensors))
	for _, t := range f.Tensors {
		byName[named(t)] = t
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
	Naming Naming // of the names in Faults; "": the network's own
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
	under := ""
	if e.Naming != "" && e.Naming != Pycls {
		under = fmt.Sprintf(" (under the names of %s)", e.Naming)
	}
	return "the weights are not of this network" + under + ": " + strings.Join(text, "; ")
}

// AmbiguousError says that a file has all of a network's parameters under two namings.
type AmbiguousError struct {
	Namings [2]Naming
	Names   [2]string // of one parameter, in each
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("the weights are there twice: under the names of %s (%s) and of %s (%s)", e.Namings[0], e.Names[0], e.Namings[1], e.Names[1])
}
