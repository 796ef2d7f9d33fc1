package figure

import "math"

// Grid is charts of one size in rows under a title.
type Grid struct {
	Title   string
	Columns int        // most charts side by side, at least 1; a longer row is broken
	Rows    [][]*Chart // the first chart gives the size of all
}

// gridTitle is the height of a grid's title.
const gridTitle = 30.0

// SVG draws the grid as an svg element; see Chart.SVG.
func (g *Grid) SVG(t Theme, standalone bool) string {
	type cell struct {
		chart *Chart
		x, y  float64
	}
	var cells []cell
	width, height := 0.0, gridTitle
	for _, row := range g.Rows {
		for i, c := range row {
			w, h := g.Rows[0][0].Width, g.Rows[0][0].Height
			x, y := float64(i%g.Columns)*w, height+float64(i/g.Columns)*h
			cells = append(cells, cell{c, x, y})
			width = math.Max(width, float64(g.Columns)*w)
		}
		if len(row) > 0 {
			height = cells[len(cells)-1].y + g.Rows[0][0].Height
		}
	}
	w := &svg{}
	w.root(width, height, standalone, "font-family", t.Font, "aria-label", g.Title)
	w.background(t)
	w.text(12, 20, "start", t.Ink, g.Title, "font-size", fontSize+2, "font-weight", "600")
	for _, c := range cells {
		w.open("g", append([]any{"role", "img", "transform", "translate(" + num(c.x) + " " + num(c.y) + ")"}, c.chart.attributes(t)...)...)
		c.chart.draw(w, t)
		w.close("g")
	}
	w.close("svg")
	return w.String()
}
