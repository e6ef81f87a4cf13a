package consolewire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/day"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Finance reads the finance journal, the runs and the certificates below a folder.
type Finance struct {
	dir string

	mu     sync.Mutex // guards the fields below
	stamp  stamp
	events []journal.Event
}

var (
	_ console.Days        = (*Finance)(nil)
	_ console.Settlements = (*Finance)(nil)
)

// NewFinance returns a reader of the folder, which need not be there yet.
func NewFinance(dir string) *Finance { return &Finance{dir: dir} }

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	at   time.Time
}

// stampOf is the zero stamp where there is no file.
func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return stamp{}, nil
	}
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.Size(), info.ModTime()}, nil
}

// read returns the events of the journal, read again only when it changed.
func (f *Finance) read() ([]journal.Event, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, err := stampOf(filepath.Join(f.dir, journal.FileName))
	if err != nil {
		return nil, fmt.Errorf("finance journal: %w", err)
	}
	if now == f.stamp {
		return f.events, nil
	}
	events, err := journal.Read(f.dir)
	if err != nil {
		return nil, err
	}
	f.stamp, f.events = now, events
	return events, nil
}

// State implements console.Days.
func (f *Finance) State(_ context.Context, date txn.BusinessDate) (s console.DayState, ok bool, err error) {
	events, err := f.read()
	if err != nil {
		return s, false, err
	}
	words := map[string]day.State{"day_closing": day.Closing, "day_closed": day.Closed,
		"day_certified": day.Certified}
	for _, e := range events {
		if w, is := words[e.Kind]; is && e.Date == date {
			s, ok = console.DayState{State: string(w), Since: e.At.Time(), By: e.Actor}, true
		}
	}
	if s.State == string(day.Certified) {
		s.Certificate = certificateName
	}
	return s, ok, nil
}

// certificateName is the day's certificate among the files of its last run.
const certificateName = "certificate.json"

// Runs implements console.Settlements.
func (f *Finance) Runs(_ context.Context, date txn.BusinessDate, limit int) ([]console.Run, error) {
	events, err := f.read()
	if err != nil {
		return nil, err
	}
	var all []console.Run
	for _, e := range slices.Backward(events) {
		if e.Kind != "run" || date != 0 && e.Date != date {
			continue
		}
		if len(all) == limit {
			break
		}
		r, err := f.run(e)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// numberOf names a run: "2026-03-01-001".
func numberOf(date string, run int) string { return fmt.Sprintf("%s-%03d", date, run) }

// run reads what a run of the journal consists of.
func (f *Finance) run(e journal.Event) (r console.Run, err error) {
	var body struct {
		Run int `json:"run"`
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return r, fmt.Errorf("finance journal: event %d: %w", e.Seq, err)
	}
	dir, m, err := f.manifest(e.Date, body.Run)
	if err != nil {
		return r, err
	}
	r = console.Run{Number: numberOf(e.Date.String(), body.Run), Date: e.Date, Made: e.At.Time(), By: e.Actor}
	if m.Corrects > 0 {
		r.Corrects = numberOf(e.Date.String(), m.Corrects)
	}
	for _, file := range m.Files {
		r.Files = append(r.Files, console.File{Name: file.Name, Size: file.Bytes, SHA256: file.SHA256})
	}
	r.Files = append(r.Files, sized(pack.ManifestName, filepath.Join(dir, pack.ManifestName))...)
	r.Files = append(r.Files, sized(certificateName, f.certificate(e.Date))...)
	r.Nets, r.Late, err = settled(dir)
	return r, err
}

// sized is a file where there is one.
func sized(name, path string) []console.File {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return []console.File{{Name: name, Size: info.Size()}}
}

func (f *Finance) certificate(date txn.BusinessDate) string {
	return filepath.Join(f.dir, "certificates", date.String()+".json")
}

// manifest reads the manifest of a run; the files are checked against it when it is made and by
// tapswitch ledger verify, not each time that a page is shown.
func (f *Finance) manifest(date txn.BusinessDate, run int) (dir string, m pack.Manifest, err error) {
	dir = filepath.Join(f.dir, "runs", date.String(), fmt.Sprintf("%03d", run))
	text, err := os.ReadFile(filepath.Join(dir, pack.ManifestName))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return dir, m, fmt.Errorf("manifest of run %s: %w", numberOf(date.String(), run), err)
	}
	return dir, m, nil
}

// settled reads what parties are owed in a run, and what of it is late.
func settled(dir string) (all []console.Net, late []console.Late, err error) {
	text, err := os.ReadFile(filepath.Join(dir, pack.StatementName))
	if err != nil {
		return nil, nil, fmt.Errorf("settlement of a run: %w", err)
	}
	var s struct {
		Net  []clearing.NetLine  `json:"net"`
		Late []clearing.LateLine `json:"late"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, nil, fmt.Errorf("settlement of a run: %w", err)
	}
	for _, l := range s.Late {
		late = append(late, console.Late{Account: string(l.Account), ServiceDate: l.ServiceDate,
			Currency: uint16(l.Currency), Count: l.Count, Amount: l.Amount})
	}
	for _, n := range s.Net {
		all = append(all, console.Net{Party: n.Party, Currency: uint16(n.Currency), Gross: n.Gross,
			Adjusted: n.Adjusted, Net: n.Net})
	}
	return all, late, nil
}

// Open implements console.Settlements. Only what the journal and the manifest name is opened.
func (f *Finance) Open(ctx context.Context, run, file string) (io.ReadCloser, error) {
	all, err := f.Runs(ctx, 0, 1<<30)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Number != run || !slices.ContainsFunc(r.Files, func(x console.File) bool { return x.Name == file }) {
			continue
		}
		if file == certificateName {
			return os.Open(f.certificate(r.Date))
		}
		n := r.Number[len(r.Date.String())+1:]
		return os.Open(filepath.Join(f.dir, "runs", r.Date.String(), n, filepath.Base(file)))
	}
	return nil, fmt.Errorf("run %s has no file %s: %w", run, file, console.ErrNone)
}
