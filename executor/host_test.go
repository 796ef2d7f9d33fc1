package executor_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"netspace/study"
)

// A program of somebody else's gets workers by calling WorkerMain, and is told if it does not.
func TestHostProgram(t *testing.T) {
	host := filepath.Join(t.TempDir(), "host")
	if out, err := exec.Command("go", "build", "-o", host, "./testdata/host").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := newTinyStudy(t) // after Go was called, whose cache it moves away
	run := func(dir string, env ...string) (string, error) {
		c := exec.Command(host)
		c.Env = append(append(os.Environ(), "STUDY="+s.file, "FOLDER="+dir), env...)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	forgetful := filepath.Join(t.TempDir(), "forgetful")
	out, err := run(forgetful, "FORGET=1")
	if err == nil || !strings.Contains(out, "did not call executor.WorkerMain first") {
		t.Fatalf("%v: %s", err, out)
	}
	if st, err := study.Open(t.Context(), forgetful); err != nil {
		t.Fatal(err)
	} else if all := st.Status(); all[0].Failed+all[1].Failed > 0 {
		t.Errorf("%+v: trials failed for it", all)
	}
	if out, err := run(s.dir); err != nil || !strings.Contains(out, "done") || strings.Contains(out, "lost") {
		t.Fatalf("%v: %s", err, out)
	}
}
