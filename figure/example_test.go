package figure_test

import (
	"fmt"
	"strings"

	"netspace/figure"
)

// A training curve with a legend, as an SVG file for print.
func ExampleChart() {
	chart := &figure.Chart{
		Width: 480, Height: 300, Title: "Training", Alt: "The error falls from 62 to 21 percent in four epochs.",
		X:      figure.Axis{Label: "epoch", Min: 1, Max: 4},
		Y:      figure.Axis{Label: "error (%)", Min: 0, Max: 70},
		Marks:  []figure.Mark{figure.Line{X: []float64{1, 2, 3, 4}, Y: []float64{62, 35, 24, 21}}},
		Legend: []figure.Entry{{Text: "RegNetX-200MF"}},
		Corner: figure.TopRight,
	}
	svg := chart.SVG(figure.Print(), true)
	fmt.Println(strings.HasPrefix(svg, "<svg"), strings.Contains(svg, "RegNetX-200MF"))
	// Output: true true
}
