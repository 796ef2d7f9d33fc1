package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"netspace/study"
	"netspace/train"
)

// protocol states what the study's errors were measured on, for the page.
func (s Source) protocol() ([]item, error) {
	c := s.Config
	regime, err1 := settings(c.Regime, nil)
	networks, err2 := settings(c.Network, nil)
	recipe, err3 := settings(c.Recipe, train.DefaultRecipe(), "epochs", "batch", "lr")
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Dir, err)
	}
	data := c.Data.Name
	if s.TrainImages > 0 {
		data += fmt.Sprintf(": %d training and %d validation images of %d × %d × %d, %d classes",
			s.TrainImages, s.ValImages, s.Input.Channels, s.Input.Height, s.Input.Width, s.Input.Classes)
	}
	items := []item{{"Data", data}}
	if regime != "" {
		items = append(items, item{"Regime", regime})
	}
	if networks != "" {
		items = append(items, item{"All networks", networks})
	}
	text := fmt.Sprintf("%d epochs, batch %d, learning rate %g", c.Recipe.Epochs, c.Recipe.Batch, c.Recipe.LR)
	if recipe != "" {
		text += "; " + recipe
	}
	var sizes []string
	for _, p := range s.Populations {
		finished := 0
		for _, t := range p.Trials {
			if t.State == study.Done || t.State == study.Failed {
				finished++
			}
		}
		sizes = append(sizes, fmt.Sprintf("%s %d", p.Space, finished))
	}
	return append(items,
		item{"Recipe", text + "; all else by default"},
		item{"Networks", fmt.Sprintf("%d per space asked for; finished: %s", c.Samples, strings.Join(sizes, ", "))},
		item{"Seed", fmt.Sprint(c.Seed)},
		item{"Error", fmt.Sprintf("top-1 on the validation images at the end of training, in percent; a network that failed stays in its population with the error of chance, %.4g %%", study.ChanceError(max(s.Input.Classes, 1), 1))},
	), nil
}

// settings lists the fields of v in one line, by JSON name; those that are as in
// base (nil: none), and those in skip, are left out.
func settings(v, base any, skip ...string) (string, error) {
	is, err := leaves(v)
	if err != nil {
		return "", err
	}
	was := map[string]string{}
	if base != nil {
		if was, err = leaves(base); err != nil {
			return "", err
		}
	}
	var out []string
	for _, key := range unionKeys(is, was) {
		if is[key] == was[key] || slices.Contains(skip, key) {
			continue
		}
		out = append(out, strings.ReplaceAll(key, "_", " ")+" "+orNone(is[key]))
	}
	return strings.Join(out, ", "), nil
}
