package desk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// town is a few accounts, their desk, two gates and thieves, driven at random.
type town struct {
	*rig
	d *rapid.T

	accounts []pan.Token
	gates    []*engine.Engine // each with a replica of its own that is behind
	sets     []*blacklist.Set
	fresh    uint32
	counter  uint32
	taps     []*txn.Request // approved purchases, for refunds and reversals
	late     []*txn.Request // off-line records that have not come in yet

	dead   map[pan.Token]bool     // replaced or cancelled, as the calls said
	closed map[pan.Token]txn.Mark // closed for sure: the call that closed it has returned
	risk   map[pan.Token]txn.Mark // frozen by risk control, not lifted

	backup     *storetest.Memory
	backupDate txn.Millis
	past       []txn.Record // what the ledger has of times that were undone
	restored   bool
	fault      bool
}

// TestFrozenStaysFrozenInAnyHistory drives histories of commands, taps on and off line,
// refunds, freezes by risk control, crashes, faults and restores, with gates whose replicas
// are behind, under two schemes: the old number dies when a replacement is applied for
// (Zhoushan) or when it is done (Handan). After each step what the calls promised must hold,
// and in the end the books.
func TestFrozenStaysFrozenInAnyHistory(t *testing.T) {
	rapid.Check(t, func(d *rapid.T) {
		city := rapid.SampledFrom([]string{"zhoushan", "handan", "shiyan"}).Draw(d, "city")
		w := &town{rig: newRig(t, city), d: d, dead: map[pan.Token]bool{}, closed: map[pan.Token]txn.Mark{},
			risk: map[pan.Token]txn.Mark{}}
		defer func() { w.desk.Close() }()
		w.notices.clocks = map[string][]notice.Clock{"": {{Row: notice.Row{Party: "transit",
			SentFirst: morning + second, Received: morning + minute}}}}
		w.openGates()
		for n := range byte(2) {
			w.accounts = append(w.accounts, w.open(n+1))
			w.must(w.accounts[n], "li.lei", account.BindCarrier{Who: atDesk, Carrier: account.NewCarrier{
				Token: w.newToken(), Kind: account.ECard, Family: "e_card", Ready: true}})
		}
		w.learn()
		for range rapid.IntRange(5, 60).Draw(d, "steps") {
			w.turn()
			w.check()
		}
		w.end()
	})
}

func (w *town) pick(n int, what string) int { return rapid.IntRange(0, n-1).Draw(w.d, what) }

func (w *town) newToken() pan.Token {
	w.fresh++
	t := pan.Token{0: byte(w.fresh * 37), 1: 0xf5}
	binary.BigEndian.PutUint32(t[4:], w.fresh)
	return t
}

// laggard is a gate's replica: it learns only what a commit told it, and is thrown back at
// random. It may even name cards that were released.
type laggard struct{ set *blacklist.Set }

func (b laggard) Mark(card pan.Token) txn.Mark        { return b.set.Get(card) }
func (b laggard) Learn(card pan.Token, mark txn.Mark) { b.set.Put(card, mark) }

// openGates starts two engines on the store beside the desk's: one learns from its commits,
// one follows a real replica that never polls.
func (w *town) openGates() {
	w.gates, w.sets = nil, []*blacklist.Set{blacklist.NewSet()}
	replica := blacklist.NewReplica(blacklist.ReplicaOptions{Source: w.memory})
	for _, list := range []engine.Blacklist{laggard{w.sets[0]}, replica} {
		e, err := engine.New(engine.Options{Cards: w.memory, Blacklist: list, Policy: w.engine.Policy(), Now: w.now})
		if err != nil {
			w.t.Fatal(err)
		}
		w.gates = append(w.gates, e)
	}
}

