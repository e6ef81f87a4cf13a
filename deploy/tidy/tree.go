package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// finding is one thing to mend.
type finding struct {
	file    string
	line    int
	rule    string
	text    string
	warning bool
}

// String returns the finding as one line of output.
func (f finding) String() string {
	s := fmt.Sprintf("%s:%d: %s: %s", f.file, f.line, f.rule, f.text)
	if f.warning {
		return "warn: " + s
	}
	return s
}

// source is one Go file.
type source struct {
	path    string // slash-separated, relative to the root
	dir     string
	test    bool
	fset    *token.FileSet
	file    *ast.File
	lines   []string
	imports map[string]string // name in the file to path
}

// text is one file that is not Go.
type text struct {
	path  string
	lines []string
}

// tree is everything that is checked.
type tree struct {
	sources  []*source
	texts    []text
	findings []finding
}

// skipped are directories that hold nothing of ours, or what is made by running.
func skipped(name string) bool {
	return name != "." && strings.HasPrefix(name, ".") && name != ".ci" ||
		slices.Contains([]string{"bin", "data", "tapswitch-data", "vendor", "node_modules"}, name)
}

// sizeMax bounds what is read of a file that is not Go; larger ones are data.
const sizeMax = 1 << 20

func readTree(root fs.FS) (*tree, error) {
	t := &tree{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped(d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return t.read(root, name, d)
	})
	return t, err
}

func (t *tree) read(root fs.FS, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	isGo := path.Ext(name) == ".go"
	if !isGo && info.Size() > sizeMax || path.Base(name) == "go.sum" {
		return nil
	}
	content, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	if isGo {
		return t.addGo(name, content)
	}
	if utf8.Valid(content) {
		t.texts = append(t.texts, text{path: name, lines: split(content)})
	}
	return nil
}

func split(content []byte) []string {
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}

func (t *tree) addGo(name string, content []byte) error {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if ast.IsGenerated(f) || strings.HasSuffix(name, ".pb.go") {
		return nil
	}
	s := &source{path: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
		fset: fset, file: f, lines: split(content), imports: map[string]string{}}
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		local := path.Base(imported)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		s.imports[local] = imported
	}
	t.sources = append(t.sources, s)
	return nil
}

func (s *source) line(p token.Pos) int { return s.fset.Position(p).Line }

func (t *tree) add(s *source, p token.Pos, rule, format string, args ...any) {
	t.findings = append(t.findings, finding{file: s.path, line: s.line(p), rule: rule,
		text: fmt.Sprintf(format, args...)})
}

func (t *tree) warn(s *source, p token.Pos, rule, format string, args ...any) {
	t.add(s, p, rule, format, args...)
	t.findings[len(t.findings)-1].warning = true
}

// sorted returns the findings by place, warnings first so that what counts stands last.
func (t *tree) sorted() []finding {
	slices.SortStableFunc(t.findings, func(a, b finding) int {
		switch {
		case a.warning != b.warning && a.warning:
			return -1
		case a.warning != b.warning:
			return 1
		case a.file != b.file:
			return strings.Compare(a.file, b.file)
		default:
			return a.line - b.line
		}
	})
	return t.findings
}

// check runs every rule.
func (t *tree) check() {
	for _, s := range t.sources {
		t.checkCalls(s)
		t.checkComments(s)
		t.checkFunctions(s)
		t.checkInterfaces(s)
		t.checkNames(s.path, s.lines)
		if !s.test {
			t.checkDocs(s)
			t.checkFileLength(s)
		}
	}
	for _, f := range t.texts {
		t.checkNames(f.path, f.lines)
		t.checkDebris(f)
	}
	t.checkPackages()
	t.checkVariables()
	t.checkWidth()
}
