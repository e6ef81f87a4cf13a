package keyring

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/mac"
)

// list is a Sink in memory.
type list struct {
	mu     sync.Mutex // guards what follows
	events []Event
	refuse string // the outcome that it does not take
}

var errList = errors.New("no paper")

func (l *list) Append(e Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != "" && e.Outcome == l.refuse {
		return errList
	}
	l.events = append(l.events, e)
	return nil
}

func (l *list) lines() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		out = append(out, strings.TrimSpace(fmt.Sprint(e.Action, " ", e.Outcome, " ", e.Ref, " ",
			e.Reason)))
	}
	return out
}

// TestTrail goes through a key's life and reads the trail.
func TestTrail(t *testing.T) {
	l := &list{}
	r := emptyRing(t, Options{Audit: l})
	ref := Ref{Purpose: MessageMAC, Scheme: "link"}
	info := must(r.Generate(NewKey{Ref: ref}, Actor{Name: "wang"}))(t)
	noError(t, r.Activate(ref, Actor{Name: "wang"}))
	must(r.MAC(ref, mac.CUPTDES, nil, nil))(t)
	must(r.Generate(NewKey{Ref: ref}, Actor{Name: "wang"}))(t)
	noError(t, r.Rotate(ref, time.Hour, Actor{Name: "wang"}))
	noError(t, r.Retire(info.Ref, 0, Actor{Name: "wang"}))
	noError(t, r.Destroy(info.Ref, two))
	wantError(t, r.Destroy(ref, two), ErrRef)
	want := []string{"create_store begin", "create_store done",
		"generate begin mac/link/1", "generate done mac/link/1",
		"activate begin mac/link/1", "activate done mac/link/1",
		"first_use done mac/link/1 mac",
		"generate begin mac/link/2", "generate done mac/link/2",
		"rotate begin mac/link/2", "rotate done mac/link/2",
		"retire begin mac/link/1", "retire done mac/link/1",
		"destroy begin mac/link/1", "destroy done mac/link/1", "destroy refused mac/link bad_ref"}
	if got := l.lines(); !slices.Equal(got, want) {
		t.Errorf("the trail is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	last := l.events[len(l.events)-2]
	if last.Actor != "wang" || last.Second != "li" || last.KCV != info.KCV || last.Time.IsZero() ||
		last.Generation != r.Generation() {
		t.Errorf("the last event is %+v", last)
	}
}

// TestSinkRefuses has the sink take no first events, then no last ones.
func TestSinkRefuses(t *testing.T) {
	l := &list{}
	r := emptyRing(t, Options{Audit: l})
	ref := Ref{Purpose: MessageMAC, Scheme: "link"}
	generate := func() (Info, error) { return r.Generate(NewKey{Ref: ref, Exportable: true}, two) }
	kek := put(t, r, "key_exchange/k", TDES2, kekTDES)
	before := r.Generation()
	l.refuse = OutcomeBegin
	info, err := generate()
	if !errors.Is(err, ErrAudit) || !errors.Is(err, errList) || info.Ref.Version != 0 {
		t.Errorf("without the sink: %+v, %v", info, err)
	}
	_, err = r.ExportBlock(kek, kek, two)
	wantError(t, err, ErrAudit)
	if r.Generation() != before || len(r.List()) != 1 {
		t.Error("something was done that is not in the trail")
	}
	l.refuse = OutcomeDone
	info, err = generate()
	if !errors.Is(err, ErrUnaudited) || errors.Is(err, ErrAudit) || info.Ref.Version != 1 {
		t.Errorf("without the last event: %+v, %v", info, err)
	}
	if r.Generation() != before+1 {
		t.Error("it was not done")
	}
	text, err := r.ExportBlock(info.Ref, kek, two)
	if !errors.Is(err, ErrUnaudited) || text == "" {
		t.Errorf("export without the last event: %v", err)
	}
	if r.AuditLost() == 0 {
		t.Error("lost events are not counted")
	}
	l.refuse = OutcomeRefused
	wantError(t, r.Activate(kek, two), ErrState) // the refusal is what is told
	a, b := twoComponents(t)
	for _, outcome := range []string{OutcomeBegin, OutcomeDone} {
		l.refuse = outcome
		path := filepath.Join(t.TempDir(), "keys")
		if r, err := CreateStore(path, a, b, Options{Actor: two, Audit: l}); err == nil || r != nil {
			t.Errorf("a store without its %s event: %v", outcome, err)
		}
		if _, err := os.Stat(path); (err == nil) != (outcome == OutcomeDone) {
			t.Errorf("the file without its %s event: %v", outcome, err)
		}
	}
	_, err = Open(r.path, a, b, Options{Audit: l}) // nobody opens a store unseen
	wantError(t, err, ErrUnaudited)
}

// TestFailedInTrail has the disk fail.
func TestFailedInTrail(t *testing.T) {
	l := &list{}
	a, b := twoComponents(t)
	m := &memory{files: map[string][]byte{}}
	r := must(CreateStore("/keys", a, b, Options{Actor: two, Audit: l, disk: m}))(t)
	defer r.Close()
	m.step = 2
	_, err := r.Generate(NewKey{Ref: Ref{PIN, "x", 1}}, two)
	wantError(t, err, errCrash)
	if got := l.lines(); got[len(got)-1] != "generate failed pin/x/1 error" {
		t.Errorf("the trail ends with %q", got[len(got)-1])
	}
	_, err = CreateStore("/other", a, b, Options{Actor: two, Audit: l, disk: m})
	wantError(t, err, errCrash)
}

// TestStrays counts failures of keys that are not there, once a minute and class.
func TestStrays(t *testing.T) {
	l := &list{}
	clock := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	r := emptyRing(t, Options{Audit: l, Now: func() time.Time { return clock }})
	for i := range 100 {
		_, err := r.MAC(Ref{MessageMAC, fmt.Sprint("x", i), 1}, mac.X919, nil, nil)
		wantError(t, err, ErrUnknown)
		_, err = r.MAC(Ref{MessageMAC, "a\nb", 1}, mac.X919, nil, nil)
		wantError(t, err, ErrRef)
	}
	clock = clock.Add(reportEvery)
	_, err := r.MAC(Ref{MessageMAC, "y", 0}, mac.X919, nil, nil)
	wantError(t, err, ErrUnknown)
	got := l.lines()[2:]
	if !slices.Equal(got, []string{"mac refused mac/x0/1 unknown_key", "mac refused  bad_ref",
		"mac refused mac/y unknown_key"}) {
		t.Errorf("the trail got %q", got)
	}
	if last := l.events[len(l.events)-1]; last.Count != 101 {
		t.Errorf("count %d", last.Count)
	}
	if len(r.Uses()) != 0 {
		t.Errorf("uses of nothing: %v", r.Uses())
	}
}

func TestFileSink(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trail")
	for range 2 { // it appends
		s := must(OpenFileSink(path))(t)
		noError(t, s.Append(Event{Action: "generate", Outcome: OutcomeDone, Ref: "pin/x/1"}))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := s.Append(Event{Action: "first_use", Outcome: OutcomeDone}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		noError(t, s.Close())
		if err := s.Append(Event{}); err == nil {
			t.Error("a closed file took an event")
		}
	}
	lines := bufio.NewScanner(bytes.NewReader(must(os.ReadFile(path))(t)))
	n := 0
	for ; lines.Scan(); n++ {
		var e Event
		noError(t, json.Unmarshal(lines.Bytes(), &e))
		if n == 0 && (e.Action != "generate" || e.Ref != "pin/x/1") {
			t.Errorf("the first line is %s", lines.Text())
		}
	}
	if n != 22 {
		t.Errorf("%d lines, want 22", n)
	}
	if mode := must(os.Stat(path))(t).Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %04o", mode)
	}
	noError(t, os.Chmod(path, 0o622))
	_, err := OpenFileSink(path)
	wantError(t, err, ErrOpenToOthers)
	if _, err := OpenFileSink(filepath.Dir(path)); err == nil {
		t.Error("a directory is no trail")
	}
}

func TestWriterSinkFails(t *testing.T) {
	s := NewWriterSink(failingWriter{})
	wantError(t, s.Append(Event{}), errList)
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errList }

// TestReasons has a word of its own for each refusal.
func TestReasons(t *testing.T) {
	words := map[string]bool{"error": true}
	for _, c := range classes {
		if words[c.word] {
			t.Errorf("%q stands for two", c.word)
		}
		words[c.word] = true
		if got := reason(fmt.Errorf("at work: %w", c.err)); got != c.word {
			t.Errorf("%v is %q, want %q", c.err, got, c.word)
		}
	}
	if reason(nil) != "" || reason(errList) != "error" {
		t.Error("words for nothing and for the rest")
	}
}

// TestNamesOfEverything prints and reads every name.
func TestNamesOfEverything(t *testing.T) {
	for _, p := range Purposes() {
		got, err := ParsePurpose(p.String())
		if err != nil || got != p || len(p.Algorithms()) == 0 {
			t.Errorf("purpose %v: %v, %v", p, got, err)
		}
		var back Purpose
		if text, err := p.MarshalText(); err != nil || back.UnmarshalText(text) != nil || back != p {
			t.Errorf("purpose %v as text", p)
		}
		used := 0
		for o := range operationEnd {
			if p.Allows(o) {
				used++
			}
		}
		if used == 0 {
			t.Errorf("%v allows nothing", p)
		}
	}
	for a := DES; a < algorithmEnd; a++ {
		got, err := ParseAlgorithm(a.String())
		if err != nil || got != a || a.Size() == 0 {
			t.Errorf("algorithm %v: %v, %v", a, got, err)
		}
		var back Algorithm
		if text, err := a.MarshalText(); err != nil || back.UnmarshalText(text) != nil || back != a {
			t.Errorf("algorithm %v as text", a)
		}
	}
	for s := Pending; s < stateEnd; s++ {
		var back State
		if text, err := s.MarshalText(); err != nil || back.UnmarshalText(text) != nil || back != s {
			t.Errorf("state %v as text", s)
		}
	}
	for k := KCVUsual; k < kcvKindEnd; k++ {
		if got, err := ParseKCVKind(k.String()); err != nil || got != k {
			t.Errorf("KCV kind %v: %v, %v", k, got, err)
		}
	}
}

// TestUnknownNames reads and prints what is no name.
func TestUnknownNames(t *testing.T) {
	var s State
	_, err1 := ParsePurpose("none")
	_, err2 := ParseAlgorithm("none")
	_, err3 := ParseKCVKind("x")
	for i, err := range []error{err1, err2, err3, s.UnmarshalText([]byte("x"))} {
		if err == nil {
			t.Errorf("case %d: an unknown name was read", i)
		}
	}
	for _, v := range []fmt.Stringer{Purpose(99), Algorithm(99), Operation(99), State(99), KCVKind(99)} {
		if v.String() != "unknown" {
			t.Errorf("%T(99) is %q", v, v.String())
		}
	}
	if Purpose(99).Algorithms() != nil || Purpose(99).Allows(OpMAC) || Algorithm(99).Size() != 0 ||
		Algorithm(99).Cipher() != 0 {
		t.Error("what is unknown has properties")
	}
	for _, bad := range []string{"", "pin", "pin/", "pin//1", "pin/x/", "pin/x/-1", "pin/x/01", "pin/x/1/2",
		"pin/x/4294967296", "nothing/x", "pin/a b", "/x/1", "pin/x/0x1"} {
		if ref, err := ParseRef(bad); !errors.Is(err, ErrRef) {
			t.Errorf("%q is %v, %v", bad, ref, err)
		}
	}
}

// TestCheckValues compares check values with published ones, of each kind.
func TestCheckValues(t *testing.T) {
	for _, c := range []struct {
		a    Algorithm
		kind KCVKind
		key  string
		want KCV
		err  error
	}{
		{TDES2, KCVUsual, bdkTDES, "08D7B4", nil}, // the BDK of ANSI X9.24-1
		{TDES2, KCVECB, bdkTDES, "08d7b4", nil},
		{TDES2, KCVUsual, bdkTDES, "08D7B5", ErrKCV},
		{TDES2, KCVUsual, bdkTDES, "08D7", ErrKCV},
		{TDES2, KCVUsual, bdkTDES, "", ErrKCV},
		{TDES2, KCVUsual, bdkTDES, "08D7B", ErrKCV},
		{TDES2, KCVUsual, bdkTDES, "08D7B4 ", ErrKCV},
		{TDES2, KCVHash, bdkTDES, "08D7B4", ErrKCV},
		{TDES2, KCVUsual, bdkTDES, "08D7B4000000000000", ErrKCV},
		{AES128, KCVECB, "2b7e151628aed2a6abf7158809cf4f3c", "7DF76B0C1AB899B33E42F047B91B546F", nil},
		{AES128, KCVUsual, "2b7e151628aed2a6abf7158809cf4f3c", "7DF76B", ErrKCV},
		{HMACSHA256, KCVUsual, tokenKey, "B8DDA9", ErrKCV},
		{HMACSHA256, KCVCMAC, tokenKey, "B8DDA9", ErrKCV},
	} {
		if err := c.want.matches(c.a, c.kind, unhex(t, c.key)); !errors.Is(err, c.err) {
			t.Errorf("%v, %v, %s: %v, want %v", c.a, c.kind, c.want, err, c.err)
		}
	}
	if got := must(kcvOf(TDES2, unhex(t, bdkTDES)))(t); got != "08D7B4FB" {
		t.Errorf("KCV %s", got)
	}
	if _, err := kcvOf(TDES2, make([]byte, 3)); err == nil {
		t.Error("a check value of three bytes")
	}
	if err := check(SM2, bytes.Repeat([]byte{0xff}, 31)); err == nil {
		t.Error("a private key of 31 bytes")
	}
	if err := check(SM2, append(bytes.Repeat([]byte{0xff}, 31), 0xfe)); err == nil {
		t.Error("a private key beyond the order")
	}
	wantError(t, check(HMACSHA256, make([]byte, 32)), errWeak())
}

// TestDraw has sources that give no good key.
func TestDraw(t *testing.T) {
	for _, a := range []Algorithm{DES, TDES2, AES128, SM2, HMACSHA256} {
		if _, err := draw(a, zeros{}); err == nil {
			t.Errorf("%v of zeros", a)
		}
		if _, err := draw(a, strings.NewReader("abc")); err == nil {
			t.Errorf("%v of three bytes", a)
		}
	}
	a, b := twoComponents(t)
	if _, err := CreateStore(filepath.Join(t.TempDir(), "k"), a, b, Options{Actor: two,
		Rand: strings.NewReader("abc")}); err == nil {
		t.Error("a salt of three bytes")
	}
}

// TestFull fills a store.
func TestFull(t *testing.T) {
	r := emptyRing(t, Options{})
	full := &change{ring: r, table: &table{order: make([]*version, entriesMax), byRef: map[Ref]*version{}}}
	_, err := full.place(Ref{PIN, "x", 1})
	wantError(t, err, ErrFull)
	last := newVersion(&meta{Ref: Ref{PIN, "x", 1<<32 - 1}}, secret{}, nil)
	end := &change{ring: r, table: &table{order: []*version{last}, byRef: map[Ref]*version{}}}
	_, err = end.place(Ref{PIN, "x", 0})
	wantError(t, err, ErrFull)
}

// TestVersionZero has several keys active at once: the one activated last is the one.
func TestVersionZero(t *testing.T) {
	clock := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	r := emptyRing(t, Options{Now: func() time.Time { return clock }})
	ref := Ref{Purpose: PurseLoad, Scheme: "city"}
	for range 3 {
		must(r.Generate(NewKey{Ref: ref}, two))(t)
	}
	for _, c := range []struct {
		activate uint32
		wait     time.Duration
		want     uint32
	}{{2, 0, 2}, {1, 0, 2}, {3, time.Second, 3}} {
		clock = clock.Add(c.wait)
		noError(t, r.Activate(Ref{PurseLoad, "city", c.activate}, two))
		if got := must(r.Info(ref))(t).Ref.Version; got != c.want {
			t.Errorf("after %d: version 0 is %d, want %d", c.activate, got, c.want)
		}
	}
	noError(t, r.Retire(ref, 0, two))
	if got := must(r.Info(ref))(t).Ref.Version; got != 2 {
		t.Errorf("after the last retired: %d", got)
	}
	_, err := r.Generate(NewKey{Ref: ref}, two)
	noError(t, err)
	must(r.Generate(NewKey{Ref: ref}, two))(t)
	noError(t, r.Activate(ref, two)) // the highest pending one
	if got := must(r.Info(ref))(t).Ref.Version; got != 5 {
		t.Errorf("activated %d, want the highest pending", got)
	}
}