// turn does one thing.
func (w *town) turn() {
	switch w.pick(24, "turn") {
	case 0, 1, 2, 3:
		w.tap()
	case 4, 5:
		w.ride()
	case 6:
		w.handIn()
	case 7:
		w.giveBack()
	case 8:
		w.freezeDirectly()
	case 9:
		w.releaseDirectly()
	case 10:
		w.crash()
	case 11:
		w.pass(rapid.SampledFrom([]txn.Millis{second, minute, hour, day, 4 * day}).Draw(w.d, "later"))
	case 12:
		w.calm()
	case 13:
		w.throwBack()
	case 14:
		if w.pick(3, "backup") == 0 {
			w.backup, w.backupDate = w.memory.Backup(), w.now()
		}
	case 15:
		w.restore()
	default:
		w.order()
	}
}

// carriers returns what the accounts bear or bore, in the order of the documents.
func (w *town) carriers() (all []pan.Token) {
	for _, token := range w.accounts {
		doc := w.account(token)
		for _, c := range doc.Carriers {
			all = append(all, c.Token)
		}
		for _, f := range doc.Former {
			all = append(all, f.Token)
		}
	}
	return all
}

// anyCard draws a carrier; the dead ones of undone times are among them.
func (w *town) anyCard() pan.Token {
	all := w.carriers()
	for token := range w.dead {
		if !slices.Contains(all, token) {
			all = append(all, token)
		}
	}
	slices.SortFunc(all, func(a, b pan.Token) int { return slices.Compare(a[:], b[:]) })
	return all[w.pick(len(all), "card")]
}

// gate draws where a card is presented: at the switch itself or at a gate that is behind.
func (w *town) gate() *engine.Engine {
	if n := w.pick(3, "gate"); n < 2 {
		return w.gates[n]
	}
	return w.engine
}

// tap uses a card on line. Nothing that is dead or closed is ever approved.
func (w *town) tap() {
	token := w.anyCard()
	kind := []txn.Kind{txn.Purchase, txn.BusBoarding, txn.Load, txn.Purchase}[w.pick(4, "kind")]
	r := w.request(kind, token, txn.Minor(1+w.pick(50, "amount")))
	if kind == txn.BusBoarding {
		r.Amount = 0
	}
	if kind == txn.Load {
		r.Amount = 10_000
	}
	a := w.gate().Authorize(w.t.Context(), r)
	if a.Err != nil {
		w.d.Fatalf("%s: %v", kind, a.Err)
	}
	if a.Decision.Outcome != txn.Approved {
		return
	}
	w.mustBeOpen(token, kind)
	if kind == txn.Purchase {
		w.taps = append(w.taps, r)
	}
}

// mustBeOpen fails for an approval that must not be.
func (w *town) mustBeOpen(token pan.Token, kind txn.Kind) {
	app := txn.AppPurse
	switch {
	case w.dead[token]:
		w.d.Fatalf("%s of the dead number %s was approved", kind, token)
	case w.closed[token].Frozen(app):
		w.d.Fatalf("%s of %s was approved, which is closed by %+v", kind, token, w.closed[token])
	case w.risk[token].Frozen(app):
		w.d.Fatalf("%s of %s was approved, which risk control closed", kind, token)
	}
}

// ride lets a gate serve a card off line; the record comes in later, in any order.
func (w *town) ride() {
	w.counter++
	n, at := w.counter, w.now()
	w.late = append(w.late, w.request(txn.BusBoarding, w.anyCard(), 200, func(q *txn.Request) {
		q.FullFare, q.FareGiven, q.Offline, q.OfflineCounter, q.ServiceAt = 200, true, true, n, at
	}))
}

// handIn brings one off-line record in, perhaps twice.
func (w *town) handIn() {
	if len(w.late) == 0 {
		return
	}
	i := w.pick(len(w.late), "record")
	r := w.late[i]
	r.ReceivedAt = w.now()
	w.late = slices.Delete(w.late, i, i+1)
	for range 1 + w.pick(2, "twice") {
		if a := w.gate().Authorize(w.t.Context(), r); a.Err != nil {
			w.d.Fatal(a.Err)
		}
	}
}

