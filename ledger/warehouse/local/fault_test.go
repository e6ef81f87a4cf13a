package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapswitch/tapswitch/ledger/lock"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var errCrash = errors.New("injected crash")

// crash fails the nth step and every one after it: the process is dead from then on. With
// done the step itself still happened.
type crash struct {
	at, seen int
	done     bool
	steps    map[string]int
}

func (c *crash) fault(step, _ string, done bool) error {
	if !done {
		c.seen++
		c.steps[step]++
	}
	if c.seen > c.at || c.seen == c.at && done == c.done {
		return errCrash
	}
	return nil
}

// script is what the crash tests run: several dates at once, a dead letter and its
// repair, a join by hand. It returns what was confirmed and what was in doubt.
func script(w *Warehouse, chain *warehousetest.Chain) (confirmed, doubtful []txn.Record) {
	ctx := context.Background()
	add := func(records []txn.Record) bool {
		if err := w.Append(ctx, records); err != nil {
			doubtful = records
			return false
		}
		confirmed = append(confirmed, records...)
		return true
	}
	for i := range joinParts {
		batch := chain.Batch(20)
		if i == 2 {
			batch = append(batch, chain.CloseDay()...)
			batch = append(batch, chain.Batch(20)...)
		}
		if !add(batch) {
			return confirmed, doubtful
		}
	}
	for {
		again, err := w.join(ctx)
		if err != nil {
			return confirmed, nil
		}
		if !again {
			break
		}
	}
	add(chain.Batch(50))
	return confirmed, doubtful
}

// TestCrashAtEveryStep lets the process die at each effect on the disk, before and after
// it took place, opens the folder again and proves that nothing confirmed is lost, that
// what was in doubt is there entirely or not at all, and that it can be sent again.
func TestCrashAtEveryStep(t *testing.T) {
	steps := make(map[string]int)
	for _, done := range []bool{false, true} {
		for at := 1; ; at++ {
			c := &crash{at: at, done: done, steps: steps}
			if !crashOnce(t, c) {
				t.Logf("done %v: %d steps", done, at-1)
				break
			}
		}
	}
	for _, step := range []string{"mkdir", "create", "write", "sync", "rename", "syncdir",
		"remove"} {
		if steps[step] == 0 {
			t.Errorf("step %s was never taken", step)
		}
	}
}

// crashOnce reports whether the crash took place.
func crashOnce(t *testing.T, c *crash) bool {
	t.Helper()
	dir := t.TempDir()
	name := fmt.Sprintf("step %d done %v", c.at, c.done)
	w, err := open(Options{Dir: dir, KeepParts: true}, &disk{fault: c.fault})
	chain := warehousetest.NewChain(1)
	var confirmed, doubtful []txn.Record
	if err == nil {
		confirmed, doubtful = script(w, chain)
		if err := w.Close(); err != nil {
			t.Fatalf("%s: Close: %v", name, err)
		}
	}
	crashed := c.seen >= c.at
	again, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatalf("%s: Open after the crash: %v", name, err)
	}
	held, err := again.Positions(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := len(confirmed)
	if n := len(doubtful); n > 0 && held[doubtful[n-1].Position.Bucket] == doubtful[n-1].Position {
		want += n
	}
	if got := countRows(t, again); got != want {
		t.Fatalf("%s: %d records after the crash, want %d", name, got, want)
	}
	if err := again.Append(context.Background(), doubtful); err != nil {
		t.Fatalf("%s: sending again: %v", name, err)
	}
	warehousetest.CheckFigures(t, again, append(confirmed, doubtful...))
	checkFiles(t, again)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	return crashed
}

func countRows(t *testing.T, w *Warehouse) int {
	t.Helper()
	n := 0
	for _, d := range []txn.BusinessDate{0, warehousetest.Day, warehousetest.Day.Next()} {
		totals, err := w.Totals(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		n += int(totals.Rows)
	}
	return n
}

// checkFiles proves that the folder holds the parts of the manifest and nothing else.
func checkFiles(t *testing.T, w *Warehouse) {
	t.Helper()
	known := make(map[string]bool)
	w.mu.Lock()
	for _, p := range w.state.parts {
		known[p.path(w.dir)] = true
	}
	w.mu.Unlock()
	err := filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err == nil && !d.IsDir() && name != manifestName && name != lock.Name && !known[path] {
			t.Errorf("stray file %s", path)
		}
		delete(known, path)
		return err
	})
	if err != nil || len(known) > 0 {
		t.Errorf("missing parts %v, %v", known, err)
	}
}

