package arch

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
)

// Fit fits the widths of any network: see AnyNet.Fit. An EfficientNet is
// fitted by its block widths alone. The error is Validate's.
func (s Spec) Fit() (Fit, error) {
	if err := s.Validate(); err != nil {
		return Fit{}, err
	}
	return s.blocks().Fit(), nil
}

// blocks is the network as stages of blocks with widths, whatever its family.
func (s Spec) blocks() AnyNet {
	if n, ok := s.Network.(EffNet); ok {
		a := AnyNet{Block: Basic}
		for _, st := range n.Stages {
			a.Stages = append(a.Stages, Stage{Depth: st.Depth, Width: st.Width, Stride: st.Stride})
		}
		return a
	}
	n, _ := s.AnyNet()
	return n
}

// The drawing, in pixels, and its colours.
const (
	drawWidth, drawHeight         = 760, 420
	plotLeft, plotRight           = 64, 742
	plotTop, plotBottom           = 64, 352
	colourInk, colourFaint        = "#1f2933", "#d9dee4"
	colourBlock, colourBlockOther = "#3b6ea5", "#6f9bc8" // stages alternate
	colourLine                    = "#d1495b"
)

// Draw writes an SVG with the width of every block, in stages, and the
// continuous line behind them (DDS, fig. 9, 15 and 16): w_0 + w_a·j of a
// RegNet; of another network that of its best fit, with e_fit.
func (s Spec) Draw(w io.Writer, title string) error {
	if err := s.Validate(); err != nil {
		return err
	}
	n := s.blocks()
	var w0, wa float64
	var legend string
	if r, ok := s.Network.(RegNet); ok {
		w0, wa = r.W0, r.WA
		legend = fmt.Sprintf("u = %s + %s·j, w_m = %s", number(r.W0), number(r.WA), number(r.WM))
	} else {
		f := n.Fit()
		w0, wa = f.W0, f.WA
		legend = fmt.Sprintf("best fit: u = %.4g + %.4g·j, w_m = %.4g, e_fit = %.3f", f.W0, f.WA, f.WM, f.Error)
	}
	b := bufio.NewWriter(w)
	drawBlocks(b, title, n, w0, wa, legend)
	if err := b.Flush(); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	return nil
}

func drawBlocks(b *bufio.Writer, title string, n AnyNet, w0, wa float64, legend string) {
	depth := n.Depth()
	top := w0 + wa*float64(depth-1)
	for _, st := range n.Stages {
		top = math.Max(top, float64(st.Width))
	}
	step := niceStep(top)
	top = step * math.Ceil(top*1.08/step)
	x := func(j float64) float64 { return plotLeft + (plotRight-plotLeft)*j/float64(depth) }
	y := func(v float64) float64 { return plotBottom - (plotBottom-plotTop)*v/top }
	text := func(px, py float64, size int, anchor, colour, s string) {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s" fill="%s">%s</text>`+"\n", px, py, size, anchor, colour, html.EscapeString(s))
	}

	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="Helvetica, Arial, sans-serif" role="img">`+"\n", drawWidth, drawHeight)
	fmt.Fprintf(b, "<title>%s</title>\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", html.EscapeString(title))
	text(plotLeft, 24, 16, "start", colourInk, title)
	text(plotLeft, 44, 12, "start", colourLine, legend)
	for v := 0.0; v <= top+step/2; v += step {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="%s"/>`+"\n", plotLeft, plotRight, y(v), y(v), colourFaint)
		text(plotLeft-8, y(v)+4, 11, "end", colourInk, number(v))
	}
	every := int(math.Max(1, niceStep(float64(depth))))
	for j := 0; j < depth; j += every {
		text(x(float64(j)+0.5), plotBottom+34, 11, "middle", colourInk, fmt.Sprint(j))
	}
	text((plotLeft+plotRight)/2, drawHeight-10, 12, "middle", colourInk, "block j, and width w of each stage")
	fmt.Fprintf(b, `<text transform="translate(16 %d) rotate(-90)" font-size="12" text-anchor="middle" fill="%s">width of the block</text>`+"\n", (plotTop+plotBottom)/2, colourInk)

	text(plotLeft-8, plotBottom+17, 12, "end", colourBlock, "w")
	text(plotLeft-8, plotBottom+34, 11, "end", colourInk, "j")

	j := 0
	for i, st := range n.Stages {
		colour := colourBlock
		if i%2 == 1 {
			colour = colourBlockOther
		}
		for range st.Depth {
			gap := math.Min(1, 0.1*(x(1)-x(0)))
			fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>block %d: stage %d, width %d</title></rect>`+"\n",
				x(float64(j))+gap, y(float64(st.Width)), x(1)-x(0)-2*gap, plotBottom-y(float64(st.Width)), colour, j, i+1, st.Width)
			j++
		}
		if x(float64(st.Depth))-x(0) > 14 { // room for a number
			text(x(float64(j)-float64(st.Depth)/2), plotBottom+17, 12, "middle", colour, fmt.Sprint(st.Width))
		}
	}
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="2" stroke-dasharray="6 4"/>`+"\n",
		x(0.5), y(w0), x(float64(depth)-0.5), y(w0+wa*float64(depth-1)), colourLine)
	b.WriteString("</svg>\n")
}

// niceStep is a distance of 1, 2 or 5 times a power of ten that divides a
// range into 3 to 6 parts.
func niceStep(top float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(top/6)))
	for _, f := range []float64{1, 2, 5} {
		if f*p >= top/6 {
			return f * p
		}
	}
	return 10 * p
}
