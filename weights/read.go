package weights

import (
	"fmt"
	"io"
	"slices"

	"netspace/graph"
	"netspace/internal/infile"
	"netspace/weights/safetensors"
	"netspace/weights/torchfile"
)

// ReadFile reads the tensors of a safetensors file or of one that PyTorch's torch.save wrote, told apart by how they
// begin. What is wrong with its content is a *safetensors.FormatError or a *torchfile.FormatError.
func ReadFile(path string) (*safetensors.File, error) {
	in, err := infile.Open(path)
	if err == nil {
		var start [4]byte
		n, _ := io.ReadFull(in, start[:]) // the reader of the format says what is wrong
		in.Close()
		if torchfile.Is(start[:n]) {
			return torchfile.ReadFile(path)
		}
	}
	return safetensors.ReadFile(path)
}

// SwapRedBlue turns weights for images of blue, green and red into such for red, green and blue, or the other way round: the
// input channels of the first convolution of g change their order. The old weights of the
// paper's authors are for the former. f stays as it is.
func SwapRedBlue(f *safetensors.File, g *graph.Graph) (*safetensors.File, error) {
	_, names, err := namingOf(index(f), g)
	if err != nil {
		return nil, err
	}
	first := slices.IndexFunc(g.Params, func(p graph.Param) bool { return p.Role == graph.ConvWeight })
	if first < 0 {
		return nil, fmt.Errorf("the network has no convolution")
	}
	name := names.in(g.Params[first].Name)
	i := slices.IndexFunc(f.Tensors, func(t safetensors.Tensor) bool { return named(t) == name })
	if i < 0 {
		return nil, &MismatchError{Faults: []Fault{{Kind: Missing, Name: name, Want: g.Params[first].Shape}}}
	}
	t := f.Tensors[i]
	if len(t.Shape) != 4 || t.Shape[1] != 3 {
		return nil, fmt.Errorf("%s is %v: the order of colours is of weights for three channels", name, t.Shape)
	}
	plane := t.Shape[2] * t.Shape[3] * t.DType.Size()
	data := slices.Clone(t.Data)
	for k := 0; k < len(data); k += 3 * plane {
		copy(data[k:], t.Data[k+2*plane:k+3*plane])
		copy(data[k+2*plane:], t.Data[k:k+plane])
	}
	out := &safetensors.File{Metadata: f.Metadata, Tensors: slices.Clone(f.Tensors)}
	out.Tensors[i].Data = data
	return out, nil
}

// FreshHead gives f the classifier that a training of g with that seed starts from, where its own is for
// another number of classes, which it says; 0 says that f is as it was.
func FreshHead(f *safetensors.File, g *graph.Graph, seed uint64) (out *safetensors.File, had int, err error) {
	_, has, err := Ends(f, g)
	if err != nil || has == 0 || has == g.Output().C {
		return f, 0, err
	}
	_, names, err := namingOf(index(f), g)
	if err != nil {
		return nil, 0, err
	}
	out = &safetensors.File{Metadata: f.Metadata, Tensors: slices.Clone(f.Tensors)}
	initial := index(Initial(g, seed, false))
	for _, p := range g.Params {
		if g.Nodes[p.Node].Op != graph.OpLinear {
			continue
		}
		for i, t := range out.Tensors {
			if named(t) == names.in(p.Name) {
				fresh := initial[p.Name]
				fresh.Name = t.Name
				out.Tensors[i] = fresh
			}
		}
	}
	return out, has, nil
}
