package engines

import (
	"errors"
	"strings"
	"testing"

	"netspace/engine"
)

// Every engine that can be opened is what it was opened as.
func TestOpen(t *testing.T) {
	for _, name := range append(Names(), "") {
		e, err := Open(Config{Name: name})
		var lacking *engine.ErrUnavailable
		if errors.As(err, &lacking) {
			t.Logf("%q: %v", name, err)
			continue
		}
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		d := e.Describe()
		if name == "" {
			name = Default
		}
		if d.Name != name || d.Device == "" || d.Precision.Unit() == 0 {
			t.Errorf("%q describes itself as %v", name, d)
		}
		if again, err := Open(Config{Name: name, Device: d.Device, Precision: d.Precision}); err != nil || again.Describe() != d {
			t.Errorf("opened as it describes itself: %v, %v", again, err)
		}
	}
}

func TestWhatThereIsNotIsNamed(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{Name: "referense"}, "did you mean reference?"},
		{Config{Name: "reference", Device: "cuda:0"}, `device of engine reference "cuda:0": must be cpu`},
		{Config{Name: "reference", Precision: "bf16"}, `precision of engine reference "bf16": must be fp64`},
	} {
		_, err := Open(c.config)
		var unknown *UnknownError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v; want %q", c.config, err, c.want)
		}
	}
}
