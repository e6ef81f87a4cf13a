package drill

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Book is a runbook with a drill.
type Book struct {
	Name  string   `json:"name"`  // "lost-store"
	Title string   `json:"title"` // its heading
	Days  int      `json:"days"`  // how often it is drilled
	Steps []string `json:"steps"`
}

// StepsMax bounds the steps of a drill.
const StepsMax = 40

var (
	everyLine = regexp.MustCompile(`^Every (\d{1,4}) days\b`)
	stepLine  = regexp.MustCompile(`^(\d{1,2})\. (.+)$`)
)

// Books reads the runbooks (*.md) of a directory. One without a part "## Drill" has none.
func Books(dir fs.FS) ([]Book, error) {
	names, err := fs.Glob(dir, "*.md")
	if err != nil {
		return nil, fmt.Errorf("runbooks: %w", err)
	}
	var all []Book
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("runbooks: %w", err)
		}
		_, part, ok := strings.Cut(string(text), "\n## Drill\n")
		if !ok {
			continue
		}
		b := Book{Name: strings.TrimSuffix(path.Base(name), ".md")}
		first, _, _ := strings.Cut(string(text), "\n")
		b.Title = strings.TrimPrefix(first, "# ")
		if err := b.read(part); err != nil {
			return nil, fmt.Errorf("runbook %s: %w", name, err)
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b Book) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// read reads the part about the drill, as far as the next heading. A line that begins with
// blanks goes on with the step before.
func (b *Book) read(part string) error {
	part, _, _ = strings.Cut(part, "\n## ")
	for line := range strings.Lines(part) {
		line = strings.TrimRight(line, "\r\n ")
		if m := everyLine.FindStringSubmatch(line); m != nil {
			b.Days, _ = strconv.Atoi(m[1]) // digits
		}
		if m := stepLine.FindStringSubmatch(line); m != nil {
			b.Steps = append(b.Steps, m[2])
			if strconv.Itoa(len(b.Steps)) != m[1] {
				return fmt.Errorf("step %s stands in place %d", m[1], len(b.Steps))
			}
		} else if strings.HasPrefix(line, "   ") && len(b.Steps) > 0 {
			b.Steps[len(b.Steps)-1] += " " + strings.TrimSpace(line)
		}
	}
	if b.Days == 0 || len(b.Steps) == 0 || len(b.Steps) > StepsMax {
		return fmt.Errorf("want a line \"Every N days\" and 1 to %d steps, not %d days and %d steps", StepsMax,
			b.Days, len(b.Steps))
	}
	return nil
}
