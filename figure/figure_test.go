package figure

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestTicks(t *testing.T) {
	for name, c := range map[string]struct {
		axis Axis
		want []float64
	}{
		"unit":        {Axis{Min: 0, Max: 1, Ticks: 5}, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		"fractions":   {Axis{Min: 0.05, Max: 0.36, Ticks: 3}, []float64{0.1, 0.2, 0.3}},
		"no noise":    {Axis{Min: 0.1, Max: 0.52, Ticks: 5}, []float64{0.1, 0.2, 0.3, 0.4, 0.5}},
		"one octave":  {Axis{Min: 1.05e6, Max: 1.95e6, Ticks: 4}, []float64{1.2e6, 1.4e6, 1.6e6, 1.8e6}},
		"across zero": {Axis{Min: -1, Max: 1, Ticks: 4}, []float64{-1, -0.5, 0, 0.5, 1}},
		"octaves":     {Axis{Min: 6, Max: 70, Log: true}, []float64{8, 16, 32, 64}},
		"thinned":     {Axis{Min: 8, Max: 1024, Log: true, Ticks: 4}, []float64{8, 32, 128, 512}},
		"decades":     {Axis{Min: 900, Max: 2.2e4, Log: true, Decimal: true}, []float64{1000, 2000, 5000, 10000, 20000}},
		"wide":        {Axis{Min: 1e3, Max: 1e9, Log: true, Decimal: true}, []float64{1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}},
		"narrow log":  {Axis{Min: 4.1e6, Max: 4.9e6, Log: true, Ticks: 4}, []float64{4.2e6, 4.4e6, 4.6e6, 4.8e6}},
		"given":       {Axis{Min: 1, Max: 4, At: []float64{0.5, 1, 2, 4, 8}}, []float64{1, 2, 4}},
	} {
		if d := cmp.Diff(c.want, c.axis.ticks()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	for _, v := range (Axis{Min: -1, Max: 1}).ticks() {
		if v == 0 && math.Signbit(v) {
			t.Error("a negative zero")
		}
	}
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		axis    Axis
		v, want float64
	}{
		{Axis{Min: 10, Max: 20}, 10, 0},
		{Axis{Min: 10, Max: 20}, 15, 0.5},
		{Axis{Min: 10, Max: 20}, 30, 2},
		{Axis{Min: 1, Max: 100, Log: true}, 10, 0.5},
		{Axis{Min: 1, Max: 100, Log: true}, 0, -1},
		{Axis{Min: 7, Max: 7}, 7, 0.5},
		{Axis{Min: 7, Max: 7, Log: true}, 7, 0.5},
		{Axis{Min: 7, Max: math.Nextafter(7, 8)}, 7, 0.5},
	} {
		if got := c.axis.place(c.v); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v on %+v lies at %v, want %v", c.v, c.axis, got, c.want)
		}
	}
}

func TestSI(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 7: "7", 999: "999", 999.9: "1k", 1234: "1.23k", 4089185256: "4.09G", 5157512: "5.16M", 0.25: "0.25", -3e6: "-3M"} {
		if got := SI(v); got != want {
			t.Errorf("SI(%v) = %s, want %s", v, got, want)
		}
	}
}

// elements reads a drawing as XML, strictly, and counts its elements by name.
func elements(t rapid.TB, svg string) map[string]int {
	t.Helper()
	count := map[string]int{}
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, svg)
		}
		if s, ok := token.(xml.StartElement); ok {
			count[s.Name.Local]++
		}
	}
}

func chart() *Chart {
	return &Chart{
		Width: 400, Height: 300, Title: `widths & "depths" <d>`, Note: "1 … 4", Alt: "a test",
		X: Axis{Label: "error (%)", Min: 10, Max: 20}, Y: Axis{Label: "share", Min: 0, Max: 1},
		Legend: []Entry{{0, "a<b", "n 3"}, {1, "b", "n 4"}},
		Marks: []Mark{
			StepBand{Series: 0, X: []float64{12, 15}, Lo: []float64{0.3, 0.8}, Hi: []float64{0.7, 1}, Lo0: 0, Hi0: 0.2},
			Steps{Series: 0, X: []float64{12, 15}, Y: []float64{0.5, 1}, Title: "a<b"},
			Band{Series: 1, X: []float64{11, 19}, Lo: []float64{0, 0.1}, Hi: []float64{0.2, 0.4}},
			Line{Series: -1, X: []float64{11, 13, 19}, Y: []float64{0.1, math.NaN(), 0.4}, Dashed: true},
			Points{Series: 1, X: []float64{11, 12, 13}, Y: []float64{0.1, 1.7, 0.3}, Titles: []string{"x", "y", "z"}, Failed: []bool{false, false, true}},
			VSpan{Series: 0, Lo: 13, Best: 14, Hi: 16}, VLine{X: 18, Label: "area to 18 %"},
			Bars{Series: 2, Y: []float64{0.2, 0.2, 0.6}, Group: []int{0, 0, 1}, Titles: []string{"16", "16", "<32>"}, Labels: []string{"16", "16", "too wide for the bar"}},
			Steps{Series: -1, X: []float64{13}, Y: []float64{1}, Faint: true},
		},
	}
}

