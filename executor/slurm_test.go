//go:build unix

package executor_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netspace/executor"
	"netspace/executor/executortest"
	"netspace/study"
	"netspace/train"
	"netspace/trial"
)

// holdVariable names a file that trainings wait for at the end of each epoch, as if they were long ones.
const holdVariable = "NETSPACE_TEST_HOLD"

// held is a trainer that waits for the file of holdVariable, if that is set.
type held struct{ *trial.Any }

func (h held) Train(ctx context.Context, t trial.Task, dir string, report func(train.Progress)) (train.Result, error) {
	file := os.Getenv(holdVariable)
	return h.Any.Train(ctx, t, dir, func(p train.Progress) {
		report(p)
		for p.Finished != nil && file != "" && ctx.Err() == nil {
			if _, err := os.Stat(file); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

// needSlurm skips a test where there is no Slurm to break: make test-slurm starts one.
func needSlurm(t *testing.T) (dir string) {
	t.Helper()
	if dir = os.Getenv("SLURM_TEST_DIR"); dir == "" {
		t.Skip("no Slurm to test with: make test-slurm")
	}
	return dir
}

func TestSlurmConformance(t *testing.T) {
	needSlurm(t)
	executortest.Run(t, func(slots int, env ...string) study.Executor {
		return executor.Slurm{Slurm: study.Slurm{Workers: slots}, Env: env, Silence: 3 * time.Second, Poll: 500 * time.Millisecond}
	})
}

// slurmStudy is a study at work on the nodes n1 and n2, whose trainings wait until they are released.
type slurmStudy struct {
	tinyStudy
	hold  string
	state string // of Slurm
	job   string // name
	done  chan error

	mu    sync.Mutex
	notes []string
	lost  int // attempts
}

// slurmPatience is how long a machine that does other things may take for what Slurm does within some seconds.
const slurmPatience = 2 * time.Minute

// startSlurm starts a study with a job on each node.
func startSlurm(t *testing.T, options ...string) *slurmStudy {
	s := &slurmStudy{state: needSlurm(t), tinyStudy: newTinyStudy(t), done: make(chan error, 1)}
	s.hold = filepath.Join(filepath.Dir(s.file), "go on")
	s.execute(t, t.Context(), options...)
	return s
}

// execute begins to see to the study.
func (s *slurmStudy) execute(t *testing.T, ctx context.Context, options ...string) {
	r := s.start(t)
	var err error
	if s.job, err = r.JobName(ctx); err != nil {
		t.Fatal(err)
	}
	x := s.executor(study.Slurm{Workers: 2, Options: append([]string{"--exclusive"}, options...)})
	go func() {
		err := r.Execute(ctx, x, func(e study.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.Kind == study.TrialLost {
				s.lost++
			}
		})
		s.done <- errors.Join(err, r.Close())
	}()
}

func (s *slurmStudy) executor(ask study.Slurm) executor.Slurm {
	return executor.Slurm{Slurm: ask, Env: []string{holdVariable + "=" + s.hold}, Poll: 500 * time.Millisecond, Lease: 5 * time.Second, Detach: true,
		Note: func(format string, args ...any) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.notes = append(s.notes, fmt.Sprintf(format, args...))
		}}
}

// noted tells whether there was such a note.
func (s *slurmStudy) noted(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.notes, func(note string) bool { return strings.Contains(note, text) })
}

// until waits for something.
func (s *slurmStudy) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-s.done:
			t.Fatalf("waiting for %s: the study ended: %v; %q", what, err, s.notes)
		default:
		}
		if time.Since(began) > slurmPatience {
			t.Fatalf("no %s within %v; %q; %s", what, slurmPatience, s.notes, slurm(t, "squeue", "--states=all", "--array", "--name="+s.job))
		}
	}
}

// slurm runs a command of Slurm and gives its words.
func slurm(t *testing.T, command string, args ...string) []string {
	t.Helper()
	out, err := exec.Command(command, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", command, args, err, out)
	}
	return strings.Fields(string(out))
}

// running are the jobs of the study that run, by node.
func (s *slurmStudy) running(t *testing.T) map[string]string {
	words := slurm(t, "squeue", "--noheader", "--array", "--states=running", "--name="+s.job, "--format=%N %A")
	all := map[string]string{}
	for i := 0; i+1 < len(words); i += 2 {
		all[words[i]] = words[i+1]
	}
	return all
}

