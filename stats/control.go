package stats

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Networks are those of one space for a comparison that costs less than training all of them: in the order in
// which they were drawn at random, so that those that are trained are a random sample of all.
type Networks struct {
	Final []float64   // final errors, percent, of the first networks
	Short [][]float64 // what few epochs of training showed, of the first networks, as many as Final or more; nil: nothing
	Known [][]float64 // what is known without any training, of all networks, as many as Short or more; nil: nothing
}

// Controlled is an estimate of mean(B) − mean(A) that makes use of what is known besides the final errors.
type Controlled struct {
	Difference float64 // percentage points
	Variance   float64 // of Difference
	Freedom    float64 // degrees of freedom of Variance
	// Plain is the variance of the difference of the plain means of the final errors, for comparison.
	Plain float64
	// Parts of the variance of a final error, as means of the two spaces: what is left when all is known that short
	// trainings and the networks themselves tell, what short trainings tell beyond the networks themselves, and what these tell.
	Residual, ByShort, ByKnown float64
}

// expected is the variance that Difference may be expected to have when a goal is reached, with so many networks of each space known.
func (c Controlled) expected(g Goal, known [2]int) float64 {
	v := 2 * (c.Residual/float64(g.Full) + c.ByShort/float64(g.Short))
	for _, n := range known {
		v += c.ByKnown / float64(max(n, g.Short))
	}
	return v
}

// complete checks what is known, and puts networks without features where nothing is known.
func (s *Networks) complete() error {
	if err := check(s.Final); err != nil {
		return err
	}
	if len(s.Final) < 2 {
		return errors.New("stats: one network of a space tells nothing of how they differ")
	}
	if s.Known == nil {
		s.Known = make([][]float64, max(len(s.Final), len(s.Short)))
	}
	if s.Short == nil {
		s.Short = make([][]float64, len(s.Final))
	}
	if len(s.Short) < len(s.Final) || len(s.Known) < len(s.Short) {
		return fmt.Errorf("stats: %d final errors, %d short trainings and %d networks: each must be as many as the one before or more", len(s.Final), len(s.Short), len(s.Known))
	}
	return nil
}

// Control estimates the difference of the mean final errors of two spaces by nested regression: with m, the final error as
// regressed on all that is known of the networks with final errors, and f, m as regressed on what is known without training,
//
//	mean(final) + [mean(m) of those with short trainings − mean(m) of those with final errors] + [mean(f) of all − mean(f) of those with short trainings]
//
// in each space, which is the regression estimator of two-phase sampling (Cochran 1977, §12.6) with one more phase. Both regressions
// are linear, with one slope for the two spaces and a mean for each; features are ranked first, so that no outlier decides. Nothing
// is assumed of how errors depend on the features: if the regressions are wrong the estimate is right and its variance larger. It is biased by a
// fraction 1/n of its standard deviation. How strongly the regressions are shrunk is chosen by the prediction of each network
// from the others; they are not used where that does not predict better than the mean.
//
// The variance comes from the same predictions, so that a regression that fits only because it has many features gains nothing:
//
//	Var(e − m)·(1/n − 1/n₁) + Var(e − f)·(1/n₁ − 1/N) + Var(e)/N
//
// with n networks with final errors e, n₁ with short trainings, N in all. Two final errors of each space at least are needed.
func Control(a, b Networks) (c Controlled, err error) {
	spaces := [2]Networks{a, b}
	for i := range spaces {
		if err := spaces[i].complete(); err != nil {
			return c, err
		}
	}
	return control(spaces, rank(spaces[0].Known, spaces[1].Known))
}

// control is Control of networks whose known features are ranked.
func control(spaces [2]Networks, known [2][][]float64) (c Controlled, err error) {
	short := rank(spaces[0].Short, spaces[1].Short)
	var both [2][][]float64
	for i, s := range spaces {
		for k := range s.Short {
			both[i] = append(both[i], slices.Concat(short[i][k], known[i][k]))
		}
	}
	first := func(x [2][][]float64, n func(Networks) int) [2][][]float64 {
		return [2][][]float64{x[0][:n(spaces[0])], x[1][:n(spaces[1])]}
	}
	finals := func(s Networks) int { return len(s.Final) }
	shorts := func(s Networks) int { return len(s.Short) }
	upper := regress(first(both, finals), [2][]float64{spaces[0].Final, spaces[1].Final})
	var predicted [2][]float64
	for i := range spaces {
		for _, x := range both[i] {
			predicted[i] = append(predicted[i], dot(upper.slope, x))
		}
	}
	lower := regress(first(known, shorts), predicted)

	var variance, freedom, plain float64
	for i, s := range spaces {
		n, n1, all := float64(len(s.Final)), float64(len(s.Short)), float64(len(s.Known))
		f := func(x [][]float64) float64 {
			sum := 0.0
			for _, x := range x {
				sum += dot(lower.slope, x)
			}
			return sum / float64(len(x))
		}
		estimate := average(s.Final) + average(predicted[i]) - average(predicted[i][:len(s.Final)]) + f(known[i]) - f(known[i][:len(s.Short)])
		outer := make([]float64, len(s.Final))
		for k := range outer {
			outer[k] = upper.left[i][k] + lower.left[i][k]
		}
		residual, rest, whole := spread(upper.left[i]), spread(outer), spread(s.Final)
		v := residual*(1/n-1/n1) + rest*(1/n1-1/all) + whole/all
		variance += v
		freedom += v * v / (n - 1)
		plain += whole / n
		sign := 2*float64(i) - 1
		c.Difference += sign * estimate
		c.Residual += residual / 2
		c.ByShort += (rest - residual) / 2
		c.ByKnown += (whole - rest) / 2
	}
	c.Variance, c.Plain = variance, plain
	c.Freedom = float64(len(spaces[0].Final) + len(spaces[1].Final) - 2)
	if freedom > 0 {
		c.Freedom = variance * variance / freedom
	}
	return c, nil
}

