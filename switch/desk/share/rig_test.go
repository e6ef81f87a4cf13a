package share

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// morning is 2026-03-02 09:00 in China, a Monday; today its day.
const (
	morning txn.Millis       = 1772413200000
	today   txn.BusinessDate = 20260302
)

// rig is the package over a real desk and engine on the memory store.
type rig struct {
	t      testing.TB
	memory *storetest.Memory
	engine *engine.Engine
	desk   *desk.Service
	share  *Service
	key    ed25519.PrivateKey
	ids    uint64

	mu sync.Mutex
	at txn.Millis
}

// marks is the engine's blacklist in front of the store's.
type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

func newRig(t testing.TB, city string) *rig {
	t.Helper()
	r := &rig{t: t, at: morning, key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{3}, 32))}
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	r.no(err)
	r.memory = storetest.NewMemory(storetest.MemoryOptions{Now: r.now})
	r.no(r.memory.OpenEpoch(t.Context(), r.now()))
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200},
		Metro: fare.MetroFares{Default: 500}})
	r.no(err)
	r.engine, err = engine.New(engine.Options{Cards: r.memory, Blacklist: marks{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: r.now})
	r.no(err)
	policy, err := scheme.Load(city)
	r.no(err)
	calendar, err := scheme.BuiltInCalendar()
	r.no(err)
	r.desk, err = desk.New(desk.Options{Cards: r.memory, List: r.memory, Registry: r.memory, Engine: r.engine,
		Tokenizer: tokenizer, Scheme: desk.City(policy, calendar), History: ledger{r}, Now: r.now})
	r.no(err)
	t.Cleanup(r.desk.Close)
	r.share, err = New(Options{Desk: r.desk, Policy: policy, Cards: r.memory, Registry: r.memory,
		Tokenizer: tokenizer})
	r.no(err)
	return r
}

func (r *rig) no(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) now() txn.Millis {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *rig) pass(d txn.Millis) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at += d
}

func (r *rig) id() (id account.CommandID) {
	r.ids++
	binary.BigEndian.PutUint64(id[:], r.ids)
	return id
}

func (r *rig) command(step account.Step) account.Command {
	return account.Command{ID: r.id(), Made: r.now(), By: account.Staff{ID: "li.lei", Role: "desk", Outlet: "d1"},
		Step: step}
}

func (r *rig) must(token pan.Token, step account.Step) desk.Answer {
	r.t.Helper()
	a, err := r.desk.Do(r.t.Context(), token, r.command(step))
	if err != nil || a.Outcome.Refusal != account.RefusalNone {
		r.t.Fatalf("%s: %v, %v", step.Name(), a.Outcome.Refusal, err)
	}
	return a
}

var atDesk = account.Who{Actor: account.Holder, Channel: account.AtAgency, ID: account.ResidentID}

func cardToken(n byte) pan.Token { return pan.Token{n * 4, n, 0xca} }

func idOf(n byte) string { return fmt.Sprintf("11010119900101%04d", n) }

// open enrols person n with chip card n.
func (r *rig) open(n byte) pan.Token {
	r.t.Helper()
	holder := r.desk.HolderToken(idOf(n))
	token, _, err := r.desk.AccountOf(r.t.Context(), holder)
	r.no(err)
	r.must(token, account.OpenAccount{Holder: holder, Who: atDesk, Checked: true,
		Carrier: account.NewCarrier{Token: cardToken(n), Last4: pan.Last4{'0', '0', '0', '0' + n},
			Kind: account.Chip, Family: "t_union", Ready: true},
		Numbers: []account.Number{{Kind: account.SerialNumber,
			Token: r.desk.NumberToken(account.SerialNumber, "S-"+idOf(n))}}})
	return token
}

func (r *rig) account(token pan.Token) *account.Account {
	r.t.Helper()
	doc, _, err := r.desk.Load(r.t.Context(), token)
	if err != nil || doc == nil {
		r.t.Fatalf("account %s: %v", token, err)
	}
	return doc
}

