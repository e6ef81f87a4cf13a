package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/parquet-go/parquet-go"

	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// TestE2EBankCanary: after a day with PINs, tracks, faults and a restart no card number, no
// track, no PIN and no key stands in logs, journal, checkpoints, registry or ledger.
func TestE2EBankCanary(t *testing.T) {
	t.Parallel()
	b := bankBadDay()
	w := bankKeyed(t, b)
	r, err := pos.Run(t.Context(), pos.Options{Target: "the switch:1", Terminals: 6, Transactions: 30,
		Rate: 60, Cards: w.cards[:100], Seed: 31, MasterKey: keyringtest.Bytes(t, keyringtest.KeyA),
		PIN: bankPIN, Timeout: 2 * time.Second, RetryDelay: 100 * time.Millisecond, RetriesMax: 200,
		Dial: func(ctx context.Context, _ string) (net.Conn, error) { return w.dial(ctx, "pos") }})
	if err != nil || r.Failed() > 0 {
		t.Fatalf("%d failed: %v %v", r.Failed(), err, r.Findings)
	}
	l := w.till(7)
	l.signOn()
	track := w.cards[200].Digits() + "D30122010000012345678"
	s := l.sale(pos.Purchase, 200, 5_000, nil)
	s.change = func(m *message.Message) { l.no(m.SetDigits(35, track)) }
	if _, ok := w.spec.Field(35); ok {
		s.change = func(m *message.Message) { l.no(m.SetText(35, track)) }
	}
	l.do(s)
	chip := l.sale(pos.Purchase, 201, 5_100, nil)
	chip.change = func(m *message.Message) {
		l.no(m.SetBytes(55, append([]byte("\x5a\x08"), bankPacked(w.cards[201].Digits())...)))
	}
	l.do(chip)
	// What cannot be read: the log must not quote it.
	frame := l.frame(l.request(l.sale(pos.Purchase, 202, 5_200, nil)))
	l.no(l.raw(wire(t, message.Framing{}, frame[:len(frame)-11])))
	_ = l.hear(tillMax)
	w.settled()
	w.node.kill()
	if err := w.node.start(); err != nil {
		t.Fatal(err)
	}
	if err := w.node.stop(); err != nil {
		t.Error(err)
	}
	secrets := map[string][]byte{"track 2": []byte(track[16:]), "PIN": []byte(`"` + bankPIN + `"`)}
	for name, key := range map[string]string{"zone key": keyringtest.KeyA, "MAC key": keyringtest.KeyB,
		"PIN key": keyringtest.KeyC} {
		secrets[name+" in hex"] = []byte(key)
		secrets[name] = keyringtest.Bytes(t, key)
	}
	for _, c := range w.cards {
		secrets["card number "+c.String()] = []byte(c.Digits())
		secrets["packed card number "+c.String()] = bankPacked(c.Digits())
	}
	w.leaks(secrets)
	if c := w.counts(); c.Approved[bankhost.Purchase] == 0 || c.BadPIN > 0 {
		t.Errorf("%d sales, %d wrong PINs: the test shows nothing", c.Kinds[bankhost.Purchase], c.BadPIN)
	}
}

// bankPacked is digits in BCD.
func bankPacked(digits string) []byte {
	b, _ := hex.DecodeString(digits)
	return b
}

// leaks looks for secrets in everything that the switch has written: in files as they are, and
// in what stands compressed in columns of Parquet and tables of Pebble. That it sees into these
// is shown by a token of a card that it must find in each.
func (w *bankTown) leaks(secrets map[string][]byte) {
	w.t.Helper()
	tokens := w.cardTokens()
	files, size, seen := 0, 0, map[string]int{}
	look := func(path string, text []byte) {
		size += len(text)
		for name, s := range secrets {
			if bytes.Contains(text, s) {
				w.t.Errorf("%s stands in %s", name, filepath.Base(path))
			}
		}
	}
	file := func(path string) {
		text, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		files++
		look(path, bytes.TrimRight(text, "\x00")) // journals are laid out beforehand
		inside, err := unpacked(path)
		if err != nil {
			w.t.Fatal(err)
		}
		look(path, inside)
		for _, t := range tokens {
			if bytes.Contains(inside, t[:]) || bytes.Contains(inside, []byte(t.String())) {
				seen[filepath.Ext(path)]++
				break
			}
		}
	}
	file(w.node.logPath())
	err := filepath.WalkDir(w.node.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			file(path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("%d files, %d bytes, tokens of cards in %v", files, size, seen)
	if seen[".parquet"] == 0 || seen[".sst"] == 0 {
		w.t.Error("no token of a card was seen in Parquet or in Pebble: the search is blind there")
	}
}

// cardTokens returns the tokens of the cards in the ledger.
func (w *bankTown) cardTokens() (all []pan.Token) {
	w.t.Helper()
	known := map[pan.Token]bool{}
	for _, r := range w.node.parquet() {
		if !r.Card.IsZero() && !known[r.Card] {
			known[r.Card] = true
			all = append(all, r.Card)
		}
	}
	return all
}

// unpacked returns what stands in a file that is compressed, nothing for any other.
func unpacked(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []byte
	switch filepath.Ext(path) {
	case ".parquet":
		all, err = parquetValues(f)
	case ".sst":
		all, err = tableValues(path)
	case ".blob":
		err = errors.New("values apart from their tables are not looked into")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return all, nil
}

// parquetValues returns every value of every column, and what the file says of itself.
func parquetValues(f *os.File) (all []byte, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		return nil, err
	}
	all = fmt.Appendf(all, "%v %v\n", file.Schema(), file.Metadata().KeyValueMetadata)
	values := make([]parquet.Value, 512)
	for _, group := range file.RowGroups() {
		for _, column := range group.ColumnChunks() {
			pages := column.Pages()
			for {
				page, err := pages.ReadPage()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return nil, errors.Join(err, pages.Close())
				}
				for from, done := page.Values(), false; !done; {
					n, err := from.ReadValues(values)
					for _, v := range values[:n] {
						all = append(fmt.Append(all, v), '\n')
					}
					if done = errors.Is(err, io.EOF); err != nil && !done {
						return nil, errors.Join(err, pages.Close())
					}
				}
				parquet.Release(page)
			}
			if err := pages.Close(); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// tableValues returns every key and value of a table of Pebble, those that were overwritten too.
func tableValues(path string) (all []byte, err error) {
	f, err := vfs.Default.Open(path)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return nil, errors.Join(err, readable.Close())
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for kv := it.First(); kv != nil; kv = it.Next() {
		value, _, err := kv.Value(nil)
		if err != nil {
			return nil, err
		}
		all = append(append(append(all, kv.K.UserKey...), '\n'), value...)
		all = append(all, '\n')
	}
	return all, it.Error()
}
