package desk

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

const (
	bulkPath = "/v1/desk/accounts:bulk"
	// BulkMax bounds the people of one file.
	BulkMax = 50_000
	// bulkPart is how many people one request has: few enough for the gate's time.
	bulkPart = 100
	// lineMax bounds a line of a file.
	lineMax = 64 << 10
)

// person is one line of a list.
type person struct {
	line   int
	masked string         // of the card
	keys   []string       // paper and card, to find who stands twice
	body   map[string]any // what the gate is sent
	bad    string         // why the line cannot be sent
}

// result is what became of a person.
type result struct {
	Line    int        `json:"line"`
	Card    string     `json:"card,omitempty"`
	Account string     `json:"account,omitempty"`
	Would   string     `json:"would,omitempty"`
	Replay  bool       `json:"replay,omitempty"`
	Error   *call.Said `json:"error,omitempty"`
}

func (r *result) outcome() string {
	switch {
	case r.Error != nil:
		return "REFUSED"
	case r.Would != "":
		return "would " + r.Would
	case r.Replay:
		return "opened before"
	default:
		return "opened"
	}
}

// bulk is a list on its way.
type bulk struct {
	d                         *client
	unit, outlet, batch, made string
	dry, checked              bool
	who                       who
	carrier                   newCarrier
	batchID                   []byte
}

const bulkHelp = "Enrols the people of a unit from a file, one result a person. Exit code 1 when any\n" +
	"is refused.\n\n" +
	"FILE is CSV with a head, or one JSON object a line; - is standard input. Columns:\n" +
	"holder (number of the paper), holder_kind (the paper, when it is not the resident\n" +
	"identity card: passport, residence_permit, …), card (number or token), and as wanted kind, family,\n" +
	"issuer, ready, existing, checked, rider, rider_source, rider_until, expires_on, apps\n" +
	"(with spaces), id_kind, actor, channel, serial, social_security, bank_card, outlet.\n" +
	"Flags say what no column says.\n\n" +
	"A list has a batch id. When it breaks off, the same file with the same --batch and\n" +
	"--made goes on: who was enrolled is not enrolled twice."

