package main

import (
	"go/ast"
	"go/token"
	"os"
	"path"
	"regexp"
	"strings"
)

// debris is what is never left behind. The words are put together here so that this file
// does not find itself.
var debris = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

// excuse is a directive that silences a linter; it names the linter and the reason.
var (
	excuse     = regexp.MustCompile(`^//\s*nolint`)
	goodExcuse = regexp.MustCompile(`^//nolint:[a-z0-9,]+ // \S.{3,}`)
)

// Places and hosts that belong to one machine or workplace. Hosts are told by what the
// first words of their names usually are, so that none is named here.
var (
	homePath = regexp.MustCompile(`(^|[\s"'` + "`" + `=:(,])/(work|root|home|Users|build)/[\w.-]+`)
	hostName = regexp.MustCompile(`https?://([\w-]+\.)*(proxy|registry|repo\d?|mirrors?|index|pypi|` +
		`deb|goproxy|artifacts?)[\w-]*\.[\w.-]+`)
)

func (t *tree) checkComments(s *source) {
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if word := debris.FindString(c.Text); word != "" {
				t.add(s, c.Pos(), "debris", "%s", word)
			}
			if excuse.MatchString(c.Text) && !goodExcuse.MatchString(c.Text) {
				t.add(s, c.Pos(), "nolint", "want //nolint:LINTER // the reason")
			}
		}
	}
}

// checkDebris looks at files that are not Go.
func (t *tree) checkDebris(f text) {
	for i, line := range f.lines {
		if word := debris.FindString(line); word != "" {
			t.findings = append(t.findings, finding{file: f.path, line: i + 1, rule: "debris", text: word})
		}
	}
}

// checkNames looks for paths and hosts in any file.
func (t *tree) checkNames(name string, lines []string) {
	hosts := workplaceHosts(os.Environ())
	for i, line := range lines {
		place := strings.TrimSpace(homePath.FindString(line))
		if place == "" {
			place = hostName.FindString(line)
		}
		for _, h := range hosts {
			if strings.Contains(line, h) {
				place = "a host of this workplace"
			}
		}
		if place != "" {
			t.findings = append(t.findings, finding{file: name, line: i + 1, rule: "place",
				text: "names one machine or registry: " + place})
		}
	}
}

var settingHost = regexp.MustCompile(`://(?:[^/@\s]*@)?([\w-]+(?:\.[\w-]+)+)`)

// workplaceHosts returns the hosts of the package registries that the environment sets.
func workplaceHosts(environ []string) []string {
	var hosts []string
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		name = strings.ToUpper(name)
		if name != "GOPROXY" && !strings.Contains(name, "REGISTRY") &&
			!strings.HasSuffix(name, "INDEX_URL") {
			continue
		}
		for _, m := range settingHost.FindAllStringSubmatch(value, -1) {
			hosts = append(hosts, m[1])
		}
	}
	return hosts
}

// checkDocs wants a comment on every exported name outside package main, and on every
// method of an exported interface.
func (t *tree) checkDocs(s *source) {
	if s.file.Name.Name == "main" {
		return
	}
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d.Recv) && d.Doc == nil {
				t.add(s, d.Pos(), "doc", "%s has no comment", d.Name.Name)
			}
		case *ast.GenDecl:
			t.checkDocsOf(s, d)
		}
	}
}

func (t *tree) checkDocsOf(s *source, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if !spec.Name.IsExported() {
				continue
			}
			if d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				t.add(s, spec.Pos(), "doc", "%s has no comment", spec.Name.Name)
			}
			if i, ok := spec.Type.(*ast.InterfaceType); ok {
				t.checkMethods(s, spec.Name.Name, i)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
					t.add(s, name.Pos(), "doc", "%s has no comment", name.Name)
				}
			}
		}
	}
}

func (t *tree) checkMethods(s *source, typeName string, i *ast.InterfaceType) {
	for _, m := range i.Methods.List {
		if len(m.Names) > 0 && m.Names[0].IsExported() && m.Doc == nil && m.Comment == nil {
			t.add(s, m.Pos(), "doc", "%s.%s has no comment", typeName, m.Names[0].Name)
		}
	}
}

func exportedReceiver(recv *ast.FieldList) bool {
	if recv == nil || len(recv.List) == 0 {
		return true
	}
	name := receiverName(recv.List[0].Type)
	return token.IsExported(name)
}

func receiverName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiverName(e.X)
	case *ast.IndexExpr:
		return receiverName(e.X)
	case *ast.IndexListExpr:
		return receiverName(e.X)
	case *ast.Ident:
		return e.Name
	default:
		return ""
	}
}

// checkPackages wants one package comment in every package, no init function, and packages
// that one can read.
func (t *tree) checkPackages() {
	type pkg struct {
		first *source
		doc   bool
		code  int
	}
	packages := map[string]*pkg{}
	for _, s := range t.sources {
		t.checkInit(s)
		if s.test {
			continue
		}
		p := packages[s.dir]
		if p == nil {
			p = &pkg{first: s}
			packages[s.dir] = p
		}
		p.doc = p.doc || s.file.Doc != nil
		p.code += codeLines(s)
		if base := path.Base(s.dir); vague[base] {
			t.add(s, s.file.Package, "name", "package %s says nothing about what it owns", base)
		}
	}
	for dir, p := range packages {
		if !p.doc {
			t.add(p.first, p.first.file.Package, "doc", "package %s has no comment", dir)
		}
		if p.code > packageMax {
			t.add(p.first, p.first.file.Package, "size", "package %s has %d code lines, limit %d",
				dir, p.code, packageMax)
		}
	}
}

// vague are names of packages that could hold anything.
var vague = map[string]bool{"util": true, "utils": true, "common": true, "helper": true,
	"helpers": true, "types": true, "manager": true, "model": true, "models": true, "misc": true}

func (t *tree) checkInit(s *source) {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			t.add(s, f.Pos(), "init", "an init function runs unasked; call it from main")
		}
	}
}
