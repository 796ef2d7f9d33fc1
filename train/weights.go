package train

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"netspace/dataset"
	"netspace/engine"
	"netspace/graph"
	"netspace/safetensors"
)

// tensorInfo is the name and shape of a parameter or buffer.
type tensorInfo struct {
	name  string
	shape []int
}

func (t tensorInfo) size() int {
	n := 1
	for _, d := range t.shape {
		n *= d
	}
	return n
}

// setTensors lists the tensors of a set of a program of g.
func setTensors(g *graph.Graph, set engine.Set) []tensorInfo {
	var out []tensorInfo
	if set == engine.Buffers || set == engine.EMABuffers {
		for _, b := range g.Buffers {
			out = append(out, tensorInfo{b.Name, b.Shape})
		}
		return out
	}
	for _, p := range g.Params {
		out = append(out, tensorInfo{p.Name, p.Shape})
	}
	return out
}

// Tensors copies sets of tensors out of a program of g, under their own names.
func Tensors(p engine.Program, g *graph.Graph, sets ...engine.Set) (*safetensors.File, error) {
	f := &safetensors.File{Metadata: map[string]string{}}
	return f, appendSets(f, p, g, "", sets...)
}

func appendSets(f *safetensors.File, p engine.Program, g *graph.Graph, prefix string, sets ...engine.Set) error {
	var buf []float32
	for _, set := range sets {
		for _, t := range setTensors(g, set) {
			buf = resize(buf, t.size())
			if err := p.Get(set, t.name, buf); err != nil {
				return err
			}
			f.Tensors = append(f.Tensors, safetensors.Float32(prefix+t.name, t.shape, buf))
		}
	}
	return nil
}

// WeightsError lists what in a file of weights does not fit a network.
type WeightsError struct {
	Faults []string
}

func (e *WeightsError) Error() string {
	const most = 8
	faults := e.Faults
	more := ""
	if len(faults) > most {
		more = fmt.Sprintf("; and %d more", len(faults)-most)
		faults = faults[:most]
	}
	return "the weights are not of this network: " + strings.Join(faults, "; ") + more
}

// LoadWeights sets a program's parameters and BN statistics from a file. Every
// parameter must be there in its shape. BN statistics may be left out all
// together, which leaves the program's; PyTorch's num_batches_tracked is
// ignored, and so are the moments and averages of a checkpoint. Any other
// tensor is an error (*WeightsError, with all faults).
func LoadWeights(p engine.Program, g *graph.Graph, f *safetensors.File) error {
	byName := make(map[string]safetensors.Tensor, len(f.Tensors))
	for _, t := range f.Tensors {
		byName[t.Name] = t
	}
	buffers := setTensors(g, engine.Buffers)
	if !slices.ContainsFunc(buffers, func(b tensorInfo) bool { _, ok := byName[b.name]; return ok }) {
		buffers = nil
	}
	var faults []string
	load := func(set engine.Set, want []tensorInfo) error {
		var buf []float32
		for _, w := range want {
			t, ok := byName[w.name]
			delete(byName, w.name)
			switch {
			case !ok:
				faults = append(faults, w.name+" is missing")
			case !slices.Equal(t.Shape, w.shape):
				faults = append(faults, fmt.Sprintf("%s is %v, not %v", w.name, t.Shape, w.shape))
			default:
				buf = resize(buf, w.size())
				if err := t.CopyFloat32(buf); err != nil {
					faults = append(faults, err.Error())
				} else if err := p.Set(set, w.name, buf); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := errors.Join(load(engine.Params, setTensors(g, engine.Params)), load(engine.Buffers, buffers)); err != nil {
		return err
	}
	for _, t := range f.Tensors {
		if _, left := byName[t.Name]; left && !strings.HasSuffix(t.Name, ".num_batches_tracked") && !strings.Contains(t.Name, "/") {
			faults = append(faults, t.Name+" is not in the network")
		}
	}
	if len(faults) > 0 {
		return &WeightsError{Faults: faults}
	}
	return nil
}

// InitialWeights makes the file of weights that a training with this seed
// starts from: parameters (see InitParam) and BN statistics 0 and 1.
func InitialWeights(g *graph.Graph, seed uint64, zeroGamma bool) *safetensors.File {
	f := &safetensors.File{Metadata: map[string]string{"format": "pt", "seed": fmt.Sprint(seed)}}
	for _, p := range g.Params {
		buf := make([]float32, p.Size())
		InitParam(g, p, seed, zeroGamma, buf)
		f.Tensors = append(f.Tensors, safetensors.Float32(p.Name, p.Shape, buf))
	}
	for i := range g.Nodes {
		for k, b := range g.Nodes[i].Buffers {
			buf := make([]float32, g.Buffers[b].Size())
			fill(buf, float32(k)) // the running mean, then the running variance
			f.Tensors = append(f.Tensors, safetensors.Float32(g.Buffers[b].Name, g.Buffers[b].Shape, buf))
		}
	}
	return f
}

// saveWeights writes the weights that are evaluated to Job.Weights.
func (r *run) saveWeights() error {
	params, buffers := engine.Params, engine.Buffers
	if r.Recipe.EMA > 0 {
		params, buffers = engine.EMAParams, engine.EMABuffers
	}
	f, err := Tensors(r.prog, r.Graph, params, buffers)
	if err != nil {
		return fmt.Errorf("save weights: %w", err)
	}
	f.Metadata = map[string]string{
		"format":     "pt", // PyTorch's names and layout; its loaders ask for this
		"network":    NetworkKey(r.Graph),
		"recipe":     r.Recipe.Hash(),
		"data":       r.Data.Info.Name,
		"mean":       fmt.Sprint(r.Data.Info.Mean),
		"std":        fmt.Sprint(r.Data.Info.Std),
		"bn_epsilon": fmt.Sprint(r.Recipe.BNEpsilon),
		"seed":       fmt.Sprint(r.Seed),
		"steps":      fmt.Sprint(r.done()),
		"averaged":   fmt.Sprint(r.Recipe.EMA > 0),
	}
	return safetensors.WriteFile(r.Weights, f)
}

// TrainedWith returns info with the normalisation, and the BN epsilon, that a file of
// weights states they were trained with; where it states none, info as it is and 0.
func TrainedWith(f *safetensors.File, info dataset.Info) (dataset.Info, float64, error) {
	for key, to := range map[string]*[]float32{"mean": &info.Mean, "std": &info.Std} {
		text, stated := f.Metadata[key]
		if !stated {
			continue
		}
		var values []float32
		for _, w := range strings.Fields(strings.Trim(text, "[]")) {
			v, err := strconv.ParseFloat(w, 32)
			if err != nil {
				return info, 0, fmt.Errorf("its metadata state %s %q, which are no numbers", key, text)
			}
			values = append(values, float32(v))
		}
		if len(values) != info.Channels {
			return info, 0, fmt.Errorf("its metadata state %s %q, but the images have %d channels", key, text, info.Channels)
		}
		*to = values
	}
	epsilon := 0.0
	if text, stated := f.Metadata["bn_epsilon"]; stated {
		var err error
		if epsilon, err = strconv.ParseFloat(text, 64); err != nil {
			return info, 0, fmt.Errorf("its metadata state bn_epsilon %q, which is no number", text)
		}
	}
	return info, epsilon, nil
}
