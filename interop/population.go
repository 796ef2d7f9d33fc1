package interop

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"netspace/arch"
	"netspace/graph"
	"netspace/internal/infile"
)

// PopulationFormat is the kind of a file of networks that were trained elsewhere.
type PopulationFormat string

// The formats that ReadPopulation understands.
const (
	PopulationSearch PopulationFormat = "regnet-search" // a folder of INI files with accuracies
	PopulationSweep  PopulationFormat = "pycls-sweep"   // sweep.json of the paper authors' tool
	PopulationNDS    PopulationFormat = "nds"           // the JSON published with NDS
	PopulationJSON   PopulationFormat = "json"          // records of a list
	PopulationLines  PopulationFormat = "jsonl"         // one record a line
	PopulationCSV    PopulationFormat = "csv"           // one record a line, below a header
)

// Result is a network that was trained elsewhere.
type Result struct {
	Place string    // "sweep.json: record 17", "networks.jsonl:12"
	Space string    // the population that it belongs to, if the record says so
	Spec  arch.Spec // its Network is nil where the record does not describe one that there is here
	// Numbers are what the record says of a network without a spec, by name.
	Numbers []Number
	Done    bool    // whether it has a result; else it was not trained, or not to the end
	Error   float64 // top-1 in percent; NaN: it failed
	// Accuracy says that the record has an accuracy, of which Error is made.
	Accuracy bool
	// Failed says that it failed, also where Error is a number: what it counts with where the error of chance is not known.
	Failed bool
	Curve  []float64 // of Error, by epoch
	Rerun  int       // a further training of the network before it, from 1
	// Complexity as the record says, zeros where it does not.
	Complexity graph.Complexity
	Classes    int     // 0: not known
	Seconds    float64 // of training; 0: not known
	// Conditions under which it was trained, as far as the record says, by the paths
	// of a study's settings: "data", "recipe.epochs".
	Conditions map[string]string
}

// Number is a number with its name.
type Number struct {
	Name  string
	Value float64
}

// RecordError says what is wrong with a record.
type RecordError struct {
	Place string
	Err   error
}

func (e *RecordError) Error() string { return e.Place + ": " + e.Err.Error() }
func (e *RecordError) Unwrap() error { return e.Err }

// ErrNoPopulation says that a file or folder is of none of the formats.
var ErrNoPopulation = errors.New("is no population: known are a folder of RegNet-search INI files, sweep.json, the JSON of NDS, JSON, JSON Lines and CSV")

// The limits of what is read.
const (
	maxRecord     = 64 << 20  // bytes of one record
	maxPopulation = 16 << 30  // bytes of a file, against a slip
	maxRecords    = 1_000_000 // of a population
	maxListed     = 200_000   // files of a folder
)

// ReadPopulation gives the networks of a file or folder to visit, one at a time
// and in order, until it returns an error; of a file no more than one record is
// held. What is wrong with a record goes to bad, and reading goes on. m says where
// fields are; nil for formats that need no mapping.
func ReadPopulation(ctx context.Context, path string, m Mapping, visit func(Result) error, bad func(*RecordError)) (PopulationFormat, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	p := &populationReader{ctx: ctx, mapping: m, visit: visit, bad: bad, name: path}
	if info.IsDir() {
		if sweep := filepath.Join(path, "sweep.json"); isFile(sweep) {
			return ReadPopulation(ctx, sweep, m, visit, bad)
		}
		return PopulationSearch, p.folder(path)
	}
	f, err := infile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info.Size() > maxPopulation {
		return "", fmt.Errorf("%s has %d bytes: at most %d are read", path, info.Size(), int64(maxPopulation))
	}
	in := bufio.NewReaderSize(f, 1<<16)
	if mark, err := in.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) { // which spreadsheets write
		if _, err := in.Discard(3); err != nil {
			return "", err
		}
	}
	first, err := firstByte(in)
	switch ext := strings.ToLower(filepath.Ext(path)); {
	case errors.Is(err, io.EOF):
		return "", fmt.Errorf("%s: is empty", path)
	case err != nil:
		return "", fmt.Errorf("read %s: %w", path, err)
	case first == '{' && (ext == ".jsonl" || ext == ".ndjson" || !oneObject(in)):
		p.format = PopulationLines
		err = p.lines(in)
	case first == '[' || first == '{':
		p.format = PopulationJSON
		err = p.list(in)
	case ext == ".csv" || ext == ".tsv":
		p.format = PopulationCSV
		err = p.table(in, ext == ".tsv")
	default:
		return "", fmt.Errorf("%s: %w", path, ErrNoPopulation)
	}
	return p.format, err
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// firstByte is the first that is no space, which is left to be read.
func firstByte(in *bufio.Reader) (byte, error) {
	for {
		b, err := in.ReadByte()
		if err != nil {
			return 0, err
		}
		if b > ' ' {
			return b, in.UnreadByte()
		}
	}
}

