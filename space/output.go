package space

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"netspace/arch"
	"netspace/internal/atomicfile"
	"netspace/metric"
)

// TableName is the file of the table that WriteDir writes.
const TableName = "networks.csv"

// WriteTable writes a population as CSV, one line per network: its file, the
// number of the candidate, the complexity, every drawn parameter, and per
// stage, separated by blanks, what the adjusted network has. files may be nil.
func WriteTable(w io.Writer, networks []Network, files []string) error {
	out := csv.NewWriter(w)
	metrics := metric.Counted()
	header := []string{"network", "candidate"}
	for _, m := range metrics {
		header = append(header, m.Name)
	}
	if len(networks) > 0 {
		for _, d := range networks[0].Asked {
			header = append(header, d.Name)
		}
	}
	if err := out.Write(append(header, "depths", "widths", "bottlenecks", "group_widths")); err != nil {
		return err
	}
	for i, n := range networks {
		name := strconv.Itoa(i)
		if files != nil {
			name = files[i]
		}
		row := []string{name, strconv.FormatUint(n.Index, 10)}
		for _, m := range metrics {
			row = append(row, strconv.FormatInt(m.Of(n.Complexity), 10))
		}
		for _, d := range n.Asked {
			row = append(row, strconv.FormatFloat(d.Value, 'g', -1, 64))
		}
		a, _ := n.Spec.AnyNet()
		row = append(row, perStage(a, func(s arch.Stage) string { return strconv.Itoa(s.Depth) }),
			perStage(a, func(s arch.Stage) string { return strconv.Itoa(s.Width) }))
		bottlenecks, groups := "", ""
		if a.Block.Has().Bottleneck {
			bottlenecks = perStage(a, func(s arch.Stage) string { return metric.FormatNumber(s.Bottleneck) })
		}
		if a.Block.Has().Groups {
			groups = perStage(a, func(s arch.Stage) string { return strconv.Itoa(s.GroupWidth) })
		}
		row = append(row, bottlenecks, groups)
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func perStage(a arch.AnyNet, f func(arch.Stage) string) string {
	words := make([]string, len(a.Stages))
	for i, s := range a.Stages {
		words[i] = f(s)
	}
	return strings.Join(words, " ")
}

// ErrNotEmpty says that the folder of WriteDir holds something already.
var ErrNotEmpty = errors.New("is not empty")

// WriteDir writes a population to a folder that is empty or does not exist: a
// spec file per network, 000.yaml and on, and the table. Files are written
// whole or not at all, the table last.
func WriteDir(dir string, networks []Network) error {
	old, err := os.ReadDir(dir)
	switch {
	case err == nil && len(old) > 0:
		return fmt.Errorf("folder %s %w: it holds %s", dir, ErrNotEmpty, old[0].Name())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("write networks: %w", err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("write networks: %w", err)
	}
	digits := max(3, len(strconv.Itoa(len(networks)-1)))
	files := make([]string, len(networks))
	for i, n := range networks {
		files[i] = fmt.Sprintf("%0*d.yaml", digits, i)
		text, err := n.Spec.MarshalYAML()
		if err != nil {
			return fmt.Errorf("write network %d: %w", i, err)
		}
		if err := atomicfile.WriteFile(filepath.Join(dir, files[i]), text, 0o666); err != nil {
			return fmt.Errorf("write networks: %w", err)
		}
	}
	var table bytes.Buffer
	if err := WriteTable(&table, networks, files); err != nil {
		return fmt.Errorf("write networks: %w", err)
	}
	if err := atomicfile.WriteFile(filepath.Join(dir, TableName), table.Bytes(), 0o666); err != nil {
		return fmt.Errorf("write networks: %w", err)
	}
	return nil
}

// String is the network on one line, as it is built.
func (n Network) String() string {
	var b strings.Builder
	if r, ok := n.Spec.Network.(arch.RegNet); ok {
		fmt.Fprintf(&b, "d=%d w0=%s wa=%s wm=%s: ", r.Depth, metric.FormatNumber(r.W0), metric.FormatNumber(r.WA), metric.FormatNumber(r.WM))
	}
	a, _ := n.Spec.AnyNet()
	for i, s := range a.Stages {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d×%d", s.Depth, s.Width)
		if a.Block.Has().Bottleneck {
			fmt.Fprintf(&b, "/b%s", metric.FormatNumber(s.Bottleneck))
		}
		if a.Block.Has().Groups {
			fmt.Fprintf(&b, "/g%d", s.GroupWidth)
		}
	}
	for _, d := range n.Asked {
		if !stageParameter(d.Name) {
			fmt.Fprintf(&b, " %s=%s", d.Name, metric.FormatNumber(d.Value))
		}
	}
	return b.String()
}

// stageParameter says whether a drawn number shows in the stages or in a regnet's line.
func stageParameter(name string) bool {
	switch name {
	case "depth", "width", "w0", "wa", "wm", "bottleneck", "group_width", "stride":
		return true
	}
	return strings.HasPrefix(name, "stages[")
}
