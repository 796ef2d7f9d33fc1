package space

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/expr-lang/expr"

	"netspace/metric"
)

// anynetWords and regnetWords are vocabularies of three stages.
func anynetWords() vocabulary {
	l := layout{3}
	return vocabulary{layout: l, family: familyAnyNet, shared: map[string]int{"resolution": slotResolution, "bottleneck": slotBottleneck}, recipe: map[string]int{"recipe.lr": l.recipe(0)}}
}

func regnetWords() vocabulary {
	return vocabulary{layout: layout{3}, family: familyRegNet, shared: map[string]int{"depth": slotDepth, "w0": slotW0, "wa": slotWA, "wm": slotWM, "group_width": slotGroupWidth}}
}

// interpreted is the environment as expr-lang's own machine reads it.
func (v vocabulary) interpreted(env []float64) map[string]any {
	m := map[string]any{}
	for _, c := range metric.Counted() {
		for _, s := range complexityScales {
			m[c.Name+s.suffix] = env[slotMetric+c.ID] / s.scale
		}
	}
	stages := func(slot func(i, f int) int) []stageVars {
		out := make([]stageVars, v.stages)
		for i := range out {
			out[i] = stageVars{int(env[slot(i, 0)]), int(env[slot(i, 1)]), int(env[slot(i, 2)]), env[slot(i, 3)], int(env[slot(i, 4)])}
		}
		return out
	}
	m["adjusted"], m["stages"] = stages(v.adjusted), stages(v.asked)
	blocks := 0
	for _, s := range stages(v.asked) {
		blocks += s.Depth
	}
	if v.family == familyRegNet {
		m["stages"], blocks = m["adjusted"], int(env[slotDepth])
	}
	m["blocks"], m["levels"] = blocks, int(env[slotLevels])
	for name, slot := range v.shared {
		m[name] = env[slot]
		if d, err := define(name, v.family); err == nil && d.whole {
			m[name] = int(env[slot])
		}
	}
	if v.recipe != nil {
		m["recipe"] = map[string]float64{"lr": env[v.recipe["recipe.lr"]]}
	}
	return m
}

var expressions = []string{
	"stages[1].width <= 4 * stages[0].width",
	"params_M <= 3 + 5.5 * flops_B", "acts_M <= 6.5 * sqrt(flops_B)", "acts_K * 2 > flops_G - params_K / 3",
	"blocks >= 5 and blocks <= 12", "blocks % 2 == 0", "2 ** stages[0].depth > 9", "stages[-1].width > 100",
	"all(stages, .width >= 64)", "any(stages, .depth == 1 or .depth == 2)", "none(stages, .group_width > 20)", "one(stages, {#.depth > 4})",
	"count(stages, .depth > 2) == 2", "sum(stages, .depth) == blocks", "sum(map(stages, .depth * .width)) < 1000",
	"max(map(stages, .width)) - min(map(stages, .width)) < 300", "mean(map(stages, .depth)) > 3.5", "max(stages[0].depth, 3, stages[1].depth) < 7",
	"all(1..2, stages[#].width >= stages[# - 1].width)", "all(stages[1:], .width >= stages[#index].width)", "len(stages) == 3",
	"first(stages).width < last(stages).width", "stages[0].width in [8, 16, 64] || stages[0].depth in 2..4", "stages[0].depth not in [1, 2]",
	"reduce(stages, #acc + .depth, 0) > 8", "stages[0].bottleneck == stages[1].bottleneck ? stages[2].depth > 2 : stages[2].depth < 3",
	"let w = stages[0].width; w * w > 4000 && w / 3 > 20", "abs(stages[0].width - stages[1].width) > 50", "not (blocks > 8) != (stages[0].depth > 2)",
	"round(stages[0].width / 7) > floor(stages[1].width / 8) or ceil(stages[2].width / 9.5) > 10", "int(stages[0].width / 100) == 1", "float(blocks) > 7.5",
	"log2(stages[0].width) > 6 and log(stages[1].width) < exp(1.5)", "-stages[0].depth < -2", "+stages[0].depth < 3", "true", "(blocks > 3) == true",
	"all(adjusted, .width % 8 == 0)", "stages | map(.depth) | sum() > 9", "recipe.lr * resolution < 30", "bottleneck <= 2", "len(filterless) == 0",
}

