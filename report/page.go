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

	"netspace/figure"
	"netspace/stats"
	"netspace/study"
)

//go:embed page.html.tmpl
var pageTemplate string

//go:embed page.css
var pageStyle string

// Page writes the page of the comparison: one HTML file that refers to nothing
// outside itself and needs no script.
func (c Comparison) Page(w io.Writer) error {
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("the page's template: %w", err)
	}
	p, err := c.page()
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
	Studies        []studyPart
	EMax, Delta    string
	HasPending     bool

	Rows   []rowPart
	Pairs  []pairPart
	Fewest int

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
	Failures   []failurePart
	Ranking    []rankPart
	Unranked   int
	Flags      string
	Seed       uint64
}

type studyPart struct {
	Name, Dir, File string
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
	Space, Reason, Network, ID string
	Index                      int
}

type rankPart struct {
	Rank, Series                 int
	Space, Error, Numbers, ID    string
	Flops, Params, Acts, Seconds string
}

const listedTrials = 1000 // in the ranking

func (c Comparison) page() (page, error) {
	p := page{
		Reading: strings.ReplaceAll(c.Reading(), " %", "\u00a0%"), Style: template.CSS(pageStyle),
		EMax: percent0(c.EMax), Delta: trimmed(c.Delta), Seed: c.options.Seed,
		Fewest: c.Spaces[0].N,
	}
	var names, dirs []string
	for _, s := range c.sources {
		names, dirs = append(names, s.Config.Name), append(dirs, shellWord(s.Dir))
		protocol, err := s.protocol()
		if err != nil {
			return page{}, err
		}
		p.Studies = append(p.Studies, studyPart{s.Config.Name, shellWord(s.Dir), s.File, protocol})
	}
	p.Title = strings.Join(names, ", ")
	p.Flags = strings.Join(dirs, " ")
	if c.options.EMax != 0 {
		p.Flags += " --emax " + trimmed(c.options.EMax)
	}
	if c.Delta != DefaultDelta {
		p.Flags += " --delta " + trimmed(c.Delta)
	}
	if c.options.Seed != 0 {
		p.Flags += fmt.Sprintf(" --seed %d", c.options.Seed)
	}
	if diff := Comparable(c.sources); diff != nil {
		p.Warnings = append(p.Warnings, "The studies compared here differ in more than their spaces: "+diff.Error())
	}
	for _, s := range c.Spaces {
		p.Fewest = min(p.Fewest, s.N)
		p.HasPending = p.HasPending || s.Pending > 0
		if s.Pending > 0 {
			p.Warnings = append(p.Warnings, fmt.Sprintf("%s is not complete: %d of %d networks have finished, and the numbers are of these alone.", s.Label, s.N, s.N+s.Pending))
		}
	}
	for _, name := range c.Omitted {
		p.Warnings = append(p.Warnings, name+" is left out: none of its networks has finished.")
	}
	p.Rows, p.Pairs = c.rows(), c.pairRows()

	draw := func(ch *figure.Chart) template.HTML {
		if ch == nil {
			return ""
		}
		return template.HTML(ch.SVG(figure.Page(), false))
	}
	p.EDF, p.Bands = draw(c.edf()), c.banded()
	if len(c.Spaces) > 1 || !p.Bands {
		for i := range c.Spaces {
			p.EDFs = append(p.EDFs, draw(c.edfEach(i)))
		}
	}
	normalised, note := c.normalised(complexities()[1])
	p.Normalised, p.NormNote = draw(normalised), note
	p.Search = draw(c.search())
	for _, by := range complexities() {
		p.Against = append(p.Against, draw(c.against(by)))
	}
	first, _ := c.best()
	for i := range c.Spaces {
		p.Curves = appendNonEmpty(p.Curves, draw(c.curves(i)))
		part := parametersPart{Series: slot(i), Label: c.Spaces[i].Label, Open: i == first}
		if c.Spaces[i].N > 1 {
			for _, col := range parameters(c.Spaces[i].Finished) {
				part.Figures = append(part.Figures, draw(c.parameter(i, col)))
			}
		}
		if len(part.Figures) > 0 {
			p.Parameters = append(p.Parameters, part)
		}
	}
	var err error
	if p.Networks, err = c.networks(draw); err != nil {
		return page{}, err
	}
	p.Failures = c.failures()
	p.Ranking, p.Unranked = c.ranking()
	return p, nil
}

// slot is the number of the page's colour for a series.
func slot(i int) int { return i % len(figure.Print().Series) }

func appendNonEmpty(to []template.HTML, h template.HTML) []template.HTML {
	if h == "" {
		return to
	}
	return append(to, h)
}

