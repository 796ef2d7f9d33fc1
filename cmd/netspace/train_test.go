package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"al.essio.dev/pkg/shellescape"

	"netspace/weights/safetensors"
)

const tinyNet = `family: anynet
stem: {type: cifar, width: 4}
stages: [{depth: 1, width: 4, stride: 2, bottleneck: 1, group_width: 4}]
recipe: {batch: 16}
`

// tinyImages writes IDX images of four classes, each with its bright rows.
func tinyImages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const side = 8
	for file, n := range map[string]uint32{"train": 160, "t10k": 24} {
		images, labels := new(bytes.Buffer), new(bytes.Buffer)
		for _, v := range []uint32{0x803, n, side, side} {
			_ = binary.Write(images, binary.BigEndian, v)
		}
		for _, v := range []uint32{0x801, n} {
			_ = binary.Write(labels, binary.BigEndian, v)
		}
		for i := range int(n) {
			labels.WriteByte(byte(i % 4))
			for p := range side * side {
				v := i * (p + 7) * 31 % 90
				if p/side/2 == i%4 {
					v += 140
				}
				images.WriteByte(byte(v))
			}
		}
		for name, data := range map[string][]byte{file + "-images-idx3-ubyte": images.Bytes(), file + "-labels-idx1-ubyte": labels.Bytes()} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// lines decodes JSON Lines, by event.
func lines(t *testing.T, out string) map[string][]map[string]any {
	t.Helper()
	events := map[string][]map[string]any{}
	for line := range strings.Lines(out) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		name, _ := v["event"].(string)
		events[name] = append(events[name], v)
	}
	return events
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, status := netspace(t, args...)
	if status != exitOK {
		t.Fatalf("%v: status %d: %s", args, status, errs)
	}
	return out
}

func TestTrainCommand(t *testing.T) {
	net, data, dir := writeFile(t, "net.yaml", tinyNet), tinyImages(t), filepath.Join(t.TempDir(), "deep", "out")
	out := must(t, "train", net, "--data", data, "--engine", "reference", "--epochs", "3", "--out", dir, "--final", "--json")
	e := lines(t, out)
	if len(e["start"]) != 1 || len(e["epoch"]) != 3 || len(e["result"]) != 1 || len(e) != 3 {
		t.Fatal(out)
	}
	start, result := e["start"][0], e["result"][0]
	recipe := start["recipe"].(map[string]any)
	if recipe["batch"] != 16.0 || recipe["epochs"] != 3.0 || recipe["crop"] != "pad" || recipe["bn_weight_decay"] != 5e-5 {
		t.Errorf("recipe %v", recipe)
	}
	norm := start["normalisation"].(map[string]any)
	if len(norm["mean"].([]any)) != 1 || len(norm["std"].([]any)) != 1 {
		t.Errorf("normalisation %v", norm)
	}
	if result["test"].(map[string]any)["images"] != 24.0 {
		t.Errorf("result %v", result)
	}
	for _, name := range []string{"result.json", "curve.csv", "weights.safetensors"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	// The weights evaluate to what the training said.
	var m map[string]any
	if err := json.Unmarshal([]byte(must(t, "eval", net, "--weights", filepath.Join(dir, "weights.safetensors"), "--data", data, "--engine", "reference", "--json")), &m); err != nil {
		t.Fatal(err)
	}
	if m["error"] != result["error"] || math.Abs(m["loss"].(float64)-result["loss"].(float64)) > 1e-5 {
		t.Errorf("eval says %v, the training %v", m, result)
	}
	// A finished training may be done again, and leaves nothing of the first.
	if again := lines(t, must(t, "train", net, "--data", data, "--engine", "reference", "--epochs", "3", "--out", dir, "--json")); again["result"][0]["loss"] != result["loss"] {
		t.Errorf("a second time: %v", again["result"])
	}
}

// A program of the user's trains one network, too: it dies once, and goes on.
func TestTrainByAProgram(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	net, data, dir := writeFile(t, "net.yaml", tinyNet), tinyImages(t), filepath.Join(t.TempDir(), "out")
	program := writeFile(t, "trainer.sh", `read task; folder=$1
say() { echo "{\"event\":$1}"; }
if ! [ -e "$folder/half" ]; then
	say '"epoch","epoch":1,"train_loss":2,"train_error":60,"val_loss":2,"val_error":50'
	: >"$folder/half"
	echo "the machine burns" >&2
	exit 3
fi
say '"epoch","epoch":2,"train_loss":1,"train_error":30,"val_loss":1,"val_error":25'
say '"result","error":25,"loss":1,"steps":18'
`)
	args := []string{"train", net, "--data", data, "--epochs", "2", "--trainer", fmt.Sprintf("{command: [sh, %q, %q]}", program, dir), "--out", dir, "--json"}
	if _, errs, status := netspace(t, args...); status != exitFailed || !strings.Contains(errs, "exit status 3") || !strings.Contains(errs, "the machine burns") {
		t.Fatalf("status %d: %s", status, errs)
	}
	if _, errs, status := netspace(t, args...); status != exitUsage || !strings.Contains(errs, "--resume") {
		t.Fatalf("status %d: %s", status, errs)
	}
	e := lines(t, must(t, append(args, "--resume")...))
	if len(e["epoch"]) != 1 || e["result"][0]["error"] != 25.0 || len(e["result"][0]["epochs"].([]any)) != 2 || e["result"][0]["weights"] != nil || !strings.HasPrefix(e["start"][0]["engine"].(string), "sh ") {
		t.Fatalf("%v", e)
	}
	if _, err := os.Stat(filepath.Join(dir, "result.json")); err != nil {
		t.Error(err)
	}
	for want, more := range map[string][]string{
		"go with builtin and pytorch":          {"--trainer", "{command: [sh]}", "--log-steps"},
		"--engine is of the built-in trainer":  {"--trainer", "{command: [sh]}", "--engine", "reference"},
		"activations: bf16: goes with trainer": {"--trainer", "{command: [sh]}", "--activations", "bf16"},
		"no/such/program":                      {"--trainer", "{command: [no/such/program]}"},
	} {
		if _, errs, status := netspace(t, append([]string{"train", net, "--data", data}, more...)...); status != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%q: status %d: %s", more, status, errs)
		}
	}
}

