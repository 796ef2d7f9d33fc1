package figure

import "math"

// Chart is a plot area with two axes and marks in it. The zero margins are
// chosen to fit the labels.
type Chart struct {
	Width, Height float64 // pixels at natural size; the figure scales
	Title         string
	Note          string // after the title, at the right
	Alt           string // what the figure shows, for those who do not see it
	X, Y          Axis
	Marks         []Mark // drawn in order
	Legend        []Entry
	Corner        Corner // where the legend goes
}

// Entry is a line of a legend.
type Entry struct {
	Series int
	Text   string
	Note   string // smaller, after the text
}

// Corner of a plot area.
type Corner uint8

// The corners.
const (
	BottomRight Corner = iota
	TopRight
)

// Mark is something drawn in a chart.
type Mark interface{ draw(*canvas) }

// Steps is a step curve, right-continuous: from X[i] on it is Y[i]. It begins
// at From with the value 0 and runs on to the right edge.
type Steps struct {
	Series int       // -1: the colour of text
	X, Y   []float64 // X ascending
	Faint  bool
	Title  string // shown when the pointer is over it
}

// StepBand is the area between two step curves over the same X; left of X[0]
// it lies between Lo0 and Hi0.
type StepBand struct {
	Series   int
	X        []float64
	Lo, Hi   []float64
	Lo0, Hi0 float64
}

// Band is the area between two curves.
type Band struct {
	Series    int
	X, Lo, Hi []float64
}

// Line is a line through points.
type Line struct {
	Series int // -1: the colour of text
	X, Y   []float64
	Width  float64 // 0: 1.6
	Faint  bool
	Dashed bool
	Title  string
}

// Points is a scatter. Values above the axis are drawn as crosses at its upper
// end: failures are seen, and do not squeeze the rest.
type Points struct {
	Series int
	X, Y   []float64
	Titles []string // nil: none
	Size   float64  // radius; 0: 2.6
	Failed []bool   // drawn as crosses; nil: none
	Jitter float64  // pixels that points are shifted by sideways at most, where few values would hide each other
}

// VSpan shades a range of X, with a line at Best.
type VSpan struct {
	Series       int
	Lo, Best, Hi float64
}

// VLine is a dashed vertical line with a label at its top.
type VLine struct {
	X     float64
	Label string
}

// Bars is the silhouette of a network: a bar per value at 1, 2, …, grouped.
type Bars struct {
	Series int
	Y      []float64
	Group  []int    // bars of one group touch
	Titles []string // of the bars, shown when the pointer is over them; nil: none
	Labels []string // of the bars, written above the middle of each group where there is room; nil: none
}

const (
	fontSize  = 12.0
	smallSize = 10.5
)

// canvas draws one chart. Coordinates inside the plot area count from its upper left.
type canvas struct {
	*svg
	c    *Chart
	t    Theme
	w, h float64 // of the plot area
}

// SVG draws the chart as an svg element. With standalone it carries the
// namespace, and its size in pixels, and can be a file of its own.
func (c *Chart) SVG(t Theme, standalone bool) string {
	w := &svg{}
	w.root(c.Width, c.Height, standalone, append([]any{"font-family", t.Font}, c.attributes(t)...)...)
	w.background(t)
	c.draw(w, t)
	w.close("svg")
	return w.String()
}

// textSize is that of the chart's labels in pixels.
func (c *Chart) textSize() float64 {
	if c.Width < 340 {
		return smallSize
	}
	return fontSize
}

// attributes are those of the element that holds the chart.
func (c *Chart) attributes(t Theme) []any {
	return []any{"font-size", c.textSize(), "fill", t.Ink, "aria-label", c.Alt}
}

// draw draws the chart into the element that holds it.
func (c *Chart) draw(out *svg, t Theme) {
	k := &canvas{svg: out, c: c, t: t}
	size := c.textSize()
	xs, ys := c.X.ticks(), c.Y.ticks()
	widest := 0.0
	for _, v := range ys {
		widest = math.Max(widest, textWidth(c.Y.format(v), size))
	}
	left, right, top, bottom := widest+10, 12.0, 8.0, size+12
	if n := len(xs); n > 0 { // the last label may stand out
		right = math.Max(right, textWidth(c.X.format(xs[n-1]), size)/2+2-(1-c.X.place(xs[n-1]))*(c.Width-left))
	}
	if c.Y.Label != "" {
		left += size + 7
	}
	if c.X.Label != "" {
		bottom += size + 7
	}
	if c.Title != "" || c.Note != "" {
		top += size + 10
	}
	k.w, k.h = c.Width-left-right, c.Height-top-bottom

	k.text(left, size+4, "start", t.Ink, c.Title, "font-weight", "600")
	k.text(c.Width-right, size+4, "end", t.Muted, c.Note)
	k.open("g", "transform", "translate("+num(left)+" "+num(top)+")")
	k.grid(xs, ys)
	// A nested svg clips to the plot area and needs no id.
	k.open("svg", "width", k.w, "height", k.h)
	for _, m := range c.Marks {
		m.draw(k)
	}
	k.close("svg")
	k.axes(xs, ys, size)
	k.legend(size)
	k.text(k.w/2, k.h+2*size+13, "middle", t.Ink, c.X.Label)
	k.close("g")
	y := top + k.h/2
	k.text(size, y, "middle", t.Ink, c.Y.Label, "transform", "rotate(-90 "+num(size)+" "+num(y)+")")
}

func (k *canvas) x(v float64) float64 { return k.c.X.place(v) * k.w }
func (k *canvas) y(v float64) float64 { return (1 - k.c.Y.place(v)) * k.h }

func (k *canvas) grid(xs, ys []float64) {
	var d path
	if !k.c.Y.NoGrid {
		for _, v := range ys {
			d.move(0, k.y(v))
			d.right(k.w)
		}
	}
	if !k.c.X.NoGrid {
		for _, v := range xs {
			d.move(k.x(v), 0)
			d.down(k.h)
		}
	}
	if d.Len() > 0 {
		k.element("path", "", "d", d.String(), "stroke", k.t.Grid, "fill", "none")
	}
}

func (k *canvas) axes(xs, ys []float64, size float64) {
	var d path
	d.move(0, 0)
	d.v(k.h)
	d.h(k.w)
	for _, v := range ys {
		d.move(0, k.y(v))
		d.right(-4)
	}
	for _, v := range xs {
		d.move(k.x(v), k.h)
		d.down(4)
	}
	k.element("path", "", "d", d.String(), "stroke", k.t.Muted, "stroke-width", ".8", "fill", "none")
	for _, v := range ys {
		k.text(-7, k.y(v)+size*0.35, "end", k.t.Muted, k.c.Y.format(v))
	}
	last := math.Inf(-1)
	for _, v := range xs {
		label, x := k.c.X.format(v), k.x(v)
		half := textWidth(label, size) / 2
		if x-half < last+4 { // labels do not run into each other
			continue
		}
		last = x + half
		k.text(x, k.h+size+5, "middle", k.t.Muted, label)
	}
}

func (k *canvas) legend(size float64) {
	if len(k.c.Legend) == 0 {
		return
	}
	line := size + 6
	wide, noted := 0.0, 0.0
	for _, e := range k.c.Legend {
		wide = math.Max(wide, textWidth(e.Text, size))
		noted = math.Max(noted, textWidth(e.Note, size-1))
	}
	if noted > 0 {
		noted += 12
	}
	w := 30 + wide + noted
	h := line * float64(len(k.c.Legend))
	x, y := k.w-w-10, k.h-h-8
	if k.c.Corner == TopRight {
		y = 6
	}
	k.element("rect", "", "x", x-8, "y", y-4, "width", w+14, "height", h+8, "fill", k.t.Halo, "fill-opacity", ".88")
	for i, e := range k.c.Legend {
		at := y + line*(float64(i)+0.5)
		var d path
		d.move(x, at)
		d.right(20)
		k.element("path", "", "d", d.String(), "stroke", k.t.series(e.Series), "stroke-width", "2.4", "stroke-dasharray", k.t.dash(e.Series))
		k.text(x+28, at+size*0.35, "start", k.t.Ink, e.Text)
		k.text(x+28+wide+12, at+size*0.35, "start", k.t.Muted, e.Note, "font-size", size-1)
	}
}

// stroke is the colour of a line: that of a series, or of text for -1.
func (k *canvas) stroke(series int) string {
	if series < 0 {
		return k.t.Ink
	}
	return k.t.series(series)
}
