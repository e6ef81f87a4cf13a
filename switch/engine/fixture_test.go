package engine_test

import (
	"reflect"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	second txn.Millis = 1000
	minute            = 60 * second
	hour              = 60 * minute
	day               = 24 * hour
)

// morning is 21 November 2026, 08:00 in Shenzhen.
var morning = txn.MillisOf(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))

// The tariff of the tests: bus 2.00, line M1 3.00 and line FREE nothing; metro Futian to
// Luohu 5.00; students half, seniors nothing.
func tariff(t tb) *fare.Tariff {
	t.Helper()
	compiled, err := fare.Compile(fare.File{
		Version: "test",
		Bus:     fare.BusFares{Default: 200, Lines: map[string]txn.Minor{"M1": 300, "FREE": 0}},
		Metro: fare.MetroFares{Pairs: []fare.PairFare{
			{From: "Futian", To: "Luohu", Fare: 500},
			{From: "Futian", To: "Airport", Fare: 901}, {From: "Luohu", To: "Airport", Fare: 700},
			{From: "Futian", To: "Futian", Fare: 200}, {From: "Luohu", To: "Luohu", Fare: 200},
			{From: "Airport", To: "Airport", Fare: 200},
		}},
		Riders: map[string]int64{"student": 5000, "senior": 0},
	})
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func policy(t tb) engine.Policy {
	t.Helper()
	return engine.DefaultPolicy(tariff(t))
}

// tb is what testing.T and rapid.T share.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// token returns the token of card number n of a test, spread over the buckets.
func token(n byte) pan.Token { return pan.Token{n * 4, n, 0xca} }

func terminal(t tb, name string) txn.TerminalID {
	t.Helper()
	id, err := txn.ParseTerminalID(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// metro and bus are the places of the tests.
var (
	metro = txn.Place{Operator: "metro", Line: "L1", Station: "Futian", Merchant: "M-METRO",
		MCC: "4111", Acquirer: "SZT", Payee: "operator/metro", Funding: "acquirer/SZT"}
	bus = txn.Place{Operator: "bus", Line: "M1", Station: "Stop 9", Merchant: "M-BUS",
		MCC: "4131", Acquirer: "SZT", Payee: "operator/bus", Funding: "acquirer/SZT"}
)

func at(p txn.Place, station string) txn.Place {
	p.Station = station
	return p
}

// wallet is one card that is driven through Decide as Engine does it: every state goes
// through its encoding, and every step is checked for what must always hold.
type wallet struct {
	t       tb
	policy  engine.Policy
	now     txn.Millis
	token   pan.Token
	counter uint32

	state   []byte
	version uint64
	mark    txn.Mark
	due     map[string]txn.Millis
	records []txn.Record

	view   engine.View
	result engine.Result
}

// newWallet returns an absent card at 08:00.
func newWallet(t tb) *wallet {
	t.Helper()
	return &wallet{t: t, policy: policy(t), now: morning, token: token(1),
		due: map[string]txn.Millis{}}
}

// enrolled returns an active card with transit and purse and the balance.
func enrolled(t tb, balance txn.Minor) *wallet {
	t.Helper()
	w := newWallet(t)
	w.must(w.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppTransit | txn.AppPurse}
	}))
	if balance > 0 {
		w.must(w.load(balance))
	}
	return w
}

// request returns a request of the kind at the wallet's now, changed by each of change.
func (w *wallet) request(k txn.Kind, change ...func(*txn.Request)) *txn.Request {
	w.t.Helper()
	w.counter++
	r := &txn.Request{
		ID:   txn.RequestID{Terminal: terminal(w.t, "GATE01"), Boot: 1, Counter: w.counter},
		Kind: k, Card: w.token, Last4: pan.Last4{'1', '2', '3', '4'}, Place: metro,
		Currency: txn.CNY, ServiceAt: w.now, ReceivedAt: w.now,
	}
	for _, c := range change {
		c(r)
	}
	return r
}

func (w *wallet) load(amount txn.Minor) *txn.Request {
	return w.request(txn.Load, amountOf(amount))
}

func (w *wallet) purchase(amount txn.Minor) *txn.Request {
	return w.request(txn.Purchase, amountOf(amount))
}

func (w *wallet) refund(of *txn.Request, amount txn.Minor) *txn.Request {
	return w.request(txn.Refund, amountOf(amount), original(of.ID))
}

