package train

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The page on training lists every option with its default.
func TestOptionsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/training.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // by key: the default
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		keys := regexp.MustCompile("`([a-z0-9_]+)`").FindAllStringSubmatch(cells[1], -1)
		defaults := strings.Split(strings.TrimSpace(cells[2]), ", ")
		for i, k := range keys {
			rows[k[1]] = defaults[min(i, len(defaults)-1)]
		}
	}
	for _, o := range Options() {
		want := o.Default
		if want == "weight_decay" {
			want = "as `weight_decay`"
		}
		if got, ok := rows[o.Key]; !ok {
			t.Errorf("%s is not on the page", o.Key)
		} else if got != want {
			t.Errorf("%s: the page says default %s; it is %s", o.Key, got, want)
		}
	}
}
