package report

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"netspace/analysis"
	"netspace/analysis/analysistest"
	"netspace/figure"
)

func TestRefine(t *testing.T) {
	r, err := analysis.Refine(context.Background(), analysistest.Study(t, "made", 120, "anynetx-a"), "", analysis.RefineOptions{Rules: []string{"blocks >= 5 and blocks <= 14"}})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := RefineText(&text, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"width never decreases", "one group width for all stages †", "R²", "hold for all", "Best supported: ", "anynetx-a of studies/made: 120 networks"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	picture := figure.File(Refine(r))
	if file := os.Getenv("NETSPACE_SHOW"); file != "" {
		os.WriteFile(file, picture, 0o644)
		t.Log(text.String())
	}
	for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range r.Candidates {
		if !strings.Contains(string(picture), strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(c.Label)) {
			t.Errorf("the figure lacks %s", c.Label)
		}
	}
	r.Candidates = nil
	text.Reset()
	if err := RefineText(&text, r); err != nil || !strings.Contains(text.String(), "There is no rule to try") {
		t.Errorf("%v\n%s", err, text.String())
	}
	figure.File(Refine(r))
}
