package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The bank edge of the real binary between real sockets: terminals in this process on one
// side, banks in this process on the other. This file starts them, and holds the banks'
// books against the ledger.

const (
	bankTimeout   = 600 * time.Millisecond // of an answer, in the bank files here
	bankSettleMax = 40 * time.Second       // for everything that is due to be done
	bankBIN       = "622260"
	bankOtherBIN  = "400000"
)

// bankDoc is a part of a bank file.
type bankDoc = map[string]any

// bankPlan says what a bankTown is made of; the zero one is a bank that approves everything.
type bankPlan struct {
	behaviour bankhost.Behaviour
	// hosts is how many banks there are, each behind a link of its own: b0, b1, … Default 1.
	hosts int
	// host changes the options of a bank, via the address at which the switch looks for it.
	host func(i int, o *bankhost.Options)
	via  func(i int, address string) string
	// file changes the bank file.
	file func(f *bankFile)
	// terminals is how many there are, default 8; key names their master key.
	terminals int
	key       string
	args      []string
}

// bankFile is the file that a bankTown's switch reads.
type bankFile struct {
	whole                    bankDoc
	listeners, links, routes []bankDoc
}

// bankTown is a switch, the banks behind it and the cards that come to its terminals.
type bankTown struct {
	t     testing.TB
	node  *e2eNode
	dir   string
	banks []*bankhost.Host
	cards []pan.Number
	other []pan.Number // of bankOtherBIN
	spec  *message.Spec
}

// newBankTown starts banks and a switch, and returns when their links are up.
func newBankTown(t testing.TB, p bankPlan) *bankTown {
	t.Helper()
	w := prepareBankTown(t, p)
	w.start()
	return w
}