// TestGoesOnAfterFault: a full disk, say, fails each step once while the process lives.
// The same records again must succeed without opening anew.
func TestGoesOnAfterFault(t *testing.T) {
	for _, done := range []bool{false, true} {
		for at := 1; at < 36; at++ {
			armed, seen := false, 0
			d := &disk{fault: func(_, _ string, after bool) error {
				if !armed || after != done {
					return nil
				}
				if seen++; seen == at {
					return errCrash
				}
				return nil
			}}
			w, err := open(Options{Dir: t.TempDir(), KeepParts: true}, d)
			if err != nil {
				t.Fatal(err)
			}
			chain := warehousetest.NewChain(uint64(at))
			var all []txn.Record
			armed = true
			for range 2 {
				batch := append(chain.Batch(30), chain.CloseBuckets(9)...)
				for err = w.Append(context.Background(), batch); err != nil; {
					if !errors.Is(err, errCrash) {
						t.Fatalf("step %d: Append: %v", at, err)
					}
					err = w.Append(context.Background(), batch)
				}
				all = append(all, batch...)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := Open(Options{Dir: w.dir})
			if err != nil {
				t.Fatal(err)
			}
			warehousetest.CheckFigures(t, again, all)
			checkFiles(t, again)
			if err := again.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func mustOpen(t *testing.T, dir string) *Warehouse {
	t.Helper()
	w, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// filled returns a closed warehouse folder and what it holds.
func filled(t *testing.T) (string, []txn.Record) {
	t.Helper()
	dir := t.TempDir()
	w, err := Open(Options{Dir: dir, KeepParts: true})
	if err != nil {
		t.Fatal(err)
	}
	chain := warehousetest.NewChain(4)
	var all []txn.Record
	for range 5 {
		batch := chain.Batch(50)
		if err := w.Append(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
		all = append(all, batch...)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, all
}

// TestManifestEveryByte flips each byte of a manifest: the folder stays shut, or, where
// only an unconfirmed tail is meant, opens with everything before it.
func TestManifestEveryByte(t *testing.T) {
	dir, all := filled(t)
	path := filepath.Join(dir, manifestName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	step := max(1, len(whole)/700)
	for i := 0; i < len(whole); i += step {
		spoiled := append([]byte(nil), whole...)
		spoiled[i] ^= 0x01
		last := i == len(whole)-1
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readManifest(dir); !errors.Is(err, warehouse.ErrDamaged) && !last {
			t.Fatalf("byte %d flipped: %v, want ErrDamaged", i, err)
		}
	}
	// A line that was cut short was never confirmed.
	lines := strings.SplitAfter(string(whole), "\n")
	lastLine := lines[len(lines)-2]
	for cut := 1; cut <= len(lastLine); cut += 7 {
		short := whole[:len(whole)-cut]
		if err := os.WriteFile(path, short, 0o600); err != nil {
			t.Fatal(err)
		}
		s, found, err := readManifest(dir)
		if err != nil || !found || s.number != 5 {
			t.Fatalf("cut by %d: at line %d, %v", cut, s.number, err)
		}
	}
	if err := os.WriteFile(path, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	w := mustOpen(t, dir)
	defer w.Close()
	warehousetest.Check(t, w, all[:200])
}

func TestDamage(t *testing.T) {
	tests := map[string]func(dir string) error{
		"part gone": func(dir string) error { return os.Remove(onePart(dir)) },
		"part cut":  func(dir string) error { return os.Truncate(onePart(dir), 100) },
		"manifest gone": func(dir string) error {
			return os.Remove(filepath.Join(dir, manifestName))
		},
		"manifest empty": func(dir string) error {
			return os.Truncate(filepath.Join(dir, manifestName), 0)
		},
		"line missing": func(dir string) error {
			path := filepath.Join(dir, manifestName)
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			lines := strings.SplitAfter(string(b), "\n")
			return os.WriteFile(path, []byte(lines[0]+lines[2]), 0o600)
		},
		"later format": func(dir string) error {
			line, err := encodeLine(&edit{Number: 1, Format: manifestFormat + 1})
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, manifestName), line, 0o600)
		},
	}
	for name, spoil := range tests {
		dir, _ := filled(t)
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: dir}); !errors.Is(err, warehouse.ErrDamaged) {
			t.Errorf("%s: Open: %v, want ErrDamaged", name, err)
		}
		if onePart(dir) == "" {
			t.Errorf("%s: a refused start removed the parts", name)
		}
	}
}

func onePart(dir string) string {
	parts, err := filepath.Glob(filepath.Join(dir, "20*", "part-*.parquet"))
	if err != nil || len(parts) == 0 {
		return ""
	}
	return parts[len(parts)-1]
}

// TestDamagedPart flips bytes inside a part: a read says so or gives the true records,
// never others.
func TestDamagedPart(t *testing.T) {
	dir, _ := filled(t)
	path := onePart(dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w := mustOpen(t, dir)
	defer w.Close()
	before, err := w.Totals(context.Background(), warehousetest.Day)
	if err != nil {
		t.Fatal(err)
	}
	reported := 0
	for i := 4; i < len(whole); i += max(1, len(whole)/150) {
		spoiled := append([]byte(nil), whole...)
		spoiled[i] ^= 0x41
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := w.Totals(context.Background(), warehousetest.Day)
		if err != nil {
			reported++
			continue
		}
		if fmt.Sprint(got) != fmt.Sprint(before) {
			t.Fatalf("byte %d of %d flipped: other totals and no error", i, len(whole))
		}
	}
	if reported == 0 {
		t.Error("no flipped byte was ever noticed")
	}
	t.Logf("%d flips reported", reported)
}

func TestInUse(t *testing.T) {
	dir := t.TempDir()
	w := mustOpen(t, dir)
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Fatalf("second Open: %v, want ErrInUse", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = mustOpen(t, dir)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestJoin appends many small parts while totals are read: the files become few and no
// figure moves.
func TestJoin(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx := context.Background()
	w := mustOpen(t, t.TempDir())
	chain := warehousetest.NewChain(9)
	var all []txn.Record
	for i := range 70 {
		batch := chain.Batch(30)
		if err := w.Append(ctx, batch); err != nil {
			t.Fatal(err)
		}
		all = append(all, batch...)
		if i%10 == 0 {
			warehousetest.Check(t, w, all)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		parts := w.take(func(d txn.BusinessDate) bool { return d == warehousetest.Day })
		w.give(parts)
		if len(parts) < 2*joinParts {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %d parts", len(parts))
		}
		w.joiner.wake()
		<-time.After(time.Millisecond)
	}
	warehousetest.Check(t, w, all)
	dir := w.dir
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, dir)
	warehousetest.Check(t, again, all)
	checkFiles(t, again)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestManifestIsRewritten: the log stays short however long the warehouse is open.
func TestManifestIsRewritten(t *testing.T) {
	w, err := Open(Options{Dir: t.TempDir(), KeepParts: true})
	if err != nil {
		t.Fatal(err)
	}
	w.manifest.lines = manifestLinesMax - 1
	chain := warehousetest.NewChain(9)
	batch := chain.Batch(30)
	if err := w.Append(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	if w.manifest.lines != 1 {
		t.Errorf("manifest has %d lines after the limit", w.manifest.lines)
	}
	warehousetest.Check(t, w, batch)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = mustOpen(t, w.dir)
	warehousetest.Check(t, w, batch)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDeadLettersMax(t *testing.T) {
	w := mustOpen(t, t.TempDir())
	defer w.Close()
	w.state.dead = make([]warehouse.DeadLetter, warehouse.DeadLettersMax)
	err := w.DeadLetter(context.Background(), warehouse.DeadLetter{Source: "x"})
	if !errors.Is(err, warehouse.ErrTooMany) {
		t.Errorf("DeadLetter beyond the limit: %v", err)
	}
	w.state.dead = nil
}

func TestPickParts(t *testing.T) {
	var parts []part
	for i := range joinParts {
		parts = append(parts, part{ID: uint64(i), Date: 1, Rows: 10}, part{ID: 100 + uint64(i),
			Date: 2,
			Rows: joinRowsMax})
	}
	if got := pickParts(parts); len(got) != joinParts || got[0].Date != 1 {
		t.Errorf("picked %v", got)
	}
	if got := pickParts(parts[2:]); got != nil {
		t.Errorf("picked %v of too few", got)
	}
	for rows, want := range map[int64]int{0: 0, tierRows - 1: 0, tierRows: 1,
		tierRows * joinParts: 2} {
		if got := tierOf(rows); got != want {
			t.Errorf("tierOf(%d) = %d, want %d", rows, got, want)
		}
	}
}

// TestDamagedPartIsRead flips bytes inside a part and cuts it anywhere: the process lives, and the
// error names the part or the record. Pages carry a checksum, their headers do not: what a changed
// header lets through is for the certificate of the day to tell.
func TestDamagedPartIsRead(t *testing.T) {
	dir, _ := filled(t)
	path := onePart(dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	records := func() (all []txn.Record, err error) {
		err = r.Records(t.Context(), warehouse.Filter{}, func(rec *txn.Record) error {
			all = append(all, *rec)
			return nil
		})
		return all, err
	}
	want, err := records()
	if err != nil {
		t.Fatal(err)
	}
	told, other := 0, 0
	judge := func(what string, spoiled []byte) {
		t.Helper()
		if err := os.WriteFile(path, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := records()
		switch {
		case err == nil && !reflect.DeepEqual(got, want):
			other++
		case err != nil && (!errors.Is(err, warehouse.ErrDamaged) ||
			!strings.Contains(err.Error(), filepath.Base(path)) &&
				!strings.Contains(err.Error(), "record b")):
			t.Errorf("%s: %v, want the part or the record named", what, err)
		case err != nil:
			told++
		}
	}
	for i := 0; i < len(whole); i += max(1, len(whole)/25) {
		judge(fmt.Sprintf("cut at %d", i), whole[:i])
		spoiled := bytes.Clone(whole)
		spoiled[i] ^= 0x41
		judge(fmt.Sprintf("byte %d of %d", i, len(whole)), spoiled)
	}
	if other > 2 || told < 30 {
		t.Errorf("%d told, %d other records and no error", told, other)
	}
}
