package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"netspace/arch"
	"netspace/graph"
	"netspace/strict"
)

// Mapping says where in a record the fields of a Result are: by field, the name of
// a column or key, with dots for keys of objects within. A field that is not stated
// is looked for under its own name.
type Mapping map[string]string

// The fields of a Mapping. Those that describe a network make a spec where none is
// given: lists have one number per stage, separated by spaces or commas in tables.
var (
	mappedErrors     = []string{"error", "error_fraction", "accuracy", "accuracy_fraction"}
	mappedComplexity = []string{"flops", "params", "acts"}
	mappedNumbers    = append(slices.Clip(mappedComplexity), "seconds", "classes", "resolution", "channels")
	mappedTexts      = []string{"space", "state", "spec"}
	mappedRegNet     = []string{"depth", "w0", "wa", "wm", "bottleneck", "group_width"}
	mappedStages     = []string{"depths", "widths", "strides", "bottlenecks", "group_widths"}
	mappedCommon     = []string{"block", "se", "stem", "activation"}
	mappedStem       = []string{"stem_width"}
)

// MappingError says what is wrong with a mapping.
type MappingError struct{ Reason string }

func (e *MappingError) Error() string { return e.Reason }

// Fields lists what a Mapping may state.
func Fields() []string {
	return slices.Concat(mappedErrors, mappedNumbers, mappedTexts, mappedRegNet, mappedStages, mappedCommon, mappedStem)
}

// ParseMapping reads "error=val_err,params=n_params"; each is FIELD=NAME. The error is a *MappingError.
func ParseMapping(texts ...string) (Mapping, error) {
	m := Mapping{}
	for _, text := range texts {
		for item := range strings.SplitSeq(text, ",") {
			field, name, ok := strings.Cut(strings.TrimSpace(item), "=")
			if !ok || name == "" {
				return nil, &MappingError{fmt.Sprintf("%q: must be FIELD=NAME", item)}
			}
			if !slices.Contains(Fields(), field) {
				return nil, &MappingError{fmt.Sprintf("%q: the field %s", item, strict.OneOf(field, Fields()...))}
			}
			if m[field] != "" {
				return nil, &MappingError{fmt.Sprintf("%q: %s is stated twice", item, field)}
			}
			m[field] = name
		}
	}
	stated := 0
	for _, field := range mappedErrors {
		if m[field] != "" {
			stated++
		}
	}
	if stated > 1 {
		return nil, &MappingError{"only one of " + strings.Join(mappedErrors, ", ") + " may be stated"}
	}
	return m, nil
}

// states says whether the mapping says where the error, or its like, is.
func (m Mapping) states(field string) bool {
	if field != "error" {
		return m[field] != ""
	}
	return slices.ContainsFunc(mappedErrors, func(f string) bool { return m[f] != "" })
}

// missing are the names that a table with such a header lacks.
func (m Mapping) missing(header []string) []string {
	var out []string
	for _, field := range Fields() {
		if name := m[field]; name != "" && !slices.Contains(header, name) {
			out = append(out, name)
		}
	}
	return out
}

// value is a field of a record; nil if it is not there. Complexity may stand in an object of its own, as "netspace study export" writes it.
func (m Mapping) value(record map[string]any, field string) any {
	name := m[field]
	if name == "" {
		within, _ := record["complexity"].(map[string]any)
		if v, ok := within[field]; ok && record[field] == nil && slices.Contains(mappedComplexity, field) {
			return v
		}
		return record[field]
	}
	if v, ok := record[name]; ok {
		return v
	}
	var at any = record
	for key := range strings.SplitSeq(name, ".") {
		within, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = within[key]
	}
	return at
}

// result reads a record by its fields.
func (m Mapping) result(record map[string]any) (Result, error) {
	r := Result{Conditions: map[string]string{}}
	number := func(field string) (v float64, err error) {
		at := m.value(record, field)
		v, ok := toNumber(at)
		if at != nil && !ok || v < 0 {
			return 0, fmt.Errorf("%s: %v: must be a number, at least 0", field, at)
		}
		return v, nil
	}
	var values [7]float64
	for i, field := range mappedNumbers {
		var err error
		if values[i], err = number(field); err != nil {
			return r, err
		}
		if values[i] > 1e18 {
			return r, fmt.Errorf("%s: %v: is beyond all networks", field, values[i])
		}
	}
	r.Complexity = graph.Complexity{Flops: int64(values[0]), Params: int64(values[1]), Acts: int64(values[2])}
	r.Seconds, r.Classes = values[3], int(values[4])
	switch name := m.value(record, "space").(type) {
	case nil:
	case string:
		r.Space = name
	case float64:
		r.Space = strconv.FormatFloat(name, 'f', -1, 64)
	default:
		return r, fmt.Errorf("space: %v: must be a name", name)
	}
	if r.Classes == 1 {
		return r, errors.New("classes: 1: must be at least 2")
	}
	rerun, _ := toNumber(record["rerun"])
	r.Rerun = int(rerun)
	if err := m.spec(record, &r); err != nil {
		return r, err
	}
	if r.Classes != 0 && r.Spec.Network != nil {
		r.Spec.Classes = r.Classes
	}
	if values[5] != 0 && r.Spec.Network != nil {
		r.Spec.Resolution = int(values[5])
	}
	if values[6] != 0 && r.Spec.Network != nil {
		r.Spec.Channels = int(values[6])
	}
	if r.Classes == 0 {
		r.Classes = r.Spec.Classes
	}
	if r.Spec.Network != nil {
		if err := r.Spec.Validate(); err != nil {
			return r, err
		}
	}
	return r, m.outcome(record, &r)
}

