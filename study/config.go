package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"netspace/engine/pytorch"
	"netspace/space"
	"netspace/strict"
	"netspace/train"
	"netspace/trial"
)

// Config is a study as its file states it.
type Config struct {
	Name    string // of the study; letters, digits and ._-
	Samples int    // networks per space, at least 1; 0: as many as Decide, Design or Search asks for
	Repeats Repeats
	Spaces  []string
	Data    trial.Data
	Settings
	Limits Limits
	// Decide is a comparison that says how many networks are trained; nil: Samples does.
	Decide *Decide
	// Design is a loop that says what is trained; nil: Samples or Decide does. Spaces are then those that it has come to so far.
	Design *Design
	// Search is a search that says what is trained, of the one space in Spaces; nil: it is none.
	Search *Search
	// Slurm is the cluster that it is run on unless somebody says otherwise; nil: this machine.
	Slurm *Slurm
}

// Limits bound what a trial may take. They may change while a study goes on.
type Limits struct {
	Retries      int           // how often a trial is tried again whose worker died; 0 to 100
	TrialTimeout time.Duration // of an attempt; 0: none
	StallTimeout time.Duration // without progress of an attempt; 0: none
	TrialMemory  int64         // bytes of a worker with all that it starts; 0: what the machine has, shared among its workers
}

// DefaultLimits are those of a study that states none.
func DefaultLimits() Limits { return Limits{Retries: 2, StallTimeout: 10 * time.Minute} }

// Settings is the part of a Config that must stay as it is for results to
// belong together; so must the images (see train.DataKey), wherever they lie.
// The numbers of samples and repeats may change, and so may the list of spaces.
type Settings struct {
	Network space.Template `json:"network"` // what all networks share, in the place of what their spaces say
	Regime  space.Regime   `json:"regime"`
	Recipe  train.Recipe   `json:"recipe"`
	Seed    uint64         `json:"seed"` // below 2^53
	// Engine that trains; "" means engines.Default. Not stated in the file.
	Engine string `json:"engine,omitempty"`
	// Trainer that trains; the zero value is the built-in one.
	Trainer trial.Choice `json:"trainer,omitzero"`
}

// maxPerDevice bounds a slip, too: no GPU does more trainings at once.
const maxPerDevice = 256

// maxSamples bounds a slip of the finger; more networks than anyone trains.
const maxSamples = 1_000_000

var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// LoadConfig reads a study file. The error is a *strict.Error that lists
// all faults with line, path, value and what is allowed.
func LoadConfig(path string) (Config, error) {
	data, err := strict.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("study file: %w", err)
	}
	return ParseConfig(data, path)
}

// ParseConfig is LoadConfig of a file's content.
func ParseConfig(data []byte, file string) (Config, error) {
	var c Config
	doc, err := strict.Parse(data, file)
	if err != nil {
		return c, err
	}
	f := doc.Root()
	f.Require("name", "data", "recipe")
	if !f.Has("design") && !f.Has("search") {
		f.Require("spaces")
		if !f.Has("decide") {
			f.Require("samples")
		}
	}
	f.Word("name", func(word string) error {
		if !goodName.MatchString(word) {
			return errors.New("must start with a letter or digit and hold only letters, digits, '.', '_' and '-': it names a folder")
		}
		c.Name = word
		return nil
	})
	readData(doc, f.Map("data"), &c.Data)
	readNetwork(doc, f.Map("network"), &c.Network)
	c.Regime = space.ReadRegime(f.Map("regime"))
	c.Recipe = train.DefaultRecipe()
	c.Recipe.Read(doc, f.Map("recipe"))
	whole(doc, f, "samples", &c.Samples, 1, maxSamples)
	c.Repeats = readRepeats(doc, f)
	f.Word("seed", func(word string) error {
		seed, err := strconv.ParseUint(word, 10, 53)
		if err != nil {
			return errors.New("must be a whole number from 0 to 9007199254740991")
		}
		c.Seed = seed
		return nil
	})
	c.Limits = readLimits(doc, f)
	c.Trainer = readTrainer(doc, f)
	if err := c.Trainer.Fits(c.Recipe); err != nil {
		doc.Fail("recipe.activations", string(c.Recipe.Activations), "%v", err)
	}
	c.Slurm = readSlurm(doc, f.Map("executor"))
	f.Strings("spaces", &c.Spaces)
	checkSpaces(doc, f, c.Spaces)
	c.Decide = readDecide(doc, f.Map("decide"), DefaultDecide(), c.Spaces, c.Recipe.Epochs)
	if c.Design = readDesign(doc, f.Map("design"), c.Recipe.Epochs); c.Design != nil {
		alone(doc, f, "design", "samples", "repeats", "decide", "search")
		if len(c.Spaces) == 0 && c.Design.Start != "" {
			c.Spaces = []string{c.Design.Start}
		}
	}
	if c.Search = readSearch(doc, f.Map("search"), c.Recipe); c.Search != nil {
		alone(doc, f, "search", "samples", "repeats", "decide", "spaces")
		c.Spaces = []string{c.Search.Space}
	}
	for i, name := range c.Spaces {
		if c.Decide != nil && !f.Has("samples") && !slices.Contains(c.Decide.Between[:], name) && !doc.Failed("decide.between") {
			doc.Fail(strict.Index("spaces", i), name, "is not compared by decide: samples must say how many networks of it are trained")
		}
	}
	f.Finish()
	return c, doc.Err()
}

