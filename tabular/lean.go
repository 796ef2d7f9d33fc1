//go:build lean

package tabular

import (
	"context"
	"errors"
	"io"

	"netspace/study"
)

// errLean says why a quickly built program cannot do it: the two libraries take longer to compile than all else.
var errLean = errors.New("this program was built without Parquet and SQLite (tag lean); make build, or go build ./cmd/netspace, gives one that has them")

func writeParquet(context.Context, io.Writer, *study.Study, study.ExportOptions) error {
	return errLean
}
func writeSQLite(context.Context, io.Writer, *study.Study, study.ExportOptions) error { return errLean }
