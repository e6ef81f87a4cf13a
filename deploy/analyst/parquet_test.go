package analyst_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// python returns the interpreter with DuckDB and pandas.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("TAPSWITCH_ANALYST_PYTHON")
	if path == "" {
		const text = "not run: TAPSWITCH_ANALYST_PYTHON names no Python with DuckDB and pandas " +
			"(bash deploy/analyst/install.sh DIR makes one)"
		if os.Getenv("TAPSWITCH_REQUIRE_ANALYST") == "1" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	return path
}

// marks is the engine's blacklist.
type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

// street is an engine on a store in memory, and the cards that come by.
type street struct {
	t       *testing.T
	engine  *engine.Engine
	store   *storetest.Memory
	now     txn.Millis
	counter uint32
	after   [txn.BucketCount]store.Cursor
	// last and read are the last positions that were settled, and that were read.
	last, read map[txn.Bucket]txn.Position
}

func newStreet(t *testing.T) *street {
	t.Helper()
	s := &street{t: t, last: map[txn.Bucket]txn.Position{}, read: map[txn.Bucket]txn.Position{},
		now: txn.MillisOf(time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC))}
	clock := func() txn.Millis { return s.now }
	s.store = storetest.NewMemory(storetest.MemoryOptions{Now: clock})
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200},
		Metro: fare.MetroFares{Default: 500}})
	if err != nil {
		t.Fatal(err)
	}
	s.engine, err = engine.New(engine.Options{Cards: s.store, Blacklist: marks{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.OpenEpoch(t.Context(), s.now); err != nil {
		t.Fatal(err)
	}
	for b := range txn.Bucket(txn.BucketCount) {
		if err := s.store.CutOver(t.Context(), b, 20260302, s.now); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// ask has the engine decide one request.
func (s *street) ask(kind txn.Kind, card int, change func(*txn.Request)) {
	s.t.Helper()
	s.counter++
	s.now += 250
	terminal, err := txn.ParseTerminalID("GATE001")
	if err != nil {
		s.t.Fatal(err)
	}
	r := txn.Request{ID: txn.RequestID{Terminal: terminal, Boot: 1, Counter: s.counter}, Kind: kind,
		Card:     pan.Token{byte(card * 37), byte(card), 3},
		Place:    txn.Place{Operator: fmt.Sprintf("M%d", card%3), Line: "L1", Station: "S1"},
		Currency: txn.CNY, ServiceAt: s.now - 100, ReceivedAt: s.now}
	if change != nil {
		change(&r)
	}
	a := s.engine.Authorize(s.t.Context(), &r)
	if a.Err != nil {
		s.t.Fatal(a.Err)
	}
	if a.Position.Epoch > 0 {
		s.last[a.Position.Bucket] = a.Position
	}
}

// live lets 60 cards be enrolled, loaded and used; some are frozen or run dry.
func (s *street) live(w *local.Warehouse) {
	for card := range 60 {
		s.ask(txn.Enrol, card, func(r *txn.Request) {
			r.Enrolment = txn.Enrolment{Apps: txn.AppTransit | txn.AppPurse, Issuer: "SZT"}
		})
		s.ask(txn.Load, card, func(r *txn.Request) { r.Amount = txn.Minor(100 * (1 + card%21)) })
	}
	s.book(w)
	for card := range 60 {
		if card%10 == 3 {
			s.ask(txn.Freeze, card, func(r *txn.Request) {
				r.Listing.Mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
			})
		}
		for range 4 {
			s.ask(txn.BusBoarding, card, nil)
		}
		s.ask(txn.MetroEntry, card, nil)
		if card%20 == 0 {
			s.book(w)
		}
		s.ask(txn.MetroExit, card, func(r *txn.Request) { r.Place.Station = "S2" })
	}
	s.book(w)
}

// book writes what the store has settled since to the warehouse, in one part a date.
func (s *street) book(w *local.Warehouse) {
	s.t.Helper()
	var records []txn.Record
	reader := txn.NewRecordReader()
	for b, upTo := range s.last {
		for held := s.read[b]; held.Before(upTo); s.read[b] = held {
			entries, next, err := s.store.Read(s.t.Context(), int(b), s.after[b], 1000)
			if err != nil {
				s.t.Fatal(err)
			}
			s.after[b] = next
			for _, e := range entries {
				r, err := reader.Read(e.Record)
				if err != nil {
					s.t.Fatal(err)
				}
				records, held = append(records, r), e.Position
			}
		}
	}
	if err := w.Append(s.t.Context(), records); err != nil {
		s.t.Fatal(err)
	}
}

// reading is what one of the two programs made of the day.
type reading struct {
	Rows, Places int64
	Dates        []string
	Operators    [][]any
	Accounts     [][]any
	First        txn.Millis `json:"first_ms"`
	Last         txn.Millis `json:"last_ms"`
	Types        map[string]string
	Category     bool
	Int64        string
}

// both is what the script prints.
type both struct {
	Parts          int
	Dictionaries   bool
	DuckDB, Pandas reading
}

func read(t *testing.T, python, day string) both {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "read_parquet.py", day).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var got both
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return got
}

// lines brings the figures of Go into the form of the script's.
func lines(t *testing.T, totals *warehouse.Totals) (operators, accounts [][]any) {
	t.Helper()
	for _, o := range totals.Operators {
		operators = append(operators, []any{o.Operator, float64(o.Approved), float64(o.Declined),
			float64(o.FullFare), float64(o.Charged)})
	}
	for _, a := range totals.Accounts {
		accounts = append(accounts, []any{a.Account, float64(a.Count), float64(a.Amount)})
	}
	if len(operators) < 3 || len(accounts) < 2 {
		t.Fatalf("the day has %d operators and %d accounts: too little to prove anything",
			len(operators), len(accounts))
	}
	return operators, accounts
}

// TestParquet lets the engine decide, the local warehouse write, and DuckDB and pandas read:
// both must find what the switch itself finds, over several parts of one day.
func TestParquet(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	dir := t.TempDir()
	w, err := local.Open(local.Options{Dir: dir, KeepParts: true})
	if err != nil {
		t.Fatal(err)
	}
	newStreet(t).live(w)
	totals, err := w.Totals(t.Context(), 20260302)
	if err != nil {
		t.Fatal(err)
	}
	var first, last txn.Millis
	err = w.Records(t.Context(), warehouse.Filter{From: 20260302, To: 20260302}, func(r *txn.Record) error {
		if r.ServiceAt > 0 && (first == 0 || r.ServiceAt < first) {
			first = r.ServiceAt
		}
		last = max(last, r.ServiceAt)
		return nil
	})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	operators, accounts := lines(t, &totals)
	got := read(t, interpreter, filepath.Join(dir, "2026-03-02"))
	if got.Parts < 4 || !got.Dictionaries {
		t.Errorf("%d parts, dictionaries %v", got.Parts, got.Dictionaries)
	}
	for name, r := range map[string]reading{"duckdb": got.DuckDB, "pandas": got.Pandas} {
		if r.Rows != totals.Rows || r.Places != totals.Rows {
			t.Errorf("%s: %d rows at %d places, the ledger has %d", name, r.Rows, r.Places, totals.Rows)
		}
		if !reflect.DeepEqual(r.Operators, operators) {
			t.Errorf("%s: operators %v, the ledger has %v", name, r.Operators, operators)
		}
		if !reflect.DeepEqual(r.Accounts, accounts) {
			t.Errorf("%s: accounts %v, the ledger has %v", name, r.Accounts, accounts)
		}
		if r.First != first || r.Last != last || !slices.Equal(r.Dates, []string{"2026-03-02"}) {
			t.Errorf("%s: %d to %d on %v, the ledger has %d to %d", name, r.First, r.Last, r.Dates,
				first, last)
		}
	}
	checkTypes(t, &got)
}

// checkTypes compares what each program takes the columns for.
func checkTypes(t *testing.T, got *both) {
	t.Helper()
	for column, want := range map[string][2]string{
		"business_date": {"DATE", "date32[day]"}, "epoch": {"UBIGINT", "uint64"},
		"operator": {"VARCHAR", "dictionary<values=string, indices=int32, ordered=0>"},
		"charged":  {"BIGINT", "int64"}, "service_at_ms": {"BIGINT", "int64"},
		"offline": {"BOOLEAN", "bool"}, "accounts": {"VARCHAR[]", "list<element: string"},
		"amounts": {"BIGINT[]", "list<element: int64"}, "discount_causes": {"VARCHAR[]", "list<element: string"},
		"discount_amounts": {"BIGINT[]", "list<element: int64"},
	} {
		if got.DuckDB.Types[column] != want[0] || !strings.HasPrefix(got.Pandas.Types[column], want[1]) {
			t.Errorf("%s is %q and %q, want %q", column, got.DuckDB.Types[column],
				got.Pandas.Types[column], want)
		}
	}
	if !got.Pandas.Category || got.Pandas.Int64 != "int64" {
		t.Errorf("in pandas operators are a category: %v; charged is %s", got.Pandas.Category,
			got.Pandas.Int64)
	}
}
