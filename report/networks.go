package report

import (
	"fmt"
	"math"
	"strings"

	"netspace/analysis"
	"netspace/arch"
	"netspace/figure"
)

// Network draws the width of every block of a network, in stages, and the line
// behind them (DDS, fig. 9, 15 and 16): w_0 + w_a·j of a RegNet; of another
// network that of its best fit, with e_fit.
func Network(title string, s arch.Silhouette) *figure.Chart {
	note := fmt.Sprintf("u = %s + %s·j, wₘ = %s", short(s.W0), short(s.WA), short(s.WM))
	if s.FitError != nil {
		note = "best fit: " + note + fmt.Sprintf(", e_fit = %.3f", *s.FitError)
	}
	top := 0.0
	for j, u := range s.Line() {
		top = math.Max(top, math.Max(u, float64(s.Widths[j])))
	}
	bars, line := blocks(0, s)
	for j, w := range s.Widths {
		bars.Titles = append(bars.Titles, fmt.Sprintf("block %d: stage %d, width %d", j+1, s.Stages[j], w))
		bars.Labels = append(bars.Labels, fmt.Sprint(w))
	}
	x := blockAxis(len(s.Widths))
	x.Label = "block (j + 1)"
	return &figure.Chart{
		Width: 760, Height: 420, Title: title, Note: note,
		Alt: fmt.Sprintf("Widths of the %d blocks of %s", len(s.Widths), title),
		X:   x, Y: figure.Axis{Label: "width of the block", Max: top * 1.08, Ticks: 5},
		Marks: []figure.Mark{bars, line},
	}
}

// blocks are the marks of a network: its blocks and its line.
func blocks(series int, s arch.Silhouette) (bars figure.Bars, line figure.Line) {
	bars = figure.Bars{Series: series, Group: s.Stages}
	line = figure.Line{Series: -1, Y: s.Line(), Dashed: true, Width: 1.5}
	for j, w := range s.Widths {
		bars.Y = append(bars.Y, float64(w))
		line.X = append(line.X, float64(j+1))
	}
	return bars, line
}

func blockAxis(blocks int) figure.Axis {
	return figure.Axis{Min: 0.4, Max: float64(blocks) + 0.6, NoGrid: true, At: whole(1, float64(blocks))}
}

// axes are those that the drawings of the best networks share.
type axes struct{ x, y figure.Axis }

func outlineAxes(f analysis.Findings) axes {
	most, lo, hi := 1, math.Inf(1), 0.0
	for _, best := range f.Best {
		for _, o := range best {
			most = max(most, len(o.Silhouette.Widths))
			for _, w := range o.Silhouette.Widths { // the lines may leave the axes
				lo, hi = math.Min(lo, float64(w)), math.Max(hi, float64(w))
			}
		}
	}
	return axes{blockAxis(most), figure.Axis{Log: true, Min: lo / 1.5, Max: hi * 1.35, Ticks: 4}}
}

// chart draws one of the best networks of a space (DDS fig. 8).
func (a axes) chart(f analysis.Findings, space, rank int) *figure.Chart {
	o := f.Best[space][rank]
	bars, line := blocks(space, o.Silhouette)
	return &figure.Chart{
		Width: 262, Height: 170,
		Alt: "Widths of the blocks of a network: " + describe(f.Spaces[space].Finished[o.Network].Spec),
		X:   a.x, Y: a.y,
		Marks: []figure.Mark{bars, line},
	}
}

// describe lists the numbers of a network in the symbols of the paper.
func describe(s arch.Spec) string {
	if s.Network == nil {
		return "not described"
	}
	var d, w, b, g []string
	switch n := s.Network.(type) {
	case arch.EffNet:
		for _, st := range n.Stages {
			d, w = append(d, fmt.Sprint(st.Depth)), append(w, fmt.Sprint(st.Width))
		}
	default:
		a, _ := s.AnyNet()
		for _, st := range a.Stages {
			d, w = append(d, fmt.Sprint(st.Depth)), append(w, fmt.Sprint(st.Width))
			if a.Block.Has().Bottleneck {
				b = append(b, trimmed(st.Bottleneck))
			}
			if a.Block.Has().Groups {
				g = append(g, fmt.Sprint(st.GroupWidth))
			}
		}
	}
	text := "d " + strings.Join(d, ", ") + " · w " + strings.Join(w, ", ")
	if len(b) > 0 {
		text += " · b " + shared(b)
	}
	if len(g) > 0 {
		text += " · g " + shared(g)
	}
	if n, ok := s.AnyNet(); ok && n.Radix > 0 {
		text += fmt.Sprintf(" · radix %d", n.Radix)
	}
	if r, ok := s.Network.(arch.RegNet); ok {
		text += fmt.Sprintf(" · w₀ %s, wₐ %.4g, wₘ %.4g", trimmed(r.W0), r.WA, r.WM)
	}
	return text
}

// shared is the one value of a list, or the list.
func shared(v []string) string {
	for _, x := range v {
		if x != v[0] {
			return strings.Join(v, ", ")
		}
	}
	return v[0]
}
