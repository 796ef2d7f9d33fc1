package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"netspace/study"
)

type studyTopOptions struct {
	every time.Duration
	once  bool
}

func newStudyTopCmd(a *app) *cobra.Command {
	var o studyTopOptions
	c := &cobra.Command{
		Use:   "top DIR",
		Short: "Watch a study: its workers, trials, errors and the time left",
		Long: `Show what the workers of a study are at, on all machines, until it is finished or
Ctrl-C is pressed. It only reads the folder. On a terminal it fills the screen; else it
prints a line now and then, with --json one object each time.`,
		Example: `  netspace study top out/demo
  netspace study top out/demo --every 30s >> progress.txt
  netspace study top out/demo --once --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), a, args[0]) },
	}
	f := c.Flags()
	f.DurationVar(&o.every, "every", 0, "time between two looks (default 1s on a terminal, else 10s)")
	f.BoolVar(&o.once, "once", false, "look once")
	return c
}

func (o studyTopOptions) run(ctx context.Context, a *app, dir string) error {
	if o.every < 0 {
		return usagef("--every %v: must not be negative", o.every)
	}
	s, err := study.Open(ctx, dir)
	if err != nil {
		return studyError(err)
	}
	out, isFile := a.out.(*os.File)
	screen := isFile && isTerminal(out) && !a.json && !o.once
	if o.every == 0 {
		o.every = lineEvery
		if screen {
			o.every = time.Second
		}
	}
	if screen {
		fmt.Fprint(out, "\x1b[?1049h\x1b[?25l") // the other screen, no cursor
		defer fmt.Fprint(out, "\x1b[?25h\x1b[?1049l")
	}
	for {
		v := s.View(time.Now())
		switch {
		case a.json:
			err = a.emit(v)
		case screen:
			width, height, sizeErr := term.GetSize(int(out.Fd()))
			if sizeErr != nil {
				width, height = 80, 24
			}
			_, err = fmt.Fprint(out, "\x1b[H\x1b[J"+fit(topScreen(v), width, height))
		case o.once:
			_, err = fmt.Fprintln(a.out, strings.Join(topScreen(v), "\n"))
		default:
			_, err = fmt.Fprintln(a.out, topLine(v))
		}
		if err != nil || o.once || v.Done+v.Failed == v.Trials && v.Trials > 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // the usual way to leave
		case <-time.After(o.every):
		}
		if err := s.Refresh(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// topLine is the state in one line.
func topLine(v study.View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %d/%d networks", v.Time, v.Done+v.Failed, v.Trials)
	if v.Failed > 0 {
		fmt.Fprintf(&b, " (%d failed)", v.Failed)
	}
	if v.Best != nil {
		fmt.Fprintf(&b, ", best error %.2f %% (%s #%d)", v.Best.Error, v.Best.Space, v.Best.Index)
	}
	fmt.Fprintf(&b, ", %d at work", len(v.Running))
	if v.ImagesPerSecond > 0 {
		fmt.Fprintf(&b, ", %.0f images/s", v.ImagesPerSecond)
	}
	if v.SecondsLeft != nil {
		fmt.Fprintf(&b, ", %s left", round(time.Duration(*v.SecondsLeft*float64(time.Second))))
	}
	if v.Damaged > 0 {
		fmt.Fprintf(&b, ", %d damaged lines set aside", v.Damaged)
	}
	return b.String()
}

// topScreen is the state in full.
func topScreen(v study.View) []string {
	lines := []string{"study " + v.Study, topLine(v), bar(float64(v.Done+v.Failed), v.Trials, 60), ""}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "space\tdone\tfailed\trunning\tpending\tbest error\tmean error\t")
	for _, s := range v.Spaces {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t\n", s.Space, s.Done, s.Failed, s.Running, s.Pending, percent(s.Best), percent(s.Mean))
	}
	fmt.Fprintln(w)
	if len(v.Running) > 0 {
		fmt.Fprintln(w, "worker on\tnetwork\tattempt\tfor\tepoch\terror\t")
	}
	for _, r := range v.Running {
		since := "-"
		if t, err := time.Parse(time.RFC3339, r.Since); err == nil {
			since = round(time.Since(t))
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d/%d\t%s\t\n", r.Host, r.Name(), r.Attempt, since, r.Epoch, r.Epochs, percent(r.ValError))
	}
	_ = w.Flush()
	return append(lines, strings.Split(strings.TrimRight(b.String(), "\n"), "\n")...)
}

// fit cuts lines to a screen.
func fit(lines []string, width, height int) string {
	if len(lines) > height-1 {
		lines = append(lines[:max(0, height-2)], fmt.Sprintf("… and %d more lines", len(lines)-max(0, height-2)))
	}
	for i, l := range lines {
		if r := []rune(l); len(r) > width {
			lines[i] = string(r[:width])
		}
	}
	return strings.Join(lines, "\r\n")
}
