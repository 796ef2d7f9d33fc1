package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each rule is broken once, and once kept beside it.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module m\n\ngo 1.26\n",
		"docs/architecture.md": `| package | holds |
|---|---|
| other | table |

| package | holds | imports | begin |
|---|---|---|---|
| ` + "`a`" + ` | what | ` + "`b`, `internal/c`" + ` | here |
| ` + "`b`" + ` | what | ` + "`internal/c`" + ` | here |
| ` + "`gone`" + ` | what | — | |
| ` + "`internal/c`" + ` | what | — | |
| ` + "`cmd/x`" + ` | what | all | |
`,
		"a/a.go": `// Package a has a comment.
package a

import (
	"m/b"
	"m/internal/c"
)

// T shows what it must not.
type T struct {
	Shown  []*c.Hidden
	hidden c.Hidden
	B      b.B
}

// F may take what is not internal.
func F(t T) (map[string]b.B, error) { _ = t.hidden; return nil, nil }

// M returns an inferred internal type.
func (T) M() func() c.Hidden { return nil }

// V is inferred.
var V = c.New()

// G is generic.
func G[P interface{ Get() c.Hidden }](P) {}

// A hides it behind a name.
type A = c.Hidden

func (T) Bare() {}

func (T) String() string { return "" }

type Naked int

const (
	One = 1 // is explained
	Two = 2
)

type quiet int

func (quiet) Loud() {}
`,
		"b/b.go":          "package b\n\nimport _ \"m/a2\"\n\n// B is documented.\ntype B int\n",
		"a2/a.go":         "// Package a2 is not in the table.\npackage a2\n",
		"internal/c/c.go": "package c\n\ntype Hidden int\n\nfunc New() *Hidden { return nil }\n",
		"cmd/x/main.go":   "package main\n\nimport _ \"m/b\"\n\nfunc Exported() {}\n\nfunc main() {}\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	got, err := check(".")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a/a.go:10:6: T names the internal type c.Hidden",
		"a/a.go:20:10: M names the internal type c.Hidden",
		"a/a.go:23:5: V names the internal type c.Hidden",
		"a/a.go:26:6: G names the internal type c.Hidden",
		"a/a.go:29:6: A names the internal type c.Hidden",
		"a/a.go:31:1: Bare has no doc comment",
		"a/a.go:35:6: Naked has no doc comment",
		"a/a.go:39:2: Two has no doc comment",
		"docs/architecture.md: package a2 has no row",
		"docs/architecture.md: package b imports a2; its row says internal/c",
		"docs/architecture.md: there is no package gone",
		"package b has no comment",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