// begun tells how often workers on a node began a trial.
func (s *slurmStudy) begun(t *testing.T, node string) int {
	n := 0
	files, err := filepath.Glob(filepath.Join(s.dir, "journal", node+"-*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(string(text), `,"start":{`)
	}
	return n
}

// atWork waits until both nodes train.
func (s *slurmStudy) atWork(t *testing.T) {
	t.Helper()
	s.until(t, "training on both nodes", func() bool { return s.begun(t, "n1") > 0 && s.begun(t, "n2") > 0 })
}

// finish releases the trainings and compares what the study comes to with what it comes to on this machine.
func (s *slurmStudy) finish(t *testing.T, want string) {
	t.Helper()
	if err := os.WriteFile(s.hold, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-s.done:
		if err != nil {
			t.Fatalf("%v; %q", err, s.notes)
		}
	case <-time.After(slurmPatience):
		t.Fatalf("the study does not end; %q", s.notes)
	}
	if got := s.export(t); got != want {
		t.Error(cmp.Diff(want, got))
	}
	if left := slurm(t, "squeue", "--noheader", "--name="+s.job); len(left) > 0 {
		t.Errorf("jobs are left: %q", left)
	}
}

// processes are those that run in a job on a node, or in its slurmd.
func processes(t *testing.T, state, node string) (pids []int) {
	t.Helper()
	if text, err := os.ReadFile(filepath.Join(state, node+".pid")); err == nil {
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		env, err := os.ReadFile(file)
		if err != nil { // it is gone
			continue
		}
		has := "\x00" + string(env)
		if strings.Contains(has, "\x00SLURM_CONF="+filepath.Join(state, "slurm.conf")+"\x00") && strings.Contains(has, "\x00SLURMD_NODENAME="+node+"\x00") {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Jobs on two nodes are requeued, preempted, warned of the end of their time, and
// give the results of a run on this machine.
func TestSlurmStops(t *testing.T) {
	needSlurm(t)
	want := results(t)
	s := startSlurm(t)
	s.atWork(t)

	jobs := s.running(t)
	before := s.begun(t, "n1") + s.begun(t, "n2")
	slurm(t, "scontrol", "update", "JobId="+jobs["n1"], "TimeLimit=1")
	slurm(t, "scontrol", "requeue", jobs["n2"])
	s.until(t, "a requeued job that goes on", func() bool { return s.begun(t, "n1")+s.begun(t, "n2") > before })
	warned := func() bool {
		logs, err := filepath.Glob(filepath.Join(s.dir, "slurm", "*.out"))
		if err != nil {
			t.Fatal(err)
		}
		for _, log := range logs {
			if text, err := os.ReadFile(log); err == nil && strings.Contains(string(text), "the time of the job is over soon") {
				return true
			}
		}
		return false
	}
	s.until(t, "a job that is warned of its end", warned)
	before = s.begun(t, "n1") + s.begun(t, "n2")
	slurm(t, "sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
	s.until(t, "a preempted job that goes on", func() bool { return s.begun(t, "n1")+s.begun(t, "n2") > before })
	s.finish(t, want)
	if s.lost > 0 {
		t.Errorf("%d attempts were lost", s.lost)
	}
}

// A node that dies costs time: what it was at is taken over.
func TestSlurmNodeLost(t *testing.T) {
	state := needSlurm(t)
	want := results(t)
	s := startSlurm(t)
	s.atWork(t)
	for _, pid := range processes(t, state, "n2") {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	t.Cleanup(func() {
		if err := exec.Command("slurmd", "-N", "n2").Run(); err != nil {
			t.Error(err)
		}
	})
	s.until(t, "the node being missed", func() bool {
		return strings.Contains(strings.Join(slurm(t, "sinfo", "--noheader", "--nodes=n2", "--format=%T"), " "), "down")
	})
	s.finish(t, want)
	if s.lost == 0 {
		t.Error("nobody was told that the trial of the node was taken over")
	}
}

// A submitter may go away and come back; what somebody cancels stays cancelled.
func TestSlurmSubmitterGoes(t *testing.T) {
	needSlurm(t)
	want := results(t)
	s := &slurmStudy{tinyStudy: newTinyStudy(t), done: make(chan error, 1)}
	s.hold = filepath.Join(filepath.Dir(s.file), "go on")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.execute(t, ctx)
	s.atWork(t)
	cancel()
	if err := <-s.done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	jobs := s.running(t)
	s.execute(t, t.Context())
	s.until(t, "the jobs being found", func() bool { return s.noted("2 jobs of this study are in the queue already") })
	if diff := cmp.Diff(jobs, s.running(t)); len(jobs) != 2 || diff != "" {
		t.Fatalf("%v: %s", jobs, diff)
	}

	// A copy of the folder has the same name for its jobs, and none of them.
	twin := filepath.Join(t.TempDir(), "twin")
	if err := os.CopyFS(twin, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	bystander := slurm(t, "sbatch", "--parsable", "--output=/dev/null", "--hold", "--job-name=netspace-bystander", "--wrap=true")[0]
	defer slurm(t, "scancel", bystander)
	for _, c := range []struct {
		dir  string
		want int
	}{{twin, 0}, {s.dir, 2}} {
		st, err := study.Open(t.Context(), c.dir)
		if err != nil {
			t.Fatal(err)
		}
		ids, elsewhere, err := executor.CancelSlurm(t.Context(), st)
		if err != nil || len(ids) != c.want || elsewhere != 2-c.want {
			t.Fatalf("%s: %q, %d, %v", c.dir, ids, elsewhere, err)
		}
	}
	if err := <-s.done; !errors.Is(err, executor.ErrCancelled) {
		t.Fatal(err)
	}
	s.until(t, "end of the jobs, and of no other", func() bool {
		return cmp.Equal(slurm(t, "squeue", "--noheader", "--format=%i"), []string{bystander})
	})
	s.execute(t, t.Context())
	s.finish(t, want)
}

// Of submitters that begin at one time one submits, in arrays no larger than the cluster takes; when it goes, another one sees to its jobs. (They ask for
// GPUs, too.)
func TestSlurmOneSubmits(t *testing.T) {
	needSlurm(t)
	want := results(t)
	const jobs, most = 6, 4 // MaxArraySize of scripts/with_slurm.sh
	first := &slurmStudy{tinyStudy: newTinyStudy(t), done: make(chan error, 1)}
	first.hold = filepath.Join(filepath.Dir(first.file), "go on")
	var all []*slurmStudy
	var stops []context.CancelFunc
	begin := make(chan bool)
	for range 3 {
		s := &slurmStudy{tinyStudy: first.tinyStudy, hold: first.hold, done: make(chan error, 1)}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		r := s.start(t)
		all, stops = append(all, s), append(stops, stop)
		go func() {
			<-begin
			err := r.Execute(ctx, s.executor(study.Slurm{Workers: jobs, GPUs: 1}), nil)
			s.done <- errors.Join(err, r.Close())
		}()
	}
	close(begin)
	leader := func() int {
		return slices.IndexFunc(all, func(s *slurmStudy) bool { return s.noted("submitted 2 jobs of 1 workers each") })
	}
	all[0].until(t, "a submission", func() bool { return leader() >= 0 })
	was := leader()
	for i, s := range all {
		if i != was {
			s.until(t, "giving way", func() bool { return s.noted("submits the jobs of this study: following it") })
		}
	}
	stops[was]()
	if err := <-all[was].done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	all = slices.Delete(all, was, was+1)
	all[0].until(t, "another one in its place", func() bool {
		return all[0].noted("6 jobs of this study are in the queue already") != all[1].noted("6 jobs of this study are in the queue already")
	})
	st, err := study.Open(t.Context(), first.dir)
	if err != nil {
		t.Fatal(err)
	}
	arrays := map[string]int{}
	for _, id := range slurm(t, "squeue", "--noheader", "--array", "--name="+st.JobName(), "--format=%F") {
		arrays[id]++
	}
	if sizes := slices.Sorted(maps.Values(arrays)); !slices.Equal(sizes, []int{jobs - most, most}) {
		t.Errorf("arrays of %v jobs; want %d jobs in all, no array of more than %d", sizes, jobs, most)
	}
	if err := os.WriteFile(first.hold, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		select {
		case err := <-s.done:
			if err != nil {
				t.Errorf("%v; %q", err, s.notes)
			}
		case <-time.After(slurmPatience):
			t.Fatalf("the study does not end; %q", s.notes)
		}
	}
	if got := first.export(t); got != want {
		t.Error(cmp.Diff(want, got))
	}
}

// What the cluster refuses is told at once.
func TestSlurmRefuses(t *testing.T) {
	needSlurm(t)
	s := newTinyStudy(t)
	r := s.start(t)
	defer r.Close()
	var wrong *study.RequestError
	err := r.Execute(t.Context(), executor.Slurm{Slurm: study.Slurm{Partition: "nowhere"}}, nil)
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "invalid partition specified: nowhere") {
		t.Error(err)
	}
	err = r.Execute(t.Context(), executor.Slurm{Command: []string{"/no/such program"}, Poll: 500 * time.Millisecond}, nil)
	if err == nil || errors.As(err, &wrong) || !strings.Contains(err.Error(), "/no/such program") {
		t.Error(err)
	}
}
