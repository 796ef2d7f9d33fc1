package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/combin"
	"gonum.org/v1/gonum/stat/distuv"

	"netspace/analysis"
	"netspace/study"
)

// The worked example of docs/statistics.md shows what its commands print. A line of "…" leaves some out.
func TestWorkedExample(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	page, err := os.ReadFile(filepath.Join("docs", "statistics.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## A worked example\n")
	section, _, _ = strings.Cut(section, "\n## ")
	sums := regexp.MustCompile("(?s)```calc\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(sums) != 4 {
		t.Errorf("%d sums by hand", len(sums))
	}
	env := byHand(t)
	for _, b := range sums {
		checkSums(t, b[1], env)
	}
	blocks := regexp.MustCompile("(?s)```\n\\$ netspace ([^\n]*)\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(blocks) != 4 {
		t.Fatalf("%d commands", len(blocks))
	}
	trailing := regexp.MustCompile(`(?m)[ \t]+$`)
	for _, b := range blocks {
		out, errs, status := netspace(t, strings.Fields(b[1])...)
		if status != exitOK {
			t.Fatalf("%s: status %d\n%s", b[1], status, errs)
		}
		out = errs + out // looks are progress, which comes first
		out = trailing.ReplaceAllString(out, "")
		for part := range strings.SplitSeq(b[2], "…\n") {
			_, rest, found := strings.Cut(out, part)
			if !found {
				t.Fatalf("%s prints\n%s\nwhich does not go on with\n%s", b[1], out, part)
			}
			out = rest
		}
		if strings.TrimSpace(out) != "" {
			t.Errorf("%s also prints\n%s", b[1], out)
		}
	}
}

// checkSums works out lines of a formula and what it comes to, up to half a unit of the last digit that is given, or of a name and its formula.
func checkSums(t *testing.T, lines string, env map[string]any) {
	t.Helper()
	work := func(formula string) any {
		program, err := expr.Compile(formula, expr.Env(env))
		if err != nil {
			t.Fatalf("%s: %v", formula, err)
		}
		v, err := expr.Run(program, env)
		if err != nil {
			t.Fatalf("%s: %v", formula, err)
		}
		return v
	}
	for line := range strings.Lines(lines) {
		if name, formula, defines := strings.Cut(line, ":="); defines {
			env[strings.TrimSpace(name)] = work(formula)
			continue
		}
		at := strings.LastIndex(line, " = ")
		if at < 0 {
			t.Fatalf("%q is no sum", line)
		}
		stated := strings.TrimSpace(line[at+3:])
		want, err := strconv.ParseFloat(stated, 64)
		if err != nil {
			t.Fatal(err)
		}
		_, decimals, _ := strings.Cut(stated, ".")
		got := float(t, work(line[:at]))
		if !(math.Abs(got-want) <= 0.5000001*math.Pow(10, -float64(len(decimals)))) {
			t.Errorf("%s comes to %v, and not to %s", strings.TrimSpace(line[:at]), got, stated)
		}
	}
}

// byHand is what the sums of the worked example may use, as the page says: networks and plain functions of numbers, none of them the project's.
func byHand(t *testing.T) map[string]any {
	t.Helper()
	unit := distuv.UnitNormal
	ranks := func(x []float64) []float64 {
		sorted := slices.Sorted(slices.Values(x))
		out := make([]float64, len(x))
		for i, v := range x {
			low, _ := slices.BinarySearch(sorted, v)
			high, _ := slices.BinarySearch(sorted, math.Nextafter(v, math.Inf(1)))
			out[i] = float64(low+high+1) / 2
		}
		return out
	}
	of := func(f func(float64) float64) func(any) float64 { return func(x any) float64 { return f(float(t, x)) } }
	env := map[string]any{
		"sqrt": of(math.Sqrt), "log": of(math.Log), "log10": of(math.Log10), "exp": of(math.Exp), "tanh": of(math.Tanh), "atanh": of(math.Atanh), "Phi": of(unit.CDF), "z": of(unit.Quantile),
		"t": func(p, freedom any) float64 {
			return distuv.StudentsT{Sigma: 1, Nu: float(t, freedom)}.Quantile(float(t, p))
		},
		"C": func(n, k int) float64 {
			if k > n {
				return 0
			}
			return combin.GeneralizedBinomial(float64(n), float64(k))
		},
		"sd": func(x []any) float64 { return stat.StdDev(floats(t, x), nil) },
		"F": func(x []any, e any) float64 {
			n := 0.0
			for _, v := range floats(t, x) {
				if v <= float(t, e) {
					n++
				}
			}
			return n / float64(len(x))
		},
		"cut": func(x []any, most any) []any {
			return each(floats(t, x), func(v float64) float64 { return math.Min(v, float(t, most)) })
		},
		"dot": func(x, y []any) (sum float64) {
			b := floats(t, y)
			for i, v := range floats(t, x) {
				sum += v * b[i]
			}
			return sum
		},
		"correlation": func(x, y []any) float64 { return stat.Correlation(floats(t, x), floats(t, y), nil) },
		"ranks":       func(x []any) []any { return each(ranks(floats(t, x)), func(v float64) float64 { return v }) },
	}
	add := func(name string, trials []study.Trial) {
		var networks []any
		for _, trial := range trials {
			n := map[string]any{"error": trial.Error, "seconds": trial.Seconds}
			if len(trial.Epochs) > 0 {
				n["first"] = trial.Epochs[0].ValError
			}
			net, _ := trial.Spec.AnyNet()
			var widths []any
			for _, s := range net.Stages {
				widths = append(widths, s.Width)
			}
			n["width"] = widths
			networks = append(networks, n)
		}
		env[name] = networks
	}
	text, err := os.ReadFile(filepath.Join("examples", "population.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	populations := map[string][]study.Trial{}
	for line := range bytes.Lines(text) {
		var trial study.Trial
		if err := json.Unmarshal(line, &trial); err != nil {
			t.Fatal(err)
		}
		populations[trial.Space] = append(populations[trial.Space], trial)
	}
	add("A", populations["anynetx-a"])
	add("D", populations["anynetx-d"])
	add("R", populations["regnetx"])
	decided, err := analysis.Load(t.Context(), filepath.Join("examples", "decided"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range decided.Populations {
		add(map[string]string{"anynetx-a": "A32", "anynetx-d": "D32"}[p.Space], p.Trials[:32])
	}
	return env
}

func floats(t *testing.T, x []any) (out []float64) {
	t.Helper()
	for _, v := range x {
		out = append(out, float(t, v))
	}
	return out
}

func float(t *testing.T, v any) float64 {
	t.Helper()
	switch v := v.(type) {
	case float64:
		return v
	case int:
		return float64(v)
	}
	t.Fatalf("%v is no number", v)
	return 0
}

func each(x []float64, f func(float64) float64) (out []any) {
	for _, v := range x {
		out = append(out, f(v))
	}
	return out
}
