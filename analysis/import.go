package analysis

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"netspace/graph"
	"netspace/interop"
	"netspace/space"
	"netspace/study"
	"netspace/trial"
)

// Imported says how populations that were trained elsewhere were read.
type Imported struct {
	Format string `json:"format"` // interop.PopulationFormat
	// Conditions under which the networks were trained, as far as it is known: settings
	// by their paths, "varies" where the networks differ.
	Conditions map[string]string `json:"conditions"`
	Untrained  int               `json:"untrained"` // records without a result: not counted
	Bad        int               `json:"bad"`       // records that could not be read: not counted
	Faults     []string          `json:"faults,omitempty"`
	Notes      []string          `json:"notes,omitempty"` // what reading assumed
}

// mostFaults bounds the faults that are kept, and mostImportedCurves the networks whose curves are.
const (
	mostFaults         = 20
	mostImportedCurves = 2000
)

// conditionPaths are what has to agree for errors to tell spaces apart, by the
// paths of a study's settings.
var conditionPaths = []string{"data", "resolution", "recipe.epochs", "recipe.batch", "recipe.lr", "recipe.weight_decay"}

// Unknown are the conditions of imported populations that are not known.
func (i Imported) Unknown() []string {
	var out []string
	for _, path := range conditionPaths {
		if i.Conditions[path] == "" {
			out = append(out, path)
		}
	}
	return out
}

// Known are the conditions that are known: "data cifar10".
func (i Imported) Known() []string {
	var out []string
	for _, path := range conditionPaths {
		if v := i.Conditions[path]; v != "" {
			out = append(out, path+" "+v)
		}
	}
	return out
}

// Open reads a study folder, or populations that were trained elsewhere: whatever
// interop.ReadPopulation reads. mapping says where the fields of records are; a
// study has none. The error is a *study.RequestError where nothing can be read.
func Open(ctx context.Context, path string, mapping interop.Mapping) (Source, error) {
	isStudy, err := isStudy(path)
	if err != nil {
		return Source{}, &study.RequestError{Err: err}
	}
	switch {
	case isStudy && len(mapping) > 0:
		return Source{}, &study.RequestError{Err: fmt.Errorf("%s is a study: there is nothing to map", path)}
	case isStudy:
		return Load(ctx, path)
	}
	return importFrom(ctx, path, mapping)
}

// isStudy says whether a path is a folder that is not of another format: what is
// wrong with it is then said by study.Open.
func isStudy(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Ext(path) == "" {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if !info.IsDir() {
		return false, nil
	}
	for _, name := range []string{"study.yaml", "journal"} {
		if _, err := os.Stat(filepath.Join(path, name)); err == nil {
			return true, nil
		}
	}
	if _, err := os.Stat(filepath.Join(path, "sweep.json")); err == nil {
		return false, nil
	}
	foreign := false
	err = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.EqualFold(filepath.Ext(d.Name()), ".ini") {
			foreign = true
			return fs.SkipAll
		}
		return err
	})
	return !foreign, err
}

// importer gathers the populations of a file.
type importer struct {
	source   Source
	note     Imported
	mapping  interop.Mapping
	read     int
	assumed  int // networks whose complexity is that for ImageNet's images
	numbers  int // errors, or accuracies
	small    int // of these that are at most 1, as fractions are
	accuracy bool
	seen     map[string]bool // networks with their errors
	repeated int             // of these that were there before
}

func importFrom(ctx context.Context, path string, mapping interop.Mapping) (Source, error) {
	base := filepath.Base(strings.TrimRight(path, "/"))
	m := importer{mapping: mapping, source: Source{Name: strings.TrimSuffix(base, filepath.Ext(base)), Dir: path}, seen: map[string]bool{}, note: Imported{Conditions: map[string]string{}}}
	if base == "sweep.json" { // as all of the tool are called: their folder has the name
		if abs, err := filepath.Abs(path); err == nil {
			m.source.Name = filepath.Base(filepath.Dir(abs))
		}
	}
	format, err := interop.ReadPopulation(ctx, path, mapping, m.add, m.bad)
	var wrong *interop.MappingError
	switch {
	case ctx.Err() != nil:
		return m.source, ctx.Err()
	case errors.As(err, &wrong), errors.Is(err, interop.ErrNoPopulation), err != nil:
		return m.source, &study.RequestError{Err: err}
	}
	m.note.Format = string(format)
	if m.read == 0 && m.note.Bad == 0 {
		return m.source, &study.RequestError{Err: fmt.Errorf("%s: has no records", path)}
	}
	if m.read == 0 {
		return m.source, &study.RequestError{Err: fmt.Errorf("%s: none of its %d records can be used:\n  %s", path, m.note.Bad, strings.Join(m.note.Faults[:min(3, len(m.note.Faults))], "\n  "))}
	}
	if err := m.ambiguous(); err != nil {
		return m.source, &study.RequestError{Err: err}
	}
	if m.assumed > 0 {
		m.note.Notes = append(m.note.Notes, fmt.Sprintf("complexity of %d networks is counted for images of 224 × 224 × 3 and 1000 classes, as neither they nor their records say another", m.assumed))
	}
	if m.repeated > 0 {
		m.note.Notes = append(m.note.Notes, fmt.Sprintf("%d records repeat a network with its error: they count, and if they are copies intervals are narrower than they should be", m.repeated))
	}
	m.source.Imported = &m.note
	return m.source, nil
}

