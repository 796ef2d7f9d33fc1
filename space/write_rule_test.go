package space_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"netspace/metric"
	"netspace/space"
)

// What a rule is in JSON reads, in a file, as that rule.
func TestRuleJSON(t *testing.T) {
	for _, c := range []struct {
		rule space.Rule
		want string
	}{
		{space.Rule{Kind: space.Equal, Parameter: "bottleneck"}, `{"equal":"bottleneck"}`},
		{space.Rule{Kind: space.NonDecreasing, Parameter: "depth", Except: []int{space.Last}}, `{"non-decreasing":"depth","except":["last"]}`},
		{space.Rule{Kind: space.InRange, Parameter: "width", Range: metric.Range{Min: 48, Max: 20000}, Except: []int{1, 3, 4}}, `{"range":{"width":"48..20K"},"except":[1,3,4]}`},
		{space.Rule{Kind: space.In, Parameter: "group_width", Values: []float64{8, 16}, Name: `of "8"`}, `{"in":{"group_width":[8,16]},"name":"of \"8\""}`},
		{space.Between("wm", 2, 2.5), `{"range":{"wm":"2..2.5"}}`},
		{space.Where("stages[1].width <= 4 * stages[0].width"), `"stages[1].width <= 4 * stages[0].width"`},
	} {
		text, err := json.Marshal(struct{ R []space.Rule }{[]space.Rule{c.rule}})
		if err != nil {
			t.Fatal(err)
		}
		var got struct{ R []any }
		var want any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil || !reflect.DeepEqual(got.R[0], want) {
			t.Errorf("%s: %s, want %s", c.rule, text, c.want)
		}
		base := "anynetx-a"
		if c.rule.Parameter == "wm" {
			base = "regnetx"
		}
		s, err := space.Parse([]byte(`{"base": "`+base+`", "rules": [`+c.want+`]}`), "derived.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if last := s.Rules[len(s.Rules)-1]; last.String() != c.rule.String() {
			t.Errorf("%s reads as %s", c.want, last)
		}
	}
	if _, err := json.Marshal(space.Rule{}); err == nil {
		t.Error("a rule that says nothing was written")
	}
}