func (w *wallet) reversal(of *txn.Request) *txn.Request {
	return w.request(txn.Reversal, original(of.ID))
}

func (w *wallet) entry(station string) *txn.Request {
	return w.request(txn.MetroEntry, place(at(metro, station)))
}

func (w *wallet) exit(station string) *txn.Request {
	return w.request(txn.MetroExit, place(at(metro, station)))
}

func (w *wallet) board(line string) *txn.Request {
	return w.request(txn.BusBoarding, place(bus), func(r *txn.Request) { r.Place.Line = line })
}

func (w *wallet) freeze(reason txn.FreezeReason, scope txn.App) *txn.Request {
	return w.request(txn.Freeze, func(r *txn.Request) {
		r.Listing = txn.Listing{Mark: txn.Mark{Reason: reason, Scope: scope},
			Actor: "desk/7", Note: "case 12"}
	})
}

func amountOf(a txn.Minor) func(*txn.Request) { return func(r *txn.Request) { r.Amount = a } }

func original(id txn.RequestID) func(*txn.Request) {
	return func(r *txn.Request) { r.Original = id }
}

func place(p txn.Place) func(*txn.Request) { return func(r *txn.Request) { r.Place = p } }

func serviceAt(m txn.Millis) func(*txn.Request) {
	return func(r *txn.Request) { r.ServiceAt = m }
}

// fareGiven is a fare that the terminal computed.
func fareGiven(full, charged txn.Minor) func(*txn.Request) {
	return func(r *txn.Request) { r.FareGiven, r.FullFare, r.Amount = true, full, charged }
}

func offline(counter uint32) func(*txn.Request) {
	return func(r *txn.Request) { r.Offline, r.OfflineCounter = true, counter }
}

func (w *wallet) card() card.State {
	w.t.Helper()
	var s card.State
	if w.version == 0 {
		return s
	}
	if err := s.Decode(w.state); err != nil {
		w.t.Fatalf("state of version %d: %v", w.version, err)
	}
	return s
}

// do decides r, checks the step, and commits it.
func (w *wallet) do(r *txn.Request) txn.Decision {
	w.t.Helper()
	before := w.card()
	asked := *r
	w.view.Known, w.view.Version, w.view.Mark = w.version > 0, w.version, w.mark
	if w.view.Known {
		if err := w.view.Card.Decode(w.state); err != nil {
			w.t.Fatal(err)
		}
	} else {
		w.view.Card = card.State{Recent: w.view.Card.Recent[:0]}
	}
	engine.Decide(&w.view, r, &w.policy, w.now, &w.result)
	if !reflect.DeepEqual(*r, asked) {
		w.t.Fatalf("Decide changed the request: %+v", *r)
	}
	checkStep(w.t, before, w.version, w.mark, r, &w.result)
	w.commit()
	return w.result.Decision
}

// must is do for a request that has to be approved.
func (w *wallet) must(r *txn.Request) txn.Decision {
	w.t.Helper()
	d := w.do(r)
	if d.Outcome != txn.Approved {
		w.t.Fatalf("%s %s: declined with %s, want approved", r.Kind, r.ID, d.Reason)
	}
	return d
}

// refused is do for a request that has to be declined with reason.
func (w *wallet) refused(r *txn.Request, reason txn.Reason) txn.Decision {
	w.t.Helper()
	d := w.do(r)
	if d.Outcome != txn.Declined || d.Reason != reason {
		w.t.Fatalf("%s %s: %s with %s, want declined with %s", r.Kind, r.ID, d.Outcome,
			d.Reason, reason)
	}
	return d
}

func (w *wallet) commit() {
	out := &w.result
	if out.Final {
		return
	}
	if out.Write {
		w.state = out.Next.Append(nil)
		w.version++
	}
	if out.Settle {
		rec := out.Record
		rec.Postings = slices.Clone(rec.Postings)
		rec.Discounts = slices.Clone(rec.Discounts)
		w.records = append(w.records, rec)
	}
	if out.List != nil {
		w.mark = out.List.Entry.Mark
	}
	for _, d := range out.Due {
		if d.Remove {
			delete(w.due, string(d.Key))
		} else {
			w.due[string(d.Key)] = d.At
		}
	}
}

// last returns the last settled record.
func (w *wallet) last() txn.Record {
	w.t.Helper()
	if len(w.records) == 0 {
		w.t.Fatal("no record was settled")
	}
	return w.records[len(w.records)-1]
}