// What a comparison with other software needs: given weights, images in file
// order, a line per step, the first gradients.
func TestTrainSteps(t *testing.T) {
	net, data, dir := writeFile(t, "net.yaml", tinyNet), tinyImages(t), t.TempDir()
	initial, gradients, after := filepath.Join(dir, "w.st"), filepath.Join(dir, "g.st"), filepath.Join(dir, "after.st")
	must(t, "init", net, "-o", initial, "--data", data, "--seed", "7")
	args := []string{"train", net, "--data", data, "--engine", "reference", "--steps", "12", "--batch", "32", "--no-augment", "--no-shuffle", "--log-steps", "--json"}
	out := must(t, append(args, "--init", initial, "--save-gradients", gradients, "--save-weights", after, "--weight-decay", "0", "--momentum", "0")...)
	e := lines(t, out)
	if len(e["step"]) != 12 {
		t.Fatalf("%d lines of steps in\n%s", len(e["step"]), out)
	}
	for i, s := range e["step"] {
		if s["step"] != float64(i) || s["lr"] == nil || s["loss"] == nil {
			t.Errorf("step %d: %v", i, s)
		}
	}
	// The same seed starts from the same weights without a file.
	other := lines(t, must(t, append(args, "--seed", "7", "--weight-decay", "0", "--momentum", "0")...))
	if other["step"][11]["loss"] != e["step"][11]["loss"] {
		t.Errorf("loss %v from a file of the same weights, %v without", e["step"][11]["loss"], other["step"][11]["loss"])
	}
	// One step of plain gradient descent is what the gradients say.
	must(t, append(args, "--init", initial, "--steps", "1", "--save-weights", after, "--weight-decay", "0", "--momentum", "0")...)
	read := func(path, name string) []float32 {
		f, err := safetensors.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		x, ok := f.Tensor(name)
		v := make([]float32, x.Len())
		if err := x.CopyFloat32(v); !ok || err != nil {
			t.Fatal(name, ok, err)
		}
		return v
	}
	const name = "s1.b1.f.b.weight"
	w0, g, w1 := read(initial, name), read(gradients, name), read(after, name)
	for i := range w0 {
		if want := w0[i] - 0.1*g[i]; math.Abs(float64(w1[i]-want)) > 1e-6 {
			t.Fatalf("weight %d: %v after a step; want %v", i, w1[i], want)
		}
	}
}

