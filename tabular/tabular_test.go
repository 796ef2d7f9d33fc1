//go:build !lean

package tabular

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"netspace/study"
)

// open opens a study that is kept in the repository, with networks that are done, failed and pending.
func open(t *testing.T) *study.Study {
	t.Helper()
	s, err := study.Open(t.Context(), "../analysis/testdata/tiny")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func export(t *testing.T, format string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := Write(t.Context(), &out, open(t), study.ExportOptions{Format: format}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// row is what the tests compare of a training.
type row struct {
	ID, Space, State   string
	Index, Rerun, Seed int64
	Error              *float64
	Widths             string
	Epochs             string // number, training loss and validation error of each
	Spec               string
}

// want are the rows as the study has them.
func want(t *testing.T) (all []row) {
	t.Helper()
	s := open(t)
	err := s.Rows(t.Context(), func(trial study.Trial) error {
		r := row{ID: trial.ID, Space: trial.Space, State: string(trial.State), Index: int64(trial.Index), Rerun: int64(trial.Rerun), Seed: int64(trial.Seed)}
		if trial.State != study.Pending {
			r.Error = &trial.Error
		}
		if n, ok := trial.Spec.AnyNet(); ok {
			for _, s := range n.Stages {
				r.Widths += fmt.Sprint(s.Width, " ")
			}
		}
		for _, e := range trial.Epochs {
			r.Epochs += point(int64(e.Epoch), e.TrainLoss, &e.ValError, e.Evaluated)
		}
		spec, err := json.Marshal(trial.Spec)
		r.Spec = string(spec)
		all = append(all, r)
		return err
	})
	if err != nil || len(all) < 4 {
		t.Fatal(len(all), err)
	}
	return all
}

func point(epoch int64, loss float64, valError *float64, evaluated bool) string {
	if !evaluated || valError == nil {
		return fmt.Sprint(epoch, loss, "; ")
	}
	return fmt.Sprint(epoch, loss, *valError, "; ")
}

func TestParquet(t *testing.T) {
	type stored struct {
		ID     string   `parquet:"id"`
		Space  string   `parquet:"space"`
		State  string   `parquet:"state"`
		Index  int64    `parquet:"index"`
		Rerun  int64    `parquet:"rerun"`
		Seed   int64    `parquet:"seed"`
		Error  *float64 `parquet:"error,optional"`
		Widths []int64  `parquet:"widths,list"`
		Epochs []struct {
			Epoch     int64    `parquet:"epoch"`
			TrainLoss float64  `parquet:"train_loss"`
			ValError  *float64 `parquet:"val_error,optional"`
		} `parquet:"epochs,list"`
		Spec string `parquet:"spec"`
	}
	text := export(t, Parquet)
	in := parquet.NewGenericReader[stored](bytes.NewReader(text))
	defer in.Close()
	all := make([]stored, in.NumRows())
	if n, err := in.Read(all); n != len(all) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(n, err)
	}
	var got []row
	for _, s := range all {
		r := row{ID: s.ID, Space: s.Space, State: s.State, Index: s.Index, Rerun: s.Rerun, Seed: s.Seed, Error: s.Error, Spec: s.Spec}
		for _, w := range s.Widths {
			r.Widths += fmt.Sprint(w, " ")
		}
		for _, e := range s.Epochs {
			r.Epochs += point(e.Epoch, e.TrainLoss, e.ValError, true)
		}
		got = append(got, r)
	}
	if diff := cmp.Diff(want(t), got); diff != "" {
		t.Error(diff)
	}
	f, err := parquet.OpenFile(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	if about, ok := f.Lookup("epochs.val_error"); !ok || !strings.Contains(about, "percent") {
		t.Errorf("no word of what a column is: %q", about)
	}
}

func TestSQLite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.sqlite")
	if err := os.WriteFile(file, export(t, SQLite), 0o644); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	query := func(each func(scan func(...any)), text string, args ...any) {
		t.Helper()
		rows, err := db.QueryContext(t.Context(), text, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			each(func(to ...any) {
				if err := rows.Scan(to...); err != nil {
					t.Fatal(err)
				}
			})
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	var got []row
	query(func(scan func(...any)) {
		var r row
		scan(&r.ID, &r.Space, &r.State, &r.Index, &r.Rerun, &r.Seed, &r.Error, &r.Spec)
		got = append(got, r)
	}, `SELECT id, space, state, "index", rerun, seed, error, spec FROM trainings ORDER BY rowid`)
	for i := range got {
		r := &got[i]
		query(func(scan func(...any)) {
			var w int64
			scan(&w)
			r.Widths += fmt.Sprint(w, " ")
		}, "SELECT width FROM stages WHERE training = ? ORDER BY stage", r.ID)
		query(func(scan func(...any)) {
			var epoch int64
			var loss float64
			var valError *float64
			scan(&epoch, &loss, &valError)
			r.Epochs += point(epoch, loss, valError, true)
		}, "SELECT epoch, train_loss, val_error FROM epochs WHERE training = ? ORDER BY epoch", r.ID)
	}
	if diff := cmp.Diff(want(t), got); diff != "" {
		t.Error(diff)
	}
	described := 0
	query(func(scan func(...any)) { scan(&described) }, "SELECT count(*) FROM columns WHERE about <> ''")
	if described < 20 {
		t.Errorf("%d columns are described", described)
	}
}

func TestTheSameBytes(t *testing.T) {
	for _, format := range Formats() {
		if !bytes.Equal(export(t, format), export(t, format)) {
			t.Errorf("%s: two exports differ", format)
		}
	}
	var request *study.RequestError
	if err := Write(t.Context(), io.Discard, open(t), study.ExportOptions{Format: "xlsx"}); !errors.As(err, &request) || !strings.Contains(err.Error(), "sqlite") {
		t.Errorf("an unknown format: %v", err)
	}
}

// docs/export.md is the dictionary of all columns, in the words that the files have.
func TestDictionary(t *testing.T) {
	page, err := os.ReadFile("../docs/export.md")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t)
	cols, err := s.Columns(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	line := func(name string, kind study.Type, about string) {
		if want := fmt.Sprintf("| `%s` | %s | %s |\n", name, kind, about); !strings.Contains(string(page), want) {
			t.Errorf("docs/export.md lacks the line\n%s", want)
		}
	}
	for _, c := range cols {
		line(c.Name, c.Type, c.About)
	}
	for _, c := range study.CurveColumns() {
		line(c.Name, c.Type, c.About)
	}
}
