package figure

import "math"

func (s Steps) draw(k *canvas) {
	var p path
	p.move(0, k.y(0))
	for i, x := range s.X {
		p.h(k.x(x))
		p.v(k.y(s.Y[i]))
	}
	p.h(k.w)
	width := "2"
	if s.Faint {
		width = "1"
	}
	k.titled("path", s.Title, "d", p.String(), "fill", "none", "stroke", k.stroke(s.Series), "stroke-width", width,
		"stroke-linejoin", "round", "stroke-opacity", opacity(s.Faint), "stroke-dasharray", k.t.dash(s.Series))
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
	p.close()
	k.element("path", "", "d", p.String(), "fill", k.t.series(b.Series), "fill-opacity", ".13")
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
	p.close()
	k.element("path", "", "d", p.String(), "fill", k.t.series(b.Series), "fill-opacity", ".13")
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
	width, dashes := l.Width, ""
	if width == 0 {
		width = 1.6
	}
	if l.Dashed {
		dashes = "1.5 3.5"
	}
	k.titled("path", l.Title, "d", p.String(), "fill", "none", "stroke", k.stroke(l.Series), "stroke-width", width,
		"stroke-linejoin", "round", "stroke-linecap", "round", "stroke-opacity", opacity(l.Faint), "stroke-dasharray", dashes)
}

func (s Points) draw(k *canvas) {
	size := s.Size
	if size == 0 {
		size = 2.6
	}
	colour := k.t.series(s.Series)
	var dots, crosses path
	k.open("g", "fill", colour, "fill-opacity", ".72")
	places := make([]place, len(s.X))
	for i, v := range s.X {
		p := place{x: k.x(v), y: k.y(s.Y[i])}
		if s.Jitter > 0 {
			// The golden ratio spreads successive points evenly, and always alike.
			_, at := math.Modf(float64(i+1) * math.Phi)
			p.x += (2*at - 1) * s.Jitter
		}
		if p.y < 0 || (s.Failed != nil && s.Failed[i]) {
			p.y, p.cross = math.Max(p.y, 6), true
		}
		places[i] = p
	}
	for _, i := range thin(places) {
		switch p := places[i]; {
		case p.cross:
			crosses.cross(p.x, p.y)
		case s.Titles == nil:
			dots.dot(p.x, p.y)
		default:
			k.titled("circle", s.Titles[i], "cx", p.x, "cy", p.y, "r", size)
		}
	}
	k.close("g")
	if dots.Len() > 0 {
		k.element("path", "", "d", dots.String(), "stroke", colour, "stroke-opacity", ".72", "stroke-width", 2*size, "stroke-linecap", "round")
	}
	if crosses.Len() > 0 {
		k.element("path", "", "d", crosses.String(), "stroke", colour, "stroke-width", "1.4", "fill", "none")
	}
}

// place is where a point is drawn, in pixels.
type place struct {
	x, y  float64
	cross bool
}

// MostPoints is about how many points of a series are drawn: of more, those that have others close by are left out, so that
// what lies alone is seen.
const MostPoints = 2000

// thin chooses the points that are drawn, in order: all, or one in each square of a grid that is coarse enough.
func thin(all []place) []int {
	kept := make([]int, len(all))
	for i := range all {
		kept[i] = i
	}
	for side := 0.5; len(kept) > MostPoints; side *= 1.25 {
		taken := make(map[place]bool, len(kept))
		few := kept[:0]
		for _, i := range kept {
			square := place{math.Floor(all[i].x / side), math.Floor(all[i].y / side), all[i].cross}
			if !taken[square] {
				taken[square] = true
				few = append(few, i)
			}
		}
		kept = few
	}
	return kept
}

func (s VSpan) draw(k *canvas) {
	lo, hi := k.x(s.Lo), k.x(s.Hi)
	if hi-lo < 3 { // a range of one value is still seen
		lo, hi = lo-1.5, hi+1.5
	}
	k.element("rect", "", "x", lo, "y", 0.0, "width", hi-lo, "height", k.h, "fill", k.t.series(s.Series), "fill-opacity", ".14")
	k.vertical(k.x(s.Best), "stroke", k.t.series(s.Series), "stroke-width", "1.4")
}

func (l VLine) draw(k *canvas) {
	x := k.x(l.X)
	k.vertical(x, "stroke", k.t.Muted, "stroke-dasharray", "3 3")
	anchor, at := "start", x+5
	if x > k.w*0.7 {
		anchor, at = "end", x-5
	}
	k.text(at, 13, anchor, k.t.Muted, l.Label, "font-size", smallSize)
}

// vertical draws a line over the height of the plot area.
func (k *canvas) vertical(x float64, attrs ...any) {
	var p path
	p.move(x, 0)
	p.down(k.h)
	k.element("path", "", append([]any{"d", p.String()}, attrs...)...)
}

// opacity is that of a faint line, "" for others.
func opacity(faint bool) string {
	if faint {
		return ".22"
	}
	return ""
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
		area.close()
		top.move(left, y)
		top.h(right)
		dots.dot(k.x(float64(i)+1), y)
	}
	k.element("path", "", "d", area.String(), "fill", colour, "fill-opacity", ".16")
	k.element("path", "", "d", top.String(), "stroke", colour, "stroke-width", "1.6")
	k.element("path", "", "d", dots.String(), "stroke", colour, "stroke-width", "4.4", "stroke-linecap", "round")
	for i, title := range b.Titles { // unseen, over the whole height
		left := k.x(float64(i) + 0.5)
		k.titled("rect", title, "x", left, "y", 0.0, "width", k.x(float64(i)+1.5)-left, "height", k.h, "fill-opacity", "0")
	}
	for i, first := 0, 0; i < len(b.Labels); i++ {
		if i+1 < len(b.Labels) && b.Group[i+1] == b.Group[first] {
			continue
		}
		left, right := k.x(float64(first)+0.5), k.x(float64(i)+1.5)
		if textWidth(b.Labels[i], smallSize) < right-left {
			k.text((left+right)/2, k.y(b.Y[i])-8, "middle", colour, b.Labels[i], "font-size", smallSize)
		}
		first = i + 1
	}
}
