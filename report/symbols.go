package report

import (
	"strings"

	"netspace/analysis"
)

// symbols are the parameters in the words and symbols of the paper.
var symbols = map[string]string{
	analysis.Blocks: "depth d", "depth": "depth d", "w0": "initial width w₀", "wa": "slope wₐ", "wm": "quantisation wₘ",
	"width": "width w", "bottleneck": "bottleneck ratio b", "group_width": "group width g", "expand": "expansion e",
	"kernel": "kernel k", "stride": "stride s", "se": "squeeze ratio", "resolution": "resolution r",
}

// symbol is how figures call a parameter: "width w₂", "group width g", "lr".
func symbol(p analysis.Parameter) string {
	field, stage, staged := p.Stage()
	label, ok := symbols[field]
	if !ok {
		label = strings.ReplaceAll(strings.TrimPrefix(field, "recipe."), "_", " ")
	}
	switch {
	case staged:
		return label + subscript(stage+1)
	case p.Shared && (field == "depth" || field == "width" || field == "stride"): // which networks have, too
		return label + " of each stage"
	}
	return label
}

// subscript writes i ≥ 0 in small figures below the line.
func subscript(i int) string {
	figures := []rune("₀₁₂₃₄₅₆₇₈₉")
	if i < 10 {
		return string(figures[i])
	}
	return subscript(i/10) + string(figures[i%10])
}
