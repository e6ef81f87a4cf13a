package day

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/ledger/settle/certificate"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// breaksMax is how many breaks a run names; it counts all.
	breaksMax = 1000
	// runsMax is how many runs a day may have: more corrections are a fault of their own.
	runsMax = 999
	// unfinished begins the name of a run that is being written.
	unfinished = ".new-"
)

// Run is a settlement run on disk.
type Run struct {
	Dir      string         `json:"dir"`
	Manifest *pack.Manifest `json:"manifest"`
	// Fresh: this call wrote it. Otherwise it was there with the same bytes.
	Fresh bool `json:"fresh"`
}

// scan is one pass over the records of a day.
type scan struct {
	book     chart.Book
	gatherer *clearing.Gatherer
	chain    *certificate.Chain
	sum      certificate.Sum
	breaks   []string
	broken   int64
	undone   undone
}

func (s *scan) broke(err error) {
	if s.broken++; len(s.breaks) < breaksMax {
		s.breaks = append(s.breaks, err.Error())
	}
}

// scan reads the records of a day once: books, clearing and chain. What contradicts the chart is
// a break; what would make the books wrong is an error.
func (d *Desk) scan(ctx context.Context, date txn.BusinessDate, chain io.Writer) (*scan, error) {
	s := &scan{gatherer: clearing.NewGatherer(clearing.Day{Chart: d.Chart, Terms: d.Terms, Date: date,
		DateOf: d.DateOf})}
	if err := d.open(ctx, &s.book, date); err != nil {
		return nil, err
	}
	var err error
	if s.chain, err = certificate.NewChain(chain, date); err != nil {
		return nil, err
	}
	err = d.Reader.Records(ctx, warehouse.Filter{From: date, To: date}, func(r *txn.Record) error {
		if r.BusinessDate != date {
			return nil // markers from before the first date
		}
		return s.take(d.Chart, r)
	})
	if err == nil {
		err = d.undo(ctx, date, s)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", date, err)
	}
	s.sum, err = s.chain.Finish()
	return s, err
}

func (s *scan) take(c *chart.Chart, r *txn.Record) error {
	if err := s.chain.Add(r); err != nil {
		return err
	}
	if err := c.Check(r); err != nil {
		s.broke(err)
	}
	if err := s.book.Entry(r.Currency, r.Postings); err != nil {
		return fmt.Errorf("record %s: %w", r.Position, err)
	}
	if s.gatherer.Undoes(r) && s.undone.keep(r) {
		return nil
	}
	return s.gathered(r, s.gatherer.Add(r))
}

// gathered judges what the gatherer said of r.
func (s *scan) gathered(r *txn.Record, err error) error {
	if err == nil || !errors.Is(err, chart.ErrAccount) {
		return err
	}
	s.broke(fmt.Errorf("record %s: %w", r.Position, err))
	return nil
}

// open begins the book with the balances at the end of the day before: of the last run, or of
// all records before when there is none.
func (d *Desk) open(ctx context.Context, b *chart.Book, date txn.BusinessDate) error {
	from, run := settledBefore(d.journal.Events(), date)
	if from != 0 {
		var trial []chart.Balance
		if err := d.readOf(from, run, pack.TrialName, &trial); err != nil {
			return err
		}
		for _, l := range trial {
			if err := b.Open(l.Account, l.Currency, l.Closing); err != nil {
				return err
			}
		}
	}
	// Days without a run between are taken from their records.
	before := txn.DateOf(date.Time().AddDate(0, 0, -1), date.Time().Location(), 0)
	f := warehouse.Filter{To: before}
	if from != 0 {
		f.From = from.Next()
	}
	if f.From > f.To {
		return nil
	}
	return d.Reader.Records(ctx, f, func(r *txn.Record) error {
		for _, p := range r.Postings {
			if err := b.Open(p.Account, r.Currency, int64(p.Amount)); err != nil {
				return err
			}
		}
		return nil
	})
}

// runID names a run.
type runID struct {
	date   txn.BusinessDate
	number int
}

// readOf reads a file of a run that new figures rest on: it is the one of the manifest, and the
// manifest the one that the journal knows.
func (d *Desk) readOf(date txn.BusinessDate, run int, name string, into any) error {
	return readOf(&d.Options, d.journal.Events(), runID{date, run}, name, into)
}

func readOf(o *Options, events []journal.Event, of runID, name string, into any) error {
	dir := o.runDir(of.date, of.number)
	m, err := noted(dir, notedRun(events, of.date, of.number))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(m.Files, func(f pack.ManifestFile) bool { return f.Name == name })
	if i < 0 {
		return fmt.Errorf("%w: run %d of %s has no %s", ErrDamaged, of.number, of.date, name)
	}
	if err := checkFile(filepath.Join(dir, name), m.Files[i].SHA256); err != nil {
		return err
	}
	return readJSON(filepath.Join(dir, name), into)
}