func (w *wallet) wantBalance(want txn.Minor) {
	w.t.Helper()
	if got := w.card().Balance; got != want {
		w.t.Fatalf("balance %d, want %d", got, want)
	}
}

// checkStep proves what holds for every decision, whatever was asked.
func checkStep(
	t tb, before card.State, version uint64, mark txn.Mark, r *txn.Request,
	out *engine.Result,
) {
	t.Helper()
	d := out.Decision
	checkAnswer(t, r, out)
	moved := txn.Minor(0)
	if out.Write {
		moved = out.Next.Balance - before.Balance
		checkState(t, &out.Next)
	}
	if d.Outcome == txn.Declined && moved != 0 {
		t.Fatalf("%s: a decline moved %d", r.Kind, moved)
	}
	if !d.Replay && d.Outcome == txn.Approved && r.Kind != txn.Enrol && r.Kind != txn.Fee {
		if d.Charged != -moved || d.BalanceAfter != before.Balance+moved {
			t.Fatalf("%s: charged %d, balance after %d, but the purse went from %d by %d",
				r.Kind, d.Charged, d.BalanceAfter, before.Balance, moved)
		}
	}
	if len(out.Due) > store.DueChangesMax {
		t.Fatalf("%s: %d due changes", r.Kind, len(out.Due))
	}
	if out.Settle {
		checkRecord(t, version, moved, r, out)
	} else if moved != 0 {
		t.Fatalf("%s: %d moved without a record", r.Kind, moved)
	}
	frozen := mark.Frozen(closedBy(r.Kind))
	if frozen && d.Outcome == txn.Approved && !d.Replay && !harmless(&before, mark, r, out) {
		t.Fatalf("%s: approved for a card that bears %+v", r.Kind, mark)
	}
}

// harmless reports whether a frozen card may have this: what an off-line terminal has given
// away already, kept to be judged, what a successor is owed, and a new carrier of an account.
func harmless(before *card.State, mark txn.Mark, r *txn.Request, out *engine.Result) bool {
	switch {
	case r.Forgiven != nil:
		return mark.Reason != txn.Cancelled
	case r.Offline && (r.Kind.IsTap() || r.Kind == txn.Purchase):
		return out.Record.Liability == txn.LiabilityOpen ||
			out.Decision.LeaseEnded && out.Record.Liability == txn.LiabilityOperator
	case r.Kind == txn.Enrol:
		return !r.Enrolment.Account.IsZero()
	case r.Kind == txn.Refund:
		return !before.Life.Successor.IsZero()
	default:
		return false
	}
}

// checkAnswer proves that outcome, reason and authorization code agree, and that an answer
// that needs no commit has nothing to commit.
func checkAnswer(t tb, r *txn.Request, out *engine.Result) {
	t.Helper()
	d := out.Decision
	switch {
	case d.Outcome == txn.Approved && d.Reason == txn.ReasonNone:
	case d.Outcome == txn.Declined && d.Reason != txn.ReasonNone && d.Reason.Valid():
	default:
		t.Fatalf("%s: outcome %s with reason %s", r.Kind, d.Outcome, d.Reason)
	}
	if (d.Outcome == txn.Approved) != (d.AuthCode.String() != "") {
		t.Fatalf("%s: %s with authorization code %q", r.Kind, d.Outcome, d.AuthCode)
	}
	changes := out.Write || out.Settle || out.List != nil || len(out.Due) > 0
	if changes && (d.Replay || out.Final) {
		t.Fatalf("%s: changes something, replay %v, final %v", r.Kind, d.Replay, out.Final)
	}
}

// closedBy is what a freeze must close to refuse a kind, written down a second time.
func closedBy(k txn.Kind) txn.App {
	switch {
	case k.IsTap() || k == txn.PassSale:
		return txn.AppTransit | txn.AppPurse
	case k == txn.Purchase || k == txn.Load || k == txn.Refund || k == txn.Balance ||
		k == txn.Correction:
		return txn.AppPurse
	case k == txn.Enrol:
		return txn.AppAll
	default:
		return 0
	}
}

