package interop

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netspace/arch"
	"netspace/graph"
)

// population reads a file of the text, or a folder that holds it.
func population(t *testing.T, name, text string, mapping ...string) (PopulationFormat, []Result, []string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(path) == ".ini" {
		path = filepath.Dir(path)
	}
	m, err := ParseMapping(mapping...)
	if err != nil {
		t.Fatal(err)
	}
	var all []Result
	var bad []string
	format, err := ReadPopulation(context.Background(), path, m, func(r Result) error {
		all = append(all, r)
		return nil
	}, func(e *RecordError) { bad = append(bad, strings.ReplaceAll(e.Error(), filepath.Dir(path)+"/", "")) })
	return format, all, bad, err
}

const searchINI = `[net]
initial_width = 42
slope = 27.195902653389304
quantized_param = 2.163940430363111
network_depth = 18
bottleneck_ratio = 1
group_width = 8
`

func TestPopulationOfTheSearch(t *testing.T) {
	format, all, _, err := population(t, "trained/7.ini", searchINI+"accuracy = 65.01599884033203\nepochs = 25\nlr = 0.1\nwd = 5e-05\n")
	if err != nil || format != PopulationSearch || len(all) != 1 {
		t.Fatalf("%s, %d, %v", format, len(all), err)
	}
	r := all[0]
	n, ok := r.Spec.Network.(arch.RegNet)
	if !ok || n.Depth != 18 || !r.Done || math.Abs(r.Error-34.98400115966797) > 1e-12 || r.Conditions["recipe.epochs"] != "25" || r.Conditions["recipe.weight_decay"] != "5e-05" {
		t.Errorf("%+v", r)
	}
	if _, all, _, err = population(t, "fresh/7.ini", searchINI); err != nil || all[0].Done {
		t.Errorf("without an accuracy: %+v, %v", all, err)
	}
	_, _, bad, err := population(t, "bad/7.ini", searchINI+"accuracy = 165\n")
	if err != nil || len(bad) != 1 || !strings.Contains(bad[0], "7.ini: error -65: must be from 0 to 100") {
		t.Errorf("%v, %v", bad, err)
	}
}

// One record of the tool's sweep.json as it writes it, with the sections that it
// has at their defaults, and words for numbers that JSON does not have.
func sweepRecord(test string) string {
	return `{"cfg": {"ANYNET": {"BLOCK_TYPE": "res_bottleneck_block", "BOT_MULS": [], "DEPTHS": [], "GROUP_WS": [], "HEAD_W": 0, "SE_ON": false, "SE_R": 0.25, "STEM_TYPE": "simple_stem_in", "STEM_W": 32, "STRIDES": [], "WIDTHS": []},
 "BENCHMARK": {"NUM_ITER": 30}, "BN": {"CUSTOM_WEIGHT_DECAY": 0.0, "EPS": 0.0, "MOM": 0.1, "USE_CUSTOM_WEIGHT_DECAY": false, "USE_PRECISE_STATS": true, "NUM_SAMPLES_PRECISE": 8192, "ZERO_INIT_FINAL_GAMMA": false},
 "DESC": "", "EN": {"DEPTHS": []}, "MODEL": {"ACTIVATION_FUN": "relu", "ACTIVATION_INPLACE": true, "DEPTH": 0, "LOSS_FUN": "cross_entropy", "NUM_CLASSES": 10, "SCALING_FACTOR": 1.0, "SCALING_TYPE": "", "TYPE": "regnet"},
 "OPTIM": {"BASE_LR": 0.8, "LR_POLICY": "cos", "MAX_EPOCH": 3, "WEIGHT_DECAY": 0.0001, "UNKNOWN_TO_US": 1},
 "REGNET": {"BLOCK_TYPE": "res_bottleneck_block", "BOT_MUL": 0.5, "DEPTH": 12, "GROUP_W": 16, "HEAD_W": 0, "SE_ON": false, "SE_R": 0.25, "STEM_TYPE": "simple_stem_in", "STEM_W": 32, "STRIDE": 2, "W0": 24.0, "WA": 24.48, "WM": 2.54},
 "TEST": {"BATCH_SIZE": 200, "DATASET": "cifar10", "IM_SIZE": 32}, "TRAIN": {"BATCH_SIZE": 128, "DATASET": "cifar10", "IM_SIZE": 32, "MIXED_PRECISION": false}},
 "complexity": {"acts": 100, "flops": 200, "params": 300}, "err": "", "err_file": "s/logs/000000/stderr.log", "log_file": "s/logs/000000/stdout.log",
 "train_epoch": {"epoch": ["1/3", "2/3", "3/3"], "loss": [2.1, NaN, -Infinity], "time_epoch": [10.5, 10.0, 9.5]}` + test + `}`
}

