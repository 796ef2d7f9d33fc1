package portable

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"
)

// ulps is the distance of got from want in units of want's last place.
func ulps(got, want float64) float64 {
	if got == want {
		return 0
	}
	return math.Abs(got-want) / (math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want))
}

func TestAgainstMath(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300_000 {
		x := math.Exp(r.Float64()*80 - 40)
		if r.IntN(2) == 0 {
			x = 0.5 + r.Float64()*1.5
		}
		if got, want := Log(x), math.Log(x); ulps(got, want) > 2 {
			t.Fatalf("Log(%v) = %v, want %v", x, got, want)
		}
		y := r.Float64()*1400 - 700
		if r.IntN(2) == 0 {
			y = r.Float64()*2 - 1
		}
		if got, want := Exp(y), math.Exp(y); ulps(got, want) > 2 {
			t.Fatalf("Exp(%v) = %v, want %v", y, got, want)
		}
		b, n := 0.5+r.Float64()*3, float64(r.IntN(12)-3)
		if got, want := Pow(b, n), math.Pow(b, n); ulps(got, want) > 4 {
			t.Fatalf("Pow(%v, %v) = %v, want %v", b, n, got, want)
		}
		p := r.Float64() * 4
		if got, want := Pow(b, p), math.Pow(b, p); math.Abs(got-want) > 1e-14*want {
			t.Fatalf("Pow(%v, %v) = %v, want %v", b, p, got, want)
		}
	}
}

func TestSpecialValues(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"Log(1)", Log(1), 0}, {"Log(0)", Log(0), -inf}, {"Log(inf)", Log(inf), inf}, {"Log(denormal)", Log(5e-324), -744.4400719213812},
		{"Exp(0)", Exp(0), 1}, {"Exp(-inf)", Exp(-inf), 0}, {"Exp(inf)", Exp(inf), inf}, {"Exp(800)", Exp(800), inf},
		{"Pow(0,0.5)", Pow(0, 0.5), 0}, {"Pow(2,-1)", Pow(2, -1), 0.5}, {"Pow(3,0)", Pow(3, 0), 1}, {"Pow(1.5,2)", Pow(1.5, 2), 2.25},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.name, c.got, c.want)
		}
	}
	if !math.IsNaN(Log(-1)) || !math.IsNaN(Log(math.NaN())) || !math.IsNaN(Exp(math.NaN())) {
		t.Error("no NaN where one is due")
	}
}

// TestBits pins the bits themselves: a platform where they differ fails here.
func TestBits(t *testing.T) {
	h := fnv.New64a()
	var b [8]byte
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		for _, v := range []float64{Log(r.Float64() * 100), Exp(r.Float64()*20 - 10), Pow(r.Float64()*3, r.Float64()*5)} {
			bits := math.Float64bits(v)
			for i := range b {
				b[i] = byte(bits >> (8 * i))
			}
			h.Write(b[:])
		}
	}
	if got, want := h.Sum64(), uint64(0x373dcba9ffc5e2f9); got != want {
		t.Errorf("hash of the results is %#x, want %#x", got, want)
	}
}
