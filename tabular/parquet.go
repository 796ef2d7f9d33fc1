//go:build !lean

package tabular

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"netspace/study"
)

// goTypes are those of the fields of a row; scalars may be missing.
var goTypes = map[study.Type]reflect.Type{
	study.Text: reflect.TypeFor[*string](), study.Integer: reflect.TypeFor[*int64](), study.Real: reflect.TypeFor[*float64](),
	study.Integers: reflect.TypeFor[[]int64](), study.Reals: reflect.TypeFor[[]float64](),
}

// rowsPerGroup bounds what is held before it is written.
const rowsPerGroup = 20_000

func writeParquet(ctx context.Context, w io.Writer, s *study.Study, o study.ExportOptions) (err error) {
	cols, err := s.Columns(ctx, o.Times)
	if err != nil {
		return err
	}
	curve := study.CurveColumns()
	var fields, points []reflect.StructField
	for i, c := range curve {
		points = append(points, field(i, c.Name, c.Type))
	}
	for i, c := range cols {
		fields = append(fields, field(i, c.Name, c.Type))
	}
	point := reflect.StructOf(points)
	fields = append(fields, reflect.StructField{Name: "Epochs", Type: reflect.SliceOf(point), Tag: `parquet:"epochs,list"`})
	row := reflect.StructOf(fields)

	options := []parquet.WriterOption{parquet.SchemaOf(reflect.New(row).Interface()), parquet.Compression(&zstd.Codec{}),
		parquet.MaxRowsPerRowGroup(rowsPerGroup), parquet.CreatedBy("netspace", "", "")}
	for _, c := range cols {
		options = append(options, parquet.KeyValueMetadata(c.Name, c.About))
	}
	for _, c := range curve {
		options = append(options, parquet.KeyValueMetadata("epochs."+c.Name, c.About))
	}
	out := parquet.NewWriter(w, options...)
	err = s.Rows(ctx, func(t study.Trial) error {
		v := reflect.New(row)
		for i, c := range cols {
			set(v.Elem().Field(i), c.Of(t))
		}
		if n := len(t.Epochs); n > 0 {
			all := reflect.MakeSlice(reflect.SliceOf(point), n, n)
			for k, e := range t.Epochs {
				for i, c := range curve {
					set(all.Index(k).Field(i), c.Of(e))
				}
			}
			v.Elem().Field(len(cols)).Set(all)
		}
		return out.Write(v.Interface())
	})
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("write Parquet: %w", err)
	}
	return nil
}

func field(i int, name string, t study.Type) reflect.StructField {
	how := "optional"
	if t == study.Integers || t == study.Reals {
		how = "list"
	}
	return reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: goTypes[t], Tag: reflect.StructTag(fmt.Sprintf(`parquet:"%s,%s"`, name, how))}
}

// set sets a field to a value, or leaves it empty if that is nil.
func set(to reflect.Value, v any) {
	switch {
	case v == nil:
	case to.Kind() == reflect.Pointer:
		p := reflect.New(to.Type().Elem())
		p.Elem().Set(reflect.ValueOf(v))
		to.Set(p)
	default:
		to.Set(reflect.ValueOf(v))
	}
}
