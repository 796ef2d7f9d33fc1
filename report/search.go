package report

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"netspace/analysis"
	"netspace/figure"
	"netspace/metric"
	"netspace/study"
)

// Search writes what a search came to for a terminal.
func Search(w io.Writer, l analysis.SearchLog) error {
	var b strings.Builder
	table{left: 1, rows: searchRounds(l)}.write(&b)
	if len(l.Finalists) > 0 {
		b.WriteByte('\n')
		table{left: 1, rows: searchFinalists(l)}.write(&b)
	}
	fmt.Fprintf(&b, "\n%s\n", strings.Join(searchWords(l), "\n"))
	_, err := io.WriteString(w, b.String())
	return err
}

// searchRounds is the table of the rounds, the head first.
func searchRounds(l analysis.SearchLog) [][]string {
	rows := [][]string{{"round", "networks", "failed", "epochs", "cost"}}
	for i, r := range l.Rungs {
		rows = append(rows, []string{fmt.Sprint(i + 1), fmt.Sprint(len(r.Networks)), fmt.Sprint(r.Failed), fmt.Sprint(r.Epochs), fmt.Sprintf("%.1f", r.Cost)})
	}
	return rows
}

// searchFinalists is the table of the finalists, the head first.
func searchFinalists(l analysis.SearchLog) [][]string {
	head := []string{"finalist"}
	for _, m := range metric.Counted() {
		head = append(head, m.Name)
	}
	rows := [][]string{append(head, "error", "reruns", "expected", "±", "best of all")}
	for _, f := range l.Finalists {
		row := []string{fmt.Sprintf("#%d", f.Index)}
		for _, m := range metric.Counted() {
			row = append(row, m.Format(float64(m.Of(f.Complexity))))
		}
		rows = append(rows, append(row, signed(f.Error, 2), signed(f.Mean, 2), signed(f.Shrunk, 2), signed(f.StdError, 2), chance(f.Chance)))
	}
	return rows
}

// searchPart is a search on a page.
type searchPart struct {
	Words             []string
	Rounds, Finalists [][]string // tables, the head first
	Bounds            string
	Fronts            []template.HTML
}

func newSearchPart(l analysis.SearchLog) searchPart {
	p := searchPart{Words: searchWords(l), Rounds: searchRounds(l)}
	if len(l.Finalists) > 0 {
		p.Finalists = searchFinalists(l)
	}
	var bounds []string
	for _, b := range l.Bounds {
		bound := strings.ReplaceAll(b.Metric, "_", " ") + " " + b.Range
		if b.Unit == "bytes" || b.Unit == "milliseconds" { // of which numbers alone say nothing
			bound += " " + b.Unit
		}
		bounds = append(bounds, bound)
	}
	p.Bounds = strings.Join(bounds, ", ")
	for _, f := range l.Fronts {
		p.Fronts = append(p.Fronts, draw(pareto(l, f)))
	}
	return p
}

// selected says what the populations of a search are.
func selected(s analysis.Source) string {
	if s.Search.Schedule == study.Random {
		return s.Name + " is a search: its networks are those within its budgets."
	}
	return s.Name + " is a search: its networks are those that went on to the end, the better ones of those drawn, and tell nothing of the distribution of errors in the space."
}

// searchReading is what a page of a search says first.
func searchReading(l analysis.SearchLog) string {
	switch {
	case l.Winner == nil:
		return "The search goes on."
	case l.Final == nil:
		return fmt.Sprintf("Network #%d of %s is the winner; its last training is still to come.", l.Winner.Index, l.Space)
	}
	return fmt.Sprintf("Network #%d of %s has a test error of %.2f %%.", l.Winner.Index, l.Space, l.Final.Test.Error)
}