// giveBack refunds or reverses a purchase.
func (w *town) giveBack() {
	if len(w.taps) == 0 {
		return
	}
	of := w.taps[w.pick(len(w.taps), "purchase")]
	kind := []txn.Kind{txn.Refund, txn.Reversal}[w.pick(2, "undo")]
	r := w.request(kind, of.Card, of.Amount, func(q *txn.Request) { q.Original = of.ID })
	if a := w.gate().Authorize(w.t.Context(), r); a.Err != nil {
		w.d.Fatal(a.Err)
	}
}

// freezeDirectly is risk control, which knows cards and no accounts.
func (w *town) freezeDirectly() {
	w.freezeNumber(w.anyCard(), txn.Mark{
		Reason: []txn.FreezeReason{txn.Risk, txn.Lost, txn.Replaced, txn.Cancelled}[w.pick(13, "why")/4],
		Scope:  []txn.App{txn.AppAll, txn.AppPurse | txn.AppTransit}[w.pick(2, "scope")]})
}

func (w *town) freezeNumber(token pan.Token, mark txn.Mark) {
	r := w.request(txn.Freeze, token, 0)
	r.Listing = txn.Listing{Mark: mark, Actor: "risk.team"}
	a := w.gate().Authorize(w.t.Context(), r)
	switch {
	case a.Err != nil:
		w.d.Fatal(a.Err)
	case a.Decision.Outcome == txn.Approved && mark.Reason.Terminal():
		w.dead[token] = true
	case a.Decision.Outcome == txn.Approved:
		w.risk[token] = mark
	}
}

// releaseDirectly asks the engine to release a dead number, as an operator or a repeated
// command might: it never may.
func (w *town) releaseDirectly() {
	token := w.anyCard()
	if !w.dead[token] {
		return
	}
	for _, change := range []func(*txn.Request){func(*txn.Request) {},
		func(q *txn.Request) { q.Listing.Mark = txn.Mark{Reason: txn.Risk, Scope: txn.AppPurse} },
		func(q *txn.Request) { q.Listing.From = w.listed(token) }} {
		r := w.request(txn.Release, token, 0, change)
		if a := w.gate().Authorize(w.t.Context(), r); a.Err != nil || a.Decision.Outcome == txn.Approved {
			w.d.Fatalf("the dead number %s was released: %+v", token, a)
		}
	}
}

// crash ends the process and starts it anew on the same store.
func (w *town) crash() {
	w.desk.Close()
	w.start()
	w.openGates()
}

// throwBack makes a gate's replica forget, or name what is not listed.
func (w *town) throwBack() {
	set := w.sets[0]
	for _, token := range w.carriers() {
		switch w.pick(3, "replica") {
		case 0:
			set.Put(token, txn.Mark{})
		case 1:
			set.Put(token, txn.Mark{Reason: txn.Lost, Scope: txn.AppAll})
		}
	}
}

// calm does everything that is due.
func (w *town) calm() {
	w.pass(20 * minute)
	w.settle()
	w.learn()
}

// restore puts an older copy of the store in the place of the current one, as people do, and
// has the desk close again what the ledger says is closed.
func (w *town) restore() {
	if w.backup == nil {
		return
	}
	w.past = w.ledgerRecords()
	ledger := wholeLedger(w.past)
	w.desk.Close()
	w.memory = w.backup.Backup()
	if err := w.memory.OpenEpoch(w.t.Context(), w.now()); err != nil {
		w.t.Fatal(err)
	}
	w.restored = true
	w.start()
	w.openGates()
	w.taps = nil
	if w.pick(2, "faults") == 0 {
		w.faulty()
	}
	_, err := w.desk.Reclose(w.t.Context(), ledger, 0)
	if err != nil { // the start failed, and is tried again
		w.memory.SetFault(nil)
		w.crash()
		if _, err = w.desk.Reclose(w.t.Context(), ledger, 0); err != nil {
			w.d.Fatalf("closing again: %v", err)
		}
	}
	w.memory.SetFault(nil)
	w.fault = false
	w.settle()
}

