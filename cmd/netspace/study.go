package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"netspace/dataset"
	"netspace/engine/engines"
	"netspace/executor"
	"netspace/internal/atomicfile"
	"netspace/internal/machine"
	"netspace/strict"
	"netspace/study"
	"netspace/tabular"
	"netspace/train"
	"netspace/trial"
)

func newStudyCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "study",
		Short: "Train populations of networks and remember them in a folder",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newStudyRunCmd(a), newStudyStatusCmd(a), newStudyTopCmd(a), newStudyExportCmd(a), newStudyCheckCmd(a), newStudyCopyCmd(a), newStudyMergeCmd(a), newStudyCancelCmd(a))
	return c
}

type studyRunOptions struct {
	dir      string
	workers  int
	executor string
	slurm    slurmFlags
	engine   string
	retry    bool
	data     string

	command string // that goes on, "" is study run; with the flags that it needs besides these
	trainer *trial.Any
}

func newStudyRunCmd(a *app) *cobra.Command {
	var o studyRunOptions
	c := &cobra.Command{
		Use:   "run FILE|DIR",
		Short: "Start a study, or go on with it",
		Long: `Start the study that FILE states, or go on with it; with a study folder DIR, go on
with the study there. Results are kept in the study folder, in journals that
survive a crash at any moment: nothing that was finished is trained twice, and
going on gives the same results, bit for bit, as never having been interrupted.

A study file may get more samples, spaces and repeats between two runs; the networks
that are new are then trained. If the file asks for a decision (decide), networks are trained until
it is made, as "netspace decide" does. Ctrl-C stops within two seconds and loses at most
what was done since the last checkpoint. The format of study files is described in
docs/study.md.

With --executor slurm, or executor.slurm in the study file, jobs of a Slurm cluster train the
networks (docs/slurm.md). Ctrl-C then leaves them at work: the same command follows
them again, and "study cancel" ends them.

Exit status: 0 all networks are trained, 3 some of them failed (they count with
the error of chance), 130 interrupted, 75 stopped by a scheduler (SIGTERM), 2 the
study file or the folder is wrong.`,
		Example: `  netspace study run examples/demo.yaml
  netspace study run examples/demo.yaml --dir results/demo --workers 8
  netspace study run out/demo
  netspace study run out/demo --retry
  netspace study run out/demo --executor slurm --partition cpu --time 4h --cpus 16 --workers 256`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), a, args[0]) },
	}
	o.add(c.Flags())
	return c
}

// add adds the flags that say where a study is and who trains it.
func (o *studyRunOptions) add(f *pflag.FlagSet) {
	f.StringVar(&o.dir, "dir", "", "study folder (default out/<name of the study>)")
	f.IntVar(&o.workers, "workers", 0, "worker processes at once (default one per core; with PyTorch on GPUs per_device for each; on a cluster one per network, up to 100)")
	f.StringVar(&o.executor, "executor", "", "where workers run: local or slurm (default what the study file says, else local)")
	o.slurm.add(f)
	f.StringVar(&o.data, "data", "", "the images are in folder or data set `PATH`, and not where the study file says; they must be the same ones")
	f.BoolVar(&o.retry, "retry", false, "try the networks again that failed")
	f.StringVar(&o.engine, "engine", engines.Default, engines.Help())
	_ = f.MarkHidden("engine") // fails for flags that do not exist only
}

func (o studyRunOptions) run(ctx context.Context, a *app, target string) error {
	req, err := o.request(a, target)
	if err != nil {
		return err
	}
	run, err := study.Start(ctx, req)
	if err != nil {
		return startError(err)
	}
	totals := run.Totals()
	if totals.Trials > 0 || run.Config.Decide == nil {
		totals, err = o.train(ctx, a, run)
	}
	if err = errors.Join(err, run.Close()); err != nil {
		return err
	}
	if run.Config.Decide != nil {
		req.Retry = false
		return o.decide(ctx, a, req, nil)
	}
	return failedNetworks(totals, run.Dir)
}

