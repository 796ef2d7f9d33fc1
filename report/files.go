// Package report shows what analysis found: as text for a terminal, as one
// self-contained HTML page, and as figures. It also draws single networks and
// samples of spaces.
//
// Nothing is computed here but where things stand: the numbers come as values
// from package analysis. The same values give the same bytes.
package report

import (
	"netspace/analysis"
	"netspace/figure"
)

// File is a figure as a file that stands alone.
type File struct {
	Name string // "edf.svg"
	Data []byte
}

// Figures draws the page's figures as SVG files with their colours written out,
// for a README or a paper: edf.svg, ladder.svg (of a design loop), pareto-flops.svg and others (of a search), search.svg,
// edf-by-params.svg (where the populations overlap), flops.svg, params.svg, acts.svg,
// and for each space curves-SPACE.svg and best-SPACE.svg, its best network.
func Figures(f analysis.Findings) []File {
	var files []File
	add := func(name string, ch *figure.Chart) {
		if ch != nil {
			files = append(files, File{name + ".svg", figure.File(ch)})
		}
	}
	add("edf", edf(f))
	if len(f.Sources) == 1 && f.Sources[0].Ladder != nil {
		add("ladder", ladderEDF(f, *f.Sources[0].Ladder))
	}
	if len(f.Sources) == 1 && f.Sources[0].Search != nil {
		for _, front := range f.Sources[0].Search.Fronts {
			add("pareto-"+front.Metric, pareto(*f.Sources[0].Search, front))
		}
	}
	add("search", search(f))
	add("edf-by-params", normalised(f))
	for i, r := range f.Relations {
		add(r.Measure, against(f, i))
	}
	axes := outlineAxes(f)
	for i, s := range f.Spaces {
		name := fileName(s.Label)
		add("curves-"+name, curves(f, i))
		if len(f.Best[i]) > 0 {
			add("best-"+name, axes.chart(f, i, 0))
		}
	}
	return files
}

// fileName is a label as part of a file's name.
func fileName(label string) string {
	out := []rune(label)
	for i, r := range out {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
		default:
			out[i] = '-'
		}
	}
	return string(out)
}