// oneObject says whether what begins as an object is a list of lists, by their
// names, as the reruns of NDS are: its first value is a list of objects.
func oneObject(in *bufio.Reader) bool {
	head, _ := in.Peek(1 << 12) // what there is
	_, value, ok := bytes.Cut(head, []byte(":"))
	value = bytes.TrimLeft(value, " \t\r\n")
	if !ok || len(value) == 0 || value[0] != '[' {
		return false
	}
	value = bytes.TrimLeft(value[1:], " \t\r\n")
	return len(value) > 0 && value[0] == '{'
}

type populationReader struct {
	ctx     context.Context
	mapping Mapping
	visit   func(Result) error
	bad     func(*RecordError)
	name    string
	format  PopulationFormat
	records int
}

// next counts a record, and says whether to go on.
func (p *populationReader) next() error {
	if p.records++; p.records > maxRecords {
		return fmt.Errorf("%s: more than %d records", p.name, maxRecords)
	}
	return p.ctx.Err()
}

// take gives a record on, or says what is wrong with it.
func (p *populationReader) take(place string, r Result, err error) error {
	if err == nil {
		err = checkName(r.Space)
	}
	if err != nil {
		p.bad(&RecordError{place, err})
		return nil
	}
	r.Place = place
	return p.visit(r)
}

// longestName is how long the name of a population may be, in bytes.
const longestName = 200

// checkName checks the name of a population, which is printed, and part of file names.
func checkName(name string) error {
	switch {
	case len(name) > longestName:
		return fmt.Errorf("space: %.20q…: must be a name of at most %d bytes", name, longestName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("space: %.40q: must be a name of printable characters, in UTF-8", name)
	}
	return nil
}

// folder reads the INI files of a folder and of those in it.
func (p *populationReader) folder(dir string) error {
	found, seen := 0, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if seen++; seen > maxListed {
			return fmt.Errorf("%s: more than %d files", dir, maxListed)
		}
		if d.IsDir() || strings.ToLower(filepath.Ext(path)) != ".ini" {
			return nil
		}
		found++
		if err := p.next(); err != nil {
			return err
		}
		data, err := infile.Read(path, 1<<20)
		if err != nil {
			p.bad(&RecordError{path, err})
			return nil
		}
		r, err := searchResult(data, path)
		return p.take(path, r, err)
	})
	if err == nil && found == 0 {
		err = fmt.Errorf("%s: %w", dir, ErrNoPopulation)
	}
	return err
}

// lines reads one object a line.
func (p *populationReader) lines(in *bufio.Reader) error {
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 0, 1<<16), maxRecord)
	number := 0
	for scan.Scan() {
		number++
		line := bytes.TrimSpace(scan.Bytes())
		if len(line) == 0 {
			continue
		}
		if p.records == 0 && goesOn(line) {
			return fmt.Errorf("%s:%d: is one object on many lines: records are the items of a list, or one object a line each", p.name, number)
		}
		if err := p.next(); err != nil {
			return err
		}
		r, err := p.record(plainJSON(line))
		if err := p.take(fmt.Sprintf("%s:%d", p.name, number), r, err); err != nil {
			return err
		}
	}
	if err := scan.Err(); err != nil {
		return fmt.Errorf("%s:%d: %w", p.name, number+1, err)
	}
	return nil
}

// goesOn says whether a line is the beginning of an object that is written on several.
func goesOn(line []byte) bool {
	err := json.NewDecoder(bytes.NewReader(plainJSON(line))).Decode(new(any))
	return errors.Is(err, io.ErrUnexpectedEOF) && strings.ContainsRune("{[,", rune(line[len(line)-1]))
}

// list reads a list of objects, or an object of such lists.
func (p *populationReader) list(in *bufio.Reader) error {
	d := jsontext.NewDecoder(&pythonJSON{in: in}, jsontext.AllowDuplicateNames(true))
	damaged := func(err error) error {
		if p.ctx.Err() != nil {
			return p.ctx.Err()
		}
		return fmt.Errorf("%s: after record %d: %w", p.name, p.records, err)
	}
	group := ""
	for {
		switch kind := d.PeekKind(); kind {
		case '{':
			if d.StackDepth() == 0 { // the object of the lists
				if _, err := d.ReadToken(); err != nil {
					return damaged(err)
				}
				continue
			}
			value, err := d.ReadValue()
			if err != nil {
				return damaged(err)
			}
			if err := p.next(); err != nil {
				return err
			}
			r, err := p.record(value)
			if r.Space == "" {
				r.Space = group
			}
			if err := p.take(fmt.Sprintf("%s: record %d", p.name, p.records), r, err); err != nil {
				return err
			}
		case '[', ']', '}', '"':
			token, err := d.ReadToken()
			if err != nil {
				return damaged(err)
			}
			if kind == '"' {
				group = token.String()
			}
			if (kind == ']' || kind == '}') && d.StackDepth() == 0 {
				if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
					return damaged(errors.New("the file goes on after the end of its list"))
				}
				return nil
			}
		default:
			value, err := d.ReadValue()
			if err != nil {
				return damaged(err)
			}
			if err := p.next(); err != nil {
				return err
			}
			p.bad(&RecordError{fmt.Sprintf("%s: record %d", p.name, p.records), fmt.Errorf("must be an object, not %.40s", value)})
		}
	}
}