// alone refuses keys beside a block that says what is trained.
func alone(doc *strict.Doc, f *strict.Fields, block string, others ...string) {
	for _, other := range others {
		if f.Has(other) {
			doc.Fail(other, "", "has no place beside %s, which says what is trained", block)
		}
	}
}

func whole(doc *strict.Doc, f *strict.Fields, name string, to *int, low, high int) {
	v := low
	f.Int(name, &v)
	if !f.Has(name) {
		return
	}
	if v < low || v > high {
		doc.Fail(f.Path(name), strconv.Itoa(v), "must be from %d to %d", low, high)
	}
	*to = v
}

func readLimits(doc *strict.Doc, f *strict.Fields) Limits {
	l := DefaultLimits()
	if f.Has("retries") {
		whole(doc, f, "retries", &l.Retries, 0, 100)
	}
	readDuration(f, "trial_timeout", &l.TrialTimeout)
	readDuration(f, "stall_timeout", &l.StallTimeout)
	readBytes(f, "trial_memory", &l.TrialMemory)
	return l
}

// ParseTrainer reads a trainer as a study file states it, from one line.
func ParseTrainer(text string) (trial.Choice, error) {
	doc, err := strict.Parse([]byte("trainer: "+text), "trainer")
	if err != nil {
		return trial.Choice{}, err
	}
	f := doc.Root()
	c := readTrainer(doc, f)
	f.Finish()
	return c, doc.Err()
}

// readTrainer reads the trainer: builtin, pytorch, {pytorch: {device: cuda, …}} or {command: [program, argument…]}.
func readTrainer(doc *strict.Doc, f *strict.Fields) (c trial.Choice) {
	v, ok := f.Value("trainer")
	if !ok {
		return c
	}
	switch word, _ := v.Text(); word {
	case "builtin":
		return c
	case "pytorch":
		c.PyTorch = &trial.PyTorch{}
		return c
	}
	m, ok := v.Fields()
	if !ok || m.Has("command") == m.Has("pytorch") {
		v.Fail("must be builtin, pytorch, {pytorch: {python: …, device: …, precision: …, per_device: …}} or {command: [program, argument…]}")
		return c
	}
	if m.Has("command") {
		m.Strings("command", &c.Command)
		if len(c.Command) == 0 || c.Command[0] == "" {
			v.Fail("command must name a program")
		}
	} else if p := m.Map("pytorch"); p != nil {
		c.PyTorch = &trial.PyTorch{PerDevice: 1}
		p.Word("python", func(word string) error {
			c.PyTorch.Python = word
			return nil
		})
		choose := func(name string, to *string, from []string) {
			p.Word(name, func(word string) error {
				if !slices.Contains(from, word) {
					return errors.New(strict.OneOf(word, from...))
				}
				*to = word
				return nil
			})
		}
		choose("device", &c.PyTorch.Device, pytorch.Devices())
		choose("precision", &c.PyTorch.Precision, pytorch.Precisions())
		whole(doc, p, "per_device", &c.PyTorch.PerDevice, 1, maxPerDevice)
		p.Finish()
	}
	m.Finish()
	return c
}

