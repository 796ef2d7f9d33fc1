package train

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"netspace/graph"
)

// maxLayerRate bounds factors of the learning rate.
const maxLayerRate = 1000

// layerRate reads an entry of Recipe.LayerRates.
func layerRate(text string) (pattern string, factor float64, err error) {
	at := strings.LastIndexByte(text, '=')
	if at > 0 {
		pattern = text[:at]
		factor, err = strconv.ParseFloat(text[at+1:], 64)
		_, wrong := path.Match(pattern, "")
		if err == nil && wrong == nil && factor >= 0 && factor <= maxLayerRate {
			return pattern, factor, nil
		}
	}
	return "", 0, fmt.Errorf("must be pattern=factor, such as head.*=10, with a factor from 0 to %d", maxLayerRate)
}

// rates gives the factor of the learning rate of each parameter of g; nil if it is 1 for all. What matches several
// patterns has the product of their factors. A pattern that matches nothing is an error: it is misspelt.
func (r *Recipe) rates(g *graph.Graph) ([]float64, error) {
	if len(r.Freeze)+len(r.LayerRates) == 0 && r.LayerDecay == 0 {
		return nil, nil
	}
	rates := slices.Repeat([]float64{1}, len(g.Params))
	apply := func(pattern string, factor float64) error {
		found := false
		for i, p := range g.Params {
			if ok, _ := path.Match(pattern, p.Name); ok { // validated
				rates[i] *= factor
				found = true
			}
		}
		if !found {
			return fmt.Errorf("pattern %q matches no parameter of the network; they are called such as %s and %s", pattern, g.Params[0].Name, g.Params[len(g.Params)-1].Name)
		}
		return nil
	}
	if r.LayerDecay > 0 {
		parts := partsOf(g)
		for i, part := range parts {
			rates[i] = math.Pow(r.LayerDecay, float64(parts[len(parts)-1]-part))
		}
	}
	var errs []error
	for _, pattern := range r.Freeze {
		errs = append(errs, apply(pattern, 0))
	}
	for _, text := range r.LayerRates {
		pattern, factor, err := layerRate(text)
		if err == nil {
			err = apply(pattern, factor)
		}
		errs = append(errs, err)
	}
	return rates, errors.Join(errs...)
}

// partsOf numbers the part of the network that each parameter is of, from 0 in the order in which images pass them: the
// stem, every block, the head.
func partsOf(g *graph.Graph) []int {
	parts := make([]int, len(g.Params))
	last, number := "", -1
	for i, p := range g.Params {
		part, rest, _ := strings.Cut(p.Name, ".")
		if block, _, ok := strings.Cut(rest, "."); ok && part != "stem" && part != "head" {
			part += "." + block
		}
		if part != last {
			last, number = part, number+1
		}
		parts[i] = number
	}
	return parts
}

// fixedNorms lists the BNs whose scale and shift have the rate 0: nothing of them is trained, so they normalise as in
// an evaluation, and keep their statistics.
func fixedNorms(g *graph.Graph, rates []float64) []int {
	var fixed []int
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if rates != nil && n.Op == graph.OpBatchNorm && rates[n.Params[0]] == 0 && rates[n.Params[1]] == 0 {
			fixed = append(fixed, i)
		}
	}
	return fixed
}

// freezes says whether the recipe keeps any tensor as it is.
func (r *Recipe) freezes() bool {
	return len(r.Freeze) > 0 || slices.ContainsFunc(r.LayerRates, func(text string) bool {
		_, factor, err := layerRate(text)
		return err == nil && factor == 0
	})
}

// Frozen lists the tensors of g that a training keeps as they are: parameters, and the statistics of BNs whose scale and
// shift are among them. A pattern that matches nothing is an error.
func (r *Recipe) Frozen(g *graph.Graph) ([]string, error) {
	rates, err := r.rates(g)
	if err != nil {
		return nil, err
	}
	var names []string
	for i, rate := range rates {
		if rate == 0 {
			names = append(names, g.Params[i].Name)
		}
	}
	for _, i := range fixedNorms(g, rates) {
		for _, b := range g.Nodes[i].Buffers {
			names = append(names, g.Buffers[b].Name)
		}
	}
	return names, nil
}