// outcome reads the error. What was not trained has none; what failed has none or
// one that is no number.
func (m Mapping) outcome(record map[string]any, r *Result) error {
	state, _ := m.value(record, "state").(string)
	if state == "pending" || state == "running" {
		return nil
	}
	for _, field := range mappedErrors {
		if m.states("error") && m[field] == "" {
			continue
		}
		at := m.value(record, field)
		if list, ok := at.([]any); ok && len(list) > 0 {
			r.Curve = numbers(at)
			at = list[len(list)-1] // the end of a curve
		}
		v, ok := toNumber(at)
		if !ok {
			switch text, isText := at.(string); {
			case at == nil && state != "failed" && !m.has(record, field):
				continue
			case at == nil || isText && isNotANumber(text):
				v = math.NaN()
			default:
				return fmt.Errorf("%s: %v: must be a number", field, at)
			}
		}
		scaled := map[string]func(float64) float64{
			"error": func(v float64) float64 { return v }, "error_fraction": func(v float64) float64 { return 100 * v },
			"accuracy": func(v float64) float64 { return 100 - v }, "accuracy_fraction": func(v float64) float64 { return 100 * (1 - v) },
		}[field]
		for i, e := range r.Curve {
			r.Curve[i] = scaled(e)
		}
		r.Done, r.Error, r.Failed, r.Accuracy = true, scaled(v), state == "failed", strings.HasPrefix(field, "accuracy")
		if r.Curve == nil {
			r.Curve = exportedCurve(record)
		}
		return percentage(r.Error)
	}
	if m.states("error") {
		for _, field := range mappedErrors {
			if m[field] != "" {
				return fmt.Errorf("has no %s", m[field])
			}
		}
	}
	return errors.New("has no error: state where it is, as --map error=val_err (percent), error_fraction, accuracy or accuracy_fraction")
}

// exportedCurve is the validation error by epoch, where "netspace study export" has written it; NaN where it was not measured.
func exportedCurve(record map[string]any) (curve []float64) {
	epochs, _ := record["epochs"].([]any)
	for _, e := range epochs {
		at, _ := e.(map[string]any)
		v, ok := toNumber(at["val_error"])
		if evaluated, _ := at["evaluated"].(bool); !ok || !evaluated {
			v = math.NaN()
		}
		curve = append(curve, v)
	}
	return curve
}

// has says whether a record has a key at all.
func (m Mapping) has(record map[string]any, field string) bool {
	name := m[field]
	if name == "" {
		name = field
	}
	_, ok := record[name]
	return ok
}

func isNotANumber(text string) bool {
	switch strings.ToLower(text) {
	case "nan", "inf", "-inf", "infinity", "-infinity", "null", "none":
		return true
	}
	return false
}

// spec reads the network of a record: a spec, or its numbers. One without either
// has no network.
func (m Mapping) spec(record map[string]any, r *Result) error {
	switch at := m.value(record, "spec").(type) {
	case nil:
	case string: // a cell of a table
		spec, err := arch.ParseSpec([]byte(at), "spec")
		r.Spec = spec
		return err
	default:
		text, err := json.Marshal(at)
		if err != nil {
			return err
		}
		r.Spec, err = arch.ParseSpec(text, "spec")
		return err
	}
	spec, err := m.stated(record)
	if spec == nil || err != nil {
		return err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	r.Spec, err = arch.ParseSpec(text, "record")
	return err
}

// stated is the spec that the numbers of a record make, as a file has it; nil if
// they make none.
func (m Mapping) stated(record map[string]any) (map[string]any, error) {
	spec := map[string]any{}
	for _, field := range mappedCommon {
		if v := m.value(record, field); v != nil {
			spec[field] = plainNumber(v)
		}
	}
	stem := map[string]any{"type": "simple", "width": 32}
	if v, ok := spec["stem"].(string); ok {
		stem["type"], spec["stem"] = v, stem
	}
	if v := m.value(record, "stem_width"); v != nil {
		stem["width"], spec["stem"] = plainNumber(v), stem
	}
	if m.value(record, "wm") != nil {
		spec["family"] = "regnet"
		for _, field := range mappedRegNet {
			if v := m.value(record, field); v != nil {
				spec[field] = plainNumber(v)
			}
		}
		return spec, nil
	}
	depths := listed(m.value(record, "depths"))
	if depths == nil || m.value(record, "widths") == nil {
		return nil, nil
	}
	spec["family"] = "anynet"
	stages := make([]map[string]any, len(depths))
	for i := range stages {
		stages[i] = map[string]any{"stride": 2}
	}
	for _, field := range mappedStages {
		list := listed(m.value(record, field))
		if list == nil {
			continue
		}
		if len(list) != len(depths) {
			return nil, fmt.Errorf("%s: has %d numbers for %d stages", field, len(list), len(depths))
		}
		for i, v := range list {
			stages[i][strings.TrimSuffix(field, "s")] = v
		}
	}
	spec["stages"] = stages
	return spec, nil
}

// plainNumber is a number of a table as a number, and anything else as it is.
func plainNumber(v any) any {
	if n, ok := toNumber(v); ok {
		return n
	}
	return v
}

// listed is one number per stage.
func listed(v any) []float64 {
	text, ok := v.(string)
	if !ok {
		return numbers(v)
	}
	var list []any
	for item := range strings.FieldsFuncSeq(strings.Trim(text, "[]()"), func(r rune) bool { return r == ' ' || r == ',' || r == ';' }) {
		list = append(list, item)
	}
	return numbers(list)
}