func checkState(t tb, next *card.State) {
	t.Helper()
	encoded := next.Append(nil)
	if len(encoded) > store.StateMax {
		t.Fatalf("state of %d bytes, limit %d", len(encoded), store.StateMax)
	}
	var back card.State
	if err := back.Decode(encoded); err != nil {
		t.Fatalf("decode what was encoded: %v", err)
	}
	want := *next
	if len(want.Recent) == 0 {
		want.Recent = nil
	}
	want.Issuer = cut(want.Issuer, card.IssuerMax)
	for _, rides := range []*[]byte{&want.Rides, &want.Undo.Rides} {
		if len(*rides) == 0 {
			*rides = nil
		}
	}
	for _, name := range []*string{&want.Journey.Station, &want.Journey.Line,
		&want.Journey.Operator} {
		*name = cut(*name, card.PlaceNameMax)
	}
	if !reflect.DeepEqual(back, want) {
		t.Fatalf("state changed in its encoding:\n got %+v\nwant %+v", back, want)
	}
	if len(next.Recent) > card.RecentMax {
		t.Fatalf("%d remembered requests, limit %d", len(next.Recent), card.RecentMax)
	}
}

func cut(s string, limit int) string { return s[:min(len(s), limit)] }

func checkRecord(
	t tb, version uint64, moved txn.Minor, r *txn.Request, out *engine.Result,
) {
	t.Helper()
	rec, d := &out.Record, out.Decision
	if err := rec.CheckPostings(); err != nil {
		t.Fatal(err)
	}
	if got := purseSum(rec); got != moved {
		t.Fatalf("%s: postings move the purse by %d, the state by %d", r.Kind, got, moved)
	}
	var discounts txn.Minor
	for _, x := range rec.Discounts {
		discounts += x.Amount
	}
	if r.Kind.IsTap() && d.Outcome == txn.Approved && rec.FullFare-discounts != rec.Charged {
		t.Fatalf("%s: full fare %d less discounts %d is not the charge %d", r.Kind, rec.FullFare,
			discounts, rec.Charged)
	}
	if out.Write {
		version++
	}
	want := txn.Record{
		Version: txn.RecordVersion, Position: txn.Position{Bucket: txn.BucketOf(r.Card)},
		Request: r.ID, Kind: r.Kind, Outcome: d.Outcome, Reason: d.Reason,
		Card: r.Card, Last4: out.Next.Last4, CardVersion: version, Rider: out.Next.Rider,
		Place: r.Place, Issuer: out.Next.Issuer, STAN: r.STAN, RRN: r.RRN, Auth: d.AuthCode,
		FullFare: d.FullFare, Charged: d.Charged, Currency: r.Currency,
		BalanceAfter: d.BalanceAfter, OfflineCounter: r.OfflineCounter, Offline: r.Offline,
		ListEpoch: r.ListEpoch, ServiceAt: r.ServiceAt, ReceivedAt: r.ReceivedAt,
		Original: r.Original, Ride: r.Ride,
		// Checked elsewhere:
		Application: rec.Application, Discounts: rec.Discounts, TAC: rec.TAC,
		Postings: rec.Postings, EntryStation: rec.EntryStation, EntryAt: rec.EntryAt,
		Listing: rec.Listing, Liability: rec.Liability,
	}
	if r.Kind.IsTap() {
		want.Original = rec.Original // of a told end: the end that was known
	}
	want.Mode, want.Business = rec.Mode, rec.Business // of a ride whose last tap names none
	if d.LeaseEnded {
		want.Reason = txn.LeaseEnded
	}
	if !reflect.DeepEqual(*rec, want) {
		t.Fatalf("record:\n got %+v\nwant %+v", *rec, want)
	}
	encoded := txn.AppendRecord(nil, rec)
	if len(encoded) > store.RecordMax {
		t.Fatalf("record of %d bytes, limit %d", len(encoded), store.RecordMax)
	}
	back, err := txn.DecodeRecord(encoded)
	if err != nil {
		t.Fatalf("decode the record: %v", err)
	}
	// Payee and Funding are the registry's and stand in the postings.
	back.Place.Payee, back.Place.Funding = rec.Place.Payee, rec.Place.Funding
	if !reflect.DeepEqual(back, *rec) {
		t.Fatalf("record changed in its encoding:\n got %+v\nwant %+v", back, *rec)
	}
}

func purseSum(rec *txn.Record) txn.Minor {
	var sum txn.Minor
	for _, p := range rec.Postings {
		if p.Account == engine.AccountPurse {
			sum += p.Amount
		}
	}
	return sum
}
