package report

import (
	"netspace/figure"
)

// File is a figure as a file that stands alone.
type File struct {
	Name string // "edf.svg"
	Data []byte
}

// Figures draws the page's figures of the comparison as SVG files with their
// colours written out, for a README or a paper: edf.svg, search.svg,
// edf-by-params.svg (where the populations overlap), flops.svg, params.svg,
// acts.svg, and for each space curves-SPACE.svg and best-SPACE.svg, its best
// network.
func (c Comparison) Figures() []File {
	var files []File
	add := func(name string, ch *figure.Chart) {
		if ch != nil {
			files = append(files, File{name + ".svg", []byte(ch.SVG(figure.Print(), true) + "\n")})
		}
	}
	add("edf", c.edf())
	add("search", c.search())
	normalised, _ := c.normalised(complexities()[1])
	add("edf-by-params", normalised)
	for _, by := range complexities() {
		add(by.name, c.against(by))
	}
	drawn := c.bestNetworks()
	for i, s := range c.Spaces {
		name := fileName(s.Label)
		add("curves-"+name, c.curves(i))
		if len(drawn.best[i]) > 0 {
			add("best-"+name, drawn.chart(i, 0))
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
