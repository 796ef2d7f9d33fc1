// Command house checks what keeps the house in order and no compiler enforces:
//
//   - every package has a row in the table of docs/architecture.md, whose third
//     column is what it imports of ours ("all" for programs);
//   - no exported signature of a public package names a type of an internal one,
//     which a caller outside could not spell;
//   - every exported identifier has a doc comment.
//
// make lint runs it in the root of the repository.
package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

// page holds the table of packages.
const page = "docs/architecture.md"

func main() {
	faults, err := check(".")
	if err != nil {
		fmt.Fprintln(os.Stderr, "house:", err)
		os.Exit(1)
	}
	for _, f := range faults {
		fmt.Fprintln(os.Stderr, f)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

// check gives the faults of the module in dir.
func check(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, page))
	if err != nil {
		return nil, err
	}
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax | packages.NeedModule, Dir: dir}, "./...")
	if err != nil {
		return nil, err
	}
	c := checker{table: readTable(string(text))}
	if len(pkgs) > 0 && pkgs[0].Module != nil {
		c.module = pkgs[0].Module.Path
	}
	for _, p := range pkgs {
		for _, e := range p.Errors {
			return nil, e
		}
		c.fset = p.Fset
		c.imports(p)
		if !c.public(p.PkgPath) {
			continue
		}
		for _, name := range p.Types.Scope().Names() {
			if o := p.Types.Scope().Lookup(name); o.Exported() {
				c.signature(o)
			}
		}
		c.comments(p)
	}
	for name := range c.table {
		if !slices.ContainsFunc(pkgs, func(p *packages.Package) bool { return c.short(p.PkgPath) == name }) {
			c.faults = append(c.faults, fmt.Sprintf("%s: there is no package %s", page, name))
		}
	}
	slices.Sort(c.faults)
	return slices.Compact(c.faults), nil
}

// readTable reads the rows "| `package` | … | `import`, `import` | … |" of the first table whose third column is imports.
func readTable(text string) map[string][]string {
	table := map[string][]string{}
	inside := false
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 3 || !strings.HasPrefix(line, "|") {
			if inside {
				break
			}
			continue
		}
		name := strings.Trim(cells[0], " `")
		if name == "package" {
			inside = strings.TrimSpace(cells[2]) == "imports"
		} else if inside && !strings.HasPrefix(name, "-") {
			list := strings.FieldsFunc(cells[2], func(r rune) bool { return strings.ContainsRune(" `,—", r) })
			slices.Sort(list)
			table[name] = list
		}
	}
	return table
}

type checker struct {
	table  map[string][]string
	module string
	fset   *token.FileSet
	faults []string
}

func (c *checker) fault(pos token.Pos, format string, args ...any) {
	at := c.fset.Position(pos)
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, at.Filename); err == nil {
			at.Filename = rel
		}
	}
	c.faults = append(c.faults, fmt.Sprintf("%s: %s", at, fmt.Sprintf(format, args...)))
}

// short is the path of a package within the module.
func (c *checker) short(path string) string { return strings.TrimPrefix(path, c.module+"/") }

func (c *checker) internal(path string) bool {
	return strings.HasPrefix(path, c.module+"/") && slices.Contains(strings.Split(path, "/"), "internal")
}

// public says whether programs outside can import a package.
func (c *checker) public(path string) bool {
	first, _, _ := strings.Cut(c.short(path), "/")
	return !c.internal(path) && first != "cmd" && first != "examples"
}

func (c *checker) imports(p *packages.Package) {
	var has []string
	for path := range p.Imports {
		if strings.HasPrefix(path, c.module+"/") {
			has = append(has, c.short(path))
		}
	}
	slices.Sort(has)
	want, ok := c.table[c.short(p.PkgPath)]
	switch {
	case !ok:
		c.faults = append(c.faults, fmt.Sprintf("%s: package %s has no row", page, c.short(p.PkgPath)))
	case !slices.Equal(want, []string{"all"}) && !slices.Equal(want, has):
		c.faults = append(c.faults, fmt.Sprintf("%s: package %s imports %s; its row says %s", page, c.short(p.PkgPath),
			cmp.Or(strings.Join(has, ", "), "nothing of ours"), cmp.Or(strings.Join(want, ", "), "nothing of ours")))
	}
}

