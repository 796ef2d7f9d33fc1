package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// The profile of a step accounts for the step: its parts are no more than the
// whole, and the convolutions in it do three times the network's multiply-adds.
func TestBenchProfile(t *testing.T) {
	needDefaultEngine(t)
	args := []string{"bench", "train", "RegNetX-200MF", "--resolution", "32", "--batch", "4", "--seconds", "0.05", "--profile"}
	out, errs, status := netspace(t, append(args, "--json")...)
	if status != 0 {
		t.Fatal(errs)
	}
	var l benchLine
	if err := json.Unmarshal([]byte(out), &l); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	flops, seconds := 0.0, 0.0
	for _, c := range l.Profile {
		kinds[c.Kind] = true
		flops += c.Flops
		seconds += c.Seconds
		if c.Kind == "" || c.Seconds < 0 {
			t.Errorf("%+v", c)
		}
	}
	for _, k := range []string{"convolution forward", "convolution backward data", "convolution backward weights", "norm backward", "update"} {
		if !kinds[k] {
			t.Errorf("no %q in the profile", k)
		}
	}
	// Biases are not in it, and the stem sends no gradient to the images.
	want := l.GFLOPS * 1e9 / l.ImagesPerSecond * float64(l.Batch)
	if math.Abs(flops/want-1) > 0.02 {
		t.Errorf("%g floating-point operations in the profile, %g in the network", flops, want)
	}
	if seconds <= 0 {
		t.Error("the profile took no time")
	}
	out, errs, status = netspace(t, args...)
	if status != 0 || !strings.Contains(out, "ms a step") || !strings.Contains(out, "convolution forward") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	if _, errs, status = netspace(t, append(args, "--engine", "reference", "--resolution", "8", "--batch", "1")...); status == 0 || !strings.Contains(errs, "reference") {
		t.Errorf("status %d: %s", status, errs)
	}
}

// An engine that knows no peak has none in JSON, not an infinite share of it.
func TestBenchWithoutAPeakIsJSON(t *testing.T) {
	net := writeFile(t, "net.yaml", tinyNet)
	out, errs, status := netspace(t, "bench", "train", net, "--engine", "reference", "--resolution", "8", "--classes", "4", "--batch", "4", "--seconds", "0.01", "--json")
	var line map[string]any
	if err := json.Unmarshal([]byte(out), &line); err != nil || status != 0 {
		t.Fatalf("status %d, %q, %v: %s", status, out, err, errs)
	}
	if peak, ok := line["peak_gflops"]; !ok || peak != nil || line["peak_fraction"] != nil || line["gflops"] == 0.0 {
		t.Errorf("%s", out)
	}
}

func TestBenchInfer(t *testing.T) {
	net := writeFile(t, "net.yaml", tinyNet)
	args := []string{"bench", "infer", net, net, "--resolution", "8", "--classes", "4", "--batch", "2"}
	out, errs, status := netspace(t, append(args, "--engine", "reference", "--seconds", "0.01", "--json")...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var l inferLine
	if err := json.Unmarshal([]byte(lines[0]), &l); err != nil || status != 0 || len(lines) != 2 {
		t.Fatalf("status %d, %q, %v: %s", status, out, err, errs)
	}
	if l.Model != net || l.Resolution != 8 || l.Batch != 2 || l.Threads != 1 || !(l.Milliseconds > 0) || l.P95 < l.Milliseconds || !(l.Fastest > 0) || l.Fastest > l.Milliseconds || l.Runs < 3 ||
		math.Abs(l.ImagesPerSecond*l.Milliseconds-2000) > 1 || l.MemoryMiB <= 0 {
		t.Errorf("%+v", l)
	}
	out, errs, status = netspace(t, append(args, "--latency", "{command: [echo]}")...) // which prints the path of the model
	if status != 1 || !strings.Contains(errs, "milliseconds") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	for _, wrong := range [][]string{{"--latency", "{command: []}"}, {"--latency", "{command: [echo]}", "--seconds", "1"}, {"--batch", "0"}, {"--threads", "0"}, {"--seconds", "NaN"}} {
		if out, errs, status := netspace(t, append(args, wrong...)...); status != 2 {
			t.Errorf("%v: status %d: %s%s", wrong, status, out, errs)
		}
	}
	needDefaultEngine(t)
	out, errs, status = netspace(t, append(args, "--seconds", "0.01", "--profile")...)
	if status != 0 || !strings.Contains(out, "ms a run") || !strings.Contains(out, "convolution forward") || strings.Contains(out, "backward") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
}
