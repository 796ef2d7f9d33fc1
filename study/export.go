package study

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Formats of Export.
const (
	CSV   = "csv"   // one line per trial, a header line
	JSONL = "jsonl" // one JSON object per trial
)

// Formats lists the formats of Export. Package tabular has others.
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

// Rows is Each, reruns after the first training of their network, without what depends on when one looks.
func (s *Study) Rows(ctx context.Context, visit func(t Trial) error) error {
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
	return s.Rows(ctx, func(t Trial) error {
		row := exportRow{Study: s.Config.Name, Trial: t}
		if o.Times {
			row.Seconds, row.ImagesPerSecond = &t.Seconds, &t.ImagesPerSecond
		}
		return enc.Encode(row)
	})
}

// inCSV tells whether a column stands in CSV files. What came after them stands there where it says something, since
// people's scripts know the others.
func (s *Study) inCSV(c Column) bool {
	switch c.Name {
	case "rerun":
		return s.Config.Repeats.Times > 0 || s.Config.Search != nil
	case "cause", "strides":
		return false
	}
	return true
}

func (s *Study) exportCSV(ctx context.Context, w io.Writer, o ExportOptions) error {
	cols, err := s.Columns(ctx, o.Times)
	if err != nil {
		return err
	}
	cols = slices.DeleteFunc(cols, func(c Column) bool { return !s.inCSV(c) })
	out := csv.NewWriter(w)
	line := make([]string, len(cols))
	for i, c := range cols {
		line[i] = c.Name
	}
	if err := out.Write(line); err != nil {
		return err
	}
	err = s.Rows(ctx, func(t Trial) error {
		for i, c := range cols {
			line[i] = text(c.Of(t))
		}
		return out.Write(line)
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

// text is a value in a CSV file: nothing for none, and lists with spaces between their values.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []int64:
		return list(v)
	case []float64:
		return list(v)
	}
	return ""
}

func list[T any](all []T) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = text(v)
	}
	return strings.Join(words, " ")
}
