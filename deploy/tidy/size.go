package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"unicode/utf8"
)

// The numbers are those of the style guide: a target, which is warned about, and a stop.
const (
	widthMax       = 100 // columns, a tab is four
	widthShare     = 98  // percent of lines that keep to widthMax
	fileTarget     = 700
	fileMax        = 1000
	functionReason = 70 // lines from which a function's comment must say why
	functionTarget = 120
	functionMax    = 150
	cycloTarget    = 20
	cycloMax       = 30
	parameterMax   = 5
	methodTarget   = 4
	packageMax     = 4000 // code lines
)

func (t *tree) checkFileLength(s *source) {
	n := len(s.lines)
	switch {
	case n > fileMax:
		t.add(s, s.file.Package, "size", "file of %d lines, limit %d", n, fileMax)
	case n > fileTarget:
		t.warn(s, s.file.Package, "size", "file of %d lines, target %d", n, fileTarget)
	}
}

func (t *tree) checkFunctions(s *source) {
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		lines := s.line(f.End()) - s.line(f.Pos()) + 1
		name := f.Name.Name
		switch {
		case lines > functionMax:
			t.add(s, f.Pos(), "size", "%s has %d lines, limit %d", name, lines, functionMax)
		case s.test:
			// A test may be a long straight list.
		case lines > functionTarget:
			t.warn(s, f.Pos(), "size", "%s has %d lines, target %d", name, lines, functionTarget)
		case lines > functionReason && f.Doc == nil:
			t.add(s, f.Pos(), "size", "%s has %d lines and no comment that says why", name, lines)
		}
		if n := f.Type.Params.NumFields(); n > parameterMax && !s.test {
			t.add(s, f.Pos(), "size", "%s has %d parameters, limit %d", name, n, parameterMax)
		}
		switch n := complexity(f.Body); {
		case n > cycloMax:
			t.add(s, f.Pos(), "size", "%s has complexity %d, limit %d", name, n, cycloMax)
		case n > cycloTarget && !s.test:
			t.warn(s, f.Pos(), "size", "%s has complexity %d, target %d", name, n, cycloTarget)
		}
	}
}

// complexity is 1, plus 1 for each if, for, case, select case, && and ||. What a function
// literal adds counts as part of the function that it stands in.
func complexity(body *ast.BlockStmt) int {
	n := 1
	ast.Inspect(body, func(node ast.Node) bool {
		switch x := node.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if x.List != nil {
				n++
			}
		case *ast.CommClause:
			if x.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if x.Op == token.LAND || x.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

func (t *tree) checkInterfaces(s *source) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		i, ok := spec.Type.(*ast.InterfaceType)
		if !ok || s.test {
			return true
		}
		if n := i.Methods.NumFields(); n > methodTarget {
			t.warn(s, spec.Pos(), "interface", "%s has %d methods, target %d", spec.Name.Name, n,
				methodTarget)
		}
		return true
	})
}

// checkWidth counts wide lines over the whole tree, tests included, and names the worst.
func (t *tree) checkWidth() {
	lines, wide, worst := 0, 0, finding{}
	worstWidth := widthMax
	for _, s := range t.sources {
		lines += len(s.lines)
		for i, line := range s.lines {
			w := width(line)
			if w <= widthMax {
				continue
			}
			wide++
			if w > worstWidth {
				worstWidth = w
				worst = finding{file: s.path, line: i + 1, rule: "width"}
			}
		}
	}
	if wide == 0 {
		return
	}
	worst.text = fmt.Sprintf("%d of %d lines are wider than %d columns; the widest has %d", wide,
		lines, widthMax, worstWidth)
	worst.warning = (lines-wide)*100 >= lines*widthShare
	t.findings = append(t.findings, worst)
}

// width is the number of columns of a line.
func width(line string) int {
	return utf8.RuneCountInString(line) + 3*strings.Count(line, "\t")
}

// codeLines counts the lines that are neither empty nor only a comment.
func codeLines(s *source) int {
	only := map[int]bool{}
	for _, group := range s.file.Comments {
		for n := s.line(group.Pos()); n <= s.line(group.End()-1); n++ {
			only[n] = true
		}
	}
	n := 0
	for i, line := range s.lines {
		line = strings.TrimSpace(line)
		if line == "" || only[i+1] && (strings.HasPrefix(line, "//") || strings.HasPrefix(line, "/*")) {
			continue
		}
		n++
	}
	return n
}
