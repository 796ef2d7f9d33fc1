package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"netspace/arch"
	"netspace/graph"
)

// searchResult reads an INI of the RegNet search. One without an accuracy was not
// trained. The search trains on ImageNet.
func searchResult(data []byte, file string) (Result, error) {
	m, err := parseRegNetSearch(data, file)
	if err != nil {
		return Result{}, err
	}
	r := Result{Spec: m.Spec, Classes: arch.ImageNet.Classes, Conditions: map[string]string{"data": "imagenet", "resolution": strconv.Itoa(arch.ImageNet.Height)}}
	r.Spec.Resolution, r.Spec.Classes, r.Spec.Recipe = arch.ImageNet.Height, arch.ImageNet.Classes, nil
	values := readINI(data, func(int, string, string, string, ...any) {})
	for key, path := range map[string]string{"epochs": "recipe.epochs", "lr": "recipe.lr", "wd": "recipe.weight_decay"} {
		if v, ok := values[key]; ok {
			r.Conditions[path] = v.text
		}
	}
	v, ok := values["accuracy"]
	if !ok {
		return r, nil
	}
	accuracy, err := strconv.ParseFloat(v.text, 64)
	if err != nil {
		return r, fmt.Errorf("accuracy %s: must be a percentage", v.text)
	}
	r.Done, r.Error, r.Accuracy = true, 100-accuracy, true
	return r, percentage(r.Error)
}

// sweepResult reads a record of sweep.json. The error is that of the tool: the
// least after any epoch, of the averaged weights where there are such.
func sweepResult(record map[string]any) (Result, error) {
	cfg := object(record, "cfg")
	if cfg == nil {
		return Result{}, errors.New("cfg: is missing")
	}
	model, train, optim := object(cfg, "MODEL"), object(cfg, "TRAIN"), object(cfg, "OPTIM")
	r := Result{Conditions: map[string]string{}}
	for _, x := range []struct {
		from map[string]any
		key  string
		path string
	}{
		{train, "DATASET", "data"}, {train, "IM_SIZE", "resolution"}, {train, "BATCH_SIZE", "recipe.batch"},
		{optim, "MAX_EPOCH", "recipe.epochs"}, {optim, "BASE_LR", "recipe.lr"}, {optim, "WEIGHT_DECAY", "recipe.weight_decay"},
	} {
		if v, ok := x.from[x.key]; ok {
			r.Conditions[x.path] = fmt.Sprint(v)
		}
	}
	if v, ok := toNumber(model["NUM_CLASSES"]); ok {
		r.Classes = int(v)
	}
	// What describes the network alone: a recipe that there is not here is no fault of it.
	typ, _ := model["TYPE"].(string)
	network := map[string]any{"MODEL": model, "TRAIN": map[string]any{}}
	for _, key := range []string{"DATASET", "IM_SIZE"} {
		if v, ok := train[key]; ok {
			network["TRAIN"].(map[string]any)[key] = v
		}
	}
	if section, ok := pyclsNetworks[typ]; ok {
		network[section] = cfg[section]
		if cfg[section] == nil {
			delete(network, section)
		}
	}
	text, err := json.Marshal(network)
	if err != nil {
		return r, err
	}
	m, err := Parse(text, "cfg")
	if err != nil {
		return r, err
	}
	r.Spec = m.Spec
	complexity := object(record, "complexity")
	r.Complexity = graph.Complexity{Flops: count(complexity, "flops"), Params: count(complexity, "params"), Acts: count(complexity, "acts")}
	for _, t := range numbers(object(record, "train_epoch")["time_epoch"]) {
		r.Seconds += t
	}
	epochs := object(record, "test_ema_epoch")
	if epochs == nil {
		epochs = object(record, "test_epoch")
	}
	if epochs == nil {
		return r, nil
	}
	at, of := last(numbers(epochs["epoch_ind"])), last(numbers(epochs["epoch_max"]))
	r.Curve = numbers(epochs["top1_err"])
	lowest := numbers(epochs["min_top1_err"])
	if len(lowest) == 0 && len(r.Curve) == 0 {
		return r, nil // no epoch has ended
	}
	r.Done = !(at < of)
	r.Error = least(lowest, r.Curve)
	return r, percentage(r.Error)
}

// least of errors, of the first list that has any; NaN if the last of them is not
// a number: the training diverged.
func least(lists ...[]float64) float64 {
	for _, v := range lists {
		if len(v) > 0 {
			if math.IsNaN(last(v)) {
				return math.NaN()
			}
			return slices.Min(slices.DeleteFunc(slices.Clone(v), math.IsNaN))
		}
	}
	return math.NaN()
}

// ndsBlocks are the blocks of the networks of NDS that are not made of cells.
var ndsBlocks = map[string]arch.BlockType{
	"double_plain_block": arch.Vanilla, "vanilla_block": arch.Vanilla, "res_basic_block": arch.Basic, "res_bottleneck_block": arch.Bottleneck,
}