// ride lets card n ride a bus, and load before it.
func (r *rig) ride(n byte) {
	r.t.Helper()
	gate, err := txn.ParseTerminalID("GATE01")
	r.no(err)
	for _, kind := range []txn.Kind{txn.Load, txn.BusBoarding} {
		r.ids++
		q := &txn.Request{ID: txn.RequestID{Terminal: gate, Boot: 1, Counter: uint32(r.ids)}, Kind: kind,
			Card: cardToken(n), Currency: txn.CNY, ServiceAt: r.now(), ReceivedAt: r.now(),
			Place: txn.Place{Operator: "bus", Line: "M1", Station: "east", Payee: "operator/bus",
				Funding: "acquirer/SZT"}}
		if kind == txn.Load {
			q.Amount = 1000
		}
		if a := r.engine.Authorize(r.t.Context(), q); a.Err != nil || a.Decision.Outcome != txn.Approved {
			r.t.Fatalf("%s: %s, %v", kind, a.Decision.Reason, a.Err)
		}
	}
}

// records returns every settled record.
func (r *rig) records() []txn.Record {
	r.t.Helper()
	var all []txn.Record
	for shard := range r.memory.Shards() {
		var after store.Cursor
		for {
			entries, next, err := r.memory.Read(r.t.Context(), shard, after, 1000)
			r.no(err)
			for _, e := range entries {
				if rec, err := txn.DecodeRecord(e.Record); err == nil {
					rec.Position, rec.BusinessDate = e.Position, e.Date
					all = append(all, rec)
				}
			}
			if after = next; len(entries) < 1000 {
				break
			}
		}
	}
	return all
}

// noted counts the audit records whose note begins with a text.
func (r *rig) noted(prefix string) (n int) {
	for _, rec := range r.records() {
		if rec.Kind == txn.Desk && len(rec.Listing.Note) >= len(prefix) && rec.Listing.Note[:len(prefix)] == prefix {
			n++
		}
	}
	return n
}

// ledger is history and days over the store's outbox.
type ledger struct{ r *rig }

func (l ledger) Records(_ context.Context, card pan.Token, _ txn.BusinessDate, yield func(*txn.Record) error) error {
	for _, rec := range l.r.records() {
		if rec.Card == card {
			if err := yield(&rec); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l ledger) Between(_ context.Context, _, _ txn.BusinessDate, yield func(*txn.Record) error) error {
	for _, rec := range l.r.records() {
		if err := yield(&rec); err != nil {
			return err
		}
	}
	return nil
}

// transport is a unit with an agreement; change makes it another.
func transport(change ...func(*Consumer)) Consumer {
	c := Consumer{Name: "transport_office", Title: "Transport office", Approval: "2026-3", Agreement: "S-17",
		From: 20260101, Until: 20261231, Role: "authority", Purposes: []string{"dispute"},
		Fields: []string{"kind", "amount", "station", "alive", "subject"}}
	for _, f := range change {
		f(&c)
	}
	return c
}

func ask() Ask { return Ask{Consumer: "transport_office", Purpose: "dispute", Operator: "zhao"} }

// civil registers the civil affairs department for every kind.
func (r *rig) civil() {
	r.t.Helper()
	r.no(r.share.PutSupplier(r.t.Context(), Supplier{Name: "civil_affairs", Title: "Civil affairs", Kinds: Kinds(),
		Algorithm: Ed25519, PublicKey: hex.EncodeToString(r.key.Public().(ed25519.PublicKey))}))
}

// batch makes a batch of civil affairs.
func (r *rig) batch(seq uint64, kind Kind, lines ...Line) *Batch {
	for i := range lines {
		if lines[i].No == 0 {
			lines[i].No = i + 1
		}
	}
	return &Batch{Supplier: "civil_affairs", Seq: seq, Kind: kind, Made: (r.now() - 90_000).Time(),
		Total: len(lines), Lines: lines}
}

func (r *rig) delivery(b *Batch) Delivery {
	r.t.Helper()
	body, err := json.Marshal(b)
	r.no(err)
	return Delivery{Supplier: "civil_affairs", Format: JSON, Body: body, Signature: ed25519.Sign(r.key, body)}
}

func (r *rig) deliver(b *Batch) Report {
	r.t.Helper()
	rep, err := r.share.Deliver(r.t.Context(), r.delivery(b))
	r.no(err)
	return rep
}
