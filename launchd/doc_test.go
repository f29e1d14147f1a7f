package launchd

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// parsedPackage returns this package as go doc sees it.
func parsedPackage(t *testing.T) *doc.Package {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := token.NewFileSet()
	var list []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	p, err := doc.NewFromFiles(files, list, "launchd")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every exported name says what it is for.
func TestEveryNameIsDocumented(t *testing.T) {
	p := parsedPackage(t)
	names := 0
	check := func(name, text string) {
		names++
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no doc comment", name)
		}
	}
	funcs := func(prefix string, list []*doc.Func) {
		for _, f := range list {
			check(prefix+f.Name, f.Doc)
		}
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			check(strings.Join(v.Names, ", "), v.Doc)
		}
	}
	check("package launchd", p.Doc)
	funcs("", p.Funcs)
	values(p.Consts)
	values(p.Vars)
	for _, typ := range p.Types {
		check(typ.Name, typ.Doc)
		funcs("", typ.Funcs)
		funcs(typ.Name+".", typ.Methods)
		values(typ.Consts)
		values(typ.Vars)
	}
	if names < 120 {
		t.Errorf("only %d names were looked at", names)
	}
}

// A method that is one request names its routine, what goes out and comes back, the errors
// and where these facts are from.
func TestRequestsAreDocumented(t *testing.T) {
	p := parsedPackage(t)
	docs := map[string]string{}
	for _, typ := range p.Types {
		if typ.Name == "Client" {
			for _, m := range typ.Methods {
				docs[m.Name] = m.Doc
			}
		}
	}
	for name, routine := range map[string]string{
		"Attributes": "712", "Blame": "707", "Bootout": "801", "Bootstrap": "800", "Enabled": "811", "Find": "708", "Getenv": "820",
		"Inspect": "708", "Job": "712", "Kickstart": "702", "Kill": "812", "List": "828", "ListOwn": "815", "ListOwnJob": "815",
		"Overrides": "828", "Print": "708", "PrintDisabled": "828", "PrintDomain": "828", "RemoveOwn": "816", "SetEnabled": "808, 809",
		"Setenv": "819", "StartOwn": "813", "StopOwn": "814", "Unsetenv": "819", "Version": "828",
	} {
		text := docs[name]
		if !strings.Contains(text, routine) {
			t.Errorf("%s does not name routine %s", name, routine)
		}
		if shared := slices.ContainsFunc([]string{"errors and sources are those of", "errors\nand sources are those of"}, func(s string) bool { return strings.Contains(text, s) }); shared {
			continue // with another method, which is checked here too
		}
		if name == "Find" { // its request is a question of print's, its errors are told in full
			continue
		}
		for _, word := range []string{"request", "repl", "Errors: ", "Source"} {
			if !strings.Contains(text, word) {
				t.Errorf("%s: no %q in its comment", name, word)
			}
		}
	}
}
