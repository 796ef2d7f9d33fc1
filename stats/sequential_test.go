package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The constants of Pocock's and of O'Brien and Fleming's designs as Jennison and Turnbull (2000) print them, tables 2.1 and 2.3: with
// them a motion that is looked at k times at equal steps crosses with a probability of 5 %, either way.
func TestBoundariesCrossAsPublished(t *testing.T) {
	for _, c := range []struct {
		looks       int
		pocock, obf float64
	}{{1, 1.960, 1.960}, {2, 2.178, 1.977}, {3, 2.289, 2.004}, {5, 2.413, 2.040}, {10, 2.555, 2.087}, {20, 2.672, 2.126}} {
		crossed := func(bound func(share float64) float64) (p float64) {
			var b boundary
			for k := 1; k <= c.looks; k++ {
				z := bound(float64(k) / float64(c.looks))
				p += b.above(float64(k), z)
				b.move(float64(k), z)
			}
			return 2 * p
		}
		for name, p := range map[string]float64{
			"Pocock":              crossed(func(float64) float64 { return c.pocock }),
			"O'Brien and Fleming": crossed(func(share float64) float64 { return c.obf / math.Sqrt(share) }),
		} {
			if math.Abs(p-0.05) > 1e-4 {
				t.Errorf("%s with %d looks: %.5f", name, c.looks, p)
			}
		}
	}
}

// A boundary spends what it should, also when looks come at odd times.
func TestBoundarySpends(t *testing.T) {
	var b, again boundary
	p := 0.0
	for _, at := range []float64{0.1, 0.17, 0.5, 0.56, 0.8, 1} {
		z := b.next(0.05, at, at)
		p += again.above(at, z)
		again.move(at, z)
		if math.Abs(p-0.05*math.Pow(at, Spending)) > 1e-6 {
			t.Errorf("after t = %g the chance to have crossed is %.6f", at, p)
		}
	}
	if z := new(boundary).next(0.001, 1, 1); math.Abs(z-3.090232) > 1e-5 {
		t.Errorf("one look at 0.1 %%: %v", z)
	}
}

// What is found of means of normal numbers, whose spread is estimated, over 400 comparisons with looks at odd times.
func TestFindingsAreSeldomWrong(t *testing.T) {
	design := Sequential{Delta: 0.5, Alpha: 0.05, Power: 0.8}
	begin, err := design.Begin()
	if err != nil {
		t.Fatal(err)
	}
	run := func(d float64, futility bool) (found map[Finding]float64, covered float64) {
		found = map[Finding]float64{}
		const runs = 400
		for i := range runs {
			rng := rand.New(rand.NewPCG(uint64(i), 5))
			m := *begin
			m.design.Futility = futility
			var a, b []float64
			expected := 0.0 // by the look before, for one value
			for j := (Judgement{Finding: Undecided}); !j.Over(); {
				for range max(8, rng.IntN(1+len(a)/2)) {
					a, b = append(a, rng.NormFloat64()), append(b, d+rng.NormFloat64())
				}
				l := mean(b).minus(mean(a))
				n := float64(len(a))
				j, err = m.Look(Look{Difference: l.value, Variance: l.variance, Expected: expected / n, Freedom: l.freedom, Share: math.Min(1, n/300)})
				expected = n * l.variance
				if err != nil {
					t.Fatal(err)
				}
				if j.Over() {
					found[j.Finding] += 1.0 / runs
					if j.Difference.Lo <= d && d <= j.Difference.Hi {
						covered += 1.0 / runs
					}
				}
			}
		}
		t.Logf("D = %g, futility %v: %v, intervals cover %.3f", d, futility, found, covered)
		return found, covered
	}
	const noise = 0.025 // over twice the standard deviation of a share of 5 %
	for _, futility := range []bool{false, true} {
		zero, covered := run(0, futility)
		if wrong := zero[WorseB] + zero[BetterB]; wrong > 0.05+noise || covered < 0.95-noise {
			t.Errorf("of equal spaces %.3f of the findings are wrong, %.3f of the intervals right", wrong, covered)
		}
		if power := zero[NotWorseB] + zero[BetterB]; !futility && power < 0.8-2*noise || power < 0.74 {
			t.Errorf("futility %v: power %.3f", futility, power)
		}
		margin, _ := run(0.5, futility)
		if wrong := margin[NotWorseB] + margin[BetterB]; wrong > 0.05+noise || wrong < 0.01 {
			t.Errorf("a space that is worse by the margin is accepted with probability %.3f", wrong)
		}
		if !futility && margin[WorseB] < 0.5 {
			t.Errorf("a space that is worse by the margin is found worse with probability %.3f", margin[WorseB])
		}
	}
}

