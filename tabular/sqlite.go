//go:build !lean

package tabular

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"netspace/study"
)

// perStage are the columns of table trainings that have a row per stage in table stages, and the names that they have there.
var perStage = map[string]string{"depths": "depth", "widths": "width", "strides": "stride", "bottlenecks": "bottleneck", "group_widths": "group_width"}

var sqlTypes = map[study.Type]string{study.Text: "TEXT", study.Integer: "INTEGER", study.Real: "REAL", study.Integers: "INTEGER", study.Reals: "REAL"}

// column of a table.
type column struct {
	table, name, about string
	kind               study.Type
}

func writeSQLite(ctx context.Context, w io.Writer, s *study.Study, o study.ExportOptions) (err error) {
	cols, err := s.Columns(ctx, o.Times)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "netspace-export")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "study.sqlite")
	if err := fill(ctx, file, s, cols); err != nil {
		return fmt.Errorf("write SQLite: %w", err)
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(w, in)
	return err
}

// fill makes a data base of a study.
func fill(ctx context.Context, file string, s *study.Study, cols []study.Column) (err error) {
	// It is a new file that nobody else knows: a crash loses nothing.
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(off)&_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)

	var scalars, lists []study.Column
	all := []column{{"stages", "training", "id of the training", study.Text}, {"stages", "stage", "place of the stage in the network, from 0", study.Integer}}
	for _, c := range cols {
		if name, stage := perStage[c.Name]; stage {
			lists = append(lists, c)
			all = append(all, column{"stages", name, strings.NewReplacer("each stage's", "the stage's", "of each stage", "of the stage").Replace(c.About), c.Type})
		} else {
			scalars = append(scalars, c)
			all = append(all, column{"trainings", c.Name, c.About, c.Type})
		}
	}
	curve := study.CurveColumns()
	all = append(all, column{"epochs", "training", "id of the training", study.Text})
	for _, c := range curve {
		all = append(all, column{"epochs", c.Name, c.About, c.Type})
	}
	for _, c := range []string{"table", "column", "type", "about"} {
		all = append(all, column{"columns", c, "", study.Text})
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	insert := map[string]*sql.Stmt{}
	for _, table := range []string{"trainings", "stages", "epochs", "columns"} {
		var defined, marks []string
		for _, c := range all {
			if c.table == table {
				defined, marks = append(defined, fmt.Sprintf("%q %s", c.name, sqlTypes[c.kind])), append(marks, "?")
			}
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("CREATE TABLE %s (%s)", table, strings.Join(defined, ", "))); err != nil {
			return err
		}
		if insert[table], err = tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s VALUES (%s)", table, strings.Join(marks, ", "))); err != nil {
			return err
		}
		defer insert[table].Close()
	}
	for _, c := range all {
		if c.table != "columns" {
			if _, err := insert["columns"].ExecContext(ctx, c.table, c.name, strings.ToLower(sqlTypes[c.kind]), c.about); err != nil {
				return err
			}
		}
	}
	listed := map[string]bool{} // a network that two spaces have in common is one training
	err = s.Rows(ctx, func(t study.Trial) error {
		values := make([]any, len(scalars))
		for i, c := range scalars {
			values[i] = c.Of(t)
		}
		if _, err := insert["trainings"].ExecContext(ctx, values...); err != nil {
			return err
		}
		if listed[t.ID] {
			return nil
		}
		listed[t.ID] = true
		if err := stages(ctx, insert["stages"], lists, t); err != nil {
			return err
		}
		for _, e := range t.Epochs {
			point := []any{t.ID}
			for _, c := range curve {
				point = append(point, c.Of(e))
			}
			if _, err := insert["epochs"].ExecContext(ctx, point...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, index := range []string{"trainings (id)", "trainings (space, \"index\")", "stages (training)", "epochs (training)"} {
		name := strings.NewReplacer(" (", "_", ", ", "_", ")", "", `"`, "").Replace(index)
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("CREATE INDEX %s ON %s", name, index)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// stages writes a row per stage of a network that has such.
func stages(ctx context.Context, insert *sql.Stmt, lists []study.Column, t study.Trial) error {
	var rows [][]any
	for _, c := range lists {
		at := func(i int, v any) {
			if i == len(rows) {
				rows = append(rows, []any{t.ID, i})
			}
			rows[i] = append(rows[i], v)
		}
		switch values := c.Of(t).(type) {
		case []int64:
			for i, v := range values {
				at(i, v)
			}
		case []float64:
			for i, v := range values {
				at(i, v)
			}
		}
	}
	for _, row := range rows {
		if _, err := insert.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return nil
}
