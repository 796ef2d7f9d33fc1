package study

import (
	"encoding/csv"
	"encoding/json"
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
// result are there too, with their state.
func (s *Study) Export(w io.Writer, o ExportOptions) error {
	populations, err := s.Populations()
	if err != nil {
		return err
	}
	for _, p := range populations {
		for i := range p.Trials {
			// Who looks when is no part of the results.
			if t := &p.Trials[i]; t.State == Running || t.State == Pending {
				t.State, t.Epochs = Pending, nil
			}
		}
	}
	switch o.Format {
	case CSV:
		return exportCSV(w, populations, o)
	case JSONL:
		return exportJSONL(w, populations, o)
	}
	return &RequestError{fmt.Errorf("format %q: known are %s", o.Format, strings.Join(Formats(), ", "))}
}

func exportJSONL(w io.Writer, populations []Population, o ExportOptions) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, p := range populations {
		for _, t := range p.Trials {
			row := exportRow{Study: p.Study, Trial: t}
			if o.Times {
				row.Seconds, row.ImagesPerSecond = &t.Seconds, &t.ImagesPerSecond
			}
			if err := enc.Encode(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// column is one column of a table of trials.
type column struct {
	name  string
	value func(p Population, t Trial) string
}

// columns of a CSV export. Numbers per stage are lists with spaces between them.
func columns(times bool) []column {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	// result is empty for trials that have none, which is not an error of 0 %.
	result := func(get func(Trial) float64) func(Population, Trial) string {
		return func(_ Population, t Trial) string {
			if t.State != Done && t.State != Failed {
				return ""
			}
			return number(get(t))
		}
	}
	cols := []column{
		{"study", func(p Population, _ Trial) string { return p.Study }},
		{"space", func(p Population, _ Trial) string { return p.Space }},
		{"index", func(_ Population, t Trial) string { return strconv.Itoa(t.Index) }},
		{"id", func(_ Population, t Trial) string { return t.ID }},
		{"state", func(_ Population, t Trial) string { return string(t.State) }},
		{"error", result(func(t Trial) float64 { return t.Error })},
		{"error5", result(func(t Trial) float64 { return t.Error5 })},
		{"reason", func(_ Population, t Trial) string { return t.Reason }},
	}
	for _, m := range metric.Counted() {
		cols = append(cols, column{m.Name, func(_ Population, t Trial) string { return strconv.FormatInt(m.Of(t.Complexity), 10) }})
	}
	cols = append(cols, []column{
		{"depths", perStage(func(t arch.Stage) string { return strconv.Itoa(t.Depth) })},
		{"widths", perStage(func(t arch.Stage) string { return strconv.Itoa(t.Width) })},
		{"bottlenecks", perStage(func(t arch.Stage) string { return number(t.Bottleneck) })},
		{"group_widths", perStage(func(t arch.Stage) string { return strconv.Itoa(t.GroupWidth) })},
		{"seed", func(_ Population, t Trial) string { return strconv.FormatUint(t.Seed, 10) }},
		{"spec", func(_ Population, t Trial) string {
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
func drawnColumns(populations []Population) []column {
	var cols []column
	fields, resolution := map[string]bool{}, false
	for _, p := range populations {
		for _, t := range p.Trials {
			resolution = resolution || t.Spec.Resolution != 0
			for field := range t.Spec.Recipe {
				fields[field] = true
			}
		}
	}
	if resolution {
		cols = append(cols, column{"resolution", func(_ Population, t Trial) string {
			if t.Spec.Resolution == 0 {
				return ""
			}
			return strconv.Itoa(t.Spec.Resolution)
		}})
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		cols = append(cols, column{"recipe." + field, func(_ Population, t Trial) string {
			if v, ok := t.Spec.Recipe[field]; ok {
				return fmt.Sprint(v)
			}
			return ""
		}})
	}
	return cols
}

func exportCSV(w io.Writer, populations []Population, o ExportOptions) error {
	cols := columns(o.Times)
	at := slices.IndexFunc(cols, func(c column) bool { return c.name == "seed" })
	cols = slices.Insert(cols, at, drawnColumns(populations)...)
	out := csv.NewWriter(w)
	line := make([]string, len(cols))
	for i, c := range cols {
		line[i] = c.name
	}
	if err := out.Write(line); err != nil {
		return err
	}
	for _, p := range populations {
		for _, t := range p.Trials {
			for i, c := range cols {
				line[i] = c.value(p, t)
			}
			if err := out.Write(line); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// perStage lists a number of every stage of a network that has stages.
func perStage(get func(arch.Stage) string) func(Population, Trial) string {
	return func(_ Population, t Trial) string {
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