func sweepEpochs(name, errs string, at int) string {
	var ind, most []string
	for i := range strings.Count(errs, ",") + 1 {
		ind, most = append(ind, fmt.Sprint(at-strings.Count(errs, ",")+i)), append(most, "3")
	}
	return fmt.Sprintf(`, %q: {"epoch_ind": [%s], "epoch_max": [%s], "min_top1_err": [%s], "top1_err": [%s]}`, name, strings.Join(ind, ", "), strings.Join(most, ", "), errs, errs)
}

func TestPopulationOfASweep(t *testing.T) {
	text := "[" + strings.Join([]string{
		sweepRecord(sweepEpochs("test_epoch", "60.0, 31.5, 32.5", 3)),
		sweepRecord(sweepEpochs("test_epoch", "60.0, 31.5, 32.5", 3) + sweepEpochs("test_ema_epoch", "61.0, 30.0, 29.25", 3)),
		sweepRecord(sweepEpochs("test_epoch", "60.0, 31.5", 2)),
		sweepRecord(""),
		sweepRecord(sweepEpochs("test_epoch", "60.0, 70.0, NaN", 3)),
		strings.Replace(sweepRecord(""), `"DEPTH": 12`, `"DEPTH": 0`, 1),
		strings.Replace(sweepRecord(""), `"TYPE": "regnet"`, `"TYPE": "vit"`, 1),
		`17`,
	}, ",\n") + "]\n"
	format, all, bad, err := population(t, "sweep.json", text)
	if err != nil || format != PopulationSweep || len(all) != 5 {
		t.Fatalf("%s, %d, %v, %v", format, len(all), bad, err)
	}
	r := all[0]
	n, ok := r.Spec.Network.(arch.RegNet)
	if !ok || n.Bottleneck != 2 || n.WA != 24.48 || r.Spec.Resolution != 32 || r.Spec.Classes != 10 || r.Complexity.Flops != 200 || r.Seconds != 30 {
		t.Errorf("%+v", r)
	}
	if !r.Done || r.Error != 31.5 || len(r.Curve) != 3 || r.Conditions["data"] != "cifar10" || r.Conditions["recipe.epochs"] != "3" {
		t.Errorf("%+v", r)
	}
	if r := all[1]; r.Error != 29.25 {
		t.Errorf("with averaged weights: %v", r.Error)
	}
	if all[2].Done || all[3].Done {
		t.Error("what has not ended is done")
	}
	if r := all[4]; !r.Done || r.Error == r.Error || r.Classes != 10 {
		t.Errorf("diverged: %+v", r)
	}
	want := []string{"sweep.json: record 6: cfg", "REGNET.DEPTH", "sweep.json: record 7: cfg", "vit", "sweep.json: record 8: must be an object, not 17"}
	for i, w := range want {
		if !strings.Contains(strings.Join(bad, "\n"), w) {
			t.Errorf("fault %d: no %q in\n%s", i, w, strings.Join(bad, "\n"))
		}
	}
	if _, _, _, err := population(t, "sweep.json", text[:len(text)/2]); err == nil || !strings.Contains(err.Error(), "after record") {
		t.Errorf("cut in the middle: %v", err)
	}
}

const (
	ndsStages = `{"job_id": 1, "rng_seed": 1, "net": {"block_type": "res_bottleneck_block", "ds": [1, 3, 5, 2], "ws": [16, 48, 96, 192], "ss": [1, 1, 2, 2], "bot_muls": [0.0, 0.5, 0.25, 1.0], "num_gs": [0, 2, 4, 8]},
 "optim": {"base_lr": 0.1, "wd": 0.0005, "max_ep": 3, "lr_policy": "cos"}, "flops": 50000000.0, "params": 500000.0, "exp_mem": 1.5, "act_mem": 2, "prec_time": 0.1, "iter_time": 0.05,
 "min_test_top1": 6.25, "test_ep_top1": [50.0, 10.0, 6.5], "train_ep_top1": [60, 20, 5], "train_ep_loss": [2.0, NaN, 0.1]}`
	ndsCells = `{"job_id": 2, "rng_seed": 1, "net": {"genotype": {"normal": [["max_pool_3x3", 0]], "normal_concat": [2], "reduce": [["sep_conv_3x3", 1]], "reduce_concat": [2]}, "width": 24, "depth": 11, "aux": true, "drop_prob": 0.1},
 "optim": {"base_lr": 0.1, "wd": 0.0005, "max_ep": 3}, "flops": 1e8, "params": 8e5, "test_ep_top1": [40.0, 9.0, 9.5]}`
)