// wholeLedger is what the warehouse holds: undone times too.
type wholeLedger []txn.Record

func (l wholeLedger) RecordsSince(_ context.Context, _ txn.BusinessDate, yield func(*txn.Record) error) error {
	for i := range l {
		if err := yield(&l[i]); err != nil {
			return err
		}
	}
	return nil
}

// ledgerRecords are the records of undone times and those of the store, each once.
func (w *town) ledgerRecords() []txn.Record {
	seen := map[string]bool{}
	var all []txn.Record
	for _, r := range slices.Concat(w.past, w.records()) {
		key := fmt.Sprint(r.Position, r.Request, r.Kind, r.Card, r.ReceivedAt)
		if !seen[key] {
			seen[key] = true
			all = append(all, r)
		}
	}
	return all
}

// faulty lets calls of the store fail from a random one on, some of them or all.
func (w *town) faulty() {
	at, kind := w.pick(14, "call"), []storetest.Fault{storetest.NotApplied, storetest.AppliedUnreported}[w.pick(2, "fault")]
	dead, calls := w.pick(2, "dies") == 0, 0
	w.fault = true
	w.memory.SetFault(func(storetest.Op) storetest.Fault {
		calls++
		if calls-1 == at || dead && calls-1 > at {
			return kind
		}
		return storetest.NoFault
	})
}

// order gives the desk a command, sometimes with a store that fails, and after a failure asks
// again with the same id or does not.
func (w *town) order() {
	token := w.accounts[w.pick(len(w.accounts), "account")]
	step := w.step(token)
	cmd := w.command([]string{"li.lei", "han.mei", "lily"}[w.pick(3, "clerk")], step)
	if w.pick(4, "faults") == 0 {
		w.faulty()
	}
	a, err := w.desk.Do(w.t.Context(), token, cmd)
	w.memory.SetFault(nil)
	w.d.Logf("%s of %s: %s, left %d, %v", step.Name(), token, a.Outcome.Refusal, a.Left, err)
	if n := added(step); n != nil && w.account(token).Carrier(n.Token) != nil && w.pick(3, "dies") == 0 {
		w.freezeNumber(n.Token, txn.Mark{Scope: txn.AppAll, // before its card is made, perhaps
			Reason: []txn.FreezeReason{txn.Replaced, txn.Cancelled}[w.pick(2, "how")]})
	}
	if w.fault && w.pick(2, "crash") == 0 {
		w.crash()
	}
	w.fault = false
	if err != nil {
		if !errors.Is(err, ErrStore) {
			w.d.Fatalf("%s: %v", step.Name(), err)
		}
		w.doubt(token)
		if w.pick(2, "again") == 0 {
			return
		}
		if a, err = w.desk.Do(w.t.Context(), token, cmd); err != nil {
			w.d.Fatalf("%s, asked again: %v", step.Name(), err)
		}
	}
	if a.Outcome.Refusal != account.RefusalNone {
		return
	}
	if _, lifted := step.(account.LiftRisk); lifted {
		for _, c := range w.account(token).Carriers {
			delete(w.risk, c.Token)
		}
	}
	w.promised(token)
}

// promised notes what holds from the return of an accepted call on.
func (w *town) promised(token pan.Token) {
	doc := w.account(token)
	for _, f := range doc.Former {
		w.dead[f.Token] = true
	}
	for _, c := range doc.Carriers {
		w.closed[c.Token] = doc.MarkOf(c.Token)
	}
}