// request checks the flags and says which study they are of.
func (o *studyRunOptions) request(a *app, target string) (req study.Request, err error) {
	if o.executor != "" && o.executor != "local" && o.executor != "slurm" {
		return req, usagef("--executor %s: %s", o.executor, strict.OneOf(o.executor, "local", "slurm"))
	}
	if o.workers < 0 {
		return req, usagef("--workers %d: must be at least 1, or 0 for one per core, or GPU", o.workers)
	}
	if err := o.slurm.check(o.executor); err != nil {
		return req, err
	}
	if o.executor == "" && len(o.slurm.given()) > 0 {
		o.executor = "slurm"
	}
	if o.executor == "slurm" && machine.FindSlurm().Sbatch == "" {
		return req, usage(executor.ErrNoSlurm)
	}
	// This process waits for its workers: its memory is worth more than its time.
	debug.SetGCPercent(50)
	o.trainer = new(trial.Any)
	req = study.Request{Trainer: o.trainer, Trains: func(c study.Config) bool { return !o.onCluster(c) }, File: target, Dir: o.dir, Engine: o.engine, Retry: o.retry, Data: o.data, Note: a.note}
	if info, err := os.Stat(target); err == nil && info.IsDir() {
		if o.dir != "" {
			return req, usagef("--dir %s: %s is a study folder already", o.dir, target)
		}
		req.File, req.Dir = "", target
	}
	return req, nil
}

// onCluster tells whether jobs of a cluster train a study.
func (o *studyRunOptions) onCluster(c study.Config) bool {
	return o.executor == "slurm" || o.executor == "" && c.Slurm != nil
}

// startError gives errors of study.Start their exit status.
func startError(err error) error {
	var missing *dataset.MissingError
	if errors.As(err, &missing) {
		err = usagef("%w; --data PATH says where the images of a study are on this machine", err)
	}
	return studyError(err)
}

// train trains what remains of a study.
func (o studyRunOptions) train(ctx context.Context, a *app, run *study.Run) (totals study.Totals, err error) {
	var workers study.Executor
	var slots int
	cluster := o.onCluster(run.Config)
	if cluster {
		on := executor.Slurm{Slurm: o.slurm.over(run.Config.Slurm, o.workers), Detach: true, Note: a.note}
		workers, slots = on, on.Slots(run.Pending())
	} else {
		on := executor.Local{Workers: o.workers}
		if o.workers == 0 {
			if on.Workers, err = o.trainer.Workers(run.Config.Trainer); err != nil {
				return totals, err
			}
		}
		workers, slots = on, min(on.Slots(), max(1, run.Pending()))
	}
	show := newProgress(a, run, slots)
	show.start()
	a.grace.Store(int64(withGrace))
	err = run.Execute(ctx, workers, show.event)
	totals = show.stop(err)
	switch {
	case cluster && errors.Is(err, context.Canceled):
		return totals, &stoppedError{fmt.Sprintf("%d of %d networks are done, and the jobs on the cluster work on; to follow them again, or to end them, type:\n  %s\n  %s",
			totals.Done+totals.Failed, totals.Trials, o.again(run.Dir), cancelCommand(run.Dir)), err}
	case errors.Is(err, executor.ErrCancelled):
		return totals, &exitError{exitInterrupted, fmt.Errorf("%w with %d of %d networks done; to go on, type:\n  %s",
			err, totals.Done+totals.Failed, totals.Trials, o.again(run.Dir))}
	case errors.Is(err, context.Canceled):
		// Who stopped it decides the exit status.
		return totals, &stoppedError{fmt.Sprintf("interrupted with %d of %d networks done; to go on, type:\n  %s",
			totals.Done+totals.Failed, totals.Trials, o.again(run.Dir)), err}
	}
	return totals, studyError(err)
}

// failedNetworks is an error if networks failed.
func failedNetworks(t study.Totals, dir string) error {
	if t.Failed == 0 {
		return nil
	}
	return &exitError{exitTrials, fmt.Errorf("%d of %d networks failed; they count with the error of chance (%s study status %s says why)",
		t.Failed, t.Trials, shellescape.Quote(os.Args[0]), shellescape.Quote(displayPath(dir)))}
}

// stoppedError says in its own words what a cancelled context ended.
type stoppedError struct {
	text string
	err  error
}

func (e *stoppedError) Error() string { return e.text }
func (e *stoppedError) Unwrap() error { return e.err }

// again is the command that goes on with a study.
func (o studyRunOptions) again(dir string) string {
	command := fmt.Sprintf("%s %s %s", shellescape.Quote(os.Args[0]), cmp.Or(o.command, "study run"), shellescape.Quote(displayPath(dir)))
	if o.executor != "" {
		command += " --executor " + o.executor
	}
	command += o.slurm.String()
	if o.workers > 0 {
		command += fmt.Sprintf(" --workers %d", o.workers)
	}
	if o.data != "" {
		command += " --data " + shellescape.Quote(o.data)
	}
	if o.engine != engines.Default {
		command += " --engine " + o.engine
	}
	return command
}