// spread is the variance of x, divisor n − 1.
func spread(x []float64) float64 {
	m := mean(x)
	return m.variance * float64(len(x))
}

// rank replaces the values of every feature by their places among those of both spaces, from −1 to 1, equal ones by their mean.
func rank(a, b [][]float64) [2][][]float64 {
	all := slices.Concat(a, b)
	out := make([][]float64, len(all))
	if len(all) == 0 {
		return [2][][]float64{}
	}
	features := len(all[0])
	for i := range out {
		out[i] = make([]float64, features)
	}
	column := make([]float64, len(all))
	for k := range features {
		for i, x := range all {
			column[i] = x[k]
		}
		slices.Sort(column)
		for i, x := range all {
			low, _ := slices.BinarySearch(column, x[k])
			high, _ := slices.BinarySearchFunc(column, x[k], func(v, x float64) int {
				if v <= x {
					return -1
				}
				return 1
			})
			out[i][k] = float64(low+high)/float64(len(all)) - 1
		}
	}
	return [2][][]float64{out[:len(a)], out[len(a):]}
}

// regression is a linear one of two spaces, with one slope and a mean for each.
type regression struct {
	slope []float64    // nil: none
	left  [2][]float64 // what is left of each value when it is predicted from the others
}

// regress regresses y on the features x by ridge regression, with the penalty that predicts best. What is left of a network is by
// the penalty that predicts the others best: if its own had a say, the least of several would look less than it is.
func regress(x [2][][]float64, y [2][]float64) (r regression) {
	var fits []regression
	var sums []float64
	for _, penalty := range [...]float64{0.01, 0.1, 1, math.Inf(1)} { // relative to the spread of the features; the last one means no regression
		if slope, left, ok := ridge(x, y, len(x[0][0]), penalty); ok {
			fits = append(fits, regression{slope, left})
			sums = append(sums, dot(left[0], left[0])+dot(left[1], left[1]))
		}
	}
	best := func(sum func(fit int) float64) regression {
		k := 0
		for i := range fits {
			if sum(i) < sum(k) {
				k = i
			}
		}
		return fits[k]
	}
	r.slope = best(func(fit int) float64 { return sums[fit] }).slope
	for space := range y {
		for i := range y[space] {
			others := best(func(fit int) float64 {
				own := fits[fit].left[space][i]
				return sums[fit] - own*own
			})
			r.left[space] = append(r.left[space], others.left[space][i])
		}
	}
	return r
}

// ridge is a ridge regression with one penalty; infinity: none. ok is false if it cannot be solved.
func ridge(x [2][][]float64, y [2][]float64, features int, penalty float64) (slope []float64, left [2][]float64, ok bool) {
	if math.IsInf(penalty, 1) || features == 0 {
		for i := range y {
			m := average(y[i])
			for _, v := range y[i] {
				left[i] = append(left[i], v-m)
			}
		}
		return make([]float64, features), left, true
	}
	var rows [][]float64
	var at []float64
	var means [2][]float64
	for i := range x {
		m := make([]float64, features)
		for _, v := range x[i] {
			for k := range m {
				m[k] += v[k] / float64(len(x[i]))
			}
		}
		means[i] = m
		my := average(y[i])
		for j, v := range x[i] {
			row := make([]float64, features)
			for k := range row {
				row[k] = v[k] - m[k]
			}
			rows, at = append(rows, row), append(at, y[i][j]-my)
		}
	}
	gram := mat.NewSymDense(features, nil)
	right := mat.NewVecDense(features, nil)
	for i, row := range rows {
		gram.SymRankOne(gram, 1, mat.NewVecDense(features, row))
		right.AddScaledVec(right, at[i], mat.NewVecDense(features, row))
	}
	for k := range features { // relative to the feature's own spread
		gram.SetSym(k, k, gram.At(k, k)*(1+penalty)+1e-12)
	}
	var factor mat.Cholesky
	if !factor.Factorize(gram) {
		return nil, left, false
	}
	var solved mat.VecDense
	if factor.SolveVecTo(&solved, right) != nil {
		return nil, left, false
	}
	slope = solved.RawVector().Data
	next := 0
	for i := range x {
		n := float64(len(x[i]))
		for range x[i] {
			row := mat.NewVecDense(features, rows[next])
			var w mat.VecDense
			if factor.SolveVecTo(&w, row) != nil {
				return nil, left, false
			}
			rest := 1 - 1/n // without the network itself its mean has moved, too: that is what the divisor of a variance is for
			left[i] = append(left[i], (at[next]-dot(slope, rows[next]))*rest/(rest-mat.Dot(row, &w)))
			next++
		}
	}
	return slope, left, true
}