// noted reads the manifest of a run and holds it against the journal. A run that was put in place
// by this process and could not be noted has nothing to be held against until the desk is opened
// again.
func noted(dir string, known runBody) (*pack.Manifest, error) {
	path := filepath.Join(dir, pack.ManifestName)
	if known.Manifest != "" {
		if err := checkFile(path, known.Manifest); err != nil {
			return nil, err
		}
	}
	var m pack.Manifest
	return &m, readJSON(path, &m)
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return nil
}

// Settle makes a run of a closed day. When the last run has the same content it is returned;
// otherwise the new one is a correction. A certified day takes corrections by adjustments on a
// later day only.
func (d *Desk) Settle(ctx context.Context, date txn.BusinessDate, actor string) (*Run, error) {
	switch state := stateOf(d.journal.Events(), date); state {
	case Open, Closing:
		return nil, fmt.Errorf("%w: %s is %s", ErrOpen, date, state)
	}
	numbers, err := d.runs(date)
	if err != nil {
		return nil, err
	}
	parent := filepath.Dir(d.runDir(date, 1))
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, fmt.Errorf("settling %s: %w", date, err)
	}
	work, err := os.MkdirTemp(parent, unfinished)
	if err != nil {
		return nil, fmt.Errorf("settling %s: %w", date, err)
	}
	defer os.RemoveAll(work)
	s, chained, err := d.chained(ctx, date, work)
	if err != nil {
		return nil, err
	}
	if n := len(numbers); n > 0 {
		same, err := d.again(s, date, numbers, chained)
		if same != nil || err != nil {
			return same, err
		}
		if stateOf(d.journal.Events(), date) == Certified {
			return nil, fmt.Errorf("%w: %s is certified and a run would differ from it: book the "+
				"difference on an open day", ErrState, date)
		}
	}
	next := len(numbers) + 1
	if next > runsMax {
		return nil, fmt.Errorf("%w: %s has %d runs", ErrState, date, len(numbers))
	}
	content, err := d.content(s, date, next)
	if err != nil {
		return nil, err
	}
	return d.write(work, content, chained, actor)
}

// chained scans the day and leaves its chain file in work.
func (d *Desk) chained(
	ctx context.Context, date txn.BusinessDate, work string,
) (*scan, pack.ManifestFile, error) {
	var described pack.ManifestFile
	f, err := os.OpenFile(filepath.Join(work, certificate.FileName), os.O_CREATE|os.O_EXCL|os.O_WRONLY,
		0o600)
	if err != nil {
		return nil, described, fmt.Errorf("settling %s: %w", date, err)
	}
	h := sha256.New()
	s, err := d.scan(ctx, date, io.MultiWriter(f, h))
	if err == nil {
		err = f.Sync()
	}
	var info os.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, described, fmt.Errorf("settling %s: %w", date, err)
	}
	described = pack.ManifestFile{Name: certificate.FileName, Bytes: info.Size(),
		SHA256: hex.EncodeToString(h.Sum(nil))}
	return s, described, nil
}

// content settles what was scanned as the run of a number.
func (d *Desk) content(s *scan, date txn.BusinessDate, number int) (*pack.Content, error) {
	run := clearing.Run{Number: number, Work: d.Work, Adjustments: adjustmentsOf(d.journal.Events(), date)}
	for n := 1; n < number; n++ {
		var before clearing.Statement
		if err := d.readOf(date, n, pack.StatementName, &before); err != nil {
			return nil, err
		}
		run.Prior = append(run.Prior, before.Orders...)
	}
	var err error
	if run.Carried, err = d.carried(date, number); err != nil {
		return nil, err
	}
	statement, err := s.gatherer.Settle(run)
	if err != nil {
		return nil, err
	}
	if s.broken > 0 {
		for i := range statement.Orders {
			statement.Orders[i].Held = "the day has breaks"
		}
	}
	book := s.book.Clone()
	for _, e := range statement.Entries {
		if err := book.Entry(e.Currency, e.Postings); err != nil {
			return nil, fmt.Errorf("entry %s of %s: %w", e.ID, date, err)
		}
	}
	trial, err := book.Trial()
	if err != nil {
		return nil, fmt.Errorf("trial balance of %s: %w", date, err)
	}
	return &pack.Content{Scheme: d.Terms.Scheme, Date: date, Run: number, Corrects: number - 1,
		End: d.EndOf(date), TermsHash: d.TermsHash, Chart: d.Chart, Statement: statement, Trial: trial,
		Breaks: s.breaks, BreakCount: s.broken}, nil
}

