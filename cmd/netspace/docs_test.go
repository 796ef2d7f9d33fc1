package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
	blocks := regexp.MustCompile("(?s)```\n\\$ netspace ([^\n]*)\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d commands", len(blocks))
	}
	trailing := regexp.MustCompile(`(?m)[ \t]+$`)
	for _, b := range blocks {
		out, errs, status := netspace(t, strings.Fields(b[1])...)
		if status != exitOK || errs != "" {
			t.Fatalf("%s: status %d\n%s", b[1], status, errs)
		}
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
