package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

// twoPhases draws a space: an error that a known feature and a short training tell something of, both through odd functions.
func twoPhases(rng *rand.Rand, full, short, all int, shift, known, early float64) (n Networks, plain []float64) {
	for i := range all {
		x, s := rng.NormFloat64(), rng.NormFloat64()
		e := 20 + shift + known*x + early*s + math.Exp(0.4*rng.NormFloat64())
		n.Known = append(n.Known, []float64{math.Exp(x), rng.NormFloat64()})
		if i < short {
			n.Short = append(n.Short, []float64{math.Pow(s, 3)})
		}
		if i < full {
			n.Final = append(n.Final, e)
		}
	}
	return n, n.Final
}

// The estimate is right, its variance is what it varies by, and smaller where the features tell something and not much larger where they do not.
func TestControl(t *testing.T) {
	for _, c := range []struct {
		name         string
		known, early float64
		most         float64 // of the plain variance that is left
	}{{"useless features", 0, 0, 1.15}, {"known features", 1.5, 0, 0.45}, {"short trainings", 0, 1.5, 0.65}, {"both", 1.5, 1.5, 0.55}} {
		const runs = 600
		sum, squares, variance, plain, inside := 0.0, 0.0, 0.0, 0.0, 0.0
		for i := range runs {
			rng := rand.New(rand.NewPCG(uint64(i), 7))
			a, _ := twoPhases(rng, 20, 60, 300, 0, c.known, c.early)
			b, _ := twoPhases(rng, 20, 60, 300, 0.7, c.known, c.early)
			got, err := Control(a, b)
			if err != nil {
				t.Fatal(err)
			}
			sum += got.Difference / runs
			squares += (got.Difference - 0.7) * (got.Difference - 0.7) / runs
			variance += got.Variance / runs
			plain += got.Plain / runs
			if math.Abs(got.Difference-0.7) < studentOf(1.96, got.Freedom)*math.Sqrt(got.Variance) {
				inside += 1.0 / runs
			}
		}
		t.Logf("%-17s mean %.3f, varies by %.4f, says %.4f, plain %.4f, covers %.3f", c.name, sum, squares, variance, plain, inside)
		if math.Abs(sum-0.7) > 4*math.Sqrt(squares/runs) {
			t.Errorf("%s: the mean estimate is %.3f", c.name, sum)
		}
		if variance < 0.85*squares || variance > 1.3*squares || inside < 0.93 || inside > 0.98 {
			t.Errorf("%s: the estimate varies by %.4f, the variance says %.4f, intervals cover %.3f", c.name, squares, variance, inside)
		}
		if squares > c.most*plain {
			t.Errorf("%s: the estimate varies by %.4f, without regression by %.4f", c.name, squares, plain)
		}
	}
}

func TestControlWithoutFeaturesIsTheDifferenceOfMeans(t *testing.T) {
	a, b := []float64{10, 12, 14, 11}, []float64{13, 17, 12}
	got, err := Control(Networks{Final: a}, Networks{Final: b})
	if err != nil {
		t.Fatal(err)
	}
	l := mean(b).minus(mean(a))
	if math.Abs(got.Difference-l.value) > 1e-12 || math.Abs(got.Variance-l.variance) > 1e-12 || math.Abs(got.Plain-l.variance) > 1e-12 || math.Abs(got.Freedom-l.freedom) > 1e-9 {
		t.Errorf("%+v, and the difference is %+v", got, l)
	}
	// Features without any spread change nothing; nor do those of a network that is worse than anything.
	flat := Networks{Final: a, Known: [][]float64{{1, 2}, {1, 2}, {1, 2}, {1, 2}}}
	if same, err := Control(flat, Networks{Final: b, Known: [][]float64{{1, 2}, {1, 2}, {1, 2}}}); err != nil || math.Abs(same.Difference-got.Difference) > 1e-12 {
		t.Errorf("%+v, %v", same, err)
	}
	worst := math.Inf(1)
	if c, err := Control(Networks{Final: a, Short: [][]float64{{1}, {worst}, {2}, {3}}}, Networks{Final: b, Short: [][]float64{{worst}, {2}, {1}}}); err != nil || math.IsNaN(c.Difference+c.Variance) {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []Networks{{}, {Final: []float64{1}}, {Final: a, Short: [][]float64{{1}}}, {Final: []float64{1, math.NaN()}}, {Final: a, Short: make([][]float64, 6), Known: make([][]float64, 5)}} {
		if _, err := Control(bad, Networks{Final: b}); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// The regression estimator of two-phase sampling against its formula, worked out by hand: one short feature that is the final error itself.
func TestControlOfAPerfectFeature(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	space := func(shift float64) (n Networks, mean float64) {
		for i := range 40 {
			e := shift + rng.Float64()
			n.Short = append(n.Short, []float64{e})
			if i < 10 {
				n.Final = append(n.Final, e)
			}
			mean += e / 40
		}
		return n, mean
	}
	a, meanA := space(0)
	b, meanB := space(0.2)
	got, err := Control(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.Difference-(meanB-meanA)) > 0.03 || got.Variance > 0.4*got.Plain {
		t.Errorf("%+v; the means of all are %.4f apart", got, meanB-meanA)
	}
}