// TestExpressionsAgainstExprLang evaluates expressions by their closures and by
// the machine of expr-lang, on random environments.
func TestExpressionsAgainstExprLang(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	tested := 0
	for _, v := range []vocabulary{anynetWords(), regnetWords()} {
		texts := expressions
		if v.family == familyRegNet {
			texts = append([]string{"levels == len(stages)", "w0 * wm ** 2 > wa", "depth >= 12", "group_width % 8 == 0 or group_width < 8"}, expressions...)
		}
		for _, text := range texts {
			c, err := v.compile(text)
			program, err2 := expr.Compile(text, v.options()...)
			if (err == nil) != (err2 == nil) {
				t.Fatalf("%s: compiled with %v, expr-lang with %v", text, err, err2)
			}
			if err != nil {
				continue
			}
			tested++
			outcomes := map[bool]int{}
			env := make([]float64, v.size(1))
			for range 300 {
				for i := range env {
					env[i] = float64(1 + r.IntN(6))
				}
				for i := range v.stages {
					for _, slot := range []int{v.asked(i, fieldWidth), v.adjusted(i, fieldWidth)} {
						env[slot] = float64(8 * (1 + r.IntN(40)))
					}
				}
				copy(env[slotMetric:], []float64{r.Float64() * 1e9, r.Float64() * 1e7, r.Float64() * 1e7})
				want, err := expr.Run(program, v.interpreted(env))
				if err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				got := c.holds(env)
				outcomes[got]++
				if got != want {
					t.Fatalf("%s: is %v, by expr-lang %v", text, got, want)
				}
			}
			if n := testing.AllocsPerRun(10, func() { c.holds(env) }); n > 0 {
				t.Errorf("%s: %v allocations", text, n)
			}
		}
	}
	if tested < 70 {
		t.Errorf("only %d expressions were tested", tested)
	}
}

func TestPhases(t *testing.T) {
	for text, want := range map[string]phase{"stages[0].depth > 2": drawn, "blocks > 3": drawn, "adjusted[0].width > 8": built, "flops > 1": counted, "stages[0].depth > 2 or acts_M < 3": counted} {
		c, err := anynetWords().compile(text)
		if err != nil || c.phase != want {
			t.Errorf("%s: phase %d, want %d (%v)", text, c.phase, want, err)
		}
	}
	if c, err := regnetWords().compile("levels == len(stages)"); err != nil || c.phase != drawn {
		t.Errorf("levels: phase %d (%v)", c.phase, err)
	}
	if c, err := regnetWords().compile("stages[0].width > 8"); err != nil || c.phase != built {
		t.Errorf("stages of a regnet: phase %d (%v)", c.phase, err)
	}
}

func TestExpressionErrors(t *testing.T) {
	for text, want := range map[string]string{
		"stages[3].width > 8":                 "no item 3: the list has 3, counted from 0",
		"stages[blocks].width > 8":            "must be a whole number that does not depend",
		"stages[0].widht > 8":                 "stages have no widht: the field must be depth, width, stride, bottleneck or group_width (did you mean width?)",
		"all(stages, .widht > 8)":             "stages have no widht",
		"flosp < 3":                           "did you mean flops?",
		"flops":                               "is not a condition",
		"stages[0].width >":                   "unexpected token",
		"levels == 4":                         "unknown name levels",
		"len(filter(stages, .width > 8)) > 1": "filter is not allowed in a rule; allowed are all,",
		"recipe.wd > 1":                       "is no parameter of the space",
		"all(1..5000, # > 0)":                 "1000",
		"[1, 2] == [1, 2]":                    "does not fit",
	} {
		if _, err := anynetWords().compile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// What is short to write can be long to decide: it is refused before it is compiled.
func TestExpensiveRulesAreRefused(t *testing.T) {
	doubling := "let x0 = stages[0].width; "
	for i := range 40 {
		doubling += fmt.Sprintf("let x%d = x%d + x%d; ", i+1, i, i)
	}
	wide := "stages[0].width"
	for range 11 {
		wide = fmt.Sprintf("max(%s, %s)", wide, wide)
	}
	for name, text := range map[string]string{
		"doubling names":         doubling + "x40 > 0",
		"loops within loops":     "all(1..999, all(1..999, # > 0))",
		"three loops":            "all(1..999, all(1..999, all(1..999, # > 0)))",
		"a name that is unused":  "let x = all(1..999, all(1..999, # > 0)); stages[0].width > 8",
		"loops over long items":  "let x = map(1..999, sum(1..900, #)); any(x, # > stages[0].width)",
		"reducing twice as much": "reduce(1..60, #acc + #acc) > stages[0].width",
		"written out":            wide + " > 0",
		"very long":              strings.Repeat("(", 3000) + "1" + strings.Repeat(")", 3000) + " > 0",
	} {
		_, err := anynetWords().compile(text)
		if err == nil || !strings.Contains(err.Error(), "steps") && !strings.Contains(err.Error(), "characters") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{
		"all(1..999, # < stages[0].width * 1000)",
		"reduce(1..999, #acc + #) > stages[0].width",
		"let a = sum(stages, .depth); let b = a * 2; let c = b + a; c < 100 or all(0..2, stages[#].width <= stages[# + 1].width)",
		"all(stages, {let w = .width; any(stages, .width == w * 2)})",
	} {
		if c, err := anynetWords().compile(text); err != nil && !strings.Contains(err.Error(), "no item") || c.cost > maxCost {
			t.Errorf("%s: %v, %d steps", text, err, c.cost)
		}
	}
}
