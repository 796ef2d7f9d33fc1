package report

import (
	"fmt"
	"slices"
	"strings"

	"netspace/analysis"
	"netspace/study"
)

// protocol states what the errors of a source were measured on, for the page;
// nothing if it is not known.
func protocol(s analysis.Source) ([]item, error) {
	p := s.Protocol
	if p == nil {
		return elsewhere(s), nil
	}
	regime, networks, err := p.Stated()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	recipe, err := p.ChangedRecipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	data := p.Data.Name
	if p.TrainImages > 0 {
		data += fmt.Sprintf(": %d training and %d validation images of %d × %d × %d, %d classes",
			p.TrainImages, p.ValImages, p.Input.Channels, p.Input.Height, p.Input.Width, p.Input.Classes)
	}
	items := []item{{"Data", data}}
	if len(regime) > 0 {
		items = append(items, item{"Regime", settings(regime)})
	}
	if len(networks) > 0 {
		items = append(items, item{"All networks", settings(networks)})
	}
	text := fmt.Sprintf("%d epochs, batch %d, learning rate %g", p.Recipe.Epochs, p.Recipe.Batch, p.Recipe.LR)
	if rest := settings(recipe, "epochs", "batch", "lr"); rest != "" {
		text += "; " + rest
	}
	var sizes []string
	for i, finished := range s.Finished() {
		sizes = append(sizes, fmt.Sprintf("%s %d", s.Populations[i].Space, finished))
	}
	asked := fmt.Sprintf("%d per space asked for; ", p.Samples)
	if p.Samples == 0 { // as many as decisions took
		asked = ""
	}
	items = append(items,
		item{"Recipe", text + "; all else by default"},
		item{"Networks", asked + "finished: " + strings.Join(sizes, ", ")},
		item{"Seed", fmt.Sprint(p.Seed)},
		item{"Error", fmt.Sprintf("top-1 on the validation images at the end of training, in percent; a network that failed stays in its population with the error of chance, %.4g %%", p.Chance())})
	if s.Provenance != nil {
		items = append(items, madeBy(*s.Provenance)...)
	}
	return items, nil
}

// elsewhere says how populations were read that no study trained.
func elsewhere(s analysis.Source) []item {
	m := s.Imported
	if m == nil {
		return nil
	}
	items := []item{
		{"Imported", "trained elsewhere, and read from " + s.Dir + " as " + m.Format},
		{"Conditions known", orNothing(m.Known())},
		{"Not known", orNothing(m.Unknown())},
	}
	if m.Bad+m.Untrained > 0 {
		items = append(items, item{"Left out", fmt.Sprintf("%d records that could not be read, %d without a result", m.Bad, m.Untrained)})
	}
	for _, note := range m.Notes {
		items = append(items, item{"Note", note})
	}
	return items
}

// madeBy says who made the results, and of what images.
func madeBy(p study.Provenance) []item {
	var makers []string
	for _, m := range p.Makers {
		makers = append(makers, fmt.Sprintf("%d by %s, %d cores, %s, on %s, with %s", m.Trials, m.Maker, m.Cores, m.System, m.Host, m.Program))
	}
	if p.Unknown > 0 {
		makers = append(makers, fmt.Sprintf("%d by a version that did not record it", p.Unknown))
	}
	if len(makers) == 0 {
		return nil
	}
	text := strings.Join(makers, "; ")
	if p.Differing {
		text += ". The numbers of these may differ a little for the same network, as with another seed"
	}
	return []item{{"Made", text}, {"Images", "key " + p.Data}}
}

// settings lists settings in one line, but for those in skip.
func settings(all []analysis.Setting, skip ...string) string {
	var out []string
	for _, s := range all {
		if !slices.Contains(skip, s.Path) {
			out = append(out, strings.ReplaceAll(s.Path, "_", " ")+" "+s.Value)
		}
	}
	return strings.Join(out, ", ")
}