// doubt forgets what a call without an answer may have opened.
func (w *town) doubt(token pan.Token) {
	doc := w.account(token)
	for _, c := range doc.Carriers {
		m := doc.MarkOf(c.Token)
		if w.closed[c.Token].Scope&^m.Scope != 0 {
			w.closed[c.Token] = m
		}
		if doc.Mark().Reason != txn.Risk && !slices.ContainsFunc(doc.Restrictions,
			func(r account.Restriction) bool { return r.Reason == txn.Risk }) {
			delete(w.risk, c.Token) // a lift may have been done
		}
	}
}

// learn takes over what the documents say when everything due is done.
func (w *town) learn() {
	for _, token := range w.accounts {
		w.promised(token)
	}
}

// step draws a command. Those of loss and replacement come most often.
func (w *town) step(token pan.Token) account.Step {
	doc := w.account(token)
	card := func() pan.Token {
		if len(doc.Carriers) == 0 {
			return cardToken(9)
		}
		return doc.Carriers[w.pick(len(doc.Carriers), "carrier")].Token
	}
	var no uint32
	if len(doc.Cases) > 0 {
		no = doc.Cases[w.pick(len(doc.Cases), "case")].No
	}
	phone := account.Who{Actor: account.Holder, Channel: account.ByPhone}
	paper := account.Paper{No: "L-1", Facts: "f", Reasons: "r", Remedies: "s"}
	switch w.pick(26, "step") {
	case 0, 1, 2, 3:
		return lossReport
	case 4:
		return account.PreReport{Who: phone, Why: "abroad"}
	case 5, 6:
		return account.RequestRelease{Who: atDesk}
	case 7, 8, 9:
		return account.ConfirmRelease{Case: no}
	case 10, 11, 12:
		return account.ApplyReplacement{Who: atDesk, Old: card(), Accept: true}
	case 13, 14, 15:
		return account.MakeCard{Case: no, Carrier: account.NewCarrier{Token: w.newToken(),
			Last4: pan.Last4{'1', '2', '3', '4'}, Kind: account.Chip, Family: "t_union", Ready: w.pick(2, "ready") == 0}}
	case 16:
		return account.IssueCard{Case: no}
	case 17:
		return account.ApplyRenewal{Who: atDesk, Old: card(), Ground: account.Damaged, Accept: true}
	case 18:
		return account.RefuseCase{Case: no, Paper: paper}
	case 19:
		return account.BindCarrier{Who: atDesk, Carrier: account.NewCarrier{Token: w.newToken(),
			Kind: account.ECard, Family: "e_card", Ready: true}}
	case 20:
		return account.UnbindCarrier{Who: atDesk, Token: card()}
	case 21:
		return account.FreezeRisk{Scope: txn.AppPurse, Ground: "cloned"}
	case 22:
		return account.LiftRisk{Why: "checked"}
	case 23:
		return account.Suspend{App: txn.AppSocial, Decision: "D-1", Fault: account.Lent}
	case 24:
		return account.RequestCancellation{Who: atDesk}
	default:
		return account.CompleteCancellation{Case: no, Outlet: "d1"}
	}
}

// check proves what holds at every moment.
func (w *town) check() {
	for token := range w.dead {
		if got := w.listed(token); !got.Reason.Terminal() {
			w.d.Fatalf("the dead number %s bears %+v", token, got)
		}
	}
	for _, marks := range []map[pan.Token]txn.Mark{w.closed, w.risk} {
		for token, mark := range marks {
			if got := w.listed(token); got.Scope&mark.Scope != mark.Scope {
				w.d.Fatalf("%s is closed by %+v and bears %+v", token, mark, got)
			}
		}
	}
}

// end brings everything in, does what is due, and proves that documents, list and books agree.
func (w *town) end() {
	for len(w.late) > 0 {
		w.handIn()
	}
	for range 3 {
		w.calm()
	}
	w.check()
	w.agree()
	w.books()
	w.judged()
	for token := range w.dead {
		a := w.gate().Authorize(w.t.Context(), w.request(txn.Purchase, token, 1))
		if a.Err != nil || a.Decision.Outcome == txn.Approved {
			w.d.Fatalf("in the end the dead number %s: %+v", token, a)
		}
	}
}

