// Package tabular writes the trainings of studies as tables for other tools: Parquet files (pandas, polars, DuckDB, R) and
// SQLite data bases. docs/export.md is the dictionary of what stands in them.
//
// Two exports of one study give the same bytes, like those of package study.
package tabular

import (
	"context"
	"fmt"
	"io"
	"strings"

	"netspace/study"
)

// The formats.
const (
	Parquet = "parquet" // one row per training, stages and curves as lists
	SQLite  = "sqlite"  // tables trainings, stages, epochs, and columns, which says what they hold
)

// Formats lists the formats of Write, those of study.Export too.
func Formats() []string { return append(study.Formats(), Parquet, SQLite) }

// Write writes all trainings of a study. It takes little memory, however many there are. A format that is not one of Formats is a
// *study.RequestError.
func Write(ctx context.Context, w io.Writer, s *study.Study, o study.ExportOptions) error {
	switch o.Format {
	case study.CSV, study.JSONL:
		return s.Export(ctx, w, o)
	case Parquet:
		return writeParquet(ctx, w, s, o)
	case SQLite:
		return writeSQLite(ctx, w, s, o)
	}
	return &study.RequestError{Err: fmt.Errorf("format %q: known are %s", o.Format, strings.Join(Formats(), ", "))}
}