// readDuration reads a time such as 90s, 45m or 2h; 0 is none.
func readDuration(f *strict.Fields, name string, to *time.Duration) {
	f.Word(name, func(word string) error {
		d, err := time.ParseDuration(word)
		if err != nil || d != 0 && d < time.Second {
			return errors.New("must be a time from a second up, such as 90s, 45m or 2h, or 0 for none")
		}
		*to = d
		return nil
	})
}

const memoryRule = "must be a size from 1 MB up, such as 2GB or 1.5GiB"

// readBytes reads an amount of memory.
func readBytes(f *strict.Fields, name string, to *int64) {
	f.Word(name, func(word string) error {
		bytes, err := humanize.ParseBytes(word)
		if err != nil || bytes < 1_000_000 || bytes > 1<<50 {
			return errors.New(memoryRule)
		}
		*to = int64(bytes)
		return nil
	})
}

func readData(doc *strict.Doc, f *strict.Fields, to *trial.Data) {
	if f == nil {
		return
	}
	f.Require("name")
	f.String("name", &to.Name)
	whole(doc, f, "train", &to.Train, 1, 1<<31)
	whole(doc, f, "validation", &to.Validation, 1, 1<<31)
	whole(doc, f, "resolution", &to.Resolution, 1, 4096)
	f.String("labels", &to.Labels)
	f.Finish()
}

func readNetwork(doc *strict.Doc, f *strict.Fields, to *space.Template) {
	*to = space.ReadTemplate(f)
	relocate(doc, to.Validate())
}

// relocate adds the faults of err to those of doc, with their lines.
func relocate(doc *strict.Doc, err error) {
	var bad *strict.Error
	if !errors.As(err, &bad) {
		return
	}
	for _, f := range bad.Faults {
		if !doc.Failed(f.Path) {
			doc.Fail(f.Path, f.Value, "%s", f.Rule)
		}
	}
}

func checkSpaces(doc *strict.Doc, f *strict.Fields, spaces []string) {
	if f.Has("spaces") && len(spaces) == 0 && !doc.Failed("spaces") {
		doc.Fail("spaces", "", "must list at least one space: %s, or the path of a space file", strings.Join(space.Names(), ", "))
	}
	seen := map[string]bool{}
	for i, name := range spaces {
		path := strict.Index("spaces", i)
		if seen[name] {
			doc.Fail(path, name, "is listed twice")
		}
		seen[name] = true
	}
}

// ChangedError says how a study's settings differ from those that its results
// were made with.
type ChangedError struct {
	Dir     string
	Changes []string
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s holds results of another study; samples, spaces and repeats may be added to a study, nothing else may change:\n  %s\nuse another folder for the changed study (--dir, or another name)",
		e.Dir, strings.Join(e.Changes, "\n  "))
}

// changes lists what differs between the settings of a folder and s, by path.
func (s Settings) changes(old Settings) ([]string, error) {
	was, err := Leaves(old)
	if err != nil {
		return nil, err
	}
	is, err := Leaves(s)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, path := range unionKeys(was, is) {
		if a, b := was[path], is[path]; a != b {
			out = append(out, fmt.Sprintf("%s: %s, was %s", path, orAbsent(b), orAbsent(a)))
		}
	}
	return out, nil
}

func orAbsent(s string) string {
	if s == "" {
		return "not stated"
	}
	return s
}

// Leaves gives the JSON text of every leaf of v by its path, "recipe.epochs".
func Leaves(v any) (map[string]string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var tree any
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			text, _ := json.Marshal(v) // it was JSON a moment ago
			out[path] = string(text)
			return
		}
		for k, v := range m {
			if path != "" {
				k = path + "." + k
			}
			walk(k, v)
		}
	}
	walk("", tree)
	return out, nil
}
