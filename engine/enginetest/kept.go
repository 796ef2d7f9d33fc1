package enginetest

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"netspace/engine"
	"netspace/engine/reference"
	"netspace/graph"
)

// KeptOf tells of a program whose activations are engine.BF16 what its last step kept of a node, [N,C,H,W].
type KeptOf func(p engine.Program, node int) []float32

// CompareKept runs a case with activations in bfloat16 on an engine and on the reference, and reports what differs by more
// than the unit roundoff of the engine's arithmetic explains.
//
// Where an exact value lies within that of the middle between two numbers of bfloat16, one engine may round up and the
// other down, and neither is wrong; all that follows then differs by far more than float32 explains. So the reference
// takes over what the engine has kept, once it has found every element to be the rounded one of a
// number that is within the tolerance of its own: rounding does not change an order, so that is to be
// between the rounded ends of the tolerance. What the engine makes of its kept values, gradients with it, is then held to
// the tolerance of float32, as in Compare.
func CompareKept(t *testing.T, e engine.Engine, c Case, unit float64, kept KeptOf) {
	t.Helper()
	c.Activations = engine.BF16
	differences, err := keptDifferences(e, c, unit, kept)
	tell(t, differences, err)
}

// observed is an engine whose programs tell after each step what they have kept.
type observed struct {
	engine.Engine
	nodes []bool
	kept  KeptOf
	steps *[]map[int][]float32 // by step and node
}

type observedProgram struct {
	engine.Program
	e observed
}

func (e observed) Compile(g *graph.Graph, o engine.Options) (engine.Program, error) {
	p, err := e.Engine.Compile(g, o)
	if err != nil || o.Inference {
		return p, err
	}
	return observedProgram{p, e}, nil
}

func (p observedProgram) Step(b engine.Batch, logits []float32) (float64, error) {
	loss, err := p.Program.Step(b, logits)
	kept := map[int][]float32{}
	for i, k := range p.e.nodes {
		if k && err == nil {
			kept[i] = p.e.kept(p.Program, i)
		}
	}
	*p.e.steps = append(*p.e.steps, kept)
	return loss, err
}

// adopting is the reference with what an engine has kept in the place of what it would keep; before has
// what that would be before it is rounded, of one node after the other.
func adopting(e engine.Engine, nodes []bool, steps []map[int][]float32, before *[]tensor) engine.Engine {
	step := 0
	return reference.WithKept(e, func(node int, y []float64) {
		exact := tensor{fmt.Sprintf("step %d: kept of node %d", step, node), append([]float64(nil), y...)}
		*before = append(*before, exact)
		for k, v := range steps[step][node] {
			y[k] = float64(v)
		}
		for _, k := range nodes[node+1:] {
			if k {
				return
			}
		}
		step++
	})
}

func keptDifferences(e engine.Engine, c Case, unit float64, kept KeptOf) ([]string, error) {
	unit = held(unit)
	nodes := engine.Kept(c.Graph)
	type attempt struct {
		d         *Data
		got, want *recording
		steps     []map[int][]float32
		before    []tensor
	}
	var best *attempt
	for seed := range uint64(attempts) {
		a := attempt{d: NewData(c, seed)}
		var err, refErr error
		a.got, err = record(observed{e, nodes, kept, &a.steps}, c, a.d)
		if err == nil {
			a.want, refErr = record(adopting(reference.New(), nodes, a.steps, &a.before), c, a.d)
		}
		if err := errors.Join(err, refErr); err != nil {
			return nil, err
		}
		if best == nil || a.want.kink > best.want.kink {
			best = &a
		}
		if best.want.kink >= minKink*unit {
			break
		}
	}
	// As in tolerances, with the kept values that the engine had.
	tolerance, keptTolerance := make([]float64, len(best.want.seen)), make([]float64, len(best.before))
	for i, w := range best.want.seen {
		tolerance[i] = math.Max(c.Roundings, 4) * unit * maxAbs(w.values)
	}
	for i, w := range best.before {
		keptTolerance[i] = math.Max(c.Roundings, 4) * unit * maxAbs(w.values)
	}
	widen := func(tolerance []float64, want, disturbed []tensor) {
		for i, w := range want {
			for j, v := range w.values {
				tolerance[i] = math.Max(tolerance[i], slack*math.Abs(disturbed[i].values[j]-v))
			}
		}
	}
	for k := range roundings {
		var before []tensor
		r, err := record(adopting(reference.WithRounding(unit, uint64(k+1)), nodes, best.steps, &before), c, best.d)
		if err != nil {
			return nil, err
		}
		if c.Roundings == 0 {
			widen(tolerance, best.want.seen, r.seen)
		}
		widen(keptTolerance, best.before, before)
	}
	var out []string
	at := 0
	for _, kept := range best.steps {
		for node, isKept := range nodes {
			if isKept {
				if s := misrounded(best.before[at], kept[node], keptTolerance[at]); s != "" {
					out = append(out, s)
				}
				at++
			}
		}
	}
	for i, w := range best.want.seen {
		if s := difference(w.name, best.got.seen[i].values, w.values, tolerance[i]); s != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// misrounded describes the first kept element that is not the rounded one of any number within the tolerance of the exact one.
func misrounded(exact tensor, kept []float32, tolerance float64) string {
	if len(kept) != len(exact.values) {
		return fmt.Sprintf("%s: %d elements, want %d", exact.name, len(kept), len(exact.values))
	}
	for i, v := range exact.values {
		lo, hi := engine.BF16.Round(v-tolerance), engine.BF16.Round(v+tolerance)
		if k := float64(kept[i]); !(k >= lo && k <= hi) {
			return fmt.Sprintf("%s [%d]: kept %.9g of %.9g, tolerance %.3g", exact.name, i, k, v, tolerance)
		}
	}
	return ""
}
