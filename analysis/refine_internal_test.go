package analysis

import "testing"

func TestOutward(t *testing.T) {
	for _, c := range []struct{ v, down, up float64 }{
		{2.51811874747089, 2.518, 2.519}, {49.011334807031176, 49.01, 49.02}, {208, 208, 208}, {1.695, 1.695, 1.695}, {0.00012345678, 0.0001234, 0.0001235}, {0, 0, 0}, {0.1, 0.1, 0.1},
	} {
		if down, up := outward(c.v, -1), outward(c.v, 1); down != c.down || up != c.up {
			t.Errorf("%v: %v and %v, want %v and %v", c.v, down, up, c.down, c.up)
		}
	}
}
