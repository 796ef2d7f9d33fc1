package executor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"

	"netspace/internal/tail"
	"netspace/study"
)

// Slurm is the study.Executor of a Slurm cluster. It submits an array of jobs, each of which runs this
// program on its node as a session: it trains what nobody else sees to, with workers of its own, until
// nothing is left. Jobs and submitter share the study folder and nothing else, and the program must have the same path
// everywhere. The submitter follows the folder and submits jobs in the place of those that were lost. It may go away
// and come back: the jobs have a name that is remembered in the folder. Of several submitters, on whatever hosts, one submits, and
// the others follow the folder until it is gone (study.Run.Leads).
type Slurm struct {
	study.Slurm
	// Detach leaves the jobs at work when Execute returns before the study has ended; else they are cancelled, and have ended then.
	Detach bool
	// Command starts a session, a program that calls WorkerMain; nil means this program.
	Command []string
	// Env is added to the environment of the jobs.
	Env []string
	// Poll is the time between two looks into the queue; 0 means ten seconds. The folder is looked at five times as often.
	Poll time.Duration
	// Silence is that of Local in each job, and Lease that of study.Request.
	Silence, Lease time.Duration
	// Note is told what happens to jobs; nil: nobody.
	Note func(format string, args ...any)
}

const (
	slurmDir = "slurm" // in the study folder: what jobs print

	// warnedBefore is how long before the end of its time a job is told to stop: Slurm looks twice a minute, and may do it a
	// minute earlier.
	warnedBefore = time.Minute

	// commandTime is how long a command of Slurm may take: a controller with much to do answers late.
	commandTime = time.Minute

	// usualMaxArray is how many jobs an array may have where the cluster does not say.
	usualMaxArray = 1000

	// maxFruitless is how many submissions in a row may come to nothing.
	maxFruitless = 3
)

// ErrCancelled says that the jobs of a study were cancelled, and not by whoever submitted them.
var ErrCancelled = errors.New("the jobs of the study were cancelled")

// ErrNoSlurm says that there are no commands of Slurm on this machine.
var ErrNoSlurm = errors.New("there is no Slurm on this machine: the command sbatch is not in PATH")

// Slots is the number of workers that are asked for, if so many trials remain.
func (s Slurm) Slots(trials int) int {
	return max(1, min(trials, cmp.Or(s.Workers, study.DefaultSlurmWorkers)))
}

// job is an element of an array in the queue.
type job struct {
	id     string // 4711_3
	state  string // as squeue names it
	reason string // why it waits
}

// jobName is the name of a job, by its array and its place there.
func jobName(array, task string) string { return array + "_" + task }

// ended tells whether a job will not run again. States that this program does not know are taken for living ones.
func (j job) ended() bool {
	switch j.state {
	case "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "REVOKED":
		return true
	}
	return false
}

// command runs a command of Slurm and gives what it prints.
func command(ctx context.Context, input string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.WaitDelay = stopGrace
	c.Stdin = strings.NewReader(input)
	var out, complaints bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaints
	err := c.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case errors.Is(err, exec.ErrNotFound):
		return "", ErrNoSlurm
	case ctx.Err() != nil:
		return "", &commandError{name, noAnswer, context.Cause(ctx)}
	}
	return "", &commandError{name, strings.ReplaceAll(strings.TrimSpace(complaints.String()), "\n", "; "), err}
}

// commandError is what a command of Slurm complains of.
type commandError struct {
	name, said string
	err        error
}

func (e *commandError) Error() string { return fmt.Sprintf("%s: %s (%v)", e.name, e.said, e.err) }
func (e *commandError) Unwrap() error { return e.err }

// noAnswer is what a command says that was ended because it took too long.
const noAnswer = "no answer"

// transient tells whether a command failed because the controller did not answer, or was not able to: it is worth asking again.
func transient(err error) bool {
	var failed *commandError
	if !errors.As(err, &failed) || errors.Is(err, context.Canceled) {
		return false
	}
	said := strings.ToLower(failed.said)
	for _, text := range []string{noAnswer, "unable to contact", "timed out", "temporarily", "connection refused", "communication", "try again",
		"zero bytes", "missing socket", "standby"} {
		if strings.Contains(said, text) {
			return true
		}
	}
	return false
}

