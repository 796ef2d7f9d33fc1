// Package figure draws charts as SVG, alone or in grids: step curves, bands,
// scatters, ranges, the blocks of a network, on linear or logarithmic axes. It
// knows nothing of what it shows. It writes SVG text directly, so that a figure is
// small, takes its colours from the page around it (light or dark), and comes
// out the same on every machine.
//
// A picture is a Chart with marks in it; File makes a file of it, and SVG a part of a page.
package figure

import "fmt"

// Theme is the colours and the font of a figure, each a CSS value.
type Theme struct {
	Ink     string   // text
	Muted   string   // tick labels, axes
	Grid    string   // grid lines
	Surface string   // background; "none" leaves it to the page
	Halo    string   // what legends stand on: the background's colour
	Series  []string // one per series, told apart by colour-blind readers
	Font    string
}

const sans = `system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif`

// Print is a theme with its colours written out, for files that stand alone.
// The series are those of Okabe and Ito, who chose them for colour-blind
// readers, in an order that keeps neighbours apart, without their yellow, which
// white paper swallows.
func Print() Theme {
	return Theme{
		Ink: "#1c2126", Muted: "#5b6570", Grid: "#e6e9ec", Surface: "#ffffff", Halo: "#ffffff",
		Series: []string{"#0072b2", "#d55e00", "#009e73", "#b5609a", "#e69f00", "#56b4e9", "#44515c", "#8c564b"},
		Font:   "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif",
	}
}

// Page is a theme that refers to the custom properties --ink, --muted, --grid,
// --paper and --s0 … --s7 of the page that the figure is part of.
func Page() Theme {
	t := Theme{Ink: "var(--ink)", Muted: "var(--muted)", Grid: "var(--grid)", Surface: "none", Halo: "var(--paper)", Font: sans}
	for i := range Print().Series {
		t.Series = append(t.Series, fmt.Sprintf("var(--s%d)", i))
	}
	return t
}

// series is the colour of series i; they repeat after the last.
func (t Theme) series(i int) string {
	n := len(t.Series)
	return t.Series[(i%n+n)%n]
}

// dash tells series apart whose colours repeat.
func (t Theme) dash(i int) string {
	if i < 0 {
		return ""
	}
	return [...]string{"", "6 3", "2 3", "8 3 2 3"}[i/len(t.Series)%4]
}