// A look's own variance, should it be small by chance, neither spends more of the level nor makes the bounds closer than was expected; a large one makes them wider.
func TestLevelsAreSpentByWhatWasExpected(t *testing.T) {
	begin, err := (Sequential{Delta: 0.5, Alpha: 0.05, Power: 0.8}).Begin()
	if err != nil {
		t.Fatal(err)
	}
	look := func(variance float64) Judgement {
		m := *begin
		if j, err := m.Look(Look{Difference: 0.2, Variance: 0.2, Freedom: 20, Share: 0.05}); err != nil || j.Used != 0.05 {
			t.Fatalf("a first look counts by its share: %+v, %v", j, err)
		}
		j, err := m.Look(Look{Difference: 0.2, Variance: variance, Expected: 0.1, Freedom: 40, Share: 0.1})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	want := look(0.1)
	if math.Abs(want.Used-10/begin.most) > 1e-12 {
		t.Errorf("%.4f of the information is used", want.Used)
	}
	for _, variance := range []float64{0.04, 0.4} {
		got, scale := look(variance), math.Sqrt(math.Max(0.1, variance)/0.1)
		if got.Used != want.Used || math.Abs((got.AtMost-0.2)-scale*(want.AtMost-0.2)) > 1e-12 || math.Abs((got.Difference.Hi-0.2)-scale*(want.Difference.Hi-0.2)) > 1e-12 {
			t.Errorf("with a variance of %g: %+v, and with what was expected %+v", variance, got, want)
		}
	}
}

// A course expects of each look what the look before tells of the variance at its numbers of networks, and that is what comes on average.
func TestCourseExpectsItsVariance(t *testing.T) {
	const runs, drawn = 150, 400
	var ratios []float64
	for i := range runs {
		rng := rand.New(rand.NewPCG(uint64(i), 8))
		course, err := NewCourse(CourseOptions{Sequential: Sequential{Delta: 0.5, Alpha: 0.05, Power: 0.8}, EMax: 100, Most: 200, Epochs: 10, ShortEpochs: 2})
		if err != nil {
			t.Fatal(err)
		}
		space := func() (n Trained) {
			from, _ := twoPhases(rng, drawn, drawn, drawn, 0, 1, 1.5)
			n.Known, n.Final = from.Known, from.Final
			for _, s := range from.Short {
				n.Curves = append(n.Curves, make([]Seen, 10))
				for e := range 10 {
					n.Curves[len(n.Curves)-1][e] = Seen(s)
				}
			}
			return n
		}
		a, b := space(), space()
		for k := 0; k < 4 && !course.Over(); k++ {
			step, err := course.Look(a, b)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case k == 0:
				if step.Expected != 0 || step.Used != float64(step.Full)/200 {
					t.Fatalf("the first look: %+v", step)
				}
			case k > 1: // at the second one, short trainings become part of it
				before := course.Steps()[k-1]
				want := 2 * (before.Residual/float64(step.Full) + before.ByShort/float64(step.Short) + before.ByKnown/drawn)
				if math.Abs(step.Expected-want) > 1e-12 || math.Abs(step.Used-math.Max(before.Used, math.Min(1, 1/want/course.monitor.most))) > 1e-12 {
					t.Fatalf("look %d: %+v, after %+v", k+1, step, before)
				}
				fallthrough
			default:
				ratios = append(ratios, step.Variance/step.Expected)
			}
		}
	}
	if m := mean(ratios); math.Abs(m.value-1) > 0.05 {
		t.Errorf("variances are %.3f of what was expected", m.value)
	}
}

func TestMonitorRefuses(t *testing.T) {
	for _, s := range []Sequential{{Delta: -1, Alpha: 0.05, Power: 0.8}, {Delta: 1, Alpha: 0, Power: 0.8}, {Delta: 1, Alpha: 0.05, Power: 1}, {Delta: math.NaN(), Alpha: 0.05, Power: 0.8}} {
		if _, err := s.Begin(); err == nil {
			t.Errorf("%+v has begun", s)
		}
	}
	m, err := (Sequential{Delta: 0, Alpha: 0.05, Power: 0.8}).Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []Look{{1, 1, 0, 10, 0}, {1, 1, 0, 10, 1.1}, {math.NaN(), 1, 0, 10, 0.5}, {1, -1, 0, 10, 0.5}, {1, 1, -1, 10, 0.5}, {1, 1, 0, 0, 0.5}} {
		if _, err := m.Look(l); err == nil {
			t.Errorf("%+v was taken", l)
		}
	}
	if j, err := m.Look(Look{2, 0, 0, 10, 0.5}); err != nil || j.Finding != WorseB {
		t.Errorf("a difference without doubt: %+v, %v", j, err)
	}
	if _, err := m.Look(Look{2, 1, 0, 10, 0.6}); err == nil {
		t.Error("a look after the end was taken")
	}
}
