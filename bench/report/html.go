package report

import (
	_ "embed" // the page is a file
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageHTML string

// WriteHTML writes the report as one page that loads nothing: styles and pictures stand in
// it, and it has no script.
func WriteHTML(w io.Writer, r *Report) error {
	page, err := template.New("page").Funcs(template.FuncMap{
		"number": Number,
		"short":  short,
		// The pictures are made of numbers and of text that is escaped where it is put in.
		"plot":   func(p Plot) template.HTML { return template.HTML(p.svg()) },
		"strip":  func(f Figure) template.HTML { return template.HTML(f.strip()) },
		"target": func(f Figure) string { return f.target() },
		"met":    func(f Figure) bool { return f.Met != nil && *f.Met },
		"judged": func(f Figure) bool { return f.Met != nil },
	}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("report: page: %w", err)
	}
	met, missed := r.Counts()
	return page.Execute(w, struct {
		*Report
		MachineLine string
		Met, Missed int
		Targets     []targetLine
	}{r, r.Machine.line(), met, missed, r.targets()})
}

// targetLine is a figure that has a target, with its scenario.
type targetLine struct {
	Section string
	Figure
}

func (r *Report) targets() []targetLine {
	var all []targetLine
	for _, s := range r.Sections {
		for _, f := range s.Figures {
			if f.Met != nil {
				all = append(all, targetLine{s.Name, f})
			}
		}
	}
	return all
}
