package study

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"netspace/arch"
	"netspace/metric"
)

// Type is what the values of a Column are in Go.
type Type string

// The types.
const (
	Text     Type = "text"     // string
	Integer  Type = "integer"  // int64
	Real     Type = "real"     // float64
	Integers Type = "integers" // []int64
	Reals    Type = "reals"    // []float64
)

// Column is one column of the table of a study's trainings, one row each: see Study.Rows.
type Column struct {
	Name  string
	Type  Type
	About string // what it is, with its unit
	// Of is the value of a training: of the column's type, or nil for none.
	Of func(Trial) any
}

// Columns are those of the table. times adds how long trainings took, which differs from run to run. Fields of the recipe, and the
// resolution, have a column if a space draws them.
func (s *Study) Columns(ctx context.Context, times bool) ([]Column, error) {
	ended := func(get func(Trial) float64) func(Trial) any { // of others there is none, which is not an error of 0 %
		return func(t Trial) any {
			if t.State != Done && t.State != Failed {
				return nil
			}
			return get(t)
		}
	}
	cols := []Column{
		{"study", Text, "name of the study", func(Trial) any { return s.Config.Name }},
		{"space", Text, "space that the network was sampled from, as the study file names it", func(t Trial) any { return t.Space }},
		{"index", Integer, "place in the sample of its space, from 0", func(t Trial) any { return int64(t.Index) }},
		{"rerun", Integer, "0: the first training of the network, whose error is that of the population; from 1: further ones, with other seeds", func(t Trial) any { return int64(t.Rerun) }},
		{"id", Text, "identity of the training: a hash of adjusted network, recipe, data and seed", func(t Trial) any { return t.ID }},
		{"state", Text, "pending, done or failed", func(t Trial) any { return string(t.State) }},
		{"error", Real, "top-1 error on the validation images at the end of training, percent; that of chance if it failed; empty while it is pending", ended(func(t Trial) float64 { return t.Error })},
		{"error5", Real, "top-5 error, likewise", ended(func(t Trial) float64 { return t.Error5 })},
		{"cause", Text, "what a failed training failed of, in a word", func(t Trial) any { return ifAny(string(t.Cause)) }},
		{"reason", Text, "why it failed", func(t Trial) any { return ifAny(t.Reason) }},
	}
	for _, m := range metric.Counted() {
		cols = append(cols, Column{m.Name, Integer, m.Name + " of the network for the study's images (docs/method.md)", func(t Trial) any { return m.Of(t.Complexity) }})
	}
	cols = append(cols,
		Column{"depths", Integers, "blocks of each stage", perStage(func(s arch.Stage) int64 { return int64(s.Depth) })},
		Column{"widths", Integers, "channels of each stage", perStage(func(s arch.Stage) int64 { return int64(s.Width) })},
		Column{"strides", Integers, "stride of each stage's first block", perStage(func(s arch.Stage) int64 { return int64(s.Stride) })},
		Column{"bottlenecks", Reals, "bottleneck ratio of each stage: width over width within the block", perStage(func(s arch.Stage) float64 { return s.Bottleneck })},
		Column{"group_widths", Integers, "channels of a group of each stage", perStage(func(s arch.Stage) int64 { return int64(s.GroupWidth) })},
	)
	drawn, err := s.drawnColumns(ctx)
	if err != nil {
		return nil, err
	}
	cols = append(cols, drawn...)
	cols = append(cols,
		Column{"seed", Integer, "of the training: initial weights, order and augmentation of the images; below 2^53", func(t Trial) any { return int64(t.Seed) }},
		Column{"spec", Text, "the adjusted network as a spec file states it, in JSON", func(t Trial) any {
			data, err := json.Marshal(t.Spec)
			if err != nil { // specs come out of a journal, where they were JSON
				return nil
			}
			return string(data)
		}},
	)
	if times {
		cols = append(cols,
			Column{"seconds", Real, "wall time of the training", ended(func(t Trial) float64 { return t.Seconds })},
			Column{"images_per_second", Real, "of training steps", ended(func(t Trial) float64 { return t.ImagesPerSecond })})
	}
	return cols, nil
}

func ifAny(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// CurveColumns are those of the points of training curves.
func CurveColumns() []EpochColumn {
	evaluated := func(get func(Epoch) float64) func(Epoch) any {
		return func(e Epoch) any {
			if !e.Evaluated {
				return nil
			}
			return get(e)
		}
	}
	return []EpochColumn{
		{"epoch", Integer, "number of the epoch, from 1", func(e Epoch) any { return int64(e.Epoch) }},
		{"train_loss", Real, "mean cross-entropy of the epoch's steps", func(e Epoch) any { return e.TrainLoss }},
		{"train_error", Real, "top-1 error of the epoch's steps, percent", func(e Epoch) any { return e.TrainError }},
		{"val_loss", Real, "mean cross-entropy of the validation images after the epoch; empty if it was not evaluated", evaluated(func(e Epoch) float64 { return e.ValLoss })},
		{"val_error", Real, "top-1 error of the validation images after the epoch, percent; likewise", evaluated(func(e Epoch) float64 { return e.ValError })},
	}
}

// EpochColumn is a Column of a point of a training curve.
type EpochColumn struct {
	Name  string
	Type  Type
	About string
	Of    func(Epoch) any
}

// perStage lists a number of every stage of a network that has stages.
func perStage[T any](get func(arch.Stage) T) func(Trial) any {
	return func(t Trial) any {
		n, ok := t.Spec.AnyNet()
		if !ok {
			return nil
		}
		values := make([]T, len(n.Stages))
		for i, s := range n.Stages {
			values[i] = get(s)
		}
		return values
	}
}

// drawnColumns are the resolution and the fields of the recipe, if a space of
// the study draws them: empty for networks that have none of their own.
func (s *Study) drawnColumns(ctx context.Context) ([]Column, error) {
	var cols []Column
	fields, resolution := map[string]Type{}, false
	l := &lines{h: s.history}
	defer l.close()
	for _, name := range s.Config.Spaces {
		for _, place := range s.population(name) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if place.ref.length == 0 || !l.holds(place.ref, `"recipe":`, `"resolution":`) {
				continue
			}
			t, err := l.sample(place)
			if err != nil {
				return nil, err
			}
			resolution = resolution || t.Spec.Resolution != 0
			for field, v := range t.Spec.Recipe {
				if _, is := number(v); !is || fields[field] == Text {
					fields[field] = Text
				} else {
					fields[field] = Real
				}
			}
		}
	}
	if resolution {
		cols = append(cols, Column{"resolution", Integer, "pixels of the images' sides, where a space draws them", func(t Trial) any {
			if t.Spec.Resolution == 0 {
				return nil
			}
			return int64(t.Spec.Resolution)
		}})
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		kind := fields[field]
		cols = append(cols, Column{"recipe." + field, kind, "field of the recipe that a space draws (docs/training.md)", func(t Trial) any {
			v, ok := t.Spec.Recipe[field]
			if !ok {
				return nil
			}
			if n, is := number(v); is && kind == Real {
				return n
			}
			return fmt.Sprint(v)
		}})
	}
	return cols, nil
}

// number is a value of a recipe as a number, if it is one.
func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