// ambiguous refuses errors or accuracies that may be percent or fractions, unless it was said. Where it cannot be said, or only most of them are
// small, it notes that.
func (m *importer) ambiguous() error {
	stated := slices.ContainsFunc([]string{"error", "error_fraction", "accuracy", "accuracy_fraction"}, func(f string) bool { return m.mapping[f] != "" })
	tool := m.note.Format != string(interop.PopulationJSON) && m.note.Format != string(interop.PopulationLines) && m.note.Format != string(interop.PopulationCSV)
	what, field := "errors", "error"
	if m.accuracy {
		what, field = "accuracies", "accuracy"
	}
	switch {
	case 2*m.small <= m.numbers || stated:
	case m.small == m.numbers && !tool:
		return fmt.Errorf("%s: all %s lie between 0 and 1: --map %s=%s says that these are percent, --map %s_fraction=%s that they are fractions", m.source.Dir, what, field, field, field, field)
	default:
		m.note.Notes = append(m.note.Notes, fmt.Sprintf("%d of %d %s lie between 0 and 1, and are read as percent", m.small, m.numbers, what))
	}
	return nil
}

func (m *importer) bad(e *interop.RecordError) {
	if m.note.Bad++; len(m.note.Faults) < mostFaults {
		m.note.Faults = append(m.note.Faults, e.Error())
	}
}

// add takes a result into its population.
func (m *importer) add(r interop.Result) error {
	name := r.Space
	if name == "" {
		name = m.source.Name
	}
	t := study.Trial{Space: name, Seconds: r.Seconds, Spec: r.Spec}
	if r.Done {
		if err := m.outcome(&t, r); err != nil {
			m.bad(&interop.RecordError{Place: r.Place, Err: err})
			return nil
		}
	} else {
		t.State = study.Pending
		m.note.Untrained++
	}
	if err := m.complexity(&t, r); err != nil {
		m.bad(&interop.RecordError{Place: r.Place, Err: err})
		return nil
	}
	if r.Spec.Network == nil {
		t.Asked = space.Asked{}
		for _, n := range r.Numbers {
			t.Asked = append(t.Asked, space.Drawn{Name: n.Name, Value: n.Value})
		}
	}
	i := slices.IndexFunc(m.source.Populations, func(p study.Population) bool { return p.Space == name })
	if i < 0 {
		i = len(m.source.Populations)
		m.source.Populations = append(m.source.Populations, study.Population{Study: m.source.Name, Space: name})
	}
	p := &m.source.Populations[i]
	if n := len(p.Trials); r.Rerun > 0 && n > 0 && p.Trials[n-1].Spec.Key() == t.Spec.Key() {
		first := &p.Trials[n-1]
		t.Index, t.ID, t.Rerun = first.Index, first.ID+"/"+strconv.Itoa(r.Rerun), r.Rerun
		first.Reruns = append(first.Reruns, t)
		return nil
	}
	if t.Spec.Network != nil && t.State == study.Done {
		key := fmt.Sprint(name, " ", t.Spec.Key(), " ", t.Error)
		if m.seen[key] {
			m.repeated++
		}
		m.seen[key] = true
	}
	t.Index = len(p.Trials)
	t.ID = m.source.Name + "/" + name + "/" + strconv.Itoa(t.Index)
	p.Trials = append(p.Trials, t)
	for _, path := range conditionPaths {
		switch v := r.Conditions[path]; {
		case m.read == 0 && v != "":
			m.note.Conditions[path] = v
		case m.read > 0 && v != m.note.Conditions[path]:
			m.note.Conditions[path] = "varies"
		}
	}
	m.read++
	return nil
}

// outcome is the error of a network; a failed one counts with that of chance.
func (m *importer) outcome(t *study.Trial, r interop.Result) error {
	t.State, t.Error = study.Done, r.Error
	known := r.Error == r.Error
	if known {
		m.numbers++
		if m.accuracy = r.Accuracy; !r.Accuracy && r.Error <= 1 || r.Accuracy && r.Error >= 99 {
			m.small++
		}
	}
	if !known || r.Failed {
		t.State, t.Death = study.Failed, trial.Death{Reason: "failed, says the record"}
		if !known {
			t.Death.Reason = "no error in the record"
		}
		switch {
		case r.Classes >= 1:
			t.Error = study.ChanceError(r.Classes, 1)
		case !known:
			return errors.New("failed, and counts with the error of chance, which is not known: state the classes, as --map classes=num_classes, or in the spec")
		}
	}
	if m.read < mostImportedCurves {
		for i, e := range r.Curve {
			if e == e {
				t.Epochs = append(t.Epochs, study.Epoch{Epoch: i + 1, Evaluated: true, ValError: e})
			}
		}
	}
	return nil
}

// complexity is counted from the spec where it is known for which images, or the
// record says nothing; else it is what the record says.
func (m *importer) complexity(t *study.Trial, r interop.Result) error {
	t.Complexity = r.Complexity
	states := r.Spec.Resolution > 0 && r.Spec.Classes > 0
	if r.Spec.Network == nil || !states && r.Complexity != (graph.Complexity{}) {
		return nil
	}
	counted, err := r.Spec.Complexity(r.Spec.Input())
	if err != nil {
		return err
	}
	if !states {
		m.assumed++
	}
	t.Complexity = counted
	return nil
}
