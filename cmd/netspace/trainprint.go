package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"netspace/engine"
	"netspace/graph"
	"netspace/train"
	"netspace/weights"
	"netspace/weights/safetensors"
)

// trainPrinter tells how a training goes: results on stdout, progress on
// stderr — one changing line on a terminal, else a line now and then.
type trainPrinter struct {
	a         *app
	logSteps  bool
	gradients string
	live      bool
	last      time.Time // of the last line of progress
	width     int       // of the line on the terminal
	classes   int
}

// The time between two states of the changing line, and between two lines in a log.
const (
	liveEvery = 200 * time.Millisecond
	logEvery  = 10 * time.Second
)

// topKClasses is the number of classes above which the top-5 error tells a person something.
const topKClasses = 10

func newTrainPrinter(a *app, o trainOptions) *trainPrinter {
	return &trainPrinter{a: a, logSteps: o.logSteps, gradients: o.gradients, live: isTerminal(a.err), last: time.Now()}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p *trainPrinter) start(s trainStart) error {
	p.classes = s.Data.Classes
	if p.a.json {
		return p.a.emit(s)
	}
	if p.a.quiet {
		return nil
	}
	_, err := fmt.Fprintf(p.a.err, "%s: %s MFLOPs, %s M parameters; %s: %d training and %d validation images of %d×%d×%d, %d classes; %d epochs of %d steps of %d images\n",
		s.Model, millions(s.Complexity.Flops), millions(s.Complexity.Params), s.Data.Name, s.Data.Train, s.Data.Validation,
		s.Data.Channels, s.Data.Height, s.Data.Width, s.Data.Classes, s.Recipe.Epochs, s.StepsPerEpoch, s.Recipe.Batch)
	return err
}

func millions(n int64) string { return fmt.Sprintf("%.3g", float64(n)/1e6) }

// step prints a step's line, and writes the gradients of the first step.
func (p *trainPrinter) step(s train.StepStats, net *graph.Graph) error {
	if s.Step == 0 && p.gradients != "" {
		f, err := weights.Of(s.Program, net, engine.Gradients)
		if err != nil {
			return err
		}
		if err := safetensors.WriteFile(p.gradients, f); err != nil {
			return err
		}
	}
	if !p.logSteps {
		return nil
	}
	if p.a.json {
		return p.a.emit(stepLine{"step", s.Step, s.Epoch, s.LR, s.Loss, s.GradNorm})
	}
	p.end()
	_, err := fmt.Fprintf(p.a.out, "step %d  lr %.6g  loss %.6f\n", s.Step, s.LR, s.Loss)
	return err
}

func (p *trainPrinter) progress(s train.Progress) {
	if s.Finished != nil {
		p.epoch(*s.Finished)
		return
	}
	every := logEvery
	if p.live {
		every = liveEvery
	}
	if p.a.quiet || time.Since(p.last) < every {
		return
	}
	p.last = time.Now()
	line := fmt.Sprintf("epoch %d/%d  %s %d/%d  loss %.4f  error %.1f %%  %.0f images/s  %s left",
		s.Epoch, s.Epochs, s.Phase, s.Step, s.Steps, s.Loss, s.Error, s.ImagesPerSecond, s.ETA.Round(time.Second))
	if !p.live {
		fmt.Fprintln(p.a.err, line)
		return
	}
	fmt.Fprintf(p.a.err, "\r%-*s", p.width, line)
	p.width = len(line)
}

// epoch prints a finished epoch. A failed write shows again when the result is written.
func (p *trainPrinter) epoch(s train.EpochStats) {
	if p.a.json {
		_ = p.a.emit(epochLine{"epoch", s})
		return
	}
	p.end()
	line := fmt.Sprintf("epoch %d: lr %.4g, training loss %.4f, error %.2f %%", s.Epoch, s.LR, s.TrainLoss, s.TrainError)
	if s.Evaluated {
		line += fmt.Sprintf("; validation loss %.4f, error %.2f %%", s.ValLoss, s.ValError)
	}
	fmt.Fprintln(p.a.out, line)
}

// warn prints what went wrong without ending the training.
func (p *trainPrinter) warn(err error) {
	p.end()
	fmt.Fprintln(p.a.err, "netspace: warning:", err)
}

// end removes the changing line.
func (p *trainPrinter) end() {
	if p.width > 0 {
		fmt.Fprintf(p.a.err, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

func (p *trainPrinter) result(r train.Result, weights string) error {
	if p.a.json {
		return p.a.emit(resultLine{"result", r, weights})
	}
	line := fmt.Sprintf("validation error %.2f %%", r.Error)
	if p.classes > topKClasses {
		line += fmt.Sprintf(" (top-5 %.2f %%)", r.Error5)
	}
	line += fmt.Sprintf(", loss %.4f", r.Loss)
	if r.Test != nil {
		line += fmt.Sprintf("; test error %.2f %%, loss %.4f", r.Test.Error, r.Test.Loss)
	}
	line += fmt.Sprintf("; %d steps in %.1f s", r.Steps, r.Seconds)
	if r.ImagesPerSecond > 0 {
		line += fmt.Sprintf(", %.0f images/s", r.ImagesPerSecond)
	}
	if weights != "" {
		line += "; weights in " + weights
	}
	_, err := fmt.Fprintln(p.a.out, line)
	return err
}