// note tells what is going on, unless nobody wants to know.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// displayPath is a path as one would type it: relative where that is shorter.
func displayPath(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// studyError gives errors of what was asked for their exit status.
func studyError(err error) error {
	var request *study.RequestError
	if errors.As(err, &request) || errors.Is(err, study.ErrNoStudy) || errors.Is(err, executor.ErrNoSlurm) {
		return usage(err)
	}
	var bad *strict.Error
	if errors.As(err, &bad) {
		return usage(err)
	}
	return err
}

func newStudyStatusCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "status DIR",
		Short:   "Show how far a study is",
		Long:    "Show how many networks of each space are trained, and why any failed.\nIt only reads, and may be used while the study runs.",
		Example: "  netspace study status out/demo\n  netspace study status out/demo --json",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return studyStatus(c.Context(), a, args[0]) },
	}
}

func studyStatus(ctx context.Context, a *app, dir string) error {
	s, err := study.Open(ctx, dir)
	if err != nil {
		return studyError(err)
	}
	all := s.Status()
	a.noteDamage(s.Damage())
	if a.json {
		for _, st := range all {
			if err := a.emit(st); err != nil {
				return err
			}
		}
		return nil
	}
	fmt.Fprintf(a.out, "study %s in %s: %s, %d training and %d validation images, %d epochs\n",
		s.Config.Name, displayPath(dir), s.Config.Data.Name, s.TrainImages, s.ValImages, s.Config.Recipe.Epochs)
	widest := len("space")
	for _, st := range all {
		widest = max(widest, len(st.Space))
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%-*s\tnetworks\tdone\tfailed\trunning\tpending\tbest error\tmean error\t\n", widest, "space")
	for _, st := range all {
		fmt.Fprintf(w, "%-*s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t\n", widest, st.Space, st.Samples, st.Done, st.Failed, st.Running, st.Pending, percent(st.Best), percent(st.Mean))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, st := range all {
		if st.Short > 0 {
			fmt.Fprintf(a.out, "%s: %d networks were trained for some epochs and did not go on\n", st.Space, st.Short)
		}
		if st.Reruns > 0 {
			fmt.Fprintf(a.out, "%s: %d of %d reruns done\n", st.Space, st.RerunsDone, st.Reruns)
		}
	}
	const most = 20
	failures := s.Failures()
	for i, f := range failures {
		if i == most {
			fmt.Fprintf(a.out, "and %d more failed (netspace study export has all)\n", len(failures)-most)
			break
		}
		fmt.Fprintf(a.out, "failed: %s #%d (%s): %s\n", f.Space, f.Index, f.ID, f.Reason)
		if f.Log != "" {
			fmt.Fprintf(a.out, "    %s\n", strings.ReplaceAll(f.Log, "\n", "\n    "))
		}
	}
	return nil
}

// noteDamage tells of lines of journals that were set aside.
func (a *app) noteDamage(damage []study.Damage) {
	if len(damage) == 0 {
		return
	}
	a.note("warning: set aside %s", damage[0])
	if n := len(damage) - 1; n > 0 {
		a.note("warning: and %d more damaged lines (netspace study check lists them)", n)
	}
}

func percent(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 2, 64) + " %"
}

// stoppable is a writer that a cancelled context makes fail, so that what is
// half written is removed.
type stoppable struct {
	ctx context.Context
	w   io.Writer
}

func (s stoppable) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.w.Write(p)
}

type studyExportOptions struct {
	format string
	output string
	times  bool
}

func newStudyExportCmd(a *app) *cobra.Command {
	var o studyExportOptions
	c := &cobra.Command{
		Use:   "export DIR",
		Short: "Write the trials of a study as a table",
		Long: `Write every training of a study, space by space in the order of the samples: as CSV
with one line each, as JSON Lines with the full specs and training curves, as a
Parquet file with stages and curves as lists, or as an SQLite data base with tables
trainings, stages, epochs, and columns, which says what they hold. docs/export.md
explains every column. Trainings without a result are there too, with their state.
Without --times the same study gives the same bytes however many workers trained it.`,
		Example: `  netspace study export out/demo --format csv -o demo.csv
  netspace study export out/demo --format jsonl | jq .error
  netspace study export out/demo --format sqlite -o demo.sqlite`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), a, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.format, "format", "", "csv, jsonl, parquet or sqlite (default csv, with --json jsonl)")
	f.StringVarP(&o.output, "output", "o", "", "file to write (default standard output)")
	f.BoolVar(&o.times, "times", false, "add seconds and images per second of each training")
	return c
}

