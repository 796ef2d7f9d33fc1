package interop

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"netspace/arch"
	"netspace/graph"
	"netspace/strict"
)

// iniValue is a value of the [net] section, or of [DEFAULT] where [net] has none.
type iniValue struct {
	text string
	line int
}

// parseRegNetSearch reads one configuration of the RegNet search (docs/method.md §7).
//
// The tool writes, after training, accuracy, epochs, lr and wd into a copy of
// the file; the last three become the recipe. Its networks are RegNetX with
// the simple stem and 1000 classes. Before building it cuts the group width to
// a multiple of 8 that is not above the initial width.
func parseRegNetSearch(data []byte, filename string) (Model, error) {
	var faults strict.Faults
	fail := func(line int, path, value, format string, args ...any) {
		faults.Add(strict.Fault{File: filename, Line: line, Path: path, Value: value, Rule: fmt.Sprintf(format, args...)})
	}
	values := readINI(data, fail)
	number := func(key string, required bool, lo float64, rule string) float64 {
		v, ok := values[key]
		if !ok {
			if required {
				fail(1, "net."+key, "", "is missing")
			}
			return 0
		}
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < lo {
			fail(v.line, "net."+key, v.text, "must be %s", rule)
			return lo
		}
		return f
	}
	whole := func(key string, required bool, lo int) int {
		rule := fmt.Sprintf("a whole number, at least %d", lo)
		f := number(key, required, float64(lo), rule)
		if f != math.Trunc(f) {
			fail(values[key].line, "net."+key, values[key].text, "must be %s", rule)
		}
		return int(f)
	}

	r := arch.RegNet{
		Depth: whole("network_depth", true, 1), W0: float64(whole("initial_width", true, 8)),
		WA: number("slope", true, 0, "a number, at least 0"), WM: number("quantized_param", true, 1, "a number, more than 1"),
		GroupWidth: whole("group_width", true, 8), Bottleneck: 1, Stride: 2,
		Common: arch.Common{Stem: arch.Stem{Type: arch.SimpleStem, Width: 32}, Activation: graph.ReLU},
	}
	if _, ok := values["bottleneck_ratio"]; ok {
		r.Bottleneck = float64(whole("bottleneck_ratio", false, 1))
	}
	r.GroupWidth = min(r.GroupWidth, int(r.W0)) / 8 * 8

	m := Model{Name: filename, Format: FormatRegNetSearch, Spec: r.Spec()}
	if asked := values["group_width"].text; asked != "" && asked != strconv.Itoa(r.GroupWidth) {
		m.Notes = append(m.Notes, fmt.Sprintf("group_width %s is cut to %d, a multiple of 8 not above initial_width, as the RegNet search does", asked, r.GroupWidth))
	}
	if v, ok := values["accuracy"]; ok {
		number("accuracy", false, 0, "a percentage")
		m.Notes = append(m.Notes, "accuracy "+v.text+" is the search's result, no part of the network")
	}
	recipe := map[string]any{}
	if _, ok := values["epochs"]; ok {
		recipe["epochs"] = whole("epochs", false, 1)
	}
	if _, ok := values["lr"]; ok {
		recipe["lr"] = number("lr", false, 0, "a number, at least 0")
	}
	if _, ok := values["wd"]; ok {
		recipe["weight_decay"] = number("wd", false, 0, "a number, at least 0")
	}
	if len(recipe) > 0 {
		m.Spec.Recipe = recipe
	}
	if faults.Err() == nil {
		foreign := map[string]string{"depth": "network_depth", "w0": "initial_width", "wa": "slope", "wm": "quantized_param", "bottleneck": "bottleneck_ratio"}
		for _, f := range specFaults(m.Spec) {
			key := f.Path
			if k, ok := foreign[key]; ok {
				key = k
			}
			fail(max(1, values[key].line), "net."+key, f.Value, "%s", f.Rule)
		}
	}
	if err := faults.Err(); err != nil {
		return Model{}, err
	}
	return m, nil
}

// iniKeys are the keys that the RegNet search writes.
var iniKeys = [...]string{"initial_width", "slope", "quantized_param", "network_depth", "bottleneck_ratio", "group_width", "accuracy", "epochs", "lr", "wd"}

// readINI reads what Python's configparser would give for section [net]. It is our own
// because libraries for INI files do not say in which line a value stands.
func readINI(data []byte, fail func(line int, path, value, format string, args ...any)) map[string]iniValue {
	values := map[string]iniValue{}
	section, number := "", 0
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) { // which editors write
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' && line[len(line)-1] == ']' {
			if section = line[1 : len(line)-1]; section != "net" && section != "DEFAULT" {
				fail(number, section, "", "is not a known section; known is [net]")
			}
			continue
		}
		i := strings.IndexAny(line, "=:")
		if i < 0 {
			fail(number, "", line, "must be of the form key = value")
			continue
		}
		key, text := strings.ToLower(strings.TrimSpace(line[:i])), strings.TrimSpace(line[i+1:])
		if near := strict.Nearest(key, iniKeys[:], 1); len(near) == 0 || near[0] != key {
			rule := "is not a known key; known are " + strings.Join(iniKeys[:], ", ")
			if len(near) > 0 {
				rule = "is not a known key (did you mean " + near[0] + "?)"
			}
			fail(number, section+"."+key, "", "%s", rule)
			continue
		}
		if _, given := values[key]; !given || section == "net" {
			values[key] = iniValue{text, number}
		}
	}
	return values
}

// specFaults lists what arch finds wrong with a spec.
func specFaults(s arch.Spec) []strict.Fault {
	err := s.Validate()
	if err == nil {
		return nil
	}
	if e, ok := err.(*strict.Error); ok {
		return e.Faults
	}
	return []strict.Fault{{Rule: err.Error()}}
}