// jobs lists the jobs of a name that work in a folder, those too that have ended a few minutes ago; and counts those of the name that
// work in another one, which a copy of a folder has in common with the original.
func jobs(ctx context.Context, name, dir string) (here []job, elsewhere int, err error) {
	out, err := command(ctx, "", "squeue", "--noheader", "--array", "--states=all", "--name="+name, "--format=%i|%T|%r|%Z")
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(out) {
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), "|", 4)
		if len(part) != 4 {
			continue
		}
		j := job{part[0], part[1], part[2]}
		switch {
		case part[3] == dir:
			here = append(here, j)
		case !j.ended():
			elsewhere++
		}
	}
	return here, elsewhere, nil
}

// CancelSlurm cancels the jobs of a study, wherever they were submitted, tells their submitters to submit no more, and returns the
// identifiers of the jobs when they have ended. elsewhere counts the jobs of another folder of which this one is a copy: they are left alone.
func CancelSlurm(ctx context.Context, s *study.Study) (ids []string, elsewhere int, err error) {
	if s.JobName() == "" {
		return nil, 0, nil
	}
	dir, err := realPath(s.Dir)
	if err != nil {
		return nil, 0, err
	}
	if err := s.CancelJobs(); err != nil {
		return nil, 0, err
	}
	if _, elsewhere, err = jobs(ctx, s.JobName(), dir); err != nil {
		return nil, 0, err
	}
	ids, err = endJobs(ctx, s.JobName(), dir, time.Second)
	return ids, elsewhere, err
}

// scancel cancels jobs, some of which may have ended.
func scancel(ctx context.Context, ids []string) error {
	const most = 500 // in one command
	for len(ids) > 0 {
		part := ids[:min(most, len(ids))]
		ids = ids[len(part):]
		if _, err := command(ctx, "", "scancel", append([]string{"--quiet"}, part...)...); err != nil {
			return err
		}
	}
	return nil
}

