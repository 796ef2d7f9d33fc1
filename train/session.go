package train

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"netspace/internal/atomicfile"
)

// The files that a finished training leaves in its folder.
const (
	ResultName  = "result.json"
	CurveName   = "curve.csv"
	WeightsName = "weights.safetensors"
)

// WriteResult writes a result (any value, as JSON) and the training curve as a
// table into dir.
func WriteResult(dir string, result any, curve []EpochStats) error {
	data, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	var table bytes.Buffer
	w := csv.NewWriter(&table)
	rows := [][]string{{"epoch", "lr", "train_loss", "train_error", "val_loss", "val_error", "val_error5"}}
	num := func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
	for _, e := range curve {
		row := []string{strconv.Itoa(e.Epoch), num(e.LR), num(e.TrainLoss), num(e.TrainError), "", "", ""}
		if e.Evaluated {
			row[4], row[5], row[6] = num(e.ValLoss), num(e.ValError), num(e.ValError5)
		}
		rows = append(rows, row)
	}
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	return errors.Join(
		atomicfile.WriteFile(filepath.Join(dir, CurveName), table.Bytes(), 0o644),
		atomicfile.WriteFile(filepath.Join(dir, ResultName), append(data, '\n'), 0o644),
	)
}

// Unfinished says whether dir holds a checkpoint of a training that has not
// left its result.
func Unfinished(dir string) (bool, error) {
	if _, err := os.Stat(filepath.Join(dir, CheckpointName)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	_, err := os.Stat(filepath.Join(dir, ResultName))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// clearSession removes what an earlier training left in dir, so that nothing
// there can be taken for a result of the next one.
func clearSession(dir string) error {
	var errs []error
	for _, name := range []string{ResultName, CurveName, WeightsName, CheckpointName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
