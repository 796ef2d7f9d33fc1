package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"netspace/analysis"
	"netspace/figure"
	"netspace/metric"
	"netspace/stats"
	"netspace/study"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

// Page writes the page of what was found: one HTML file that refers to nothing
// outside itself and needs no script.
func Page(w io.Writer, f analysis.Findings) error {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("the page's template: %w", err)
	}
	p, err := newPage(f)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

// page is what the template shows.
type page struct {
	Title, Reading string
	Style          template.CSS
	Warnings       []string
	Noise          []string
	Studies        []studyPart
	EMax, Delta    string
	HasPending     bool

	Ladders  []ladderPart
	Searches []searchPart

	Rows  []rowPart
	Pairs []pairPart

	EDF        template.HTML
	Bands      bool // in the overlay
	EDFs       []template.HTML
	Normalised template.HTML
	NormNote   string
	Search     template.HTML

	Against    []template.HTML
	Parameters []parametersPart
	Curves     []template.HTML
	Networks   []networksPart
	Thinned    bool // the scatters do not show every network
	Failures   []failurePart
	Unlisted   int // failures
	Ranking    []rankPart
	Measures   []string
	Unranked   int
	Flags      string
	Seed       uint64
}

type studyPart struct {
	Name, Dir, File string
	Spaces          []analysis.SpaceText
	Protocol        []item
}

type item struct{ Key, Value string }

type cell struct {
	Value, Interval string
	Best            bool
}

type rowPart struct {
	Series                  int
	Label                   string
	N, Failed, Pending      int
	Min, Mean, Median, Area cell
}

type pairPart struct {
	A, B                           string
	SeriesA, SeriesB               int
	Mean, Median, Area             string
	MeanIv, MedianIv, AreaIv       string
	PMean, PMedian, PArea          string
	D, P                           string
	NotWorse, NotWorseArea, Needed string
	Decided                        bool
}

type parametersPart struct {
	Series  int
	Label   string
	Open    bool
	Figures []template.HTML
}

type networkPart struct {
	Figure                     template.HTML
	Error, Cost, Numbers, Spec string
	Fit                        string // e_fit; "" for RegNets
	Rank                       int
}

type networksPart struct {
	Series   int
	Label    string
	Networks []networkPart
}

type failurePart struct {
	Space, Cause, Reason, Log, Network, ID string
	Index                                  int
}

type rankPart struct {
	Rank, Series                       int
	Space, Error, Numbers, ID, Seconds string
	Costs                              []string // by measure
}

// ladderPart is a design loop.
type ladderPart struct {
	Name, Words, Start, Size string
	Rungs                    []rungPart
	EDF                      template.HTML
}

const listedTrials = 1000 // in the ranking, and among the failures

func newPage(f analysis.Findings) (page, error) {
	p := page{
		Reading: strings.ReplaceAll(reading(f.Comparison, f.Reading), " %", "\u00a0%"), Style: template.CSS(pageStyle),
		Noise: noise(f.Comparison),
		EMax:  percent0(f.EMax), Delta: trimmed(f.Options.Delta), Seed: f.Options.Seed,
	}
	if len(f.Sources) == 1 && f.Sources[0].Ladder != nil {
		p.Reading = strings.ReplaceAll(ladderReading(f, *f.Sources[0].Ladder), " %", "\u00a0%")
	}
	if len(f.Sources) == 1 && f.Sources[0].Search != nil {
		p.Reading = strings.ReplaceAll(searchReading(*f.Sources[0].Search), " %", "\u00a0%")
	}
	var names, dirs []string
	for _, s := range f.Sources {
		names, dirs = append(names, s.Name), append(dirs, shellWord(s.Dir))
		if s.Ladder != nil {
			p.Ladders = append(p.Ladders, ladderPart{Name: s.Name, Words: ladderWords(*s.Ladder), Start: s.Ladder.Start, Size: signed(s.Ladder.Log10, 1), Rungs: rungs(*s.Ladder), EDF: draw(ladderEDF(f, *s.Ladder))})
		}
		if s.Search != nil {
			p.Searches = append(p.Searches, newSearchPart(*s.Search))
			p.Warnings = append(p.Warnings, selected(s))
		}
		items, err := protocol(s)
		if err != nil {
			return page{}, err
		}
		p.Studies = append(p.Studies, studyPart{s.Name, shellWord(s.Dir), s.File, s.Spaces, items})
	}
	p.Title = strings.Join(names, ", ")
	p.Flags = strings.Join(dirs, " ")
	if f.Options.EMax != 0 {
		p.Flags += " --emax " + trimmed(f.Options.EMax)
	}
	if f.Options.Delta != analysis.DefaultDelta {
		p.Flags += " --delta " + trimmed(f.Options.Delta)
	}
	if f.Options.Seed != 0 {
		p.Flags += fmt.Sprintf(" --seed %d", f.Options.Seed)
	}
	if f.Different != nil {
		p.Warnings = append(p.Warnings, "The studies compared here differ in more than their spaces: "+f.Different.Error())
	}
	for _, s := range f.Spaces {
		if s.Pending > 0 {
			p.HasPending = true
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is not complete: %d of %d networks have finished, and the numbers are of these alone.", s.Label, s.N, s.N+s.Pending))
		}
	}
	for _, s := range f.Sources {
		if n := len(s.Damage); n > 0 {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%d damaged lines in the journals of %s were set aside, the first at %s: the networks that they speak of are missing here, or count as not trained.", n, s.Dir, s.Damage[0]))
		}
	}
	for _, name := range f.Omitted {
		p.Warnings = append(p.Warnings, name+" is left out: none of its networks has finished.")
	}
	p.Rows, p.Pairs = rows(f), pairRows(f)
	drawFigures(&p, f)
	var err error
	if p.Networks, err = networks(f); err != nil {
		return page{}, err
	}
	for _, m := range metric.Counted() {
		p.Measures = append(p.Measures, m.Name)
	}
	p.Failures, p.Unlisted = failures(f)
	p.Thinned = slices.ContainsFunc(f.Spaces, func(s analysis.Space) bool { return s.N > figure.MostPoints })
	p.Ranking, p.Unranked = ranking(f)
	return p, nil
}