// realPath is a folder's path without links, as jobs see it.
func realPath(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// submission is a study at work on a cluster.
type submission struct {
	Slurm
	run       *study.Run
	name, dir string
	script    string
	leads     bool   // of all runs of the study it is the one that submits
	leader    string // where another one is that does, as it was told

	want  int             // jobs at once
	seen  map[string]bool // jobs that have ended, and that is seen to
	live  map[string]bool // those in the queue at the last look
	waits string          // why jobs wait, as it was told

	lost      int   // jobs to be replaced
	cancelled int   // jobs that somebody cancelled
	failure   error // of the last job that failed
	idle      int   // looks in a row in which no job was in the queue
	submitted bool  // it has submitted since it looked into an empty queue
	moved     bool  // trials got on since the last submission
	fruitless int   // submissions in a row after which none did
	mute      bool  // it was told that the queue does not answer
}

// Execute implements study.Executor. Its error is a *study.RequestError if the cluster refuses what is asked for.
func (s Slurm) Execute(ctx context.Context, run *study.Run) error {
	if os.Getenv(workerVariable) != "" {
		return errNoWorker
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if s.Note == nil {
		s.Note = func(string, ...any) {}
	}
	s.Poll = cmp.Or(s.Poll, 10*time.Second)
	sub := &submission{Slurm: s, run: run, seen: map[string]bool{}, live: map[string]bool{}}
	err := sub.prepare(ctx)
	if err == nil {
		err = sub.follow(ctx)
	}
	switch {
	case err == nil:
		return sub.finish(ctx)
	case s.Detach, !sub.leads:
		return err
	}
	return errors.Join(err, sub.end(context.WithoutCancel(ctx)))
}

// prepare makes what a submission needs, and submits what is missing if no other run sees to that.
func (s *submission) prepare(ctx context.Context) (err error) {
	if s.dir, err = realPath(s.run.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.dir, slurmDir), 0o755); err != nil {
		return err
	}
	if s.script, err = s.batch(); err != nil {
		return err
	}
	if fresh, err := s.lead(ctx); !fresh {
		return err
	}
	return s.adopt(ctx)
}

// lead finds out whether it is this run that submits; fresh tells that it has become so now.
func (s *submission) lead(ctx context.Context) (fresh bool, err error) {
	was := s.leads
	var host string
	if s.leads, host, err = s.run.Leads(ctx, filepath.Join(s.dir, slurmDir)); err != nil {
		return false, err
	}
	if s.leads && s.name == "" {
		if s.name, err = s.run.JobName(ctx); err != nil {
			return false, err
		}
	}
	if s.leads {
		host = ""
	} else if host != "" && host != s.leader {
		s.Note("another run, on %s, submits the jobs of this study: following it", host)
	}
	s.leader = host
	return s.leads && !was, nil
}

// adopt finds out which jobs there are, and submits what is missing.
func (s *submission) adopt(ctx context.Context) error {
	all, _, err := jobs(ctx, s.name, s.dir)
	if transient(err) {
		s.silent(err)
		s.leads = false // until it is known what there is
		return nil
	}
	if err != nil {
		return err
	}
	s.mute = false
	s.live = map[string]bool{}
	for _, j := range all {
		if j.ended() {
			s.seen[j.id] = true // that was another submitter's
		} else {
			s.live[j.id] = true
		}
	}
	if n := len(s.live); n > 0 {
		s.Note("%d jobs of this study are in the queue already", n)
	}
	s.want = s.jobs(s.Slots(s.run.Pending()))
	return s.submit(ctx, s.want-len(s.live))
}

// silent takes note that the cluster does not answer. Jobs work on without it, and it is asked again.
func (s *submission) silent(err error) {
	if !s.mute {
		s.Note("warning: the cluster does not answer, asking again: %v", err)
	}
	s.mute = true
}

// jobs is how many jobs so many workers take.
func (s *submission) jobs(workers int) int { return (workers + s.JobWorkers() - 1) / s.JobWorkers() }

// batch is the script of a job.
func (s *submission) batch() (string, error) {
	program := s.Command
	if program == nil {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find this program to have jobs run it: %w", err)
		}
		program = []string{self}
	}
	here, err := os.Getwd() // where relative paths of a study file begin
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(order{Dir: s.dir, Engine: s.run.Config.Engine, Data: s.run.Config.Data.Name, Workers: s.JobWorkers(), Silence: s.Silence, Lease: s.Lease})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\ncd %s || exit 1\n", shellescape.Quote(here))
	for _, v := range append([]string{sessionVariable + "=" + string(text)}, s.Env...) {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(&b, "export %s=%s\n", name, shellescape.Quote(value))
	}
	fmt.Fprintf(&b, "exec %s\n", shellescape.QuoteCommand(program)) // which the signals then reach
	return b.String(), nil
}

// arguments are those of sbatch for an array of jobs.
func (s *submission) arguments(jobs int) []string {
	args := []string{"--parsable", "--job-name=" + s.name, fmt.Sprintf("--array=0-%d", jobs-1), "--chdir=" + s.dir,
		"--output=" + slurmDir + "/%A_%a.out", "--open-mode=append", "--requeue",
		fmt.Sprintf("--signal=B:USR1@%d", int(warnedBefore.Seconds())), "--nodes=1", "--ntasks=1",
		"--cpus-per-task=" + strconv.Itoa(cmp.Or(s.CPUs, s.JobWorkers()))}
	add := func(format string, value any, given bool) {
		if given {
			args = append(args, fmt.Sprintf(format, value))
		}
	}
	add("--partition=%s", s.Partition, s.Partition != "")
	add("--account=%s", s.Account, s.Account != "")
	add("--time=%d", int((s.Time+time.Minute-1)/time.Minute), s.Time > 0)
	add("--mem=%dM", (s.Memory+1<<20-1)>>20, s.Memory > 0)
	add("--gres=gpu:%d", s.GPUs, s.GPUs > 0)
	return append(args, s.Options...)
}

