package trial

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"netspace/engine"
	"netspace/internal/atomicfile"
	"netspace/internal/tail"
	"netspace/train"
)

// Command is the Trainer that runs a program of the user's for each task (see docs/trainers.md).
type Command struct {
	Argv []string // program and arguments
	// Grace is how long a program may take to stop after SIGTERM; 0 means a second.
	Grace time.Duration
	// Said, if not nil, sees every line of the program's standard output.
	Said func(line []byte)
}

// StartError says that the program of a trainer cannot be started.
type StartError struct {
	Argv []string
	Err  error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("trainer %s: %v", strings.Join(e.Argv, " "), e.Err)
}
func (e *StartError) Unwrap() error { return e.Err }

// Describe implements Trainer: it names the program, with the checksums of the files among its arguments, so that a program that
// was edited is another one.
func (c Command) Describe(Task) (engine.Description, error) {
	if len(c.Argv) == 0 {
		return engine.Description{}, &StartError{c.Argv, errors.New("no program")}
	}
	if _, err := exec.LookPath(c.Argv[0]); err != nil {
		return engine.Description{}, &StartError{c.Argv, err}
	}
	words := make([]string, len(c.Argv))
	for i, w := range c.Argv {
		words[i] = w
		if sum, ok := sumOf(w); ok {
			words[i] += "@" + sum
		}
	}
	return engine.Description{Name: "command", Device: "any", Precision: "any", Library: strings.Join(words, " ")}, nil
}

// sumOf is the checksum of a file of moderate size, short.
func sumOf(path string) (string, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 || info.Mode().Perm()&0o111 != 0 && !strings.Contains(path, string(filepath.Separator)) {
		return "", false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", false
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6]), true
}

// curveName is the file in a trial's folder that keeps what its earlier sessions told.
const curveName = "netspace-curve.json"

// curve is what a training has told so far, over all its sessions.
type curve struct {
	Epochs  []train.EpochStats `json:"epochs"`
	Seconds float64            `json:"seconds"`
}

// Unfinished tells whether a folder holds a training, on an engine or by a program, that has no result yet.
func Unfinished(dir string) (bool, error) {
	if unfinished, err := train.Unfinished(dir); unfinished || err != nil {
		return unfinished, err
	}
	if _, err := os.Stat(filepath.Join(dir, curveName)); err != nil {
		return false, ignoreAbsent(err)
	}
	_, err := os.Stat(filepath.Join(dir, train.ResultName))
	return err != nil, ignoreAbsent(err)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func readCurve(dir string) (c curve) {
	data, err := os.ReadFile(filepath.Join(dir, curveName))
	if err != nil || json.Unmarshal(data, &c) != nil {
		return curve{}
	}
	return c
}

func (c *curve) add(e train.EpochStats) {
	kept := c.Epochs[:0]
	for _, old := range c.Epochs { // a session that went back tells its epochs anew
		if old.Epoch < e.Epoch {
			kept = append(kept, old)
		}
	}
	c.Epochs = append(kept, e)
}

// Train implements Trainer.
func (c Command) Train(ctx context.Context, t Task, dir string, report func(train.Progress)) (res train.Result, err error) {
	if err := (Choice{Command: c.Argv}).Fits(t.Recipe); err != nil {
		return res, &Failure{Err: fmt.Errorf("recipe.activations: %s: %w", t.Recipe.Activations, err), Cause: Refused}
	}
	data, err := t.openData(ctx)
	if err != nil {
		return res, err
	}
	g, doc, err := t.describe(data, dir)
	if err := errors.Join(err, data.Close()); err != nil {
		return res, &Failure{Err: err, Cause: Refused}
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return res, err
		}
	}
	input, err := json.Marshal(doc)
	if err != nil {
		return res, err
	}
	var past curve
	switch {
	case doc.Resume:
		past = readCurve(dir)
	case dir != "": // what was there before is of another training
		for _, name := range []string{curveName, train.ResultName} {
			if err := ignoreAbsent(os.Remove(filepath.Join(dir, name))); err != nil {
				return res, err
			}
		}
	}
	p, err := c.start(ctx, append(input, '\n'))
	if err != nil {
		return res, err
	}
	began := time.Now()
	s := session{command: c, dir: dir, curve: past, began: began, epochs: t.Recipe.Epochs, report: report}
	p.listen(s.hear)
	died := p.wait()
	switch {
	case s.failure != nil:
		s.failure.Log = p.log.Lines()
		return res, s.failure
	case s.result != nil:
		// A program that ends badly after its result has nothing more to say.
		if err := t.keptFrozen(g, doc.Frozen); err != nil {
			return res, fmt.Errorf("trainer %s: %w", c.Argv[0], err)
		}
		return *s.result, nil
	case ctx.Err() != nil:
		return res, fmt.Errorf("trainer %s: %w", c.Argv[0], ctx.Err())
	case s.wrong != nil:
		return res, &LostError{Death{Cause: Crashed, Reason: fmt.Sprintf("trainer %s: %v", c.Argv[0], s.wrong), Log: p.log.Lines()}}
	}
	return res, &LostError{Death{Cause: died.cause, Reason: fmt.Sprintf("trainer %s: %s without a result", c.Argv[0], died.how), Log: p.log.Lines()}}
}

