package trial

import (
	"fmt"
	"math"
	"slices"

	"netspace/graph"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// ThawedError says that tensors that a recipe freezes are not in the final weights as they were in the initial ones.
type ThawedError struct {
	Names  []string // in the network's order
	Frozen int      // how many there are
}

func (e *ThawedError) Error() string {
	return fmt.Sprintf("%d of %d frozen tensors are not in the weights that it wrote as they were in the initial ones, such as %s", len(e.Names), e.Frozen, e.Names[0])
}

// keptFrozen checks that the tensors frozen have the same bits in the task's initial and final weights, where there are
// both: initial ones of a program's own making are known to it alone.
func (t Task) keptFrozen(g *graph.Graph, frozen []string) error {
	if len(frozen) == 0 || t.Init == "" || t.Weights == "" {
		return nil
	}
	initial, err := t.initial(g, nil)
	if err != nil {
		return &InitError{err}
	}
	before, err := bitsOf(initial, g)
	if err != nil {
		return &InitError{err}
	}
	final, err := weights.ReadFile(t.Weights)
	if err != nil {
		return fmt.Errorf("final weights: %w", err)
	}
	after, err := bitsOf(final, g)
	if err != nil {
		return fmt.Errorf("final weights: %w", err)
	}
	e := ThawedError{Frozen: len(frozen)}
	for _, name := range frozen {
		if was, ok := before[name]; ok && !slices.Equal(was, after[name]) {
			e.Names = append(e.Names, name)
		}
	}
	if len(e.Names) > 0 {
		return &e
	}
	return nil
}

// bitsOf has the elements of a network's tensors by its names.
func bitsOf(f *safetensors.File, g *graph.Graph) (map[string][]uint32, error) {
	f, _, err := weights.Translate(f, g)
	if err != nil {
		return nil, err
	}
	all := map[string][]uint32{}
	for _, x := range f.Tensors {
		values := make([]float32, x.Len())
		if err := x.CopyFloat32(values); err != nil {
			return nil, err
		}
		bits := make([]uint32, len(values))
		for i, v := range values {
			bits[i] = math.Float32bits(v)
		}
		all[x.Name] = bits
	}
	return all, nil
}