// submit submits so many jobs, in arrays of the size that the cluster allows. An error means that none of the study is in the queue.
func (s *submission) submit(ctx context.Context, n int) error {
	if n <= 0 {
		return nil
	}
	most := maxArray(ctx)
	for n > 0 {
		part := min(n, most)
		n -= part
		if _, err := s.lead(ctx); err != nil || !s.leads {
			return err
		}
		out, err := command(ctx, s.script, "sbatch", s.arguments(part)...)
		switch {
		case err == nil:
		case transient(err):
			s.silent(err)
			s.lost = max(s.lost, n+part)
			return nil
		case ctx.Err() != nil:
			return err
		case len(s.live) > 0: // as limits of how many jobs somebody may have do it
			s.Note("no more jobs than %d: %v", len(s.live), err)
			s.want = len(s.live)
			return nil
		default:
			return &study.RequestError{Err: err}
		}
		array, _, _ := strings.Cut(strings.TrimSpace(out), ";") // "id;cluster"
		for i := range part {
			s.live[jobName(array, strconv.Itoa(i))] = true
		}
		s.submitted = true
		s.Note("submitted %d jobs of %d workers each: %s", part, s.JobWorkers(), array)
	}
	s.lost, s.cancelled, s.idle, s.moved = 0, 0, 0, false
	return nil
}

// maxArray is how many jobs an array may have.
func maxArray(ctx context.Context) int {
	out, err := command(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return usualMaxArray
	}
	for line := range strings.Lines(out) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.TrimSpace(key) == "MaxArraySize" {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n > 0 {
				return n // numbers begin at 0 and are less than it
			}
		}
	}
	return usualMaxArray
}

// follow follows the folder and the queue until all trials have ended.
func (s *submission) follow(ctx context.Context) error {
	const looks = 5 // at the folder, for each one at the queue
	tick := time.NewTicker(s.Poll / looks)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		moved, err := s.run.Follow(ctx)
		if err != nil {
			return err
		}
		if moved {
			s.moved, s.fruitless = true, 0
		}
		switch {
		case s.run.Cancelled():
			return ErrCancelled
		case s.run.Pending() == 0:
			return nil
		case n%looks == 0:
			if err := s.look(ctx); err != nil {
				return err
			}
		}
	}
}

// look looks into the queue, and submits jobs in the place of lost ones, if no other run sees to that.
func (s *submission) look(ctx context.Context) error {
	switch fresh, err := s.lead(ctx); {
	case err != nil || !s.leads:
		return err
	case fresh:
		return s.adopt(ctx)
	}
	all, _, err := jobs(ctx, s.name, s.dir)
	if err != nil {
		if ctx.Err() == nil {
			s.silent(err)
		}
		return nil
	}
	s.mute = false
	before, waits := s.live, ""
	s.live = map[string]bool{}
	var strangers []string // submitted late by a run that was taken for dead, or with an answer that got lost
	for _, j := range all {
		ours := before[j.id]
		delete(before, j.id)
		switch {
		case !j.ended():
			s.live[j.id] = true
			if !ours && !s.seen[j.id] {
				strangers = append(strangers, j.id)
			}
			if j.state == "PENDING" && !usualReasons[j.reason] {
				waits = j.reason
			}
		case !s.seen[j.id]:
			s.seen[j.id] = true
			s.account(j)
		}
	}
	for id := range before { // it ended, and the queue has forgotten it
		s.seen[id] = true
		s.lost++
	}
	if waits != s.waits && waits != "" {
		s.Note("jobs wait: %s (squeue --name=%s)", waits, s.name)
	}
	s.waits = waits
	if surplus := strangers[:min(len(strangers), max(0, len(s.live)-s.want))]; len(surplus) > 0 {
		s.Note("cancelling %d jobs that were submitted twice", len(surplus))
		for _, id := range surplus {
			delete(s.live, id)
			s.seen[id] = true
		}
		if err := scancel(ctx, surplus); err != nil {
			s.silent(err)
		}
	}
	need := min(s.want, s.jobs(s.run.Pending())) - len(s.live)
	if len(s.live) > 0 {
		s.idle = 0
		return s.submit(ctx, min(need, s.lost))
	}
	if s.idle++; s.idle < 2 { // the folder may show late what the last jobs wrote
		return nil
	}
	if s.submitted && !s.moved {
		s.fruitless++
	}
	switch {
	case s.failure != nil && (s.lost == 0 || s.fruitless == maxFruitless):
		return s.failure
	case s.lost == 0 && s.cancelled > 0:
		return errors.Join(ErrCancelled, s.run.CancelJobs()) // nor is another run to submit any
	case s.fruitless == maxFruitless:
		return fmt.Errorf("%d submissions in a row came to nothing: their jobs ended, and no trial got on; see what they print in %s", maxFruitless, filepath.Join(s.run.Dir, slurmDir))
	}
	s.submitted = false
	return s.submit(ctx, max(1, need))
}