// table reads lines of values below a line of names.
func (p *populationReader) table(in io.Reader, tabs bool) error {
	c := csv.NewReader(in)
	if tabs {
		c.Comma = '\t'
	}
	header, err := c.Read()
	if err != nil {
		return fmt.Errorf("%s: header: %w", p.name, err)
	}
	for i, name := range header {
		header[i] = strings.TrimSpace(name)
	}
	for _, field := range Fields() {
		if name := cmp.Or(p.mapping[field], field); occurrences(header, name) > 1 {
			return &MappingError{fmt.Sprintf("%s has %d columns %s: which one counts?", p.name, occurrences(header, name), name)}
		}
	}
	if missing := p.mapping.missing(header); len(missing) > 0 {
		return &MappingError{fmt.Sprintf("%s has no column %s; it has %s", p.name, strings.Join(missing, ", "), strings.Join(header, ", "))}
	}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := p.next(); err != nil {
			return err
		}
		if err != nil && !errors.Is(err, csv.ErrFieldCount) {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		line, _ := c.FieldPos(0)
		place := fmt.Sprintf("%s:%d", p.name, line)
		if err != nil {
			p.bad(&RecordError{place, fmt.Errorf("has %d values for %d columns", len(row), len(header))})
			continue
		}
		record := map[string]any{}
		for i, v := range row {
			if v = strings.TrimSpace(v); v != "" {
				record[header[i]] = v
			}
		}
		r, err := p.mapping.result(record)
		if err := p.take(place, r, err); err != nil {
			return err
		}
	}
}

func occurrences(header []string, name string) (n int) {
	for _, h := range header {
		if h == name {
			n++
		}
	}
	return n
}

// record reads one object, of whatever format it turns out to be.
func (p *populationReader) record(data []byte) (Result, error) {
	var record map[string]any
	if err := json.Unmarshal(data, &record); err != nil {
		return Result{}, fmt.Errorf("is not an object in JSON: %w", err)
	}
	_, cfg := record["cfg"].(map[string]any)
	_, net := record["net"].(map[string]any)
	_, log := record["log_file"]
	switch {
	case p.mapping.states("error"):
	case cfg || log:
		p.format = PopulationSweep
		return sweepResult(record)
	case net:
		p.format = PopulationNDS
		return ndsResult(record, strings.Contains(filepath.Base(p.name), "_in"))
	}
	return p.mapping.result(record)
}

// plainJSON is a line without the words for numbers that Python writes.
func plainJSON(line []byte) []byte {
	out, err := io.ReadAll(&pythonJSON{in: bufio.NewReader(bytes.NewReader(line))})
	if err != nil {
		return line
	}
	return out
}

// pythonJSON is JSON as Python writes it, with null for NaN and Infinity, which
// trainings that diverged leave.
type pythonJSON struct {
	in      *bufio.Reader
	quoted  bool
	escaped bool
	ahead   []byte
}

var pythonWords = []string{"NaN", "Infinity", "-Infinity"}

// Read implements io.Reader.
func (r *pythonJSON) Read(b []byte) (n int, err error) {
	for n < len(b) {
		if len(r.ahead) > 0 {
			k := copy(b[n:], r.ahead)
			n, r.ahead = n+k, r.ahead[k:]
			continue
		}
		if n > 0 && r.in.Buffered() == 0 {
			return n, nil
		}
		c, err := r.in.ReadByte()
		if err != nil {
			return n, err
		}
		switch {
		case r.escaped:
			r.escaped = false
		case r.quoted:
			r.escaped, r.quoted = c == '\\', c != '"'
		case c == '"':
			r.quoted = true
		case c == 'N' || c == 'I' || c == '-':
			if word := r.word(c); word != "" {
				if _, err := r.in.Discard(len(word) - 1); err != nil {
					return n, err
				}
				r.ahead = []byte("null")
				continue
			}
		}
		b[n] = c
		n++
	}
	return n, nil
}

// word is the word that begins with c and what is next; "" if there is none.
func (r *pythonJSON) word(c byte) string {
	next, _ := r.in.Peek(len("-Infinity") - 1)
	i := slices.IndexFunc(pythonWords, func(w string) bool { return w[0] == c && bytes.HasPrefix(next, []byte(w[1:])) })
	if i < 0 {
		return ""
	}
	return pythonWords[i]
}

// percentage checks an error in percent; NaN, which is a failure, passes.
func percentage(v float64) error {
	if v < 0 || v > 100 {
		return fmt.Errorf("error %v: must be from 0 to 100 percent", v)
	}
	return nil
}

// last of numbers; NaN for none.
func last(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return v[len(v)-1]
}