// session is one run of a program.
type session struct {
	command Command
	dir     string
	curve   curve
	began   time.Time
	epochs  int
	report  func(train.Progress)

	speed   float64
	result  *train.Result
	failure *Failure
	wrong   error // the first thing that it said against the protocol
}

// hear takes note of a line.
func (s *session) hear(line []byte) {
	if s.command.Said != nil {
		s.command.Said(line)
	}
	if trimmed := bytes.TrimSpace(line); len(trimmed) == 0 || trimmed[0] != '{' {
		return // a library that prints
	}
	var m said
	if err := json.Unmarshal(line, &m); err != nil || m.Event == "" {
		if err != nil && bytes.Contains(line, []byte(`"event"`)) {
			s.fault("it said %.200s: %v", line, err)
		}
		return
	}
	switch m.Event {
	case "progress":
		if !(m.Done >= 0 && m.Done <= 1) || !(m.ImagesPerSecond >= 0) {
			s.fault("progress: done is %v, which must be from 0 to 1; images_per_second %v", m.Done, m.ImagesPerSecond)
			return
		}
		s.speed = cmp.Or(m.ImagesPerSecond, s.speed)
		s.report(train.Progress{Done: m.Done, ImagesPerSecond: s.speed, Loss: m.Loss, LR: m.LR, Epochs: s.epochs, ETA: s.left(m.Done)})
	case "epoch":
		e := train.EpochStats{Epoch: m.Epoch, LR: m.LR, TrainLoss: m.TrainLoss, TrainError: m.TrainError}
		if m.ValError != nil {
			e.Evaluated, e.ValLoss, e.ValError, e.ValError5 = true, m.ValLoss, *m.ValError, m.ValError5
		}
		if m.Epoch < 1 || !percent(e.TrainError, e.ValError, e.ValError5) {
			s.fault("epoch: epoch is %d, which must be at least 1; errors must be from 0 to 100 percent", m.Epoch)
			return
		}
		s.curve.add(e)
		s.keep()
		done := math.Min(1, float64(e.Epoch)/float64(max(1, s.epochs)))
		s.report(train.Progress{Done: done, ImagesPerSecond: s.speed, Epoch: e.Epoch, Epochs: s.epochs, ETA: s.left(done), Finished: &e})
	case "alive": // the trainer is at work that makes no progress that can be told
		s.report(train.Progress{Epochs: s.epochs, ImagesPerSecond: s.speed})
	case "result":
		if m.Error == nil || !percent(*m.Error, m.Error5) {
			s.fault("result: error must be there, and from 0 to 100 percent")
			return
		}
		s.result = &train.Result{Error: *m.Error, Error5: m.Error5, Loss: m.Loss, Test: m.Test, Steps: m.Steps, Epochs: s.curve.Epochs,
			Seconds: s.seconds(), ImagesPerSecond: cmp.Or(m.ImagesPerSecond, s.speed)}
	case "failed":
		switch m.Cause {
		case Diverged, Refused, OutOfMemory:
		default:
			s.fault("failed: cause is %q, which must be %s, %s or %s", m.Cause, Diverged, Refused, OutOfMemory)
			return
		}
		s.failure = &Failure{Err: errors.New(cmp.Or(m.Reason, string(m.Cause))), Cause: m.Cause}
	}
}

