package study

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"netspace/arch"
	"netspace/metric"
)

// Formats of Export.
const (
	CSV   = "csv"   // one line per trial, a header line
	JSONL = "jsonl" // one JSON object per trial
)

// Formats lists the formats of Export.
func Formats() []string { return []string{CSV, JSONL} }

// ExportOptions say what Export writes.
type ExportOptions struct {
	Format string // of Formats
	// Times adds how long the training took. Without it two runs of one study
	// on one type of machine export the same bytes, whatever the number of workers.
	Times bool
}

// exportRow is one trial as exported.
type exportRow struct {
	Study string `json:"study"`
	Trial
	// Shadows those of Trial: times are left out unless asked for.
	Seconds         *float64 `json:"seconds,omitempty"`
	ImagesPerSecond *float64 `json:"images_per_second,omitempty"`
}

// Export writes all trials, space by space in sample order. Trials without a
// result are there too, with their state. It takes little memory, however many there are.
func (s *Study) Export(ctx context.Context, w io.Writer, o ExportOptions) error {
	switch o.Format {
	case CSV:
		return s.exportCSV(ctx, w, o)
	case JSONL:
		return s.exportJSONL(ctx, w, o)
	}
	return &RequestError{fmt.Errorf("format %q: known are %s", o.Format, strings.Join(Formats(), ", "))}
}

// results is Each, reruns after the first training of their network, without what depends on when one looks.
func (s *Study) results(ctx context.Context, visit func(t Trial) error) error {
	return s.Each(ctx, func(first Trial) error {
		for _, t := range append([]Trial{first}, first.Reruns...) {
			if t.State == Running || t.State == Pending {
				t.State, t.Epochs = Pending, nil
			}
			if err := visit(t); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Study) exportJSONL(ctx context.Context, w io.Writer, o ExportOptions) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return s.results(ctx, func(t Trial) error {
		row := exportRow{Study: s.Config.Name, Trial: t}
		if o.Times {
			row.Seconds, row.ImagesPerSecond = &t.Seconds, &t.ImagesPerSecond
		}
		return enc.Encode(row)
	})
}

// column is one column of a table of trials.
type column struct {
	name  string
	value func(t Trial) string
}

// columns of a CSV export. Numbers per stage are lists with spaces between them.
func (s *Study) columns(times bool) []column {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	// result is empty for trials that have none, which is not an error of 0 %.
	result := func(get func(Trial) float64) func(Trial) string {
		return func(t Trial) string {
			if t.State != Done && t.State != Failed {
				return ""
			}
			return number(get(t))
		}
	}
	cols := []column{
		{"study", func(Trial) string { return s.Config.Name }},
		{"space", func(t Trial) string { return t.Space }},
		{"index", func(t Trial) string { return strconv.Itoa(t.Index) }},
		{"id", func(t Trial) string { return t.ID }},
		{"state", func(t Trial) string { return string(t.State) }},
		{"error", result(func(t Trial) float64 { return t.Error })},
		{"error5", result(func(t Trial) float64 { return t.Error5 })},
		{"reason", func(t Trial) string { return t.Reason }},
	}
	for _, m := range metric.Counted() {
		cols = append(cols, column{m.Name, func(t Trial) string { return strconv.FormatInt(m.Of(t.Complexity), 10) }})
	}
	cols = append(cols, []column{
		{"depths", perStage(func(t arch.Stage) string { return strconv.Itoa(t.Depth) })},
		{"widths", perStage(func(t arch.Stage) string { return strconv.Itoa(t.Width) })},
		{"bottlenecks", perStage(func(t arch.Stage) string { return number(t.Bottleneck) })},
		{"group_widths", perStage(func(t arch.Stage) string { return strconv.Itoa(t.GroupWidth) })},
		{"seed", func(t Trial) string { return strconv.FormatUint(t.Seed, 10) }},
		{"spec", func(t Trial) string {
			data, err := json.Marshal(t.Spec)
			if err != nil { // specs come out of a journal, where they were JSON
				return ""
			}
			return string(data)
		}},
	}...)
	if times {
		cols = append(cols,
			column{"seconds", result(func(t Trial) float64 { return t.Seconds })},
			column{"images_per_second", result(func(t Trial) float64 { return t.ImagesPerSecond })})
	}
	return cols
}

// drawnColumns are the resolution and the fields of the recipe, if a space of
// the study draws them: empty for networks that have none of their own.
func (s *Study) drawnColumns(ctx context.Context) ([]column, error) {
	var cols []column
	fields, resolution := map[string]bool{}, false
	l := &lines{h: s.history}
	defer l.close()
	for _, name := range s.Config.Spaces {
		for _, place := range s.samples(name) {
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
			for field := range t.Spec.Recipe {
				fields[field] = true
			}
		}
	}
	if resolution {
		cols = append(cols, column{"resolution", func(t Trial) string {
			if t.Spec.Resolution == 0 {
				return ""
			}
			return strconv.Itoa(t.Spec.Resolution)
		}})
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		cols = append(cols, column{"recipe." + field, func(t Trial) string {
			if v, ok := t.Spec.Recipe[field]; ok {
				return fmt.Sprint(v)
			}
			return ""
		}})
	}
	return cols, nil
}

func (s *Study) exportCSV(ctx context.Context, w io.Writer, o ExportOptions) error {
	cols := s.columns(o.Times)
	at := slices.IndexFunc(cols, func(c column) bool { return c.name == "seed" })
	drawn, err := s.drawnColumns(ctx)
	if err != nil {
		return err
	}
	cols = slices.Insert(cols, at, drawn...)
	out := csv.NewWriter(w)
	line := make([]string, len(cols))
	for i, c := range cols {
		line[i] = c.name
	}
	if err := out.Write(line); err != nil {
		return err
	}
	err = s.results(ctx, func(t Trial) error {
		for i, c := range cols {
			line[i] = c.value(t)
		}
		return out.Write(line)
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

// perStage lists a number of every stage of a network that has stages.
func perStage(get func(arch.Stage) string) func(Trial) string {
	return func(t Trial) string {
		n, ok := t.Spec.AnyNet()
		if !ok {
			return ""
		}
		values := make([]string, len(n.Stages))
		for i, s := range n.Stages {
			values[i] = get(s)
		}
		return strings.Join(values, " ")
	}
}
