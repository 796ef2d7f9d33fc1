package draw

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"netspace/space"
)

func population(t *testing.T, name string, n int) []space.Network {
	t.Helper()
	s, err := space.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	networks, _, err := s.Sample(context.Background(), space.Config{Regime: space.Regime{Flops: space.Range{Min: 360e6, Max: 400e6}}}, n)
	if err != nil {
		t.Fatal(err)
	}
	return networks
}

func TestPopulation(t *testing.T) {
	for name, want := range map[string][]string{
		"anynetx-c": {"anynetx-c: 60 networks", ">flops<", ">stages[3].width<", ">stages[0].depth<", ">group_width of all stages<", ">bottleneck of all stages<"},
		"regnetx":   {">acts<", ">w0<", ">wm<", ">depth<"},
	} {
		networks := population(t, name, 60)
		svg := Population(name, networks)
		if !bytes.Equal(svg, Population(name, networks)) {
			t.Errorf("%s: other bytes the second time", name)
		}
		d, charts := xml.NewDecoder(bytes.NewReader(svg)), 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "svg" && slices.ContainsFunc(e.Attr, func(a xml.Attr) bool { return a.Name.Local == "aria-label" }) {
				charts++
			}
		}
		if n := map[string]int{"anynetx-c": 3 + 4 + 4 + 2, "regnetx": 3 + 6}[name]; charts != n {
			t.Errorf("%s: %d charts, want %d", name, charts, n)
		}
		for _, w := range want {
			if !strings.Contains(string(svg), w) {
				t.Errorf("%s: no %s", name, w)
			}
		}
	}
	if svg := Population("a<b", nil); xml.Unmarshal(svg, new(struct{})) != nil || !bytes.Contains(svg, []byte("a&lt;b: 0 networks")) {
		t.Errorf("an empty population: %s", svg)
	}
}

// TestBins counts every value once, in a bar around it.
func TestBins(t *testing.T) {
	for _, values := range [][]float64{{7}, {1, 2, 4, 4}, {0, 0.5}, {8, 1024, 16, 8}, slicesOf(100, 3), slicesOf(1000, 8)} {
		edges, logarithmic := bins(values)
		if len(edges) < 2 || !slices.IsSorted(edges) || len(edges) > maxBars+1 || edges[0] > slices.Min(values) || edges[len(edges)-1] < slices.Max(values) {
			t.Errorf("%v: edges %v", values, edges)
		}
		if logarithmic && edges[0] <= 0 {
			t.Errorf("%v: a logarithmic axis from %v", values, edges[0])
		}
	}
}

func slicesOf(n, step int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64((i + 1) * step)
	}
	return out
}

// TestNoBarIsImpossible: widths are multiples of 8, so that a bar from 9 to 12
// would always be empty.
func TestNoBarIsImpossible(t *testing.T) {
	for _, step := range []float64{8, 0.001} {
		var values []float64
		for k := 1.0; k <= 128; k++ {
			values = append(values, k*step)
		}
		edges, logarithmic := bins(values)
		if !logarithmic || len(edges) < 12 {
			t.Errorf("logarithmic: %v, edges %v", logarithmic, edges)
		}
		for i := 1; i < len(edges); i++ {
			if !slices.ContainsFunc(values, func(v float64) bool { return edges[i-1] <= v && v < edges[i] }) {
				t.Errorf("step %v: nothing can be from %v to %v", step, edges[i-1], edges[i])
			}
		}
	}
}