// prepareBankTown makes the banks and the files of a switch that is not started.
func prepareBankTown(t testing.TB, p bankPlan) *bankTown {
	t.Helper()
	e2eBinary(t)
	w := &bankTown{t: t, dir: t.TempDir(), spec: bankSpec(t, "cup_pos")}
	var err error
	if w.cards, err = pos.Cards([]string{bankBIN}, 256, 5); err != nil {
		t.Fatal(err)
	}
	if w.other, err = pos.Cards([]string{bankOtherBIN}, 64, 6); err != nil {
		t.Fatal(err)
	}
	tokenKey := []byte("the token key of the tests: 32 b")
	f := &bankFile{whole: bankDoc{"acquirer": "48025800", "forwarder": "48025800",
		"reversal_after": "200ms", "reversal_max": "1s"}}
	f.listeners = []bankDoc{{"name": "pos", "address": "127.0.0.1:0", "spec": "cup_pos",
		"terminals": "terminals.csv"}}
	names := []string{}
	for i := range max(p.hosts, 1) {
		o := bankhost.Options{Spec: bankSpec(t, "cups"), Address: "127.0.0.1:0", Seed: uint64(i + 1),
			Framing: message.Framing{Form: message.ASCII4}, TokenKey: slices.Clone(tokenKey),
			Behaviour: p.behaviour}
		if p.host != nil {
			p.host(i, &o)
		}
		h, err := bankhost.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = h.Close() })
		w.banks = append(w.banks, h)
		address := h.Address()
		if p.via != nil {
			address = p.via(i, address)
		}
		name := fmt.Sprintf("b%d", i)
		names = append(names, name)
		f.links = append(f.links, bankDoc{"name": name, "addresses": []string{address, address},
			"spec": "cups", "station": "01020000", "home": "48025800", "timeout": bankTimeout.String()})
	}
	f.routes = []bankDoc{{"name": "cards", "bins": []string{bankBIN}, "issuer": "ICBC",
		"links": names}}
	if p.file != nil {
		p.file(f)
	}
	w.write(f)
	w.writeTerminals(p)
	data := filepath.Join(w.dir, "switch")
	hour := (time.Now().UTC().Add(8*time.Hour).Hour() + 12) % 24
	args := append([]string{"--listen", "127.0.0.1:0", "--set",
		fmt.Sprintf("scheme.cut_off=%dh", hour),
		"--set", "feed.flush_every=50ms", "--set", "bank.file=" + filepath.Join(w.dir, "bank.yaml"),
		"--set", "keys.token_file=" + filepath.Join(w.dir, "token.key")},
		p.args...)
	w.node = newE2ENode(t, data, args...)
	text := hex.EncodeToString(tokenKey) + "\n"
	if err := os.WriteFile(filepath.Join(w.dir, "token.key"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func bankSpec(t testing.TB, name string) *message.Spec {
	t.Helper()
	s, err := message.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *bankTown) write(f *bankFile) {
	w.t.Helper()
	doc := maps.Clone(f.whole)
	doc["listeners"], doc["links"], doc["routes"] = f.listeners, f.links, f.routes
	text, err := json.MarshalIndent(doc, "", " ") // JSON is YAML
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dir, "bank.yaml"), text, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *bankTown) writeTerminals(p bankPlan) {
	w.t.Helper()
	f, err := os.Create(filepath.Join(w.dir, "terminals.csv"))
	if err != nil {
		w.t.Fatal(err)
	}
	n := p.terminals
	if n == 0 {
		n = 8
	}
	err = pos.WriteTerminals(f, pos.Options{Target: "x:1", Terminals: n, Cards: w.cards}, p.key)
	if err := errors.Join(err, f.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// start starts the switch and waits until every link has a connection.
func (w *bankTown) start(env ...string) {
	w.t.Helper()
	if err := w.tryStart(env...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *bankTown) tryStart(env ...string) error {
	if err := w.node.start(env...); err != nil {
		return err
	}
	return w.up()
}

// alive reports whether the switch runs.
func (w *bankTown) alive() bool {
	select {
	case <-w.node.done():
		return false
	default:
		return true
	}
}

// up waits until every link is up.
func (w *bankTown) up() error {
	return e2eAwait(e2eStartMax, func() (bool, error) {
		s, err := w.status()
		for _, l := range s.Links {
			if !l.Up {
				return false, fmt.Errorf("link %s is down: %+v", l.Name, l.Connections)
			}
		}
		return err == nil, err
	})
}

// status asks the switch for its links.
func (w *bankTown) status() (s bank.Status, err error) { return s, w.ask("/bank", &s) }

func (w *bankTown) ask(path string, v any) error {
	code, body, err := e2eGet("http://" + w.node.admin() + path)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, code, body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(body), v)
}

// link returns the status of a link.
func (w *bankTown) link(name string) bank.LinkStatus {
	w.t.Helper()
	s, err := w.status()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range s.Links {
		if l.Name == name {
			return l
		}
	}
	w.t.Fatalf("no link %s", name)
	return bank.LinkStatus{}
}

// address returns where a listener of the switch is now.
func (w *bankTown) address(listener string) (string, error) {
	s, err := w.status()
	for _, l := range s.Listeners {
		if l.Name == listener {
			return l.Address, nil
		}
	}
	return "", errors.Join(fmt.Errorf("no listener %s", listener), err)
}

// dial connects to a listener of the switch, wherever it is after a restart.
func (w *bankTown) dial(ctx context.Context, listener string) (net.Conn, error) {
	address, err := w.address(listener)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// settled waits until nothing is due any more and the ledger has everything.
func (w *bankTown) settled() {
	w.t.Helper()
	e2eUntil(w.t, bankSettleMax, "what is due", func() (bool, error) {
		s, err := w.status()
		if err == nil && s.Due+s.Queued > 0 {
			err = fmt.Errorf("%d due, %d queued", s.Due, s.Queued)
		}
		return err == nil, err
	})
	e2eUntil(w.t, e2eDrainMax, "drain", w.node.drained)
}

// eventually waits until a condition holds.
func (w *bankTown) eventually(what string, holds func() bool) {
	w.t.Helper()
	e2eUntil(w.t, 15*time.Second, what, func() (bool, error) { return holds(), nil })
}

// bankSum is what one side has of a reference number: how many ends that stand, and what
// they move.
type bankSum struct {
	Stands int
	Minor  int64
}

// bankSums are the transactions of one side by reference number.
type bankSums map[string]bankSum

func (s bankSums) add(rrn string, stands int, minor int64) {
	e := s[rrn]
	s[rrn] = bankSum{e.Stands + stands, e.Minor + minor}
}

// theirs adds up the books of the banks.
func (w *bankTown) theirs() (sums bankSums, cards map[string]int64) {
	sums, cards = bankSums{}, map[string]int64{}
	for _, h := range w.banks {
		b := h.Book()
		byNumber := map[uint64]*bankhost.Entry{}
		for i := range b.Entries {
			byNumber[b.Entries[i].Number] = &b.Entries[i]
		}
		for i := range b.Entries {
			e := &b.Entries[i]
			if e.Kind == bankhost.Reversal || e.Kind == bankhost.Balance || !e.Approved() {
				continue
			}
			sums.add(e.RRN, 1, bankMoved(e, byNumber[e.Original]))
		}
		for _, c := range b.Accounts {
			cards[c.Card] += c.Posted
		}
		if b.Counts.DoubleExecuted != 0 || b.Counts.Forgotten != 0 || b.Counts.WrongOriginalMTI != 0 {
			w.t.Errorf("executed twice %d, forgotten %d, originals of another type %d",
				b.Counts.DoubleExecuted, b.Counts.Forgotten, b.Counts.WrongOriginalMTI)
		}
	}
	return sums, cards
}

// bankMoved is what an entry of a bank's book moves out of the card's account.
func bankMoved(e, original *bankhost.Entry) int64 {
	switch e.Kind {
	case bankhost.Purchase, bankhost.Completion, bankhost.OfflineSale, bankhost.Load:
		return e.Minor
	case bankhost.Refund:
		return -e.Minor
	case bankhost.Void, bankhost.CompletionVoid:
		if original != nil {
			return -original.Minor
		}
		return -e.Minor
	}
	return 0
}

// ours adds up the ledger. It finds what no ledger may have: two ends of one request.
func (w *bankTown) ours() (sums bankSums, cards map[string]int64) {
	sums, cards = bankSums{}, map[string]int64{}
	ends := map[txn.RequestID]int{}
	for _, r := range w.node.parquet() {
		if r.Application != txn.AppBank || r.Kind == txn.Freeze || r.Kind == txn.Release {
			continue
		}
		if ends[r.Request]++; ends[r.Request] > 1 {
			w.t.Errorf("request %s stands in the ledger %d times", r.Request, ends[r.Request])
		}
		if r.Outcome != txn.Approved {
			if len(r.Postings) > 0 {
				w.t.Errorf("request %s is declined and moves money", r.Request)
			}
			continue
		}
		var sum, issuer int64
		for _, p := range r.Postings {
			sum += int64(p.Amount)
			if strings.HasPrefix(string(p.Account), "issuer/") {
				issuer -= int64(p.Amount)
			}
		}
		if sum != 0 {
			w.t.Errorf("the postings of %s add up to %d", r.Request, sum)
		}
		// A terminal's adjustment is a transaction of its own; finance's takes one away.
		const adjusted, adjustedBack = 1 << 30, 1 << 28
		stands := 1
		if r.Kind == txn.BankReversal || r.Kind == txn.BankAdjustment &&
			r.Request.Counter&(adjusted|adjustedBack) == adjusted {
			stands = -1
		}
		sums.add(r.RRN, stands, issuer)
		cards[r.Card.String()] += issuer
	}
	return sums, cards
}

// reconcile waits until everything is done and compares the banks' books with the ledger:
// each transaction has one end and the same on both sides, and all sums agree to the fen.
func (w *bankTown) reconcile() {
	w.t.Helper()
	w.settled()
	refused := map[string]bool{} // reversals that the bank refused: its side stands
	for _, d := range w.dead() {
		if d.Was == "reversing" {
			refused[d.RRN] = true
			w.t.Errorf("the bank refused a reversal: %+v", d)
		}
	}
	theirs, theirCards := w.theirs()
	ours, ourCards := w.ours()
	for rrn := range theirs {
		if _, ok := ours[rrn]; !ok {
			ours[rrn] = bankSum{}
		}
	}
	for _, rrn := range slices.Sorted(maps.Keys(ours)) {
		if s := ours[rrn]; s != theirs[rrn] && !refused[rrn] || s.Stands < 0 || s.Stands > 1 {
			w.t.Errorf("%s: the ledger has %+v, the bank %+v", rrn, s, theirs[rrn])
		}
	}
	for c := range theirCards {
		ourCards[c] += 0
	}
	for _, c := range slices.Sorted(maps.Keys(ourCards)) {
		if ourCards[c] != theirCards[c] {
			w.t.Errorf("card %s: %d in the ledger, %d at the bank", c, ourCards[c], theirCards[c])
		}
	}
}

// dead returns the dead letters.
func (w *bankTown) dead() (all []bank.DeadLetter) {
	w.t.Helper()
	if err := w.ask("/bank/dead", &all); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// counts returns the counters of the first bank.
func (w *bankTown) counts() bankhost.Counts { return w.banks[0].Summary().Counts }
