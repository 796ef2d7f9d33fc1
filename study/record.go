package study

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"netspace/arch"
	"netspace/graph"
	"netspace/space"
	"netspace/trial"
)

// trialID is a trial's identity (see trial.Task.Identify): 16 hexadecimal digits in files.
type trialID uint64

func (id trialID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// MarshalText implements encoding.TextMarshaler.
func (id trialID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Identities name folders, so nothing else may pass for one.
func (id *trialID) UnmarshalText(text []byte) (err error) {
	*id, err = parseID(string(text))
	return err
}

func parseID(s string) (trialID, error) {
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 || strings.ToLower(s) != s {
		return 0, fmt.Errorf("%.40q is no identity of a trial (16 hexadecimal digits)", s)
	}
	return trialID(v), nil
}

// record is one line of a journal: the time it was written and exactly one of the others.
type record struct {
	Time    string         `json:"time"` // RFC 3339, UTC
	Journal *headerRecord  `json:"journal,omitempty"`
	Study   *studyRecord   `json:"study,omitempty"`
	Space   *spaceRecord   `json:"space,omitempty"`
	Trial   *trialRecord   `json:"trial,omitempty"`
	Session *sessionRecord `json:"session,omitempty"`
	Claim   *claimRecord   `json:"claim,omitempty"`
	Lease   *leaseRecord   `json:"lease,omitempty"`
	Release *releaseRecord `json:"release,omitempty"`
	Maker   *Maker         `json:"maker,omitempty"`
	Start   *startRecord   `json:"start,omitempty"`
	Epoch   *epochRecord   `json:"epoch,omitempty"`
	Done    *doneRecord    `json:"done,omitempty"`
	Failed  *failedRecord  `json:"failed,omitempty"`
	Lost    *lostRecord    `json:"lost,omitempty"`
	Forgive *forgiveRecord `json:"forgive,omitempty"`
	Jobs    *jobsRecord    `json:"jobs,omitempty"`
	Cancel  *cancelRecord  `json:"cancel,omitempty"`
	Goal    *goalRecord    `json:"goal,omitempty"`
	Paused  *pausedRecord  `json:"paused,omitempty"`
}

// headerRecord is the first line of every journal.
type headerRecord struct {
	Version int    `json:"version"`
	Host    string `json:"host"`
}

// studyRecord is what must stay as it is for the results in a folder to belong
// together.
type studyRecord struct {
	Settings    json.RawMessage `json:"settings"` // Settings
	Data        string          `json:"data"`     // train.DataKey
	Input       trial.Input     `json:"input"`
	TrainImages int             `json:"train_images"`
	ValImages   int             `json:"val_images"`
}

// spaceRecord is a space as it was when networks were first sampled from it.
type spaceRecord struct {
	Name  string       `json:"name"` // in the study file
	Files []space.File `json:"files"`
}

// trialRecord puts a network in a population.
type trialRecord struct {
	Space      string           `json:"space"`
	Index      int              `json:"index"`
	ID         trialID          `json:"id"`
	Seed       uint64           `json:"seed"`
	Spec       arch.Spec        `json:"spec"`
	Asked      space.Asked      `json:"asked,omitempty"`
	Complexity graph.Complexity `json:"complexity"`
}

// sessionRecord says that a run writes this journal from here on. The sessions before it in the
// same file are over.
type sessionRecord struct {
	ID  string `json:"id"` // of the run, random
	PID int    `json:"pid"`
	// Differs says how the numbers of what trains here may differ from those of the
	// results that were there.
	Differs string `json:"differs,omitempty"`
}

// claimRecord says that the run of a session sees to an attempt at a trial, until the session's
// lease ends or it releases the trial.
type claimRecord struct {
	Session string  `json:"session"`
	Trial   trialID `json:"trial"`
	Attempt int     `json:"attempt"`
	leaseEnd
}

// leaseRecord extends the lease of a session, and so of all its claims.
type leaseRecord struct {
	Session string `json:"session"`
	leaseEnd
}

// leaseEnd is when a claim ends that is not renewed, by the clock of the claimant.
type leaseEnd struct {
	Until time.Time `json:"until"`
}

// releaseRecord gives back a claim, or all of a session.
type releaseRecord struct {
	Session string   `json:"session"`
	Trial   *trialID `json:"trial,omitempty"` // nil: all
}

// startRecord says that a worker began, or went on with, a trial.
type startRecord struct {
	Trial   trialID `json:"trial"`
	Attempt int     `json:"attempt"` // from 1; an interruption costs no attempt
	PID     int     `json:"pid"`
}

// epochRecord is a finished epoch of a trial that goes on. It is written for
// viewers alone and not synced; a doneRecord repeats all epochs.
type epochRecord struct {
	Trial trialID `json:"trial"`
	Epoch
}

// doneRecord is the result of a trial.
type doneRecord struct {
	Trial           trialID `json:"trial"`
	Error           float64 `json:"error"`
	Error5          float64 `json:"error5"`
	Seconds         float64 `json:"seconds"`
	ImagesPerSecond float64 `json:"images_per_second"`
	Epochs          []Epoch `json:"epochs"`
}

// failedRecord ends a trial without a result.
type failedRecord struct {
	Trial   trialID `json:"trial"`
	Attempt int     `json:"attempt"`
	trial.Death
	Seconds float64 `json:"seconds"`
	Epochs  []Epoch `json:"epochs,omitempty"`
}

// lostRecord is an attempt whose worker died.
type lostRecord struct {
	Trial   trialID `json:"trial"`
	Attempt int     `json:"attempt"`
	trial.Death
	Early bool `json:"early,omitempty"` // before its first step
}

// counts tells whether an attempt counts for its trial when a later run looks back: deaths that may be the machine's
// fault, or somebody's, do not.
func (l lostRecord) counts() bool { return !l.Early && l.Cause != trial.Killed }

// forgiveRecord makes a trial's failures and losses up to an attempt count for nothing.
type forgiveRecord struct {
	Trial   trialID `json:"trial"`
	Attempt int     `json:"attempt"`
}

// maxAttempt bounds numbers of attempts: they are written by programs, one at a time.
const maxAttempt = 1_000_000

// check says what of a record cannot be, as a program never writes it.
func (r *record) check() error {
	switch {
	case r.Journal != nil:
		if r.Journal.Version < 1 {
			return fmt.Errorf("format version %d", r.Journal.Version)
		}
	case r.Study != nil:
		s := r.Study
		if s.Input.Classes < 2 || s.Input.Channels < 1 || s.Input.Height < 1 || s.Input.Width < 1 || s.TrainImages < 1 || s.ValImages < 1 {
			return fmt.Errorf("%d training and %d validation images, %s", s.TrainImages, s.ValImages, s.Input)
		}
	case r.Space != nil:
		if r.Space.Name == "" {
			return errors.New("a space without a name")
		}
	case r.Trial != nil:
		t := r.Trial
		if t.Spec.Network == nil || t.Complexity.Flops < 0 || t.Complexity.Params < 0 || t.Complexity.Acts < 0 {
			return errors.New("no network")
		}
		return checkPlace(t.Space, t.Index)
	case r.Claim != nil:
		return checkAttempt(r.Claim.Attempt)
	case r.Start != nil:
		return checkAttempt(r.Start.Attempt)
	case r.Epoch != nil:
		return r.Epoch.Epoch.check()
	case r.Done != nil:
		d := r.Done
		if err := checkResult(d.Error, d.Error5, d.Seconds, d.ImagesPerSecond); err != nil {
			return err
		}
		return checkEpochs(d.Epochs)
	case r.Failed != nil:
		if err := checkAttempt(r.Failed.Attempt); err != nil {
			return err
		}
		return checkEpochs(r.Failed.Epochs)
	case r.Lost != nil:
		return checkAttempt(r.Lost.Attempt)
	case r.Jobs != nil:
		if !goodJobName.MatchString(r.Jobs.Name) {
			return fmt.Errorf("jobs of the name %.40q", r.Jobs.Name)
		}
	case r.Goal != nil:
		if r.Goal.Space == "" {
			return errors.New("a goal without a space")
		}
		return r.Goal.check()
	case r.Paused != nil:
		if err := checkAttempt(r.Paused.Attempt); err != nil {
			return err
		}
		return checkEpochs(r.Paused.Epochs)
	case r.Forgive != nil:
		if a := r.Forgive.Attempt; a < 0 || a > maxAttempt {
			return fmt.Errorf("attempt %d", a)
		}
	}
	return nil
}

func checkPlace(space string, index int) error {
	if space == "" || index < 0 || index >= maxSamples {
		return fmt.Errorf("network %d of space %q", index, space)
	}
	return nil
}

func checkAttempt(n int) error {
	if n < 1 || n > maxAttempt {
		return fmt.Errorf("attempt %d", n)
	}
	return nil
}

func checkResult(err1, err5, seconds, imagesPerSecond float64) error {
	switch {
	case !isPercent(err1) || !isPercent(err5):
		return fmt.Errorf("errors of %v and %v %%", err1, err5)
	case !(seconds >= 0) || !(imagesPerSecond >= 0):
		return fmt.Errorf("%v seconds, %v images per second", seconds, imagesPerSecond)
	}
	return nil
}

func isPercent(v float64) bool { return v >= 0 && v <= 100 }

// check allows whatever loss: a training that diverges has any.
func (e Epoch) check() error {
	if e.Epoch < 1 || !isPercent(e.TrainError) || !isPercent(e.ValError) || math.IsNaN(e.TrainLoss) || math.IsNaN(e.ValLoss) {
		return fmt.Errorf("epoch %d with errors of %v and %v %%", e.Epoch, e.TrainError, e.ValError)
	}
	return nil
}

func checkEpochs(all []Epoch) error {
	for _, e := range all {
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

// decodeRecord reads a line whose checksum is right. What cannot be in a record is an error.
func decodeRecord(line []byte) (r record, err error) {
	body := append([]byte{'{'}, line[crcLength:]...)
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("the checksum is right but %w", err)
	}
	if err := r.check(); err != nil {
		return r, fmt.Errorf("the checksum is right but it tells of %w", err)
	}
	return r, nil
}

// split gives the kind of the record that a line with a right checksum holds, its time as a number that
// grows with it, and the object of the record. Records are written with the time first; kind is "" for others.
func split(line []byte) (kind string, at int64, object []byte) {
	const start = `"time":"`
	rest, ok := bytes.CutPrefix(line[crcLength:], []byte(start))
	end := bytes.IndexByte(rest, '"')
	if !ok || end < 0 {
		return "", 0, nil
	}
	at = stamp(rest[:min(end, 24)])
	rest, ok = bytes.CutPrefix(rest[end:], []byte(`","`))
	end = bytes.IndexByte(rest, '"')
	if !ok || end < 0 || len(rest) < end+3 || rest[end+1] != ':' || rest[len(rest)-1] != '}' {
		return "", 0, nil
	}
	return string(rest[:end]), at, rest[end+2 : len(rest)-1]
}

// flopsOf finds the flops of a network, which stand at the end of its record; 0 if they are not where this program writes them.
func flopsOf(object []byte) float64 {
	const start = `"complexity":{"flops":`
	at := bytes.LastIndex(object, []byte(start))
	if at < 0 {
		return 0
	}
	digits := object[at+len(start):]
	end := bytes.IndexByte(digits, ',')
	v, err := strconv.ParseFloat(string(digits[:max(0, end)]), 64)
	if err != nil || !(v >= 0) {
		return 0
	}
	return v
}

// stamp is a time of a record as a number that grows with it.
func stamp(text []byte) (at int64) {
	for _, c := range text {
		if c >= '0' && c <= '9' {
			at = at*10 + int64(c-'0')
		}
	}
	return at
}

// glance reads the first fields of objects, without the rest: a study of 100,000 trials
// has a million lines, and few of their fields decide what state it is in.
type glance struct {
	in  bytes.Buffer
	dec *jsontext.Decoder
	err error
}

// of begins with an object.
func (g *glance) of(object []byte) {
	if g.dec == nil {
		g.dec = jsontext.NewDecoder(&g.in)
	}
	g.in = *bytes.NewBuffer(object) // which the decoder reads in place
	g.dec.Reset(&g.in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	g.err = nil
	if t, err := g.dec.ReadToken(); err != nil || t.Kind() != '{' {
		g.fail(err)
	}
}

func (g *glance) fail(err error) {
	if g.err == nil {
		if g.err = err; err == nil {
			g.err = io.ErrUnexpectedEOF
		}
	}
}

// token reads the value of the next field, which must be the named one.
func (g *glance) token(name string) jsontext.Token {
	if g.err != nil {
		return jsontext.Null
	}
	key, err := g.dec.ReadToken()
	if err != nil || key.Kind() != '"' || key.String() != name {
		g.fail(err)
		return jsontext.Null
	}
	v, err := g.dec.ReadToken()
	if err != nil {
		g.fail(err)
		return jsontext.Null
	}
	return v
}

func (g *glance) text(name string) string {
	t := g.token(name)
	if t.Kind() != '"' {
		g.fail(nil)
		return ""
	}
	return t.String()
}

func (g *glance) number(name string) float64 {
	t := g.token(name)
	if t.Kind() != '0' {
		g.fail(nil)
		return 0
	}
	v, err := t.Float()
	if err != nil {
		g.fail(err)
	}
	return v
}

func (g *glance) whole(name string) int {
	v := g.number(name)
	if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
		g.fail(nil)
		return 0
	}
	return int(v)
}

func (g *glance) id(name string) trialID {
	id, err := parseID(g.text(name))
	if err != nil {
		g.fail(err)
	}
	return id
}

// value reads the value of the next field as it stands.
func (g *glance) value(name string) jsontext.Value {
	if g.err != nil {
		return nil
	}
	key, err := g.dec.ReadToken()
	if err != nil || key.Kind() != '"' || key.String() != name {
		g.fail(err)
		return nil
	}
	v, err := g.dec.ReadValue()
	if err != nil {
		g.fail(err)
	}
	return v
}

// next tells whether the next field is the named one.
func (g *glance) next(name string) bool {
	// What follows a value is a comma and the name's quotes: nobody writes spaces there.
	if g.err != nil || g.dec.PeekKind() != '"' {
		return false
	}
	rest := g.dec.UnreadBuffer()
	rest = bytes.TrimLeft(rest, ", ")
	return bytes.HasPrefix(rest, []byte(`"`+name+`":`))
}

func (g *glance) bool(name string) bool {
	t := g.token(name)
	if t.Kind() != 't' && t.Kind() != 'f' {
		g.fail(nil)
		return false
	}
	return t.Bool()
}

// trial reads the record of a network, several times as fast as decodeRecord; false: it is not as
// this program writes it.
func (g *glance) trial(object []byte) (t trialRecord, ok bool) {
	g.of(object)
	t.Space, t.Index, t.ID, t.Seed = g.text("space"), g.whole("index"), g.id("id"), uint64(g.whole("seed"))
	spec := g.value("spec")
	if g.err != nil || t.Spec.UnmarshalJSON(spec) != nil {
		return t, false
	}
	if g.next("asked") && t.Asked.UnmarshalJSON(g.value("asked")) != nil {
		return t, false
	}
	complexity := g.value("complexity")
	if g.err != nil || g.dec.PeekKind() != '}' {
		return t, false
	}
	g.of(complexity)
	t.Complexity = graph.Complexity{Flops: int64(g.whole("flops")), Params: int64(g.whole("params")), Acts: int64(g.whole("acts"))}
	whole := record{Trial: &t}
	return t, g.err == nil && g.dec.PeekKind() == '}' && whole.check() == nil
}

// curve reads the epochs of the record of a result, as trial does.
func (g *glance) curve(object []byte) (epochs []Epoch, ok bool) {
	g.of(object)
	g.id("trial")
	for _, name := range []string{"error", "error5", "seconds", "images_per_second"} {
		g.number(name)
	}
	list := g.value("epochs")
	if g.err != nil {
		return nil, false
	}
	var in glance
	for rest := bytes.TrimPrefix(list, []byte("[")); len(rest) > 1; rest = bytes.TrimPrefix(rest, []byte(",")) {
		end := bytes.IndexByte(rest, '}') + 1 // an epoch holds no objects
		if end == 0 {
			return nil, false
		}
		in.of(rest[:end])
		e := Epoch{Epoch: in.whole("epoch"), TrainLoss: in.number("train_loss"), TrainError: in.number("train_error"),
			Evaluated: in.bool("evaluated"), ValLoss: in.number("val_loss"), ValError: in.number("val_error")}
		if in.err != nil || e.check() != nil {
			return nil, false
		}
		epochs = append(epochs, e)
		rest = rest[end:]
	}
	return epochs, true
}
