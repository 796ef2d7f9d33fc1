package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// What prepares batches is measured for any data set that a training takes, kept decoded or not.
func TestBenchData(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := stripes(t)
	for _, more := range [][]string{nil, {"--decode", "--threads", "2"}} {
		args := append([]string{"bench", "data", dir, "--resolution", "16", "--batch", "4", "--seconds", "0.01"}, more...)
		out, errs, status := netspace(t, append(args, "--json")...)
		var l benchDataLine
		if err := json.Unmarshal([]byte(out), &l); err != nil || status != 0 {
			t.Fatalf("status %d, %q, %v: %s", status, out, err, errs)
		}
		if l.Images == 0 || l.Resolution != 16 || l.Batch != 4 || !(l.ImagesPerSecond > 0) || !(l.OpenSeconds > 0) || l.Threads != 1+len(more)/3 {
			t.Errorf("%s", out)
		}
		if out, errs, status = netspace(t, args...); status != 0 || !strings.Contains(out, "images/s") {
			t.Errorf("status %d: %s%s", status, out, errs)
		}
	}
	for _, c := range [][]string{{"nowhere"}, {dir, "--batch", "0"}, {dir, "--seconds", "0"}, {t.TempDir()}, {dir, "--recipe", "nothing.yaml"}} {
		if out, errs, status := netspace(t, append([]string{"bench", "data"}, c...)...); status != 2 {
			t.Errorf("%v: status %d: %s%s", c, status, out, errs)
		}
	}
}