func bulkCommand(d *client) *cobra.Command {
	b := &bulk{d: d}
	c := &cobra.Command{
		Use:   "bulk FILE",
		Short: "Enrol the people of a unit; --dry-run writes nothing", Long: bulkHelp,
		Example: "  tapswitch desk bulk people.csv --unit U-7 --outlet d1 --checked --dry-run\n" +
			"  tapswitch desk bulk people.jsonl --unit U-7 --outlet d1 --checked",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return b.run(c, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&b.unit, "unit", "", "the unit, as its code")
	f.StringVar(&b.outlet, "outlet", os.Getenv(OutletEnv), "where the clerk works ("+OutletEnv+")")
	f.BoolVar(&b.dry, "dry-run", false, "judge everybody and write nothing")
	f.BoolVar(&b.checked, "checked", false, "the papers were checked and are true")
	f.BoolVar(&b.carrier.existing, "existing", false,
		"the cards were given out before and are drawn in")
	f.StringVar(&b.batch, "batch", "", "id of a list that broke off, 32 hex digits")
	f.StringVar(&b.made, "made", "", "when that list was first sent")
	b.who.flags(c, "employer", "bulk")
	b.carrier.flags(c)
	return c
}

func (b *bulk) run(c *cobra.Command, file string) error {
	if b.unit == "" {
		return usage("--unit: want the code of the unit")
	}
	people, err := b.read(c, file)
	if err != nil {
		return err
	}
	if err := b.begin(people); err != nil {
		return err
	}
	results, err := b.send(c.Context(), people)
	if err != nil {
		if call.Doubtful(err) {
			err = fmt.Errorf("%w\n  %d of %d people were answered; the same file again is safe "+
				"with --batch %s --made %s",
				err, len(results), len(people), b.batch, b.made)
		}
		return errors.Join(b.tell(c, results), err)
	}
	refused := 0
	for i := range results {
		if results[i].Error != nil {
			refused++
		}
	}
	if err := b.tell(c, results); err != nil || refused == 0 {
		return err
	}
	return fmt.Errorf("%d of %d people were refused", refused, len(people))
}

// begin gives everybody the id that the batch gives his line.
func (b *bulk) begin(people []person) error {
	switch {
	case (b.batch == "") != (b.made == ""):
		return usage("--batch and --made go together: both stand in the error of the list that " +
			"broke off")
	case b.batch == "":
		b.batch, b.made = newID(), time.Now().UTC().Format(time.RFC3339Nano)
	case !isToken(b.batch):
		return usage("--batch: want 32 hex digits")
	}
	seen := map[string]int{}
	for i := range people {
		p := &people[i]
		sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", b.batch, p.line))
		if p.bad == "" && p.body["id"] == nil {
			p.body["id"], p.body["made"] = hex.EncodeToString(sum[:16]), b.made
		}
		for _, key := range p.keys {
			if first, twice := seen[key]; twice && p.bad == "" {
				column, _, _ := strings.Cut(key, " ")
				p.bad = fmt.Sprintf("%s: stands in line %d already", column, first)
			} else if !twice {
				seen[key] = p.line
			}
		}
	}
	return nil
}

// send sends the list in parts.
func (b *bulk) send(ctx context.Context, people []person) ([]result, error) {
	var results []result
	for len(people) > 0 {
		part := people[:min(bulkPart, len(people))]
		people = people[len(part):]
		some, err := b.sendPart(ctx, part)
		if err != nil {
			return results, err
		}
		results = append(results, some...)
	}
	return results, nil
}

func (b *bulk) sendPart(ctx context.Context, part []person) ([]result, error) {
	results := make([]result, len(part))
	var bodies []any
	var at []int
	for i := range part {
		results[i] = result{Line: part[i].line, Card: part[i].masked}
		if part[i].bad != "" {
			results[i].Error = &call.Said{Code: "line_invalid", Message: part[i].bad}
			continue
		}
		bodies, at = append(bodies, part[i].body), append(at, i)
	}
	if len(bodies) == 0 {
		return results, nil
	}
	var answer struct{ Results []result }
	err := b.d.ask(ctx, http.MethodPost, bulkPath, map[string]any{"unit": b.unit,
		"outlet":  b.outlet,
		"dry_run": b.dry, "people": bodies}, &answer)
	if err != nil {
		return nil, err
	}
	if len(answer.Results) != len(bodies) {
		return nil, fmt.Errorf("the gate answered for %d of %d people", len(answer.Results),
			len(bodies))
	}
	for k, r := range answer.Results {
		i := at[k]
		r.Line, r.Card = results[i].Line, results[i].Card
		results[i] = r
	}
	return results, nil
}

// tell prints one line a person.
func (b *bulk) tell(c *cobra.Command, results []result) error {
	refused := 0
	for i := range results {
		if results[i].Error != nil {
			refused++
		}
	}
	if b.d.Form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), map[string]any{"unit": b.unit, "dry_run": b.dry,
			"batch": b.batch,
			"made":  b.made, "accepted": len(results) - refused, "refused": refused,
			"results": results})
	}
	p := page{lang: b.d.Lang}
	rows := [][]string{{"LINE", "CARD", "OUTCOME", "ACCOUNT", "WHY"}}
	for i := range results {
		r, why := &results[i], ""
		if r.Error != nil {
			why = r.Error.Code + ": " + r.Error.Words(p.lang)
		}
		rows = append(rows, []string{strconv.Itoa(r.Line), r.Card, r.outcome(), r.Account, why})
	}
	p.table(rows)
	verb := "enrolled"
	if b.dry {
		verb = "would be enrolled; nothing was written"
	}
	p.line("unit %s: %d refused, %d %s", b.unit, refused, len(results)-refused, verb)
	return p.flush(c.OutOrStdout())
}

