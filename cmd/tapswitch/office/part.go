package office

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/desk"
)

// A list of freezes goes to the gate in parts: the gate takes a body of some megabytes and gives
// a call some seconds. Each part is an import of its own, under the list's id with its number
// behind it, so that a list that broke off goes on, part for part. A head is sent with every
// part.
const (
	partLinesMax = 10_000
	partBytesMax = 1 << 20
)

// importer is the command that sends a list.
type importer struct {
	d   desk.Client
	id  string
	dry bool

	head []byte // the first line where it names columns
	sum  imported
}

// part is some lines of a list.
type part struct {
	text  bytes.Buffer
	lines int
	// before is how many lines of the list come before its first one.
	before int
}

func (m *importer) run(c *cobra.Command, file string) error {
	in := c.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return desk.Usage("FILE: %w", err)
		}
		defer f.Close()
		in = f
	}
	if err := m.sendAll(c, in); err != nil {
		if m.sum.Parts > 0 {
			err = fmt.Errorf("%w\n  the %d lines of %d parts before it are done; the same file again, "+
				"with the same --id, goes on", err, m.sum.Lines, m.sum.Parts)
		}
		return err
	}
	if m.sum.Bad == nil {
		m.sum.Bad = []badLine{}
	}
	answer, err := json.Marshal(m.sum)
	if err != nil {
		return fmt.Errorf("what became of the list cannot be written: %w", err)
	}
	if err := m.d.Print(c, answer, &m.sum, m.sum.draw); err != nil || m.sum.Refused == 0 {
		return err
	}
	return fmt.Errorf("%d of %d lines were refused", m.sum.Refused, m.sum.Lines)
}

func (r *imported) draw(p desk.Page) {
	verb := "frozen"
	if r.DryRun {
		verb = "frozen: a dry run writes nothing"
	}
	p.Line("import %s: %d lines, %d %s, %d were closed before, %d refused", r.ID, r.Lines, r.Frozen, verb,
		r.Already, r.Refused)
	drawBad(p, r.Bad)
	if r.Listed < r.Refused {
		p.Line("%d of %d refused lines are listed: take these out, or put them right, and send the list again "+
			"to see the others", r.Listed, r.Refused)
	}
}

// sendAll reads the list and sends it part for part.
func (m *importer) sendAll(c *cobra.Command, in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, partBytesMax)
	now := &part{}
	for no := 0; lines.Scan(); no++ {
		text := lines.Bytes()
		if no == 0 && names(text) {
			m.head = append(bytes.Clone(text), '\n')
		}
		if now.lines >= partLinesMax || now.text.Len()+len(text) >= partBytesMax {
			if err := m.send(c, now); err != nil {
				return err
			}
			now = &part{before: no}
			now.text.Write(m.head)
		}
		now.text.Write(text)
		now.text.WriteByte('\n')
		now.lines++
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return desk.Usage("FILE: line %d has more than %d bytes", now.before+now.lines+1, partBytesMax)
	case err != nil:
		return desk.Usage("FILE: %w", err)
	case now.lines == 0 && m.sum.Parts > 0:
		return nil
	}
	return m.send(c, now)
}

// names reports whether a first line names columns.
func names(line []byte) bool {
	for _, name := range strings.Split(strings.TrimPrefix(string(line), "\ufeff"), ",") {
		name = strings.Trim(strings.TrimSpace(name), `"`)
		if strings.EqualFold(name, "card") || strings.EqualFold(name, "token") {
			return true
		}
	}
	return false
}

// send sends a part and adds what became of it.
func (m *importer) send(c *cobra.Command, p *part) error {
	q := url.Values{}
	if m.id != "" {
		id := m.id
		if m.sum.Parts > 0 {
			id += "-" + strconv.Itoa(m.sum.Parts+1)
		}
		q.Set("id", id)
	}
	if m.dry {
		q.Set("dry_run", "true")
	}
	answer, err := m.d.Post(c.Context(), importPath+"?"+q.Encode(), &p.text,
		map[string]string{"Content-Type": "text/csv"})
	if err != nil {
		return err
	}
	var r imported
	if err := json.Unmarshal(answer, &r); err != nil {
		return fmt.Errorf("the gate's answer cannot be read: %w", err)
	}
	heads := 0
	if p.before > 0 && m.head != nil {
		heads = 1 // which stands before it once more
	}
	for _, b := range r.Bad {
		b.Line += p.before - heads
		m.sum.Bad = append(m.sum.Bad, b)
	}
	s := &m.sum
	if s.Parts++; s.Parts == 1 {
		s.ID, s.DryRun = r.ID, r.DryRun
	}
	s.Lines, s.Frozen, s.Already = s.Lines+r.Lines, s.Frozen+r.Frozen, s.Already+r.Already
	s.Refused, s.Resumed = s.Refused+r.Refused, s.Resumed+r.Resumed
	s.Listed = len(s.Bad)
	return nil
}