// ndsResult reads a record of the populations published with NDS. The error is
// that of the paper: the least after any epoch. Networks of cells, which there are
// not here, keep their numbers.
func ndsResult(record map[string]any, imageNet bool) (Result, error) {
	net, optim := object(record, "net"), object(record, "optim")
	r := Result{Done: true, Classes: 10, Conditions: map[string]string{"data": "cifar10", "resolution": "32"}}
	if imageNet {
		r.Classes, r.Conditions = 1000, map[string]string{"data": "imagenet", "resolution": "224"}
	}
	for key, path := range map[string]string{"max_ep": "recipe.epochs", "base_lr": "recipe.lr", "wd": "recipe.weight_decay"} {
		if v, ok := optim[key]; ok {
			r.Conditions[path] = fmt.Sprint(v)
		}
	}
	r.Complexity = graph.Complexity{Flops: count(record, "flops"), Params: count(record, "params"), Acts: count(record, "acts")}
	r.Curve = numbers(record["test_ep_top1"])
	var known bool
	if r.Error, known = toNumber(record["min_test_top1"]); !known {
		if r.Error = least(r.Curve); record["min_test_top1"] == nil && len(r.Curve) == 0 {
			return r, errors.New("has neither min_test_top1 nor test_ep_top1")
		}
	}
	if err := percentage(r.Error); err != nil {
		return r, err
	}
	word, _ := net["block_type"].(string)
	block, ok := ndsBlocks[word]
	if !ok {
		for _, key := range []string{"depth", "width", "drop_prob"} {
			if v, ok := toNumber(net[key]); ok {
				r.Numbers = append(r.Numbers, Number{key, v})
			}
		}
		return r, nil
	}
	n, err := ndsNetwork(net, block, imageNet)
	if err != nil {
		return r, err
	}
	r.Spec = n.Spec()
	r.Spec.Classes = r.Classes
	if r.Spec.Resolution = 32; imageNet {
		r.Spec.Resolution = 224
	}
	return r, r.Spec.Validate()
}

// ndsNetwork reads lists of one number per stage, of which the first is the stem's.
func ndsNetwork(net map[string]any, block arch.BlockType, imageNet bool) (arch.AnyNet, error) {
	n := arch.AnyNet{Block: block, Common: arch.Common{Stem: arch.Stem{Type: arch.CIFARStem}, Activation: graph.ReLU}}
	if imageNet {
		n.Stem.Type = arch.ResNetStem
	}
	depths, widths, strides := numbers(net["ds"]), numbers(net["ws"]), numbers(net["ss"])
	multipliers, groups := numbers(net["bot_muls"]), numbers(net["num_gs"])
	for _, key := range []string{"ds", "ws"} {
		if slices.ContainsFunc(numbers(net[key]), func(v float64) bool { return !(v >= 0 && v < 1e9) }) {
			return n, fmt.Errorf("net: %s: %v: must be one number for the stem and for every stage", key, net[key])
		}
	}
	if len(depths) < 2 || len(widths) != len(depths) {
		return n, fmt.Errorf("net: has %d depths ds and %d widths ws: must be one of each for the stem and every stage", len(depths), len(widths))
	}
	n.Stem.Width = int(widths[0])
	of := func(list []float64, i int, otherwise float64) float64 {
		if i < len(list) && list[i] > 0 {
			return list[i]
		}
		return otherwise
	}
	for i := 1; i < len(depths); i++ {
		s := arch.Stage{Depth: int(depths[i]), Width: int(widths[i]), Stride: int(of(strides, i, 1))}
		if block.Has().Bottleneck {
			s.Bottleneck = 1 / of(multipliers, i, 1)
			s.GroupWidth = max(1, int(math.Round(widths[i]*of(multipliers, i, 1)/of(groups, i, 1))))
		}
		n.Stages = append(n.Stages, s)
	}
	return n, nil
}

// object is the object of a name; nil if there is none.
func object(m map[string]any, name string) map[string]any {
	o, _ := m[name].(map[string]any)
	return o
}

func count(m map[string]any, name string) int64 {
	v, ok := toNumber(m[name])
	if !ok || v < 0 || v > 1e18 {
		return 0
	}
	return int64(v)
}

// numbers is a list, or one number as a list; NaN for what is none.
func numbers(v any) []float64 {
	list, ok := v.([]any)
	if !ok {
		if n, ok := toNumber(v); ok {
			return []float64{n}
		}
		return nil
	}
	out := make([]float64, len(list))
	for i, item := range list {
		var ok bool
		if out[i], ok = toNumber(item); !ok {
			out[i] = math.NaN()
		}
	}
	return out
}

// toNumber is a number of JSON or of a table; false for anything else, NaN included.
func toNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case string:
		n, err := strconv.ParseFloat(v, 64)
		return n, err == nil && !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	return 0, false
}