// again makes the last run once more and returns it when nothing has changed.
func (d *Desk) again(
	s *scan, date txn.BusinessDate, numbers []int, chained pack.ManifestFile,
) (*Run, error) {
	last := numbers[len(numbers)-1]
	content, err := d.content(s, date, last)
	if err != nil {
		return nil, err
	}
	files, err := pack.Build(content)
	if err != nil {
		return nil, err
	}
	want, err := json.Marshal(pack.ManifestOf(content, append(describe(files), chained)))
	if err != nil {
		return nil, err
	}
	m, err := ReadRun(d.runDir(date, last))
	if err != nil {
		return nil, err
	}
	got, err := json.Marshal(m)
	if err != nil || string(got) != string(want) {
		return nil, err
	}
	return &Run{Dir: d.runDir(date, last), Manifest: m}, nil
}

func describe(files []pack.File) (all []pack.ManifestFile) {
	for _, f := range files {
		all = append(all, pack.Describe(f))
	}
	return all
}

// write puts a run in place: all files synced, then one rename, then the journal.
func (d *Desk) write(
	work string, c *pack.Content, chained pack.ManifestFile, actor string,
) (*Run, error) {
	files, err := pack.Build(c)
	if err != nil {
		return nil, err
	}
	m := pack.ManifestOf(c, append(describe(files), chained))
	for i := range m.Control {
		if short := m.Control[i].Short(); short != 0 {
			return nil, fmt.Errorf("run %d of %s: %w: orders of currency %d lack %d of the net; nothing is "+
				"written", c.Run, c.Date, ErrBreaks, m.Control[i].Currency, short)
		}
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	for _, f := range append(files, pack.File{Name: pack.ManifestName, Data: text}) {
		if err := writeFile(filepath.Join(work, f.Name), f.Data); err != nil {
			return nil, fmt.Errorf("run %d of %s: %w", c.Run, c.Date, err)
		}
		d.Passed("finance_file")
	}
	if err := syncDir(work); err != nil {
		return nil, err
	}
	d.Passed("finance_written")
	dir := d.runDir(c.Date, c.Run)
	if err := os.Rename(work, dir); err != nil {
		return nil, fmt.Errorf("run %d of %s: %w", c.Run, c.Date, err)
	}
	for _, above := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir)), d.Dir} {
		if err := syncDir(above); err != nil {
			return nil, err
		}
	}
	d.Passed("finance_renamed")
	if err := d.note(eventRun, actor, c.Date, runBody{c.Run, hash(text)}); err != nil {
		return nil, err
	}
	d.Passed("finance_noted")
	return &Run{Dir: dir, Manifest: m, Fresh: true}, nil
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ReadRun reads the manifest of a run and checks every file against it.
func ReadRun(dir string) (*pack.Manifest, error) {
	var m pack.Manifest
	if err := readJSON(filepath.Join(dir, pack.ManifestName), &m); err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		if err := checkFile(filepath.Join(dir, filepath.Base(f.Name)), f.SHA256); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

func checkFile(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%w: %s is not the file of the manifest", ErrDamaged, path)
	}
	return nil
}

// recover removes what was not finished, and notes runs that were renamed and not noted.
func (d *Desk) recover() error {
	days, err := os.ReadDir(filepath.Join(d.Dir, "runs"))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("runs: %w", err)
	}
	for _, e := range days {
		date, err := txn.ParseBusinessDate(e.Name())
		if err != nil {
			continue
		}
		if err := d.recoverDay(date); err != nil {
			return err
		}
	}
	return d.recoverCertificates()
}

func (d *Desk) recoverDay(date txn.BusinessDate) error {
	parent := filepath.Dir(d.runDir(date, 1))
	entries, err := os.ReadDir(parent)
	if err != nil {
		return fmt.Errorf("runs of %s: %w", date, err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) {
			if err := os.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
				return fmt.Errorf("an unfinished run of %s: %w", date, err)
			}
		}
	}
	noted := 0
	for _, e := range d.journal.Events() {
		if e.Kind == eventRun && e.Date == date {
			noted = max(noted, runOf(e).Run)
		}
	}
	numbers, err := d.runs(date)
	if err != nil {
		return err
	}
	for i, n := range numbers {
		if n != i+1 {
			return fmt.Errorf("%w: run %d of %s is missing", ErrDamaged, i+1, date)
		}
	}
	if len(numbers) < noted {
		return fmt.Errorf("%w: the journal knows %d runs of %s, %d are there", ErrDamaged, noted, date,
			len(numbers))
	}
	for n := noted + 1; n <= len(numbers); n++ {
		text, err := os.ReadFile(filepath.Join(d.runDir(date, n), pack.ManifestName))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if err := d.note(eventRun, "recovery", date, runBody{n, hash(text)}); err != nil {
			return err
		}
	}
	return nil
}

// LastRun returns the directory and number of the last run of a day that the journal knows.
func LastRun(dir string, events []journal.Event, date txn.BusinessDate) (string, int) {
	last := 0
	for _, e := range events {
		if e.Kind == eventRun && e.Date == date {
			last = max(last, runOf(e).Run)
		}
	}
	o := Options{Dir: dir}
	return o.runDir(date, last), last
}