// signature checks all that a caller sees of o.
func (c *checker) signature(o types.Object) {
	c.walk(o, o.Type(), map[types.Type]bool{})
	name, ok := o.(*types.TypeName)
	if !ok {
		return
	}
	named, ok := name.Type().(*types.Named)
	if !ok {
		return
	}
	c.walk(o, named.Underlying(), map[types.Type]bool{})
	for m := range named.Methods() {
		if m.Exported() {
			c.walk(m, m.Type(), map[types.Type]bool{})
		}
	}
}

// walk finds the internal types that t is made of, as far as they show.
func (c *checker) walk(o types.Object, t types.Type, seen map[types.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	part := func(t types.Type) { c.walk(o, t, seen) }
	named := func(n *types.TypeName, args *types.TypeList) {
		if n.Pkg() != nil && c.internal(n.Pkg().Path()) {
			c.fault(o.Pos(), "%s names the internal type %s.%s", o.Name(), n.Pkg().Name(), n.Name())
		}
		for a := range args.Types() {
			part(a)
		}
	}
	switch t := t.(type) {
	case *types.Named:
		named(t.Obj(), t.TypeArgs())
	case *types.Alias:
		named(t.Obj(), t.TypeArgs())
		part(t.Rhs())
	case *types.TypeParam:
		part(t.Constraint())
	case *types.Pointer:
		part(t.Elem())
	case *types.Slice:
		part(t.Elem())
	case *types.Array:
		part(t.Elem())
	case *types.Chan:
		part(t.Elem())
	case *types.Map:
		part(t.Key())
		part(t.Elem())
	case *types.Tuple:
		for v := range t.Variables() {
			part(v.Type())
		}
	case *types.Signature:
		part(t.Params())
		part(t.Results())
		for p := range t.TypeParams().TypeParams() {
			part(p)
		}
	case *types.Struct:
		for f := range t.Fields() {
			if f.Exported() {
				part(f.Type())
			}
		}
	case *types.Interface:
		for m := range t.ExplicitMethods() {
			if m.Exported() {
				part(m.Type())
			}
		}
		for e := range t.EmbeddedTypes() {
			part(e)
		}
	case *types.Union:
		for term := range t.Terms() {
			part(term.Type())
		}
	}
}

// plain are methods whose names say all: those of well-known interfaces.
var plain = []string{"Error", "Unwrap", "String", "Len", "Less", "Swap", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "MarshalYAML", "UnmarshalYAML"}

// comments checks that what is exported is documented. That comments begin with the name
// is staticcheck's business.
func (c *checker) comments(p *packages.Package) {
	if !slices.ContainsFunc(p.Syntax, func(f *ast.File) bool { return f.Doc != nil }) {
		c.faults = append(c.faults, fmt.Sprintf("package %s has no comment", c.short(p.PkgPath)))
	}
	for _, f := range p.Syntax {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || receiver(d).IsExported() && !slices.Contains(plain, d.Name.Name)) {
					c.fault(d.Pos(), "%s has no doc comment", d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						c.documented(s.Name, d.Doc, s.Doc)
					case *ast.ValueSpec:
						for _, n := range s.Names {
							c.documented(n, d.Doc, s.Doc, s.Comment)
						}
					}
				}
			}
		}
	}
}

func (c *checker) documented(name *ast.Ident, docs ...*ast.CommentGroup) {
	if name.IsExported() && !slices.ContainsFunc(docs, func(d *ast.CommentGroup) bool { return d != nil }) {
		c.fault(name.Pos(), "%s has no doc comment", name.Name)
	}
}

// receiver is the name of the type that a method belongs to.
func receiver(d *ast.FuncDecl) *ast.Ident {
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x
		default:
			return &ast.Ident{}
		}
	}
}