// pareto is the front of the error against a metric, before the other networks.
func pareto(l analysis.SearchLog, f analysis.Front) *figure.Chart {
	if len(f.Points) == 0 {
		return nil
	}
	title := "Error (%) against " + f.Metric
	if f.Metric == "latency" {
		title += " (ms)"
	}
	ch := &figure.Chart{
		Width: 262, Height: 205, Title: title,
		Alt: "Error against " + f.Metric + " of the networks that were trained wholly, with the front",
		X:   figure.Axis{Log: true, Decimal: true, Format: metric.Short, Min: math.Inf(1), Max: math.Inf(-1), Ticks: 4},
		Y:   figure.Axis{Min: math.Inf(1), Max: math.Inf(-1), Ticks: 4},
	}
	others := figure.Points{Series: 1, Size: 2.4}
	for _, p := range f.Others {
		others.X, others.Y, others.Titles = append(others.X, p.Value), append(others.Y, p.Error), append(others.Titles, frontTitle(f, p))
	}
	front, win := figure.Points{Series: 0, Size: 3}, figure.Points{Series: 0, Size: 6}
	line := figure.Line{Series: 0, Faint: true}
	for _, p := range f.Points {
		front.X, front.Y, front.Titles = append(front.X, p.Value), append(front.Y, p.Error), append(front.Titles, frontTitle(f, p))
		if n := len(line.Y); n > 0 { // a step: between two networks there is none
			line.X, line.Y = append(line.X, p.Value), append(line.Y, line.Y[n-1])
		}
		line.X, line.Y = append(line.X, p.Value), append(line.Y, p.Error)
	}
	for _, p := range slices.Concat(f.Points, f.Others) {
		ch.X.Min, ch.X.Max = math.Min(ch.X.Min, p.Value/1.15), math.Max(ch.X.Max, p.Value*1.15)
		ch.Y.Min, ch.Y.Max = math.Min(ch.Y.Min, p.Error-0.5), math.Max(ch.Y.Max, p.Error+0.5)
		if l.Winner != nil && p.Index == l.Winner.Index {
			win.X, win.Y, win.Titles = []float64{p.Value}, []float64{p.Error}, []string{"the winner: " + frontTitle(f, p)}
		}
	}
	ch.Marks = []figure.Mark{line, others, front, win}
	return ch
}

func frontTitle(f analysis.Front, p analysis.FrontPoint) string {
	value := metric.Short(p.Value) + " " + f.Metric
	if f.Metric == "latency" {
		value = fmt.Sprintf("%.3g ms", p.Value)
	}
	return fmt.Sprintf("#%d: %s, error %.2f %%", p.Index, value, p.Error)
}

// searchWords say in a few sentences what a search came to, and how sure that is.
func searchWords(l analysis.SearchLog) (words []string) {
	if l.Winner == nil {
		return []string{"The search goes on."}
	}
	win := l.Winner
	words = append(words, fmt.Sprintf("The winner is network #%d of %s: the best of the %d finalists with a chance of %s, of all %d networks that were tried with one of %s; the best of these is expected to be better by %.2f points.",
		win.Index, l.Space, len(l.Finalists), chance(win.OfFinalists), len(l.Rungs[0].Networks), chance(win.OfAll), win.Regret))
	words = append(words, fmt.Sprintf("One network's error varies from seed to seed with a standard deviation of %.2f points.", l.Noise))
	if t := l.Latency; t != nil && win.Latency != nil {
		text := fmt.Sprintf("One image takes %.3g ms as measured on %s.", *win.Latency, t.Device)
		if t.Fitted > 0 {
			text += fmt.Sprintf(" %d networks were measured; for %d a model of these was sure enough, which errs on networks that it has not seen by ", len(t.Measured), t.Predicted)
			if t.Median > 0 {
				text += fmt.Sprintf("%.1f %% in the median, on nine in ten by at most %.0f %%.", 100*t.Median, 100*t.P90)
			} else { // a log of before these were kept
				text += fmt.Sprintf("%.0f %%.", 100*(math.Exp(t.Model)-1))
			}
		}
		words = append(words, text)
	}
	if e := win.Estimate; e != nil {
		words = append(words, fmt.Sprintf("As the search trains, its error on %d images that nothing was chosen by is %.2f %% (95 %% interval %.2f … %.2f).", e.Images, e.Error, e.Lo, e.Hi))
	}
	if f := l.Final; f != nil {
		words = append(words, fmt.Sprintf("Trained on all %d training images for %d epochs, its error on the %d test images, which were read once, is %.2f %% (95 %% interval %.2f … %.2f).",
			f.Images, f.Recipe.Epochs, f.Test.Images, f.Test.Error, f.TestLo, f.TestHi))
		if n := len(l.Earlier); n > 0 {
			words = append(words, fmt.Sprintf("The test images were read %d times before, for earlier winners of this search: %.2f %% is then no longer quite the error on unseen images.", n, f.Test.Error))
		}
	} else {
		words = append(words, "Its last training is still to come.")
	}
	return words
}

// chance is a chance in whole percent: more digits would promise what the model behind it does not keep.
func chance(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }
