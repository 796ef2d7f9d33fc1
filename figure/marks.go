package figure

import (
	"math"
	"strings"
)

// path writes an SVG path of steps or segments.
type path struct{ strings.Builder }

func (p *path) move(x, y float64) { p.WriteString("M" + num(x) + " " + num(y)) }
func (p *path) line(x, y float64) { p.WriteString("L" + num(x) + " " + num(y)) }
func (p *path) h(x float64)       { p.WriteString("H" + num(x)) }
func (p *path) v(y float64)       { p.WriteString("V" + num(y)) }

func (k *canvas) title(s string) {
	if s != "" {
		k.raw(`<title>`, escape(s), `</title>`)
	}
}

func (s Steps) draw(k *canvas) {
	var p path
	p.move(0, k.y(0))
	for i, x := range s.X {
		p.h(k.x(x))
		p.v(k.y(s.Y[i]))
	}
	p.h(k.w)
	k.raw(`<path d="`, p.String(), `" fill="none" stroke="`, k.t.series(s.Series), `" stroke-width="2" stroke-linejoin="round"`, k.dashAttr(k.t.dash(s.Series)), `>`)
	k.title(s.Title)
	k.raw(`</path>`)
}

func (b StepBand) draw(k *canvas) {
	var p path
	p.move(0, k.y(b.Hi0))
	for i, x := range b.X {
		p.h(k.x(x))
		p.v(k.y(b.Hi[i]))
	}
	p.h(k.w)
	if n := len(b.X); n > 0 {
		p.v(k.y(b.Lo[n-1]))
		for i := n - 1; i >= 0; i-- {
			p.h(k.x(b.X[i]))
			if i > 0 {
				p.v(k.y(b.Lo[i-1]))
			}
		}
	}
	p.v(k.y(b.Lo0))
	p.h(0)
	k.raw(`<path d="`, p.String(), `Z" fill="`, k.t.series(b.Series), `" fill-opacity=".13"/>`)
}

func (b Band) draw(k *canvas) {
	var p path
	for i, x := range b.X {
		if i == 0 {
			p.move(k.x(x), k.y(b.Hi[i]))
		} else {
			p.line(k.x(x), k.y(b.Hi[i]))
		}
	}
	for i := len(b.X) - 1; i >= 0; i-- {
		p.line(k.x(b.X[i]), k.y(b.Lo[i]))
	}
	k.raw(`<path d="`, p.String(), `Z" fill="`, k.t.series(b.Series), `" fill-opacity=".13"/>`)
}

func (l Line) draw(k *canvas) {
	var p path
	pen := false
	for i, x := range l.X {
		if math.IsNaN(l.Y[i]) || math.IsInf(l.Y[i], 0) {
			pen = false
			continue
		}
		if pen {
			p.line(k.x(x), k.y(l.Y[i]))
		} else {
			p.move(k.x(x), k.y(l.Y[i]))
		}
		pen = true
	}
	colour, width := k.t.Ink, l.Width
	if l.Series >= 0 {
		colour = k.t.series(l.Series)
	}
	if width == 0 {
		width = 1.6
	}
	k.raw(`<path d="`, p.String(), `" fill="none" stroke="`, colour, `" stroke-width="`, num(width), `" stroke-linejoin="round" stroke-linecap="round"`)
	if l.Faint {
		k.raw(` stroke-opacity=".22"`)
	}
	if l.Dashed {
		k.raw(` stroke-dasharray="1.5 3.5"`)
	}
	k.raw(`>`)
	k.title(l.Title)
	k.raw(`</path>`)
}

func (s Points) draw(k *canvas) {
	size := s.Size
	if size == 0 {
		size = 2.6
	}
	colour := k.t.series(s.Series)
	var dots, crosses path
	k.raw(`<g fill="`, colour, `" fill-opacity=".72">`)
	for i, v := range s.X {
		x, y := k.x(v), k.y(s.Y[i])
		if s.Jitter > 0 {
			// The golden ratio spreads successive points evenly, and always alike.
			_, at := math.Modf(float64(i+1) * math.Phi)
			x += (2*at - 1) * s.Jitter
		}
		if y < 0 || (s.Failed != nil && s.Failed[i]) {
			y = math.Max(y, 6)
			crosses.WriteString("M" + num(x-3) + " " + num(y-3) + "l6 6m0-6l-6 6")
			continue
		}
		if s.Titles == nil {
			// A line of no length with round ends is a dot, in a few bytes.
			dots.WriteString("M" + num(x) + " " + num(y) + "h0")
			continue
		}
		k.raw(`<circle cx="`, num(x), `" cy="`, num(y), `" r="`, num(size), `"><title>`, escape(s.Titles[i]), `</title></circle>`)
	}
	k.raw(`</g>`)
	if dots.Len() > 0 {
		k.raw(`<path d="`, dots.String(), `" stroke="`, colour, `" stroke-opacity=".72" stroke-width="`, num(2*size), `" stroke-linecap="round"/>`)
	}
	if crosses.Len() > 0 {
		k.raw(`<path d="`, crosses.String(), `" stroke="`, colour, `" stroke-width="1.4" fill="none"/>`)
	}
}

func (s VSpan) draw(k *canvas) {
	lo, hi := k.x(s.Lo), k.x(s.Hi)
	if hi-lo < 3 { // a range of one value is still seen
		lo, hi = lo-1.5, hi+1.5
	}
	k.raw(`<rect x="`, num(lo), `" y="0" width="`, num(hi-lo), `" height="`, num(k.h), `" fill="`, k.t.series(s.Series), `" fill-opacity=".14"/>`)
	k.raw(`<path d="M`, num(k.x(s.Best)), ` 0v`, num(k.h), `" stroke="`, k.t.series(s.Series), `" stroke-width="1.4"/>`)
}

func (l VLine) draw(k *canvas) {
	x := k.x(l.X)
	k.raw(`<path d="M`, num(x), ` 0v`, num(k.h), `" stroke="`, k.t.Muted, `" stroke-dasharray="3 3"/>`)
	if l.Label == "" {
		return
	}
	anchor, at := "start", x+5
	if x > k.w*0.7 {
		anchor, at = "end", x-5
	}
	k.text(at, 13, anchor, k.t.Muted, `font-size="`+num(smallSize)+`"`, l.Label)
}

func (b Bars) draw(k *canvas) {
	colour := k.t.series(b.Series)
	var area, top, dots path
	for i, v := range b.Y {
		left, right, y := k.x(float64(i)+0.5), k.x(float64(i)+1.5), k.y(v)
		first := i == 0 || b.Group[i] != b.Group[i-1]
		if first {
			left++
		}
		if last := i == len(b.Y)-1 || b.Group[i] != b.Group[i+1]; last {
			right--
		}
		area.move(left, k.h)
		area.v(y)
		area.h(right)
		area.v(k.h)
		area.WriteString("Z")
		top.move(left, y)
		top.h(right)
		dots.WriteString("M" + num(k.x(float64(i)+1)) + " " + num(y) + "h0")
	}
	k.raw(`<path d="`, area.String(), `" fill="`, colour, `" fill-opacity=".16"/>`)
	k.raw(`<path d="`, top.String(), `" stroke="`, colour, `" stroke-width="1.6"/>`)
	k.raw(`<path d="`, dots.String(), `" stroke="`, colour, `" stroke-width="4.4" stroke-linecap="round"/>`)
}
