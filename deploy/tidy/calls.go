package main

import (
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// pure are the packages that decide: values in, values out. Clocks, timers, goroutines,
// files and sockets are the business of whoever calls them.
var pure = []string{"switch/txn", "switch/card", "switch/fare", "switch/engine", "switch/store",
	"crypto/pan"}

// clockCalls are what of package time reads or waits for the clock.
var clockCalls = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer",
	"NewTicker"}

// worldly are the packages of the library that reach outside the process.
var worldly = []string{"os", "net", "syscall", "io/fs", "io/ioutil", "os/exec", "os/signal",
	"net/http", "math/rand", "math/rand/v2", "database/sql", "log", "flag"}

// mayReadFlags reports whether the package is one that reads flags and the environment.
func mayReadFlags(dir string) bool {
	return strings.HasPrefix(dir, "cmd/") || strings.HasPrefix(dir, "deploy/") || dir == "deploy"
}

func (t *tree) checkCalls(s *source) {
	isPure := slices.Contains(pure, s.dir) && !s.test
	if isPure {
		for _, spec := range s.file.Imports {
			if name, _ := strconv.Unquote(spec.Path.Value); slices.Contains(worldly, name) {
				t.add(s, spec.Pos(), "pure", "%s imports %s", s.dir, name)
			}
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if isPure {
				t.add(s, n.Pos(), "pure", "%s starts a goroutine", s.dir)
			}
		case *ast.SelectorExpr:
			t.checkSelector(s, n, isPure)
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "panic" && len(n.Args) == 1 && !s.test {
				t.checkPanic(s, n)
			}
		}
		return true
	})
}

// checkSelector looks at pkg.Name, called or handed on as a value.
func (t *tree) checkSelector(s *source, n *ast.SelectorExpr, isPure bool) {
	id, ok := n.X.(*ast.Ident)
	if !ok {
		return
	}
	from, name := s.imports[id.Name], n.Sel.Name
	switch {
	case from == "time" && name == "Sleep" && s.test:
		t.add(s, n.Pos(), "sleep", "a test waits by time.Sleep; wait for what has to happen")
	case from == "time" && isPure && slices.Contains(clockCalls, name):
		t.add(s, n.Pos(), "pure", "%s asks the clock: time.%s", s.dir, name)
	case s.test || mayReadFlags(s.dir):
	case from == "flag", from == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Args",
		"Exit"}, name):
		t.add(s, n.Pos(), "settings", "%s.%s outside cmd; take a value instead", from, name)
	}
}

// checkPanic wants panic("pkg: internal error: …"), whatever follows. A panic with a value of
// a type whose name ends in Fault, and one that passes on what was recovered as cause, are
// control flow between a library and the code that recovers.
func (t *tree) checkPanic(s *source, call *ast.CallExpr) {
	want := s.file.Name.Name + ": internal error: "
	switch arg := call.Args[0].(type) {
	case *ast.Ident:
		if arg.Name == "cause" {
			return
		}
	case *ast.CallExpr:
		if f, ok := arg.Fun.(*ast.Ident); ok && strings.HasSuffix(f.Name, "Fault") {
			return
		}
	}
	text, ok := leadingText(call.Args[0])
	if !ok || !strings.HasPrefix(text, want) {
		t.add(s, call.Pos(), "panic", "the text must begin with %q", want)
	}
}

// leadingText returns the literal that an expression begins with: of a literal, of a sum,
// and of the format of fmt.Sprintf.
func leadingText(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		return leadingText(e.X)
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && len(e.Args) > 0 &&
			strings.HasPrefix(f.Sel.Name, "Sprint") {
			return leadingText(e.Args[0])
		}
	}
	return "", false
}
