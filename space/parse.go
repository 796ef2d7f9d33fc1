package space

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netspace/arch"
	"netspace/metric"
	"netspace/strict"
)

// Load reads a built-in space by name, or a space file by path. The error of a
// file is a *strict.Error with all its faults.
func Load(nameOrPath string) (*Space, error) {
	return origin{}.load(nameOrPath, "")
}

// Parse reads a space in the space language. filename is for messages, and a
// base that is a path is relative to it.
func Parse(data []byte, filename string) (*Space, error) {
	return origin{}.parse(File{filename, string(data)}, filename)
}

// ParseFiles reads a space from what Space.Files gave. It reads nothing else but built-in
// spaces that are not among them.
func ParseFiles(files []File) (*Space, error) {
	if len(files) == 0 {
		return nil, errors.New("space: there is no file to read it from")
	}
	return origin{kept: files[1:]}.parse(files[0], fileName(files[0].Path))
}

// origin is where spaces are looked for, and from where.
type origin struct {
	chain []string // the files that derive from what is looked for, to notice circles
	kept  []File   // in the place of files on the disk; nil: the disk
}

// fileName is the name of a file for messages: built-in spaces are found without an ending.
func fileName(path string) string {
	if slices.Contains(Names(), path) {
		return path + ".yaml"
	}
	return path
}

// load finds a space that a file from names; "" if a person does.
func (o origin) load(nameOrPath, from string) (*Space, error) {
	path := nameOrPath
	if from != "" && !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(from), path)
	}
	for _, f := range o.kept { // before what is built in: it may be another one by now
		if f.Path == nameOrPath || f.Path == path {
			return o.parse(f, fileName(f.Path))
		}
	}
	if slices.Contains(Names(), nameOrPath) {
		name := fileName(nameOrPath)
		data, err := builtinFiles.ReadFile("builtin/" + name)
		if err != nil {
			return nil, fmt.Errorf("read built-in space: %w", err)
		}
		return o.parse(File{nameOrPath, string(data)}, name)
	}
	if o.kept != nil {
		return nil, fmt.Errorf("space %s is not among the files that were kept", nameOrPath)
	}
	data, err := strict.ReadFile(path)
	if err == nil {
		return o.parse(File{path, string(data)}, path)
	}
	if ext := filepath.Ext(nameOrPath); os.IsNotExist(err) && ext != ".yaml" && ext != ".yml" && ext != ".json" {
		rule := "is neither a built-in space nor a file"
		if near := strict.Nearest(nameOrPath, Names(), 3); len(near) > 0 {
			rule += "; the nearest names are " + strings.Join(near, ", ")
		} else {
			rule += "; built in are " + strings.Join(Names(), ", ")
		}
		return nil, fmt.Errorf("space %q %s", nameOrPath, rule)
	}
	return nil, fmt.Errorf("read space: %w", err)
}

