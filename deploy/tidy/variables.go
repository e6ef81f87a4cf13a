package main

import (
	"go/ast"
	"go/token"
	"strings"
)

// checkVariables wants package-level variables to be constants in all but name: errors,
// tables that nobody writes to, what the compiler embeds, and "var _". Package main may
// also hold what the linker sets.
func (t *tree) checkVariables() {
	written := map[string]map[string]bool{}
	for _, s := range t.sources {
		if s.test {
			continue
		}
		if written[s.dir] == nil {
			written[s.dir] = map[string]bool{}
		}
		collectWrites(s.file, written[s.dir])
	}
	for _, s := range t.sources {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				t.checkVarDecl(s, g, written[s.dir])
			}
		}
	}
}

// collectWrites notes every name that is assigned to, counted up, or whose own address is
// taken. Names are not resolved: a local variable of the same name counts too, except in
// its own declaration.
func collectWrites(f *ast.File, into map[string]bool) {
	note := func(e ast.Expr) {
		if name := rootName(e); name != "" {
			into[name] = true
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					note(e)
				}
			}
		case *ast.IncDecStmt:
			note(n.X)
		case *ast.UnaryExpr:
			// The address of an entry is how a table of large entries is read.
			if id, ok := n.X.(*ast.Ident); ok && n.Op == token.AND {
				note(id)
			}
		}
		return true
	})
}

// rootName returns x of x, x[i] and x.f.
func rootName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.IndexExpr:
		return rootName(e.X)
	case *ast.SelectorExpr:
		return rootName(e.X)
	case *ast.ParenExpr:
		return rootName(e.X)
	default:
		return ""
	}
}

func (t *tree) checkVarDecl(s *source, g *ast.GenDecl, written map[string]bool) {
	for _, spec := range g.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok || embedded(g.Doc) || embedded(v.Doc) {
			continue
		}
		for i, name := range v.Names {
			if name.Name == "_" {
				continue
			}
			switch {
			case written[name.Name] && !shadowed(s, name):
				t.add(s, name.Pos(), "variable", "%s is changed; give it an owner", name.Name)
			case i >= len(v.Values) && s.file.Name.Name != "main":
				t.add(s, name.Pos(), "variable", "%s has no value; give it an owner", name.Name)
			case i < len(v.Values) && mutable(s, v.Values[i]):
				t.add(s, name.Pos(), "variable", "%s can be changed; give it an owner", name.Name)
			}
		}
	}
}

// shadowed reports whether the name is short enough to be some local variable's: the rule
// does not resolve names, and judges only those that are told apart.
func shadowed(s *source, name *ast.Ident) bool {
	local := false
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, e := range n.Lhs {
					id, ok := e.(*ast.Ident)
					local = local || ok && id.Name == name.Name
				}
			}
		case *ast.Field:
			for _, id := range n.Names {
				local = local || id.Name == name.Name
			}
		}
		return !local
	})
	return local
}

func embedded(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// mutable reports whether a value is there to be changed: a pointer to something made
// here, a channel, a lock, a counter.
func mutable(s *source, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.UnaryExpr:
		return e.Op == token.AND
	case *ast.CallExpr:
		id, ok := e.Fun.(*ast.Ident)
		return ok && (id.Name == "make" || id.Name == "new")
	case *ast.CompositeLit:
		sel, ok := e.Type.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		id, ok := sel.X.(*ast.Ident)
		return ok && (s.imports[id.Name] == "sync" || s.imports[id.Name] == "sync/atomic")
	default:
		return false
	}
}