// draw is a figure in the colours of the page; nothing if there is none.
func draw(ch *figure.Chart) template.HTML {
	if ch == nil {
		return ""
	}
	return template.HTML(ch.SVG(figure.Page(), false))
}

func drawFigures(p *page, f analysis.Findings) {
	p.EDF, p.Bands = draw(edf(f)), banded(f)
	if len(f.Spaces) > 1 || !p.Bands {
		for i := range f.Spaces {
			p.EDFs = append(p.EDFs, draw(edfEach(f, i)))
		}
	}
	if n := f.Normalised; n != nil {
		all := 0
		for _, s := range f.Spaces {
			all += s.N
		}
		p.Normalised = draw(normalised(f))
		p.NormNote = fmt.Sprintf("%d of %d bins of %s hold networks of every space; the %d of %d networks in them are weighed so that each bin counts alike.", n.SharedBins, n.Bins, n.Measure, n.Networks, all)
	}
	p.Search = draw(search(f))
	for i := range f.Relations {
		p.Against = append(p.Against, draw(against(f, i)))
	}
	for i, s := range f.Spaces {
		if ch := curves(f, i); ch != nil {
			p.Curves = append(p.Curves, draw(ch))
		}
		part := parametersPart{Series: slot(i), Label: s.Label, Open: i == f.Reading.First}
		for _, q := range f.Parameters[i] {
			part.Figures = append(part.Figures, draw(parameter(f, i, q)))
		}
		if len(part.Figures) > 0 {
			p.Parameters = append(p.Parameters, part)
		}
	}
}

// slot is the number of the page's colour for a series.
func slot(i int) int { return i % len(figure.Print().Series) }

func rows(f analysis.Findings) []rowPart {
	var rows []rowPart
	for i, s := range f.Spaces {
		of := func(e stats.Estimate) cell {
			cl := cell{Value: signed(e.Value, 2)}
			if e.Known() {
				cl.Interval = interval(e, 2)
			}
			return cl
		}
		rows = append(rows, rowPart{
			Series: slot(i), Label: s.Label, N: s.N, Failed: s.Failed, Pending: s.Pending,
			Min: of(s.Min), Mean: of(s.Mean), Median: of(s.Median), Area: of(s.Area),
		})
	}
	if len(rows) < 2 {
		return rows
	}
	for _, column := range []struct {
		value func(analysis.Space) float64
		of    func(*rowPart) *cell
	}{
		{func(s analysis.Space) float64 { return s.Min.Value }, func(r *rowPart) *cell { return &r.Min }},
		{func(s analysis.Space) float64 { return s.Mean.Value }, func(r *rowPart) *cell { return &r.Mean }},
		{func(s analysis.Space) float64 { return s.Median.Value }, func(r *rowPart) *cell { return &r.Median }},
		{func(s analysis.Space) float64 { return -s.Area.Value }, func(r *rowPart) *cell { return &r.Area }},
	} {
		best := math.Inf(1)
		for _, s := range f.Spaces {
			best = math.Min(best, column.value(s))
		}
		for i, s := range f.Spaces {
			column.of(&rows[i]).Best = column.value(s) == best
		}
	}
	return rows
}