// Ctrl-C ends a training in under two seconds with what to type, and that gives
// the same bits as a training that was left alone.
func TestTrainInterruptAndResume(t *testing.T) {
	net, data := writeFile(t, "net.yaml", tinyNet), tinyImages(t)
	args := []string{"train", net, "--data", data, "--engine", "reference", "--epochs", "40", "--ema", "0.9", "--mixup", "0.2", "--json", "--out"}
	whole, dir := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "cut up")
	want := lines(t, must(t, append(args, whole)...))["result"][0]

	c := netspaceCmd(t, append(args, dir)...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var asked time.Time
	for in := bufio.NewScanner(out); in.Scan(); {
		if strings.Contains(in.Text(), `"event":"epoch"`) && asked.IsZero() {
			asked = time.Now()
			if err := c.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = c.Wait()
	if took := time.Since(asked); c.ProcessState.ExitCode() != exitInterrupted || took > 2*time.Second {
		t.Fatalf("status %d after %v: %s", c.ProcessState.ExitCode(), took, errs.String())
	}
	if want := "continue with:\n  " + shellescape.Quote(c.Path) + " train "; !strings.Contains(errs.String(), want) || strings.Contains(errs.String(), "context canceled") {
		t.Errorf("said %q; want %q", errs.String(), want)
	}
	if want := "--out '" + dir + "' --resume"; !strings.Contains(errs.String(), want) {
		t.Errorf("said %q; want %q", errs.String(), want)
	}
	// A scheduler's signal has a status of its own. It comes at once: nothing is done yet.
	c = netspaceCmd(t, append(args, filepath.Join(t.TempDir(), "scheduled"))...)
	if out, err = c.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	if _ = c.Wait(); c.ProcessState.ExitCode() != exitPreempted {
		t.Errorf("SIGTERM ends with status %d; want %d", c.ProcessState.ExitCode(), exitPreempted)
	}
	if _, errs, status := netspace(t, append(args, dir)...); status != exitUsage || !strings.Contains(errs, "--resume continues it") {
		t.Errorf("without --resume: status %d, %s", status, errs)
	}
	if _, errs, status := netspace(t, append(args, dir, "--resume", "--lr", "0.2")...); status != exitUsage || !strings.Contains(errs, "recipe") {
		t.Errorf("with another recipe: status %d, %s", status, errs)
	}
	got := lines(t, must(t, append(args, dir, "--resume")...))["result"][0]
	if fmt.Sprint(got["epochs"]) != fmt.Sprint(want["epochs"]) {
		t.Errorf("resumed: %v; want %v", got["epochs"], want["epochs"])
	}
	a, errA := os.ReadFile(filepath.Join(whole, "weights.safetensors"))
	b, errB := os.ReadFile(filepath.Join(dir, "weights.safetensors"))
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("the weights differ; %v %v", errA, errB)
	}
}

// photoFolder writes n small images of two classes, of which those at the given places are damaged.
func photoFolder(t *testing.T, n int, damaged ...int) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	for i := range n {
		img := image.NewGray(image.Rect(0, 0, 8, 8))
		for k := range img.Pix {
			img.Pix[k] = byte(i%2*120 + k)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, []string{"cat", "dog"}[i%2], fmt.Sprintf("%02d.png", i))
		if slices.Contains(damaged, i) {
			b.Truncate(b.Len() / 2)
			names = append(names, name)
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, names
}

// Damaged images are left out with a warning that names them, up to a share.
func TestTrainDamagedImages(t *testing.T) {
	net := writeFile(t, "net.yaml", tinyNet)
	data, bad := photoFolder(t, 60, 7, 37)
	args := []string{"train", net, "--data", data, "--engine", "reference", "--epochs", "1", "--json", "--quiet"}
	out, errs, status := netspace(t, append(args, "--max-corrupt", "0.05")...)
	if status != exitOK || !strings.Contains(errs, "damaged images, left out: 2") || !strings.Contains(errs, bad[0]) || !strings.Contains(errs, bad[1]) {
		t.Errorf("status %d: %s", status, errs)
	}
	told := lines(t, out)["start"][0]["data"].(map[string]any)
	if n := told["train"].(float64) + told["validation"].(float64); n != 58 || len(told["corrupt"].([]any)) != 2 {
		t.Errorf("data %v", told)
	}
	for share, want := range map[string]string{"0.01": "2 of 60 images are damaged", "0": "2 of 60 images are damaged", "2": "must be from 0 to 1"} {
		if _, errs, status := netspace(t, append(args, "--max-corrupt", share)...); status != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("--max-corrupt %s: status %d: %s", share, status, errs)
		}
	}
}

// A training that diverges ends at once, says where, and is no success.
func TestTrainDiverges(t *testing.T) {
	net, data := writeFile(t, "net.yaml", tinyNet), tinyImages(t)
	out, errs, status := netspace(t, "train", net, "--data", data, "--engine", "reference", "--lr", "1000", "--momentum", "0.99", "--weight-decay", "1", "--log-steps", "--json")
	e := lines(t, out)
	if status != exitFailed || !strings.Contains(errs, "training diverged: loss ") || len(e["result"]) != 0 {
		t.Errorf("status %d: %s\n%s", status, errs, out)
	}
}

func TestTrainRequestErrors(t *testing.T) {
	net, data, dir := writeFile(t, "net.yaml", tinyNet), tinyImages(t), filepath.Join(t.TempDir(), "out")
	recipe := writeFile(t, "recipe.yaml", "epochs: 3\nmomentun: 0.9\n")
	notWeights := writeFile(t, "w.st", "hello, this is no file of weights")
	other := filepath.Join(t.TempDir(), "other.st")
	must(t, "init", net, "-o", other, "--classes", "7", "--channels", "1")
	colour := filepath.Join(t.TempDir(), "colour.st")
	must(t, "init", net, "-o", colour, "--classes", "4", "--channels", "3")
	base := []string{"train", net, "--engine", "reference", "--out", dir}
	with := func(args ...string) []string { return append(append([]string{}, base...), args...) }
	for want, args := range map[string][]string{
		"--data is missing":     base,
		"data set " + "nowhere": with("--data", "nowhere"),
		"install":               {"train", net, "--data", "imagenet-21k", "--engine", "reference"},
		`recipe.momentum: 1: must be a number in [0, 1)`: with("--data", data, "--momentum", "1"),
		`lr: fast: must be a number`:                     with("--data", data, "--lr", "fast"),
		recipe + ":2: momentun: is not a known field":    with("--data", data, "--recipe", recipe),
		"RegNetX-400MF":                               {"train", "RegNetX-400MX", "--data", data},
		`engine "tpu"`:                                with("--data", data, "--engine", "tpu"),
		"--resume needs --out":                        {"train", net, "--data", data, "--engine", "reference", "--resume"},
		"--threads 0":                                 with("--data", data, "--threads", "0"),
		"recipe.batch: 500: must be at most 144":      with("--data", data, "--batch", "500"),
		"is not a known field (did you mean epochs?)": {"train", writeFile(t, "bad.yaml", tinyNet+"") + "", "--recipe", writeFile(t, "r.yaml", "epoch: 3"), "--data", data, "--engine", "reference"},
		"--init: " + notWeights:                       with("--data", data, "--init", notWeights),
		"stem.conv.weight is [4 3 3 3], not [4 1 3 3] (netspace init ": with("--data", data, "--init", colour),
		"must be from 0 to 27":                                   with("--data", data, "--epochs", "3", "--steps", "100"),
		"is for 3 channels and 5 classes; data set":              {"train", writeFile(t, "rgb.yaml", tinyNet+"channels: 3\nclasses: 5\n"), "--data", data, "--engine", "reference"},
		"usage: netspace train MODEL":                            {"train"},
		"--split \"test\": must be val or train":                 {"eval", net, "--weights", other, "--data", data, "--split", "test"},
		"the weights are not of this network: head.fc.weight is": {"eval", net, "--weights", other, "--data", data, "--engine", "reference"},
		"-o FILE is missing":                                     {"init", net},
		"--weights is missing":                                   {"eval", net, "--data", data},
	} {
		if want == "install" {
			want = "not found at imagenet-21k"
		}
		_, errs, status := netspace(t, args...)
		if status != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%v: status %d, %q; want %q", args[1:], status, errs, want)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 0 {
		t.Errorf("wrong requests left %v, %v", left, err)
	}
}

// A file of the paper authors' tool trains on any data: its number of classes
// is that of the data set it names, or the tool's default of 10.
func TestTrainForeignFile(t *testing.T) {
	data := tinyImages(t)
	config := writeFile(t, "small.yaml", `MODEL: {TYPE: regnet}
REGNET: {DEPTH: 2, W0: 8, WA: 8, WM: 2, GROUP_W: 8, STEM_W: 4}
OPTIM: {BASE_LR: 0.05, MAX_EPOCH: 3}
TRAIN: {BATCH_SIZE: 16}
`)
	out, errs, status := netspace(t, "train", config, "--data", data, "--engine", "reference", "--steps", "2", "--precise-bn", "0", "--json")
	if status != 0 || !strings.Contains(errs, "4 classes, as data set") || !strings.Contains(errs, "NUM_CLASSES 10") {
		t.Fatalf("status %d, %s", status, errs)
	}
	start := lines(t, out)["start"][0]
	spec, recipe := start["spec"].(map[string]any), start["recipe"].(map[string]any)
	if spec["classes"] != 4. || recipe["lr"] != 0.05 || recipe["batch"] != 16. || recipe["epochs"] != 3. {
		t.Errorf("spec %v, recipe %v", spec, recipe)
	}

	search := writeFile(t, "small.ini", "[net]\ninitial_width = 8\nslope = 8\nquantized_param = 2\nnetwork_depth = 2\nbottleneck_ratio = 1\ngroup_width = 8\nlr = 0.05\n")
	weights := filepath.Join(t.TempDir(), "w.safetensors")
	must(t, "init", search, "-o", weights, "--data", data)
	must(t, "eval", search, "--weights", weights, "--data", data, "--engine", "reference")
}

// Weights that overflow have a loss that is no number, for which JSON has no word.
func TestEvalOfBrokenWeightsIsJSON(t *testing.T) {
	spec := writeFile(t, "net.yaml", tinyNet)
	w, data := filepath.Join(t.TempDir(), "w.safetensors"), tinyImages(t)
	if _, errs, status := netspace(t, "init", spec, "--data", data, "-o", w); status != 0 {
		t.Fatal(errs)
	}
	f, err := safetensors.ReadFile(w)
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Tensors {
		for j := 3; j < len(f.Tensors[i].Data); j += 4 {
			f.Tensors[i].Data[j] = 0x7f // beyond 1e38, or no number at all
		}
	}
	if err := safetensors.WriteFile(w, f); err != nil {
		t.Fatal(err)
	}
	out, errs, status := netspace(t, "eval", spec, "--weights", w, "--data", data, "--json", "--engine", "reference")
	var line map[string]any
	if err := json.Unmarshal([]byte(out), &line); err != nil || status != 0 {
		t.Fatalf("status %d, %q, %v: %s", status, out, err, errs)
	}
	if line["loss"] != nil || line["images"] == 0.0 {
		t.Errorf("%s", out)
	}
}

// Weights of another task begin a training: all but the classifier.
func TestTrainFromOtherClasses(t *testing.T) {
	net, data, w := writeFile(t, "net.yaml", tinyNet), tinyImages(t), filepath.Join(t.TempDir(), "w.safetensors")
	must(t, "init", net, "-o", w, "--channels", "1", "--classes", "9")
	out, said, status := netspace(t, "train", net, "--data", data, "--engine", "reference", "--steps", "1", "--init", w, "--json")
	if status != exitOK || !strings.Contains(said, "they are for 9 classes; the classifier for 4 begins afresh") {
		t.Errorf("status %d: %s%s", status, out, said)
	}
	for _, c := range []struct{ want, args string }{
		{"must be rgb or bgr", "--init " + w + " --channel-order grb"},
		{"--channel-order is of --init", "--channel-order bgr"},
		{"for three channels", "--init " + w + " --channel-order bgr"},
	} {
		_, said, status := netspace(t, append([]string{"train", net, "--data", data, "--engine", "reference", "--steps", "1"}, strings.Fields(c.args)...)...)
		if status != exitUsage || !strings.Contains(said, c.want) {
			t.Errorf("%s: status %d, %s", c.args, status, said)
		}
	}
}