func (o origin) parse(file File, filename string) (*Space, error) {
	doc, err := strict.Parse([]byte(file.Text), filename)
	if err != nil {
		return nil, err
	}
	f := doc.Root()
	if f == nil {
		return nil, doc.Err()
	}
	s := &Space{Name: strings.TrimSuffix(filepath.Base(filename), filepath.Ext(filename)), files: []File{file}}
	r := reader{doc: doc, space: s, origin: origin{append(slices.Clone(o.chain), filename), o.kept}}
	r.head(f)
	r.network(f)
	r.parameters(f)
	r.rules(f)
	s.Regime = ReadRegime(f.Map("regime")).over(s.Regime)
	f.Finish()
	r.check()
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// reader reads one file into a space.
type reader struct {
	doc    *strict.Doc
	space  *Space
	origin // with the file being read last in its chain
}

// head reads what a space is and derives from.
func (r *reader) head(f *strict.Fields) {
	s := r.space
	f.String("name", &s.Name)
	var about, base string
	f.String("about", &about)
	f.String("base", &base)
	family := ""
	f.Word("family", func(w string) error {
		if !slices.Contains(families, w) {
			return fmt.Errorf("%s", strict.OneOf(w, families...))
		}
		family = w
		return nil
	})
	f.Strings("derived_from", &s.Bases)
	if base != "" {
		if f.Has("derived_from") {
			r.doc.Fail("derived_from", "", "says what base says: only one of the two is allowed")
		}
		r.derive(base)
		if family != "" && s.Family != "" && family != s.Family {
			r.doc.Fail("family", family, "must be that of the base, %s", s.Family)
		}
	}
	s.About = about
	switch {
	case s.Family == "" && family == "" && !r.doc.Failed("family") && !r.doc.Failed("base"):
		r.doc.Fail("family", "", "is missing: %s, or a base", strict.OneOf("", families...))
	case s.Family == "":
		s.Family = family
	}
}

func (r *reader) derive(base string) {
	s := r.space
	for _, file := range r.chain {
		if file == base+".yaml" && len(r.chain) > 1 || filepath.Join(filepath.Dir(r.doc.File()), base) == filepath.Clean(file) {
			r.doc.Fail("base", base, "derives from itself")
			return
		}
	}
	b, err := r.load(base, r.doc.File())
	if err != nil {
		r.doc.Fail("base", base, "cannot be read: %v", err)
		return
	}
	s.Family, s.Network, s.Regime = b.Family, b.Network, b.Regime
	s.Bases = append([]string{b.Name}, b.Bases...)
	s.files = append(s.files, b.files...)
	s.Parameters = slices.Clone(b.Parameters)
	s.Rules = slices.Clone(b.Rules)
}

// ReadTemplate reads the fields of a mapping, as a study file has one under
// network. Faults go to the document of f, which may be nil.
func ReadTemplate(f *strict.Fields) Template {
	var t Template
	word := func(f *strict.Fields, name string, to *string, check func(string) error) {
		f.Word(name, func(w string) error { *to = w; return check(w) })
	}
	word(f, "block", &t.Block, func(w string) error { _, err := parseBlock(w); return err })
	stem := f.Map("stem")
	word(stem, "type", &t.Stem.Type, func(w string) error { _, err := arch.ParseStemType(w); return err })
	readWhole(stem, "width", &t.Stem.Width, maxWidth)
	stem.Finish()
	readWhole(f, "stages", &t.Stages, MaxStages)
	if v, ok := f.Value("strides"); ok {
		t.Strides = readStrides(v)
	}
	word(f, "activation", &t.Activation, func(w string) error { _, err := arch.ParseActivation(w); return err })
	float := func(name string) *float64 {
		if !f.Has(name) {
			return nil
		}
		v := new(float64)
		f.Float(name, v)
		return v
	}
	t.SE, t.DropPath, t.Dropout = float("se"), float("drop_path"), float("dropout")
	if f.Has("radix") {
		t.Radix = new(int)
		readWhole(f, "radix", t.Radix, arch.MaxRadix)
	}
	if f.Has("head_width") {
		t.HeadWidth = new(int)
		f.Int("head_width", t.HeadWidth)
	}
	f.Finish()
	return t
}

// readWhole reads a whole number from 1 to most.
func readWhole(f *strict.Fields, name string, to *int, most int) {
	f.Int(name, to)
	v, ok := f.Value(name)
	if !ok {
		return
	}
	if n, whole := v.Number(); whole && n == math.Trunc(n) && (n < 1 || n > float64(most)) {
		v.Fail("must be from 1 to %d", most)
		*to = 0
	}
}

func readStrides(v strict.Value) []int {
	items, ok := v.Items()
	if !ok {
		items = []strict.Value{v}
	}
	var out []int
	for _, item := range items {
		n, ok := item.Number()
		if !ok || n != math.Trunc(n) || n < 1 || n > maxStride {
			item.Fail("must be a whole number from 1 to %d", maxStride)
			continue
		}
		out = append(out, int(n))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// ReadRegime reads the fields of a mapping, as a study file has one under
// regime. Faults go to the document of f, which may be nil.
func ReadRegime(f *strict.Fields) Regime {
	var g Regime
	for _, m := range metric.Counted() {
		f.Word(m.Name, func(w string) (err error) { g.Bounds[m.ID], err = metric.ParseRange(w); return err })
	}
	if v, ok := f.Value("rules"); ok {
		items, isList := v.Items()
		if !isList {
			v.Fail("must be a list of expressions")
		}
		for _, item := range items {
			text, ok := item.Text()
			if !ok {
				item.Fail("must be an expression")
				continue
			}
			g.Rules = append(g.Rules, text)
		}
	}
	f.Finish()
	return g
}

func (r *reader) network(f *strict.Fields) {
	m := f.Map("network")
	if m == nil {
		return
	}
	r.space.Network = ReadTemplate(m).over(r.space.Network)
}

// parameters reads the priors; one of a name that the base has takes its place.
func (r *reader) parameters(f *strict.Fields) {
	m := f.Map("parameters")
	for _, name := range m.Keys() {
		v, _ := m.Value(name)
		d, err := define(name, r.space.Family)
		if r.space.Family == "" { // reported already
			continue
		}
		if err != nil {
			v.Fail("%v", err)
			continue
		}
		p := Parameter{Name: name, Shared: d.stage < 0, file: r.doc.File(), line: v.Line()}
		if items, ok := v.Items(); ok {
			if d.stage < 0 {
				v.Fail("must be one prior: stages do not have a %s of their own", name)
				continue
			}
			if len(items) == 0 || len(items) > MaxStages {
				v.Fail("must have one prior for each stage")
			}
			for _, item := range items {
				p.Priors = append(p.Priors, r.prior(item, d, nil))
			}
		} else {
			p.Priors = []Prior{r.prior(v, d, &p.Shared)}
		}
		r.space.Parameters = setParameter(r.space.Parameters, p)
	}
}

// prior reads a number or the mapping of a distribution. shared is nil where
// sharing makes no sense.
func (r *reader) prior(v strict.Value, d definition, shared *bool) Prior {
	var p Prior
	if n, ok := v.Number(); ok {
		p = Fixed(n)
	} else if m, ok := v.Fields(); ok {
		if !r.distribution(v, m, d, &p, shared) {
			return Fixed(1)
		}
	} else {
		v.Fail("must be a number, or a distribution as {log-uniform: 8..1024, multiple: 8}")
		return Fixed(1)
	}
	return p
}

func (r *reader) distribution(v strict.Value, m *strict.Fields, d definition, p *Prior, shared *bool) bool {
	found, good := 0, true
	for i, name := range kindNames {
		w, ok := m.Value(name)
		if !ok {
			continue
		}
		if found++; found > 1 {
			w.Fail("is a second distribution: only one is allowed")
			good = false
		}
		p.Kind = Kind(i)
		if p.Kind == Values {
			p.Values, ok = readNumbers(w)
		} else {
			p.Min, p.Max, ok = readEnds(w)
		}
		good = good && ok
	}
	if found == 0 {
		r.doc.Fail(v.Path(), "", "has no distribution: it needs one of %s", strings.Join(kindNames[:], ", "))
		m.Skip(m.Keys()...)
		return false
	}
	if d.whole && p.Kind != Values && p.Kind != PowerOfTwo {
		p.Multiple = 1
	}
	switch p.Kind {
	case Values:
		if w, ok := m.Value("weights"); ok {
			p.Weights, ok = readNumbers(w)
			good = good && ok
		}
	case Normal, LogNormal:
		center := centerWord(p.Kind)
		if m.Has(center) {
			p.Center = new(float64)
			m.Float(center, p.Center)
		}
		m.Float("std", &p.Std)
		if m.Has("std") && p.Std <= 0 && !r.doc.Failed(m.Path("std")) {
			r.doc.Fail(m.Path("std"), metric.FormatNumber(p.Std), "must be more than 0")
			good = false
		}
	}
	if p.Kind != Values && p.Kind != PowerOfTwo {
		m.Float("multiple", &p.Multiple)
		if m.Has("multiple") && p.Multiple <= 0 && !r.doc.Failed(m.Path("multiple")) {
			r.doc.Fail(m.Path("multiple"), metric.FormatNumber(p.Multiple), "must be more than 0")
			good = false
		}
	}
	if shared != nil && d.stage >= 0 {
		m.Bool("shared", shared)
	}
	m.Finish()
	return good && !r.doc.Failed(m.Path("multiple"))
}

// readEnds reads "8..1024", the ends of a prior.
func readEnds(v strict.Value) (lo, hi float64, ok bool) {
	text, ok := v.Text()
	before, after, two := strings.Cut(text, "..")
	if !ok || !two {
		v.Fail("must be a range with both ends, as 8..1024")
		return 0, 0, false
	}
	lo, err := metric.ParseNumber(strings.TrimSpace(before))
	if err == nil {
		hi, err = metric.ParseNumber(strings.TrimSpace(after))
	}
	if err != nil {
		v.Fail("must be a range with both ends, as 8..1024: %v", err)
		return 0, 0, false
	}
	return lo, hi, true
}

func readNumbers(v strict.Value) ([]float64, bool) {
	items, ok := v.Items()
	if !ok {
		v.Fail("must be a list of numbers")
		return nil, false
	}
	out := make([]float64, 0, len(items))
	for _, item := range items {
		text, scalar := item.Text()
		n, err := metric.ParseNumber(text)
		if !scalar || err != nil {
			item.Fail("must be a number")
			ok = false
		}
		out = append(out, n)
	}
	return out, ok
}

func (r *reader) rules(f *strict.Fields) {
	v, ok := f.Value("rules")
	if !ok {
		return
	}
	items, ok := v.Items()
	if !ok {
		v.Fail("must be a list of rules")
		return
	}
	for _, item := range items {
		rule := Rule{file: r.doc.File(), line: item.Line(), path: item.Path()}
		if text, ok := item.Text(); ok {
			rule.Expression = text
		} else if m, ok := item.Fields(); !ok || !r.rule(item, m, &rule) {
			if !ok {
				item.Fail("must be an expression, or a rule as {equal: width}")
			}
			continue
		}
		r.space.Rules = append(r.space.Rules, rule)
	}
}

// rule reads the mapping of a rule by name.
func (r *reader) rule(v strict.Value, m *strict.Fields, rule *Rule) bool {
	found, good := 0, true
	for i, name := range ruleNames {
		w, ok := m.Value(name)
		if !ok {
			continue
		}
		if found++; found > 1 {
			w.Fail("is a second rule: write one item for each")
			good = false
		}
		rule.Kind = RuleKind(i)
		switch rule.Kind {
		case Expression:
			if rule.Expression, ok = w.Text(); !ok {
				w.Fail("must be an expression")
			}
		case InRange, In:
			ok = r.restriction(w, rule)
		default:
			if rule.Parameter, ok = w.Text(); !ok {
				w.Fail("must be the name of a parameter")
			}
		}
		good = good && ok
	}
	if found == 0 {
		word := strings.Join(m.Keys(), ", ")
		r.doc.Fail(v.Path(), word, "is no rule: it %s", strict.OneOf(word, ruleNames[:]...))
		m.Skip(m.Keys()...)
		return false
	}
	m.String("name", &rule.Name)
	if rule.Kind != Expression {
		if e, ok := m.Value("except"); ok {
			rule.Except = readExcept(e)
		}
	}
	if rule.Kind == Expression && good && len(m.Unread()) > 0 {
		r.doc.Fail(v.Path(), rule.Expression, "ends at a comma: put the expression in quotes")
		m.Skip(m.Keys()...)
		good = false
	}
	m.Finish()
	return good
}

// restriction reads {width: 8..64} of range, or {width: [8, 16]} of in.
func (r *reader) restriction(v strict.Value, rule *Rule) bool {
	m, ok := v.Fields()
	if !ok || len(m.Keys()) != 1 {
		v.Fail("must name one parameter, as {range: {depth: 12..28}} or {in: {group_width: [8, 16]}}")
		if ok {
			m.Skip(m.Keys()...)
		}
		return false
	}
	rule.Parameter = m.Keys()[0]
	w, _ := m.Value(rule.Parameter)
	if rule.Kind == In {
		rule.Values, ok = readNumbers(w)
		return ok
	}
	text, ok := w.Text()
	var err error
	if rule.Range, err = metric.ParseRange(text); !ok || err != nil {
		w.Fail("must be a range, as 12..28, ..28 or 2..")
		return false
	}
	return true
}

func readExcept(v strict.Value) []int {
	items, ok := v.Items()
	if !ok {
		items = []strict.Value{v}
	}
	var out []int
	for _, item := range items {
		text, _ := item.Text()
		n, isNumber := item.Number()
		switch {
		case text == "first":
			out = append(out, 1)
		case text == "last":
			out = append(out, Last)
		case isNumber && n == math.Trunc(n) && n >= 1 && n <= MaxStages:
			out = append(out, int(n))
		default:
			item.Fail("must be first, last or the number of a stage from 1 to %d", MaxStages)
		}
	}
	return out
}

// check finds faults that show only when the parts are put together (see
// Space.Validate). Rules and bounds that could not be read are left out; without the rest
// there is nothing that they could mean.
func (r *reader) check() {
	if r.doc.Failed("base") || r.doc.Failed("family") || r.doc.Failed("") {
		return
	}
	add := func(err error) {
		var found *strict.Error
		if !errors.As(err, &found) {
			if err != nil {
				r.doc.Fail("", "", "%v", err)
			}
			return
		}
		for _, f := range found.Faults {
			if r.unread(f.Path) {
				continue
			}
			if f.File == "" {
				f.File, f.Line = r.doc.File(), r.doc.Line(f.Path)
			}
			r.doc.Add(f)
		}
	}
	add(r.space.faults().Err())
	if !r.unread("network") && !r.unread("parameters") {
		add(r.space.Validate())
	}
}

// unread says whether a fault of the part of the file at path, or within it, is known.
func (r *reader) unread(path string) bool {
	var e *strict.Error
	return errors.As(r.doc.Err(), &e) && slices.ContainsFunc(e.Faults, func(f strict.Fault) bool {
		rest, within := strings.CutPrefix(f.Path, path)
		return within && f.File == r.doc.File() && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}