func pairRows(f analysis.Findings) []pairPart {
	var rows []pairPart
	for _, p := range f.Pairs {
		r := pairPart{
			A: p.LabelA, B: p.LabelB, SeriesA: slot(p.A), SeriesB: slot(p.B),
			Mean: difference(p.Mean.Value, 2), MeanIv: interval(p.Mean.Estimate, 2), PMean: probability(p.Mean.Better),
			Median: difference(p.Median.Value, 2), MedianIv: interval(p.Median.Estimate, 2), PMedian: probability(p.Median.Better),
			Area: difference(p.Area.Value, 2), AreaIv: interval(p.Area.Estimate, 2), PArea: probability(p.Area.Better),
			D: fmt.Sprintf("%.2f", p.KS.D), P: probability(p.PHolm),
			NotWorse: probability(p.NotWorse.P), NotWorseArea: probability(p.NotWorseArea.P), Needed: "–",
			Decided: p.Area.Lo > 0 || p.Area.Hi < 0, // false without an interval
		}
		if p.Needed > 0 {
			r.Needed = fmt.Sprint(p.Needed)
		}
		rows = append(rows, r)
	}
	return rows
}

// networks draws the best of each space.
func networks(f analysis.Findings) ([]networksPart, error) {
	axes := outlineAxes(f)
	var parts []networksPart
	for i, s := range f.Spaces {
		part := networksPart{Series: slot(i), Label: s.Label}
		for rank, o := range f.Best[i] {
			t := s.Finished[o.Network]
			spec, err := yaml.Marshal(t.Spec)
			if err != nil {
				return nil, fmt.Errorf("network %d of %s: %w", t.Index, s.Label, err)
			}
			fit := ""
			if e := o.Silhouette.FitError; e != nil {
				fit = fmt.Sprintf("%.3f", *e)
			}
			part.Networks = append(part.Networks, networkPart{
				Fit:    fit,
				Figure: draw(axes.chart(f, i, rank)),
				Rank:   rank + 1, Error: percent(t.Error),
				Cost:    costs(t),
				Numbers: describe(t.Spec),
				Spec:    string(spec),
			})
		}
		if len(part.Networks) > 0 {
			parts = append(parts, part)
		}
	}
	return parts, nil
}

func costs(t study.Trial) string {
	var parts []string
	for _, m := range metric.Counted() {
		parts = append(parts, figure.SI(float64(m.Of(t.Complexity)))+" "+m.Name)
	}
	return strings.Join(parts, " · ")
}

// failures lists failed networks, and how many are not listed.
func failures(f analysis.Findings) (parts []failurePart, more int) {
	for _, at := range f.Failures[:min(len(f.Failures), listedTrials)] {
		t := f.Network(at)
		parts = append(parts, failurePart{Space: f.Spaces[at.Space].Label, Index: t.Index, Cause: string(t.Cause), Reason: t.Reason, Log: t.Log, Network: describe(t.Spec), ID: t.ID})
	}
	return parts, len(f.Failures) - len(parts)
}

// ranking lists the networks of all spaces, the best first, and how many are not
// listed because a page has its limits.
func ranking(f analysis.Findings) (parts []rankPart, more int) {
	for i, at := range f.Ranking[:min(len(f.Ranking), listedTrials)] {
		t := f.Network(at)
		part := rankPart{
			Rank: i + 1, Series: slot(at.Space), Space: f.Spaces[at.Space].Label, Error: fmt.Sprintf("%.2f", t.Error),
			Numbers: describe(t.Spec), ID: t.ID, Seconds: fmt.Sprintf("%.1f", t.Seconds),
		}
		for _, m := range metric.Counted() {
			part.Costs = append(part.Costs, figure.SI(float64(m.Of(t.Complexity))))
		}
		parts = append(parts, part)
	}
	return parts, len(f.Ranking) - len(parts)
}

func short(v float64) string { return fmt.Sprintf("%.4g", v) }

func shortRange(r analysis.BestRange) string {
	if r.Lo == r.Hi {
		return short(r.Lo)
	}
	return short(r.Lo) + " … " + short(r.Hi)
}

// shellWord quotes a path where a shell needs it.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/+=:,@") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
