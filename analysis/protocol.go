package analysis

import (
	"netspace/study"
	"netspace/train"
	"netspace/trial"
)

// Protocol is under what conditions the errors of a study were measured.
type Protocol struct {
	Data           trial.Data  `json:"data"`
	Input          trial.Input `json:"input"`        // what the networks are built for; zero until the study has sampled
	TrainImages    int         `json:"train_images"` // per epoch
	ValImages      int         `json:"val_images"`
	study.Settings             // network, regime, recipe, seed, engine
	Samples        int         `json:"samples"` // networks per space that are asked for
}

// conditions are the settings that must agree, by path.
func (p Protocol) conditions() (map[string]string, error) {
	return leaves(map[string]any{
		"data":         p.Data,
		"regime":       p.Regime,
		"recipe":       p.Recipe,
		"engine":       p.Engine,
		"input":        p.Input,
		"train_images": p.TrainImages,
		"val_images":   p.ValImages,
	})
}

// Chance is the error of guessing, in percent: what a failed network counts with.
func (p Protocol) Chance() float64 {
	return study.ChanceError(max(p.Input.Classes, 1), 1)
}

// Setting is one setting by its path in the study file, "flops" or "stem.width".
type Setting struct {
	Path  string `json:"path"`
	Value string `json:"value"` // "not stated" where a default was taken away
}

// Stated are the settings of the regime, and of what all networks share.
func (p Protocol) Stated() (regime, network []Setting, err error) {
	if regime, err = changed(p.Regime, nil); err != nil {
		return nil, nil, err
	}
	network, err = changed(p.Network, nil)
	return regime, network, err
}

// ChangedRecipe are the settings of the recipe that are not train.DefaultRecipe's.
func (p Protocol) ChangedRecipe() ([]Setting, error) {
	return changed(p.Recipe, train.DefaultRecipe())
}

// changed lists the fields of v by JSON name, but for those that are as in base;
// base nil: all of them.
func changed(v, base any) ([]Setting, error) {
	is, err := leaves(v)
	if err != nil {
		return nil, err
	}
	was := map[string]string{}
	if base != nil {
		if was, err = leaves(base); err != nil {
			return nil, err
		}
	}
	var out []Setting
	for _, key := range unionKeys(is, was) {
		if is[key] != was[key] {
			out = append(out, Setting{key, orNone(is[key])})
		}
	}
	return out, nil
}