// read reads the file.
func (b *bulk) read(c *cobra.Command, file string) ([]person, error) {
	in := c.InOrStdin()
	if file != stdin {
		f, err := os.Open(file)
		if err != nil {
			return nil, usage("FILE: %w", err)
		}
		defer f.Close()
		in = f
	}
	r := bufio.NewReader(in)
	if mark, _ := r.Peek(3); bytes.Equal(mark,
		[]byte("\xef\xbb\xbf")) { // what spreadsheets write first
		_, _ = r.Discard(3)
	}
	first, _ := r.Peek(1)
	read := b.readCSV
	if string(first) == "{" {
		read = b.readLines
	}
	people, err := read(r)
	switch {
	case err != nil:
		return nil, err
	case len(people) == 0:
		return nil, usage("FILE: nobody stands in it")
	case len(people) > BulkMax:
		return nil, usage("FILE: more than %d people; part it", BulkMax)
	}
	return people, nil
}

// readCSV reads one person a line, so that a broken line is that person's and no other's.
func (b *bulk) readCSV(r io.Reader) ([]person, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineMax)
	var head []string
	var people []person
	for no := 1; len(people) <= BulkMax && lines.Scan(); no++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		in := csv.NewReader(bytes.NewReader(text))
		in.TrimLeadingSpace = true
		record, err := in.Read()
		switch {
		case head == nil && err != nil:
			return nil, usage("FILE: line %d: want CSV with a head, or one JSON object a line", no)
		case head == nil:
			if head, err = columnsOf(record); err != nil {
				return nil, err
			}
		case err != nil: // its text may hold what stands there
			people = append(people, person{line: no, bad: "a quotation mark has no other, or " +
				"stands inside a column"})
		case len(record) != len(head):
			people = append(people, person{line: no, bad: fmt.Sprintf("%d columns, want %d",
				len(record), len(head))})
		default:
			values := map[string]string{}
			for i, name := range head {
				values[name] = strings.TrimSpace(record[i])
			}
			people = append(people, b.person(no, values))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, usage("FILE: %w", err)
	}
	if head == nil {
		return nil, usage("FILE: want CSV with a head, or one JSON object a line")
	}
	return people, nil
}

// columnsOf reads the head of a list.
func columnsOf(record []string) ([]string, error) {
	for i, name := range record {
		record[i] = strings.TrimSpace(name)
		if !known(record[i]) {
			return nil, usage("FILE: column %d is not known; see --help", i+1)
		}
	}
	return record, nil
}

func (b *bulk) readLines(r io.Reader) ([]person, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, lineMax)
	var people []person
	for no := 1; lines.Scan() && len(people) <= BulkMax; no++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) > 0 {
			people = append(people, b.object(no, text))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, usage("FILE: %w", err)
	}
	return people, nil
}

// object reads a person from JSON: flat, by the names of the columns, or as the gate's call
// has it, with the step in "with".
func (b *bulk) object(line int, text []byte) person {
	var members map[string]any
	if json.Unmarshal(text, &members) != nil {
		return person{line: line, bad: "not a JSON object"}
	}
	if with, ok := members["with"].(map[string]any); ok {
		holder, _ := members["holder"].(string)
		bound, _ := with["carrier"].(map[string]any)
		token, _ := bound["token"].(string)
		return person{line: line, masked: masked(token), body: members,
			keys: append(keysOf(holder, token), numberKeys(with)...)}
	}
	values := map[string]string{}
	for name, value := range members {
		if !known(name) {
			return person{line: line, bad: "a member is not known; see --help"}
		}
		switch v := value.(type) {
		case string:
			values[name] = v
		case bool:
			values[name] = strconv.FormatBool(v)
		default:
			return person{line: line, bad: name + ": want a text, or true or false"}
		}
	}
	return b.person(line, values)
}