func (s *session) fault(format string, args ...any) {
	if s.wrong == nil {
		s.wrong = fmt.Errorf(format, args...)
	}
}

func percent(all ...float64) bool {
	for _, v := range all {
		if !(v >= 0 && v <= 100) {
			return false
		}
	}
	return true
}

// seconds are the wall time of all sessions.
func (s *session) seconds() float64 { return s.curve.Seconds + time.Since(s.began).Seconds() }

// left is about how long the training will take yet.
func (s *session) left(done float64) time.Duration {
	if done <= 0 {
		return 0
	}
	return time.Duration(s.seconds() * (1 - done) / done * float64(time.Second))
}

// keep writes what was told, for the sessions to come; one that fails costs a few points of a curve.
func (s *session) keep() {
	if s.dir == "" {
		return
	}
	data, err := json.Marshal(curve{s.curve.Epochs, s.seconds()})
	if err == nil {
		_ = atomicfile.WriteFile(filepath.Join(s.dir, curveName), data, 0o644)
	}
}

// program is a program of the user's at work.
type program struct {
	cmd  *exec.Cmd
	out  io.Reader
	log  tail.Writer
	died chan end
}

// end is how a program ended.
type end struct {
	how   string
	cause Cause
}

// start starts the program in a process group of its own and gives it its document. When ctx is done
// it is asked to stop, and then made to; where the system can, it dies with this process.
func (c Command) start(ctx context.Context, input []byte) (*program, error) {
	p := &program{cmd: exec.Command(c.Argv[0], c.Argv[1:]...), died: make(chan end, 1)}
	p.cmd.Stdin = bytes.NewReader(input)
	p.cmd.Stderr = &p.log
	p.cmd.WaitDelay = time.Second // for what it started and left behind
	ownGroup(p.cmd)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, &StartError{c.Argv, err}
	}
	p.out, p.cmd.Stdout = r, w
	started := make(chan error)
	go func() {
		// Linux ends the program when the thread that started it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		w.Close()
		started <- err
		if err != nil {
			return
		}
		err = p.cmd.Wait()
		killGroup(p.cmd) // what it left behind
		p.died <- end{how: howEnded(p.cmd, err), cause: causeOf(p.cmd.ProcessState)}
	}()
	if err := <-started; err != nil {
		r.Close()
		return nil, &StartError{c.Argv, err}
	}
	context.AfterFunc(ctx, func() {
		askGroup(p.cmd)
		time.AfterFunc(cmp.Or(c.Grace, time.Second), func() { killGroup(p.cmd) })
	})
	return p, nil
}

// listen reads what the program says until it is gone.
func (p *program) listen(hear func([]byte)) {
	in := bufio.NewReaderSize(p.out, 1<<16)
	const most = 1 << 20
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line) < most { // the beginning of a longer one
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(line) > 0 {
			hear(line)
		}
		line = line[:0]
		if err != nil {
			return
		}
	}
}

// wait waits until the program is gone.
func (p *program) wait() end {
	defer p.out.(io.Closer).Close()
	return <-p.died
}

func howEnded(cmd *exec.Cmd, err error) string {
	if cmd.ProcessState == nil {
		return err.Error()
	}
	return "it ended with " + cmd.ProcessState.String()
}
