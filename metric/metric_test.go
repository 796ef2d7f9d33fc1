package metric

import (
	"encoding/json"
	"math"
	"regexp"
	"testing"

	"netspace/graph"
)

func TestTable(t *testing.T) {
	names := map[string]bool{}
	for i, m := range table {
		if m.ID != ID(i) || ID(i).Metric().Name != m.Name {
			t.Errorf("row %d is that of metric %d", i, m.ID)
		}
		if !regexp.MustCompile(`^[a-z]+$`).MatchString(m.Name) || names[m.Name] || m.Unit == "" || m.Example == "" {
			t.Errorf("%+v: needs a name of its own, a unit and an example", m)
		}
		names[m.Name] = true
	}
	// The names are those that graph.Complexity has in JSON: both are written in one object.
	k := graph.Complexity{Flops: 397_678_568, Params: 5_157_512, Acts: 7_023}
	var fields map[string]int64
	text, err := json.Marshal(k)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	values := Count(k)
	for _, m := range Counted() {
		if want, ok := fields[m.Name]; !ok || m.Of(k) != want || values[m.ID] != float64(want) {
			t.Errorf("%s: %d and %v, want %d", m.Name, m.Of(k), values[m.ID], want)
		}
	}
	if len(fields) != len(Counted()) {
		t.Errorf("of %d numbers that are counted %d are metrics", len(fields), len(Counted()))
	}
}

func TestTotal(t *testing.T) {
	for how, want := range map[Aggregation]int64{Sum: 16, Max: 9} {
		m := Metric{Aggregation: how}
		if got := m.Total(3, 9, 4); got != want || m.Total() != 0 {
			t.Errorf("aggregation %d: %d and %d, want %d and 0", how, got, m.Total(), want)
		}
	}
}

func TestFormat(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1K", 5_157_512: "5.16M", 397_678_568: "398M", 16e9: "16B"} {
		if got := Flops.Metric().Format(v); got != want {
			t.Errorf("%v is written as %s, want %s", v, got, want)
		}
	}
}

func TestTablesInJSON(t *testing.T) {
	for want, b := range map[string]Bounds{
		`{}`:                                   {},
		`{"flops":"360M..400M","acts":"..8M"}`: {Flops: {Min: 360e6, Max: 400e6}, Acts: {Max: 8e6}},
		`{"params":"1M.."}`:                    {Params: {Min: 1e6, Max: math.Inf(1)}},
	} {
		got, err := json.Marshal(b)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
		again := Bounds{Flops: {Min: 1, Max: 2}} // what is not named must go
		if err := json.Unmarshal([]byte(want), &again); err != nil || again != b {
			t.Errorf("%s is read as %v, %v", want, again, err)
		}
	}
	if got, err := json.Marshal(Values{1, 0, 2}); err != nil || string(got) != `{"flops":1,"params":0,"acts":2}` {
		t.Errorf("%s, %v", got, err)
	}
	var b Bounds
	if err := json.Unmarshal([]byte(`{"flops":"many"}`), &b); err == nil {
		t.Error("a range that is none is read")
	}
}

func TestValidate(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, r := range []Range{{nan, 1}, {0, nan}, {2, 1}, {inf, inf}, {-inf, 0}, {0, -inf}} {
		if r.Validate() == nil {
			t.Errorf("%v passes", r)
		}
	}
	for _, r := range []Range{{}, {1, 1}, {-1, 2}, {5, inf}} {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
}