// agree: with everything done the list says what the documents say; what somebody else closed
// since is taken in first.
func (w *town) agree() {
	for _, token := range w.accounts {
		for range 2 {
			if _, err := w.desk.Reconcile(w.t.Context(), token); err != nil {
				w.d.Fatal(err)
			}
		}
		doc := w.account(token)
		if len(doc.ToDo) != 0 {
			w.d.Fatalf("left to do: %+v", doc.ToDo)
		}
		for _, c := range doc.Carriers {
			if got, want := w.listed(c.Token), doc.MarkOf(c.Token); got != want {
				w.d.Fatalf("%s bears %+v, the document says %+v", c.Token, got, want)
			}
		}
		for _, f := range doc.Former {
			if got := w.listed(f.Token); !got.Reason.Terminal() {
				w.d.Fatalf("%s died and bears %+v", f.Token, got)
			}
		}
	}
}

// books: nothing is made or lost, and nothing is on its way for ever.
func (w *town) books() {
	sums, balances := map[txn.Account]txn.Minor{}, txn.Minor(0)
	for _, r := range w.records() {
		for _, p := range r.Postings {
			sums[p.Account] += p.Amount
		}
	}
	for _, token := range w.carriers() {
		balances += w.card(token).Balance
	}
	var all txn.Minor
	for _, sum := range sums {
		all += sum
	}
	if all != 0 || sums[engine.AccountTransfer] != 0 || balances != sums[engine.AccountPurse] {
		w.d.Fatalf("the books sum to %d, %d is on its way, cards hold %d and are owed %d", all,
			sums[engine.AccountTransfer], balances, sums[engine.AccountPurse])
	}
	for _, token := range w.accounts {
		for _, f := range w.account(token).Former {
			if s := w.card(f.Token); s.Status != card.StatusNone && !f.Successor.IsZero() && s.Balance > 0 {
				w.d.Fatalf("%s holds %d that is its successor's", f.Token, s.Balance)
			}
		}
	}
}

// judged: each record of a lost card is booked to whom its verdict names, once, and judging
// again books nothing.
func (w *town) judged() {
	for range 2 {
		if _, err := w.desk.JudgeAll(w.t.Context()); err != nil {
			w.d.Fatal(err)
		}
	}
	if n, err := w.desk.JudgeAll(w.t.Context()); n != 0 || err != nil {
		w.d.Fatalf("judged again: %d entries, %v", n, err)
	}
	losses, err := w.desk.Losses(w.t.Context(), pan.Token{})
	if err != nil {
		w.d.Fatal(err)
	}
	seen := map[store.Cursor]uint32{}
	for _, l := range losses {
		all, err := w.desk.Judgement(w.t.Context(), l)
		if err != nil {
			w.d.Fatal(err)
		}
		for i := range all {
			w.judgedOnce(&all[i], l, seen)
		}
	}
}

func (w *town) judgedOnce(v *Verdict, l *Loss, seen map[store.Cursor]uint32) {
	want := map[txn.Account]txn.Minor{}
	if to := v.Verdict.Account(); to != "" && v.Amount > 0 {
		want[to] = v.Amount
	}
	if fmt.Sprint(v.Booked) != fmt.Sprint(want) {
		w.d.Fatalf("%s of case %d is booked %v, its verdict says %v", v.Record.Request, l.Case, v.Booked, want)
	}
	at := store.Cursor{Hi: uint64(v.Record.Position.Bucket)<<32 | uint64(v.Record.Position.Epoch),
		Lo: uint64(v.Record.Position.Seq)}
	if other, twice := seen[at]; twice && other != l.Case {
		w.d.Fatalf("%s is judged by cases %d and %d", v.Record.Request, other, l.Case)
	}
	seen[at] = l.Case
}