// The drawing of every mark, and of a grid, as text that can be reviewed.
func TestGolden(t *testing.T) {
	small := func(title string) *Chart {
		return &Chart{Width: 120, Height: 80, Title: title, X: Axis{Max: 1, Ticks: 2}, Y: Axis{Max: 1, Ticks: 2}}
	}
	for name, d := range map[string]Drawing{
		"chart.svg": chart(),
		"grid.svg":  &Grid{Title: "a grid of <charts>", Columns: 2, Rows: [][]*Chart{{small("a"), small("b"), small("c")}, nil, {small("d")}}},
	} {
		golden(t, name, strings.ReplaceAll(string(File(d)), "><", ">\n<"))
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("the drawing changed; look at it, then go test ./figure -update\n%s", d)
	}
}

func TestMarks(t *testing.T) {
	svg := chart().SVG(Print(), true)
	n := elements(t, svg)
	if n["circle"] != 1 || n["svg"] != 2 || n["title"] != 2+3 {
		t.Errorf("elements %v; want one circle (two of three points are crosses), titles of it, of a curve and of three bars, in a plot area of its own", n)
	}
	for _, want := range []string{
		`xmlns="http://www.w3.org/2000/svg" width="400" height="300"`, // a file of its own
		"widths &amp; &#34;depths&#34; &lt;d&gt;",
		`fill="#ffffff"`,
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s in %s", want, svg)
		}
	}
	if strings.Contains(svg, "var(") {
		t.Error("a figure that stands alone refers to a page")
	}
	inline := chart().SVG(Page(), false)
	elements(t, inline)
	if strings.Contains(inline, "xmlns") || strings.Contains(inline, "#ff") || !strings.Contains(inline, "var(--s0)") {
		t.Error("a figure of a page does not take the page's colours")
	}
}

// A step curve goes right, then up: right-continuous, from 0 at the left edge
// to its last value at the right edge.
func TestStepsAreSteps(t *testing.T) {
	c := &Chart{Width: 100, Height: 100, X: Axis{Min: 0, Max: 10}, Y: Axis{Min: 0, Max: 1}, Marks: []Mark{Steps{X: []float64{5}, Y: []float64{0.5}}}}
	k := &canvas{svg: &svg{}, c: c, t: Print(), w: 100, h: 100}
	c.Marks[0].draw(k)
	if want := `d="M0 100H50V50H100"`; !strings.Contains(k.String(), want) {
		t.Errorf("%s; want %s", k.String(), want)
	}
}

// Whatever the numbers, the drawing is XML without NaN or infinity.
func TestAnyNumbers(t *testing.T) {
	number := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-5, 120), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1), 1e-300}))
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(t, "n")
		x := rapid.SliceOfN(number, n, n).Draw(t, "x")
		y := rapid.SliceOfN(number, n, n).Draw(t, "y")
		group := rapid.SliceOfN(rapid.IntRange(0, 2), n, n).Draw(t, "group")
		labels := rapid.SliceOfN(rapid.String(), n, n).Draw(t, "labels")
		lo := rapid.Float64Range(-10, 100).Draw(t, "lo")
		hi := lo + rapid.Float64Range(0, 1e6).Draw(t, "width")
		if rapid.Bool().Draw(t, "no wider than the numbers are fine") {
			hi = math.Nextafter(lo, math.Inf(1))
		}
		c := &Chart{
			Width: 200, Height: 100, Title: rapid.String().Draw(t, "title"),
			X: Axis{Min: lo, Max: hi, Log: rapid.Bool().Draw(t, "log"), Decimal: rapid.Bool().Draw(t, "decimal")},
			Y: Axis{Min: lo, Max: hi, Log: rapid.Bool().Draw(t, "log y")},
			Marks: []Mark{
				Steps{Series: 9, X: x, Y: y}, StepBand{X: x, Lo: y, Hi: y}, Band{X: x, Lo: y, Hi: y}, Line{X: x, Y: y},
				Points{X: x, Y: y, Jitter: 3}, Bars{Y: y, Group: group, Titles: labels, Labels: labels}, VSpan{Lo: lo, Best: lo, Hi: hi}, VLine{X: lo},
			},
		}
		svg := c.SVG(Print(), true)
		elements(t, svg)
		drawing := svg[strings.Index(svg, "<g "):]
		for _, bad := range []string{"NaN", "Inf"} {
			if strings.Contains(drawing, bad) {
				t.Fatalf("%s in %s", bad, drawing)
			}
		}
	})
}

// A grid holds every chart at a place of its own, and a grid without charts is a drawing too.
func TestGrid(t *testing.T) {
	c := &Chart{Width: 100, Height: 50}
	svg := (&Grid{Title: "t", Columns: 2, Rows: [][]*Chart{{c, c, c}, {c}}}).SVG(Print(), true)
	elements(t, svg)
	for _, want := range []string{`width="200" height="180"`, "translate(0 30)", "translate(100 30)", "translate(0 80)", "translate(0 130)"} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s in %s", want, svg)
		}
	}
	elements(t, (&Grid{Columns: 1}).SVG(Page(), false))
}

func TestSeriesRepeatWithDashes(t *testing.T) {
	th := Print()
	n := len(th.Series)
	if th.series(0) != th.series(n) || th.dash(0) != "" || th.dash(n) == "" || th.dash(n) == th.dash(2*n) {
		t.Errorf("colours %s, %s; dashes %q, %q, %q", th.series(0), th.series(n), th.dash(0), th.dash(n), th.dash(2*n))
	}
}