func TestPopulationsOfNDS(t *testing.T) {
	format, all, bad, err := population(t, "ResNeXt-A.json", "["+ndsStages+","+ndsCells+`,{"net": {"width": 8}}]`)
	if err != nil || format != PopulationNDS || len(all) != 2 || len(bad) != 1 || !strings.Contains(bad[0], "record 3: has neither") {
		t.Fatalf("%s, %d, %v, %v", format, len(all), bad, err)
	}
	n, ok := all[0].Spec.Network.(arch.AnyNet)
	if !ok || len(n.Stages) != 3 || n.Stem.Width != 16 || n.Stages[1] != (arch.Stage{Depth: 5, Width: 96, Stride: 2, Bottleneck: 4, GroupWidth: 6}) {
		t.Errorf("%+v", all[0].Spec)
	}
	if r := all[0]; r.Error != 6.25 || r.Complexity.Params != 500000 || r.Conditions["data"] != "cifar10" || r.Classes != 10 {
		t.Errorf("%+v", r)
	}
	if r := all[1]; r.Spec.Network != nil || r.Error != 9 || len(r.Numbers) != 3 || r.Numbers[0] != (Number{"depth", 11}) {
		t.Errorf("cells: %+v", r)
	}
	_, all, _, err = population(t, "ResNet_reruns.json", `{"top": [`+ndsStages+`], "mid": [`+ndsStages+`,`+ndsStages+`]}`)
	if err != nil || len(all) != 3 || all[0].Space != "top" || all[2].Space != "mid" {
		t.Errorf("reruns: %d, %v", len(all), err)
	}
	if _, all, _, err = population(t, "DARTS_in.json", "["+ndsCells+"]"); err != nil || all[0].Classes != 1000 || all[0].Conditions["data"] != "imagenet" {
		t.Errorf("of ImageNet: %+v, %v", all, err)
	}
}

const regnetSpec = `{"family":"regnet","depth":13,"w0":24,"wa":36,"wm":2.5,"group_width":8,"bottleneck":1}`

func TestPopulationOfLines(t *testing.T) {
	format, all, bad, err := population(t, "p.jsonl", strings.Join([]string{
		`{"spec":` + regnetSpec + `,"error":31.5,"flops":12345,"classes":10}`,
		``,
		`{"spec":` + regnetSpec + `,"error":null,"classes":10}`,
		`{"spec":{"family":"regnet","depth":0},"error":20}`,
		`{"spec":` + regnetSpec + `,"error":120}`,
		`{"spec":` + regnetSpec + `}`,
		`{"spec":` + regnetSpec + `,"error":"low"}`,
		`{"spec": oh`,
		`{"spec":` + regnetSpec + `,"state":"pending"}`,
		`{"spec":` + regnetSpec + `,"error":NaN,"state":"failed","classes":10}`,
	}, "\n"))
	if err != nil || format != PopulationLines || len(all) != 4 {
		t.Fatalf("%s, %d, %v, %v", format, len(all), bad, err)
	}
	if all[0].Error != 31.5 || all[0].Complexity.Flops != 12345 || all[0].Spec.Classes != 10 || !strings.HasSuffix(all[0].Place, "p.jsonl:1") {
		t.Errorf("%+v", all[0])
	}
	if !all[1].Done || all[1].Error == all[1].Error || all[2].Done || !all[3].Done {
		t.Errorf("%+v", all[1:])
	}
	for i, want := range []string{"p.jsonl:4: spec", "p.jsonl:5: error 120: must be from 0 to 100 percent", "p.jsonl:6: has no error", "p.jsonl:7: error: low: must be a number", "p.jsonl:8: is not an object in JSON"} {
		if i >= len(bad) || !strings.Contains(bad[i], want) {
			t.Errorf("fault %d: want %q in %q", i, want, bad)
		}
	}
}

