package report_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"netspace/analysis"
	"netspace/report"
)

// Findings are computed once; the page is a view of them, in one file that needs no other.
func ExamplePage() {
	source, err := analysis.Load(context.Background(), "../study/testdata/v1/kept")
	if err != nil {
		log.Fatal(err)
	}
	c, err := analysis.Compare(context.Background(), []analysis.Source{source}, analysis.Options{})
	if err != nil {
		log.Fatal(err)
	}
	findings, err := c.Findings()
	if err != nil {
		log.Fatal(err)
	}
	var page strings.Builder // or a file
	if err := report.Page(&page, findings); err != nil {
		log.Fatal(err)
	}
	for _, s := range c.Spaces {
		fmt.Println(s.Label, strings.Contains(page.String(), s.Label))
	}
	// Output:
	// anynetx-a true
	// anynety-c true
	// anynetv-a true
	// regnetx true
	// wild.yaml true
}