// usualReasons are those for which jobs wait that anybody's jobs wait for.
var usualReasons = map[string]bool{"None": true, "Priority": true, "Resources": true, "BeginTime": true, "Cleaning": true, "JobArrayTaskLimit": true}

// account takes note of a job that has ended.
func (s *submission) account(j job) {
	log := filepath.Join(s.run.Dir, slurmDir, j.id+".out")
	var words lastWords
	if text, err := os.ReadFile(wordsFile(s.dir, j.id)); err == nil {
		_ = json.Unmarshal(text, &words) // else the job says nothing, like one that was killed
	}
	switch {
	case j.state == "COMPLETED": // there was nothing left to do
	case j.state == "CANCELLED":
		s.cancelled++
		s.want--
		s.Note("job %s was cancelled", j.id)
	case j.state == "FAILED" && !words.Stopped:
		switch {
		case words.Machine != nil:
			s.failure = words.Machine
		case words.Error != "":
			s.failure = errors.New(words.Error)
		default:
			text, err := os.ReadFile(filepath.Join(s.dir, slurmDir, j.id+".out"))
			if err != nil || len(text) == 0 {
				text = []byte("it printed nothing")
			}
			s.failure = errors.New(tail.Lines(string(text)))
		}
		s.failure = fmt.Errorf("job %s (%s): %w", j.id, log, s.failure)
		s.want--
		s.Note("warning: %v", s.failure)
	default:
		s.lost++
		s.Note("job %s ended: %s; %s", j.id, strings.ToLower(j.state), log)
	}
}

// finish waits until the jobs have ended that see that nothing is left. Those that have not begun are cancelled.
func (s *submission) finish(ctx context.Context) error {
	if _, err := s.lead(ctx); err != nil || !s.leads { // who leads sees to it
		return err
	}
	const patience = 30 * time.Second // for a file system that shows old files
	for began := time.Now(); ; {
		all, _, err := jobs(ctx, s.name, s.dir)
		if err != nil { // it is asked again there
			break
		}
		var idle []string
		busy := false
		for _, j := range all {
			switch {
			case j.ended():
			case j.state == "PENDING":
				idle = append(idle, j.id)
			default:
				busy = true
			}
		}
		if err := scancel(ctx, idle); err != nil || !busy || time.Since(began) > patience {
			break
		}
		select {
		case <-ctx.Done():
			return s.end(context.WithoutCancel(ctx))
		case <-time.After(s.Poll / 10):
		}
	}
	return s.end(context.WithoutCancel(ctx))
}

// end cancels the jobs and waits until they have ended.
func (s *submission) end(ctx context.Context) error {
	_, err := endJobs(ctx, s.name, s.dir, s.Poll/10)
	return err
}

// endJobs cancels the jobs of a name in a folder, and waits until they have ended, looking every so often. It returns their identifiers.
func endJobs(ctx context.Context, name, dir string, every time.Duration) (ids []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // Slurm kills after KillWait what does not end
	defer cancel()
	asked := map[string]bool{}
	for {
		all, _, err := jobs(ctx, name, dir)
		var fresh []string
		left := 0
		for _, j := range all {
			if j.ended() {
				continue
			}
			left++
			if !asked[j.id] {
				fresh = append(fresh, j.id)
			}
		}
		if err == nil && left == 0 {
			return ids, nil
		}
		if err == nil {
			err = scancel(ctx, fresh)
		}
		if err != nil && !transient(err) {
			return ids, err
		}
		if err == nil {
			ids = append(ids, fresh...)
			for _, id := range fresh {
				asked[id] = true
			}
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("%d jobs have not ended yet although they were cancelled (squeue --name=%s)", left, name)
			}
			return ids, err
		case <-time.After(every):
		}
	}
}