// What netspace study export writes.
func TestExportedPopulation(t *testing.T) {
	_, all, bad, err := population(t, "p.jsonl", strings.Join([]string{
		`{"spec":` + regnetSpec + `,"complexity":{"flops":700,"params":80,"acts":9},"state":"done","error":31.5,"seconds":2,"epochs":[{"epoch":1,"train_loss":2},{"epoch":2,"evaluated":true,"val_error":31.5}]}`,
		`{"spec":` + regnetSpec + `,"complexity":{"flops":700},"flops":5,"state":"done","error":30,"rerun":1}`,
		`{"spec":` + regnetSpec + `,"state":"failed","error":90}`,
	}, "\n"))
	if err != nil || len(bad) > 0 || len(all) != 3 {
		t.Fatalf("%+v, %v, %v", all, bad, err)
	}
	if r := all[0]; r.Complexity != (graph.Complexity{Flops: 700, Params: 80, Acts: 9}) || r.Seconds != 2 || len(r.Curve) != 2 || r.Curve[0] == r.Curve[0] || r.Curve[1] != 31.5 || r.Failed || r.Rerun != 0 {
		t.Errorf("%+v", r)
	}
	if r := all[1]; r.Complexity.Flops != 5 || r.Rerun != 1 {
		t.Errorf("%+v", r)
	}
	if r := all[2]; !r.Failed || r.Error != 90 {
		t.Errorf("%+v", r)
	}
}

func TestPopulationsWithAMapping(t *testing.T) {
	_, all, bad, err := population(t, "p.csv", "\xef\xbb\xbfname,val_err,macs,d,w0,wa,wm,group_width,bottleneck\na,0.25,1000,13,24,36,2.5,8,1\nb,0.5,2000,13,24,36,2.5,8,1\nc,1.5,1,13,24,36,2.5,8,1\nd,0.1\n",
		"error_fraction=val_err,flops=macs", "depth=d")
	if err != nil || len(all) != 2 || all[0].Error != 25 || all[1].Complexity.Flops != 2000 {
		t.Fatalf("%+v, %v, %v", all, bad, err)
	}
	if n, ok := all[0].Spec.Network.(arch.RegNet); !ok || n.Depth != 13 {
		t.Errorf("%+v", all[0].Spec)
	}
	if len(bad) != 2 || !strings.Contains(bad[0], "p.csv:4: error 150") || !strings.Contains(bad[1], "p.csv:5: has 2 values for 9 columns") {
		t.Errorf("%v", bad)
	}
	_, all, bad, err = population(t, "p.json", `[{"net": {"e": 1}, "result": {"top1": [50.0, 70.5]}, "depths": [1, 2], "widths": [8, 16], "bottlenecks": [1, 2], "group_widths": [8, 8], "stem": "cifar", "stem_width": 16}]`, "accuracy=result.top1")
	if err != nil || len(all) != 1 || all[0].Error != 29.5 || len(all[0].Curve) != 2 || all[0].Curve[0] != 50 {
		t.Fatalf("%+v, %v, %v", all, bad, err)
	}
	if n, ok := all[0].Spec.Network.(arch.AnyNet); !ok || n.Stem.Width != 16 || n.Stages[1] != (arch.Stage{Depth: 2, Width: 16, Stride: 2, Bottleneck: 2, GroupWidth: 8}) {
		t.Errorf("%+v", all[0].Spec)
	}
	var wrong *MappingError
	if _, _, _, err = population(t, "p.csv", "a,b\n1,2\n", "error=c"); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "no column c") {
		t.Errorf("no such column: %v", err)
	}
	for _, text := range []string{"error", "eror=x", "error=a,accuracy=b", "flops=a,flops=b", "error="} {
		if _, err := ParseMapping(text); !errors.As(err, &wrong) {
			t.Errorf("mapping %q: %v", text, err)
		}
	}
}

