package figure

import (
	"encoding/xml"
	"math"
	"strconv"
	"strings"
)

// svg is the one writer of SVG: here elements are opened and closed, text is
// escaped and numbers are rounded.
type svg struct{ strings.Builder }

// open begins an element. attrs are names and values by turns; a value is a text
// or a float64, and an attribute whose text is empty is left out.
func (w *svg) open(name string, attrs ...any) {
	w.WriteString("<" + name)
	w.attributes(attrs)
	w.WriteString(">")
}

// close ends the element that was opened last.
func (w *svg) close(name string) { w.WriteString("</" + name + ">") }

// element writes a whole element with text in it, or none.
func (w *svg) element(name, text string, attrs ...any) {
	if text == "" {
		w.WriteString("<" + name)
		w.attributes(attrs)
		w.WriteString("/>")
		return
	}
	w.open(name, attrs...)
	w.WriteString(escape(text))
	w.close(name)
}

// titled writes an element that says title when the pointer is over it.
func (w *svg) titled(name, title string, attrs ...any) {
	if title == "" {
		w.element(name, "", attrs...)
		return
	}
	w.open(name, attrs...)
	w.element("title", title)
	w.close(name)
}

func (w *svg) attributes(attrs []any) {
	for i := 0; i < len(attrs); i += 2 {
		var text string
		switch v := attrs[i+1].(type) {
		case float64:
			text = num(v)
		case string:
			text = escape(v)
		}
		if text != "" {
			w.WriteString(" " + attrs[i].(string) + `="` + text + `"`)
		}
	}
}

// root begins a drawing of a size in pixels. One that stands alone has the
// namespace and the size, and can be a file of its own.
func (w *svg) root(width, height float64, standalone bool, attrs ...any) {
	all := []any{"role", "img"}
	if standalone {
		all = append(all, "xmlns", "http://www.w3.org/2000/svg", "width", width, "height", height)
	}
	w.open("svg", append(append(all, "viewBox", "0 0 "+num(width)+" "+num(height)), attrs...)...)
}

// background fills a drawing, unless its page does.
func (w *svg) background(t Theme) {
	if t.Surface != "none" {
		w.element("rect", "", "width", "100%", "height", "100%", "fill", t.Surface)
	}
}

// text writes a line of text; anchor is start, middle or end.
func (w *svg) text(x, y float64, anchor, fill, s string, attrs ...any) {
	if anchor == "start" {
		anchor = ""
	}
	if s != "" {
		w.element("text", s, append([]any{"x", x, "y", y, "fill", fill, "text-anchor", anchor}, attrs...)...)
	}
}

// path writes the d of a path of steps or segments.
type path struct{ strings.Builder }

func (p *path) move(x, y float64) { p.WriteString("M" + num(x) + " " + num(y)) }
func (p *path) line(x, y float64) { p.WriteString("L" + num(x) + " " + num(y)) }
func (p *path) h(x float64)       { p.WriteString("H" + num(x)) }
func (p *path) v(y float64)       { p.WriteString("V" + num(y)) }
func (p *path) right(dx float64)  { p.WriteString("h" + num(dx)) }
func (p *path) down(dy float64)   { p.WriteString("v" + num(dy)) }
func (p *path) close()            { p.WriteString("Z") }

// dot is a line of no length, which with round ends is a dot in a few bytes.
func (p *path) dot(x, y float64) { p.move(x, y); p.WriteString("h0") }

func (p *path) cross(x, y float64) { p.move(x-3, y-3); p.WriteString("l6 6m0-6l-6 6") }

// num writes a coordinate with a tenth of a pixel.
func num(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	s := strconv.FormatFloat(v, 'f', 1, 64)
	s = strings.TrimSuffix(s, ".0")
	if s == "-0" {
		return "0"
	}
	return s
}

// escape makes s the text of an element or an attribute; what XML has no
// character for becomes U+FFFD.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder never fails
	return b.String()
}

// textWidth is about how wide s is set in a sans serif of the given size.
func textWidth(s string, size float64) float64 {
	w := 0.0
	for _, r := range s {
		switch {
		case strings.ContainsRune(" .,:;|'ijlftr()-", r):
			w += 0.33
		case r >= 'A' && r <= 'Z' || strings.ContainsRune("mwMW%", r):
			w += 0.72
		default:
			w += 0.62
		}
	}
	return w * size
}

// Drawing is a picture: a Chart or a Grid.
type Drawing interface {
	// SVG is an svg element in the colours of the theme; standalone, it can be a file of its own.
	SVG(t Theme, standalone bool) string
}

// File is a drawing as an SVG file with its colours written out.
func File(d Drawing) []byte { return []byte(d.SVG(Print(), true) + "\n") }