func (o studyExportOptions) run(ctx context.Context, a *app, dir string) error {
	if o.format == "" {
		o.format = study.CSV
		if a.json {
			o.format = study.JSONL
		}
	}
	s, err := study.Open(ctx, dir)
	if err != nil {
		return studyError(err)
	}
	write := func(w io.Writer) error {
		return tabular.Write(ctx, w, s, study.ExportOptions{Format: o.format, Times: o.times})
	}
	if o.output == "" {
		return studyError(write(a.out))
	}
	return studyError(atomicfile.Write(o.output, 0o644, func(w io.Writer) error { return write(stoppable{ctx, w}) }))
}

type studyCheckOptions struct {
	retrain int
	seed    uint64
	data    string
}

func newStudyCheckCmd(a *app) *cobra.Command {
	var o studyCheckOptions
	c := &cobra.Command{
		Use:   "check DIR",
		Short: "Verify a study: every record, and on request some results by training them again",
		Long: `Read everything in a study folder, each line with its checksum, and list what is
damaged or missing. With --retrain N, train N networks that are done again and
compare their curves bit for bit. Nothing in the folder is changed.

Exit status: 0 nothing is wrong, 1 something is.`,
		Example: `  netspace study check out/demo
  netspace study check out/demo --retrain 3 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.run(c.Context(), a, args[0]) },
	}
	f := c.Flags()
	f.IntVar(&o.retrain, "retrain", 0, "train `N` networks again, drawn at random")
	f.Uint64Var(&o.seed, "seed", 0, "of that draw")
	f.StringVar(&o.data, "data", "", "the images are in folder or data set `PATH`, and not where the study file says")
	return c
}

func (o studyCheckOptions) run(ctx context.Context, a *app, dir string) error {
	if o.retrain < 0 {
		return usagef("--retrain %d: must be at least 0", o.retrain)
	}
	s, err := study.Open(ctx, dir)
	if err != nil {
		return studyError(err)
	}
	if o.data != "" {
		s.Config.Data.Name = o.data
	}
	var last time.Time
	c, err := s.Check(ctx, study.CheckOptions{Retrain: o.retrain, Seed: o.seed, Progress: func(r study.Retrained, p train.Progress) {
		if now := time.Now(); now.Sub(last) >= lineEvery {
			last = now
			a.note("training %s again: %.0f %%, %s left", r.Name(), 100*p.Done, round(p.ETA))
		}
	}})
	if err != nil {
		return err
	}
	if a.json {
		if err := a.emit(c); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.out, "%d networks, %d results\n", c.Networks, c.Results)
		for _, d := range c.Damage {
			fmt.Fprintf(a.out, "damaged: %s\n", d)
		}
		if c.Missing > 0 {
			fmt.Fprintf(a.out, "missing: %d networks that no readable record tells of; study run samples them again\n", c.Missing)
		}
		if c.Differing != "" {
			fmt.Fprintf(a.out, "note: %s\n", c.Differing)
		}
		for _, r := range c.Retrained {
			what := "the same to the bit"
			switch {
			case r.Fault != "":
				what = "failed now: " + r.Fault
			case !r.Same:
				what = fmt.Sprintf("DIFFERS: error %.4f %% now, %.4f %% in the journal", r.Again, r.Error)
			}
			fmt.Fprintf(a.out, "trained again: %s (%s): %s\n", r.Name(), r.ID, what)
		}
	}
	if !c.OK() {
		return errors.New("the study is not as it should be")
	}
	return nil
}

func newStudyCopyCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "copy DIR TO",
		Short: "Copy a study into a new folder",
		Long: `Copy the study file and the journals of a study, up to their last whole records, into
a new folder, without checkpoints. The study may be running.`,
		Example: "  netspace study copy out/demo /backup/demo",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if err := study.Copy(c.Context(), args[0], args[1]); err != nil {
				return studyError(err)
			}
			a.note("%s is a copy of %s", displayPath(args[1]), displayPath(args[0]))
			return nil
		},
	}
}

func newStudyMergeCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "merge DIR FROM…",
		Short: "Add the results of other folders of one study, from another cluster, say",
		Long: `Add the networks and results of the studies in FROM to the study in DIR. All must have the
same settings, the same images, and the same networks at the same places; else nothing is
changed, and the difference is shown. The study file in DIR then lists the spaces of all,
and the largest number of samples. The folders in FROM are not changed.`,
		Example: "  netspace study merge out/demo /mnt/cluster-b/demo",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := study.Merge(c.Context(), args[0], args[1:]...)
			if err != nil {
				return studyError(err)
			}
			if a.json {
				return a.emit(m)
			}
			fmt.Fprintf(a.out, "%d networks and %d results added to %s\n", m.Networks, m.Results, displayPath(args[0]))
			return nil
		},
	}
}