func TestNoPopulation(t *testing.T) {
	for name, text := range map[string]string{"a.txt": "hello\n", "empty.json": "", "cut.json": `[{"spec": `} {
		if _, _, _, err := population(t, name, text); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	path := filepath.Join(t.TempDir(), "p.jsonl")
	if err := os.WriteFile(path, []byte("{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPopulation(ctx, path, nil, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Whatever a file holds, it is read or refused.
func FuzzPopulation(f *testing.F) {
	f.Add("[" + ndsStages + "]")
	f.Add("[" + sweepRecord(sweepEpochs("test_epoch", "60.0, 31.5, NaN", 3)) + "]")
	f.Add(`{"spec":` + regnetSpec + `,"error":31.5}`)
	f.Add(`{"top": [{"net": {}}], "mid": [[{]}`)
	f.Add("error,widths,depths\n1,8 8,1 1\n")
	f.Add("0\n\"") // a quotation that does not end
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"p.json", "p.jsonl", "p.csv"} {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, _ = ReadPopulation(context.Background(), path, nil, func(r Result) error {
				if r.Done && (r.Error < 0 || r.Error > 100) {
					t.Errorf("error %v", r.Error)
				}
				return nil
			}, func(*RecordError) {})
		}
	})
}

// What is odd about a file is said, once and clearly, and nothing is read as what it is not.
func TestOddPopulations(t *testing.T) {
	const one = `{"spec": {"family": "regnet", "depth": 12, "w0": 24, "wa": 24.48, "wm": 2.54, "group_width": 8}, "error": 20.5`
	const net = `{"net": {"block_type": "res_bottleneck_block", "ws": [16, 32], "ss": [1, 1], "bot_muls": [0, 0.5], "num_gs": [0, 2], "ds": `
	for _, c := range []struct {
		name, text string
		good       int
		want       string // part of what is said; "": nothing is
	}{
		{"a.jsonl", "\ufeff" + one + "}\r\n" + one + "}\r\n", 2, ""},
		{"a.json", "[" + one + "}] trailing", 1, "after record 1: the file goes on after the end of its list"},
		{"a.json", "[" + one + "}]\n[" + one + "}]", 1, "the file goes on after the end"},
		{"a.json", "[" + one + "}]\n\n", 1, ""},
		{"a.json", "[" + one, 0, "after record 0"},
		{"a.json", "{\n" + one[1:] + "\n}\n", 0, "a.json:1: is one object on many lines: records are the items of a list, or one object a line each"},
		{"a.json", strings.Replace(one, `"error"`, "\n\"error\"", 1) + "}", 0, "one object on many lines"},
		{"a.jsonl", one + "},\n" + one + "}\n", 1, "a.jsonl:1: is not an object in JSON"},
		{"a.jsonl", one + `, "space": 7}`, 1, ""},
		{"a.jsonl", one + `, "space": ["x"]}`, 0, "a.jsonl:1: space: [x]: must be a name"},
		{"a.jsonl", one + `, "space": "a\u001b[31m"}`, 0, `space: "a\x1b[31m": must be a name of printable characters`},
		{"a.jsonl", one + `, "space": "` + strings.Repeat("x", 300) + `"}`, 0, "must be a name of at most 200 bytes"},
		{"a.json", `{"a\u0007": [` + one + `}]}`, 0, "must be a name of printable characters"},
		{"a.csv", "depth,w0,wa,wm,group_width,error,space\n12,24,24.48,2.54,8,20.5,caf\xe9\n", 0, "in UTF-8"},
		{"a.csv", "depth,w0,wa,wm,group_width,error,error\n12,24,24.48,2.54,8,20.5,99\n", 0, "a.csv has 2 columns error: which one counts?"},
		{"a.csv", "depth,w0,wa,wm,group_width,error,note,note\n12,24,24.48,2.54,8,20.5,99,98\n", 1, ""},
		{"a.jsonl", one + `, "classes": 1}`, 0, "classes: 1: must be at least 2"},
		{"a.json", "[" + net + `[1, "x"]}, "min_test_top1": 6}]`, 0, "net: ds: [1 x]: must be one number"},
		{"a.json", "[" + net + `[1, 1e30]}, "min_test_top1": 6}]`, 0, "must be one number"},
		{"a.json", "[" + net + `[1, 2]}, "min_test_top1": 6}]`, 1, ""},
		{"x/1.ini", "\ufeff" + strings.ReplaceAll(searchINI, "\n", "\r\n") + "accuracy = 65\r\n", 1, ""},
	} {
		_, all, bad, err := population(t, c.name, c.text)
		said := strings.Join(bad, "\n")
		if err != nil {
			said += err.Error()
		}
		if len(all) != c.good || c.want == "" && said != "" || !strings.Contains(said, c.want) {
			t.Errorf("%s of %.60q…: %d records, %q", c.name, c.text, len(all), said)
		}
		if c.good == 1 && strings.Contains(c.text, `"space": 7`) && all[0].Space != "7" {
			t.Errorf("the space is %q", all[0].Space)
		}
	}
	// A job of the paper authors' tool whose first epoch has not ended is not a failed one.
	_, all, bad, err := population(t, "sweep.json", `[{"cfg": {"MODEL": {"TYPE": "regnet", "NUM_CLASSES": 10}, "REGNET": {"DEPTH": 12, "W0": 24, "WA": 24.48, "WM": 2.54, "GROUP_W": 8}}, "test_epoch": {"min_top1_err": []}}]`)
	if err != nil || len(bad) > 0 || len(all) != 1 || all[0].Done {
		t.Errorf("%+v, %v, %v", all, bad, err)
	}
}