func (c Comparison) rows() []rowPart {
	var rows []rowPart
	for i, s := range c.Spaces {
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
		value func(Space) float64
		of    func(*rowPart) *cell
	}{
		{func(s Space) float64 { return s.Min.Value }, func(r *rowPart) *cell { return &r.Min }},
		{func(s Space) float64 { return s.Mean.Value }, func(r *rowPart) *cell { return &r.Mean }},
		{func(s Space) float64 { return s.Median.Value }, func(r *rowPart) *cell { return &r.Median }},
		{func(s Space) float64 { return -s.Area.Value }, func(r *rowPart) *cell { return &r.Area }},
	} {
		best := math.Inf(1)
		for _, s := range c.Spaces {
			best = math.Min(best, column.value(s))
		}
		for i, s := range c.Spaces {
			column.of(&rows[i]).Best = column.value(s) == best
		}
	}
	return rows
}

func (c Comparison) pairRows() []pairPart {
	var rows []pairPart
	for _, p := range c.Pairs {
		a, b := c.Spaces[p.A], c.Spaces[p.B]
		r := pairPart{
			A: a.Label, B: b.Label, SeriesA: slot(p.A), SeriesB: slot(p.B),
			Mean: difference(p.Mean.Value, 2), MeanIv: interval(p.Mean.Estimate, 2), PMean: probability(p.Mean.Better),
			Median: difference(p.Median.Value, 2), MedianIv: interval(p.Median.Estimate, 2), PMedian: probability(p.Median.Better),
			Area: difference(p.Area.Value, 2), AreaIv: interval(p.Area.Estimate, 2), PArea: probability(p.Area.Better),
			D: fmt.Sprintf("%.2f", p.KS.D), P: probability(p.PHolm),
			NotWorse: probability(p.NotWorse.P), NotWorseArea: probability(p.NotWorseArea.P), Needed: "–",
			Decided: p.Area.Lo > 0 || p.Area.Hi < 0, // false without an interval
		}
		if n := c.needed(p.A, p.B); n > 0 && a.N > 1 && b.N > 1 {
			r.Needed = fmt.Sprint(n)
		}
		rows = append(rows, r)
	}
	return rows
}

// networks draws the best of each space.
func (c Comparison) networks(draw func(*figure.Chart) template.HTML) ([]networksPart, error) {
	drawn := c.bestNetworks()
	var parts []networksPart
	for i, s := range c.Spaces {
		part := networksPart{Series: slot(i), Label: s.Label}
		for rank, t := range drawn.best[i] {
			spec, err := yaml.Marshal(t.Spec)
			if err != nil {
				return nil, fmt.Errorf("network %d of %s: %w", t.Index, s.Label, err)
			}
			fit := ""
			if t.fitted {
				fit = fmt.Sprintf("%.3f", t.efit)
			}
			part.Networks = append(part.Networks, networkPart{
				Fit:    fit,
				Figure: draw(drawn.chart(i, rank)),
				Rank:   rank + 1, Error: percent(t.Error),
				Cost:    costs(t.Trial),
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
	return fmt.Sprintf("%s flops · %s params · %s acts",
		figure.SI(float64(t.Complexity.Flops)), figure.SI(float64(t.Complexity.Params)), figure.SI(float64(t.Complexity.Acts)))
}

func (c Comparison) failures() []failurePart {
	var parts []failurePart
	for _, s := range c.Spaces {
		for _, t := range s.Finished {
			if t.State == study.Failed {
				parts = append(parts, failurePart{Space: s.Label, Index: t.Index, Reason: t.Reason, Network: describe(t.Spec), ID: t.ID})
			}
		}
	}
	return parts
}

// ranking lists the trials of all spaces, the best first, and how many are not
// listed because a page has its limits.
func (c Comparison) ranking() (parts []rankPart, more int) {
	type ranked struct {
		series int
		label  string
		t      study.Trial
	}
	var all []ranked
	for i, s := range c.Spaces {
		for _, t := range s.Ranked() {
			all = append(all, ranked{slot(i), s.Label, t})
		}
	}
	slices.SortStableFunc(all, func(a, b ranked) int {
		switch {
		case a.t.Error < b.t.Error:
			return -1
		case a.t.Error > b.t.Error:
			return 1
		}
		return 0
	})
	for i, r := range all[:min(len(all), listedTrials)] {
		parts = append(parts, rankPart{
			Rank: i + 1, Series: r.series, Space: r.label, Error: fmt.Sprintf("%.2f", r.t.Error),
			Numbers: describe(r.t.Spec), ID: r.t.ID,
			Flops: figure.SI(float64(r.t.Complexity.Flops)), Params: figure.SI(float64(r.t.Complexity.Params)), Acts: figure.SI(float64(r.t.Complexity.Acts)),
			Seconds: fmt.Sprintf("%.1f", r.t.Seconds),
		})
	}
	return parts, len(all) - len(parts)
}

func short(v float64) string { return fmt.Sprintf("%.4g", v) }

func shortRange(r stats.Range) string {
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
