package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteText writes the report as tables for a terminal.
func WriteText(w io.Writer, r *Report) error {
	e := &errorWriter{w: w}
	e.printf("tapswitch %s (%s), %s%s\n", r.Version, short(r.Commit), r.Date, quickMark(r))
	e.printf("%s\n", r.Machine.line())
	e.printf("load average before the run %.1f; %.0f s in all\n", r.LoadBefore, r.Seconds)
	for _, s := range r.Sections {
		s.writeText(e)
	}
	met, missed := r.Counts()
	e.printf("\n%d targets met, %d missed\n", met, missed)
	return e.err
}

func quickMark(r *Report) string {
	if r.Quick {
		return ", quick run: figures show that it works and little more"
	}
	return ""
}

func short(commit string) string { return commit[:min(len(commit), 12)] }

func (m *Machine) line() string {
	return fmt.Sprintf("%s, %d cores, %.1f GiB, %s, kernel %s, %s, %s",
		m.CPU, m.Cores, m.MemoryGiB, m.System, m.Kernel, m.Filesystem, m.Go)
}

func (s *Section) writeText(e *errorWriter) {
	e.printf("\n%s: %s\n", s.Name, s.Title)
	e.printf("  %s; %.0f s, load average %.1f\n", s.Command, s.Seconds, s.Load)
	for _, line := range s.Sizes {
		e.printf("  %s\n", line)
	}
	if s.Skipped != "" {
		e.printf("  SKIPPED: %s\n", s.Skipped)
	}
	if s.Failed != "" {
		e.printf("  FAILED: %s\n", s.Failed)
	}
	if len(s.Figures) > 0 {
		t := tabwriter.NewWriter(e, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "  \tunit\tn\tmin\tmedian\tmax\ttarget\t\n")
		for _, f := range s.Figures {
			fmt.Fprintf(t, "  %s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Unit, f.N,
				Number(f.Min), Number(f.Median), Number(f.Max), f.target(), f.verdict())
		}
		_ = t.Flush() // e keeps the error
	}
	for _, line := range s.Notes {
		e.printf("  note: %s\n", line)
	}
}

func (f *Figure) target() string {
	switch f.Bound {
	case boundLeast:
		return "≥ " + Number(f.Target)
	case boundMost:
		return "≤ " + Number(f.Target)
	default:
		return ""
	}
}

func (f *Figure) verdict() string {
	switch {
	case f.Met == nil:
		return ""
	case *f.Met:
		return "met"
	default:
		return "MISSED"
	}
}

// Number writes a value with three or four digits that count.
func Number(v float64) string {
	switch abs := math.Abs(v); {
	case v == 0:
		return "0"
	case abs >= 1000:
		return thousands(int64(math.Round(v)))
	case abs >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case abs >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case abs >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
}

func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && c != '-' && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// WriteJSON writes the report as one object.
func WriteJSON(w io.Writer, r *Report) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

// WriteFiles writes latest.txt, latest.json and latest.html into dir, which is made.
func WriteFiles(dir string, r *Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for name, write := range map[string]func(io.Writer, *Report) error{
		"latest.txt": WriteText, "latest.json": WriteJSON, "latest.html": WriteHTML,
	} {
		var b strings.Builder
		if err := write(&b, r); err != nil {
			return fmt.Errorf("report: %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o644); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// errorWriter keeps the first error, so that a long text needs one check.
type errorWriter struct {
	w   io.Writer
	err error
}

func (e *errorWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}

func (e *errorWriter) printf(format string, args ...any) {
	fmt.Fprintf(e, format, args...)
}
