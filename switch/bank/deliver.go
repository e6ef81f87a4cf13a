package bank

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/guise"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/tally"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Telling: reversals and advices go to their bank until it answers. The due queue knows what
// is to be told, whatever happens to the process; the teller only does it. Banks are told
// side by side, and each by several tellers at once; the transactions of one card go one
// after the other.

// tellerQueueMax bounds what waits in memory. More stays in the due queue and comes again.
const tellerQueueMax = 65_536

// errand is a transaction that its bank must hear of.
type errand struct {
	card pan.Token
	id   txn.RequestID
}

// teller tells the banks.
type teller struct {
	sw     *Switch
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	queued map[errand]bool // true: it is being told
	cards  map[pan.Token]int
	queue  []errand
	// held are the errands that a bank has not heard of yet: the backlog of its link.
	held map[errand]holding
	// behind are the errands of each card whose bank is to hear of another one before.
	behind  map[pan.Token][]errand
	swept   txn.Millis
	changed chan struct{}
	closed  bool
}

// holding is an errand in the backlog of a link since it was last looked at.
type holding struct {
	link *outlet
	seen txn.Millis
	back bool // it is a reversal
}

func newTeller(s *Switch) *teller {
	t := &teller{sw: s, queued: map[errand]bool{}, cards: map[pan.Token]int{},
		held: map[errand]holding{}, behind: map[pan.Token][]errand{}, changed: make(chan struct{}, 1)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// start begins to tell. There are as many tellers as all links together may have.
func (t *teller) start() {
	n := 0
	for _, l := range t.sw.links {
		n += l.cfg.Tellers
	}
	for range n {
		t.work.Go(t.run)
	}
}

func (t *teller) stop(ctx context.Context) {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		t.work.Wait()
		close(done)
	}()
	t.wake()
	select {
	case <-done:
	case <-time.After(stopGrace):
	case <-ctx.Done():
	}
	t.cancel()
	<-done
}

// stopGrace is how long what is being told may take when the switch stops.
const stopGrace = 2 * time.Second

// wake has an idle teller look at the queue.
func (t *teller) wake() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// take takes errands out of the due queue.
func (t *teller) take(due []engine.BankDue) {
	t.sweep()
	for _, d := range due {
		t.add(errand{d.Card, d.ID})
	}
}

// soon has a transaction told without waiting for the due queue.
func (t *teller) soon(card pan.Token, b *card.BankTxn) {
	e := errand{card, b.ID}
	t.hold(e, t.sw.links[b.Link], b)
	t.add(e)
}

// hold counts an errand to the backlog of its link until release.
func (t *teller) hold(e errand, l *outlet, b *card.BankTxn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.releaseLocked(e)
	if l == nil {
		return
	}
	t.held[e] = holding{l, t.sw.o.Now(), b.Phase == card.Reversing}
	l.waiting.Add(1)
}

// open returns what a link's bank has not heard of.
func (t *teller) open(l *outlet) tally.Open {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := tally.Open{}
	for e, h := range t.held {
		if h.link == l {
			all[e.id] = h.back
		}
	}
	return all
}

// release takes an errand out of the backlog: the bank has heard of it, or need not. What
// has waited for that is told next.
func (t *teller) release(e errand) {
	t.mu.Lock()
	behind := t.behind[e.card]
	delete(t.behind, e.card)
	t.releaseLocked(e)
	t.mu.Unlock()
	for _, next := range behind {
		t.add(next)
	}
}

// follow has an errand told when another one of its card is done. The due queue has it as
// well, should that be done by another process.
func (t *teller) follow(e errand) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if behind := t.behind[e.card]; !slices.Contains(behind, e) {
		t.behind[e.card] = append(behind, e)
	}
}

func (t *teller) releaseLocked(e errand) {
	if h, ok := t.held[e]; ok {
		delete(t.held, e)
		h.link.waiting.Add(-1)
	}
}

// sweep forgets what has not come back out of the due queue: another process has told it.
func (t *teller) sweep() {
	now, keep := t.sw.o.Now(), txn.Millis(4*t.sw.o.Config.ReversalMax/time.Millisecond)
	t.mu.Lock()
	defer t.mu.Unlock()
	if now-t.swept < keep/4 {
		return
	}
	t.swept = now
	clear(t.behind) // the due queue brings them
	for e, h := range t.held {
		if _, queued := t.queued[e]; !queued && now-h.seen > keep {
			t.releaseLocked(e)
		}
	}
}

func (t *teller) add(e errand) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.queued[e]; known || t.closed || len(t.queue) >= tellerQueueMax {
		return
	}
	t.queued[e] = false
	t.queue = append(t.queue, e)
	t.wake()
}

// next takes the first errand of a card that nobody is telling of; false when there is none.
func (t *teller) next() (e errand, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, e := range t.queue {
		if t.cards[e.card] > 0 {
			continue
		}
		t.queue = append(t.queue[:i], t.queue[i+1:]...)
		t.queued[e] = true
		t.cards[e.card]++
		if len(t.queue) > 0 {
			t.wake()
		}
		return e, true
	}
	return e, false
}

func (t *teller) done(e errand) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.queued, e)
	if t.cards[e.card]--; t.cards[e.card] == 0 {
		delete(t.cards, e.card)
	}
	if len(t.queue) > 0 {
		t.wake()
	}
}

func (t *teller) stopped() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

func (t *teller) run() {
	for {
		e, ok := t.next()
		if t.stopped() {
			t.wake() // the others too
			return
		}
		if !ok {
			select {
			case <-t.changed:
			case <-t.ctx.Done():
				return
			}
			continue
		}
		if e.id.Counter&counterNotice != 0 {
			t.tellNotice(e)
		} else {
			t.tell(e)
		}
		t.done(e)
	}
}

// tell does one errand: it claims the transaction by moving its due time on, sends, and
// commits what the bank said.
func (t *teller) tell(e errand) {
	s := t.sw
	a := s.step(t.ctx, s.errandRequest(e, txn.BankWork{Step: txn.BankAgain, Due: s.laterBy(0)}))
	if a.Err == nil && a.Bank != nil && a.Bank.Phase == card.Pending {
		a = t.expire(e, a)
	}
	switch {
	case a.Err != nil:
		s.fault("telling", a.Err)
		return
	case a.Bank == nil || !a.Bank.Phase.Telling():
		t.release(e)
		return // done by another, or nothing to tell
	case a.BankAhead:
		t.hold(e, s.links[a.Bank.Link], a.Bank)
		t.follow(e)
		return
	}
	l := s.links[a.Bank.Link]
	if l == nil {
		s.log.Error("the link of a bank transaction is not configured any more", "link", a.Bank.Link,
			"request", a.Bank.ID.String())
		return
	}
	t.hold(e, l, a.Bank)
	if !l.link.IsUp() {
		s.stats.Waiting.Add(1)
		return // due again later
	}
	o, err := s.unseal(Transaction{e.card, *a.Bank})
	if err != nil {
		s.fault("telling "+a.Bank.ID.String(), err)
		if s.keepDead(t.ctx, e, a.Bank, pan.Last4{}, [2]byte{}) == nil {
			t.commit(e, nil, txn.BankWork{Step: txn.BankGiveUp})
		}
		return
	}
	t.send(e, l, o, a)
}

// expire has a pending transaction reversed that nobody has concluded: the process that
// asked the bank is gone, or could not commit. One that is worked on here is left alone.
func (t *teller) expire(e errand, a engine.Answer) engine.Answer {
	s := t.sw
	if s.flights.Busy(e.id) || a.Bank.Due > s.o.Now() {
		return engine.Answer{}
	}
	s.stats.Expired.Add(1)
	o, _ := s.unseal(Transaction{e.card, *a.Bank})
	r := s.errandRequest(e, txn.BankWork{Step: txn.BankDoubt, Due: s.o.Now()})
	if o != nil {
		r.Place, r.STAN = o.place, o.sum.STAN
	}
	a = s.step(t.ctx, r)
	if a.Err == nil {
		s.o.Failpoint(failDoubted)
		a = s.step(t.ctx, s.errandRequest(e, txn.BankWork{Step: txn.BankAgain, Due: s.laterBy(0)}))
	}
	return a
}

// laterBy is when a bank is told again after it was told tries times.
func (s *Switch) laterBy(tries uint16) txn.Millis {
	pause := s.o.Config.ReversalAfter << min(tries, 16)
	if pause > s.o.Config.ReversalMax || pause <= 0 {
		pause = s.o.Config.ReversalMax
	}
	return s.o.Now() + txn.Millis(pause/time.Millisecond)
}

func (s *Switch) errandRequest(e errand, w txn.BankWork) *txn.Request {
	now := s.o.Now()
	return &txn.Request{ID: e.id, Kind: txn.BankPurchase, Card: e.card, Currency: s.currency,
		ServiceAt: now, ReceivedAt: now, Bank: &w}
}

// send tells the bank once and commits what it said.
func (t *teller) send(e errand, l *outlet, o *order, a engine.Answer) {
	s, b := t.sw, a.Bank
	msg := telling{mti: message.ReversalAdvice, rrn: b.RRN, auth: b.Auth, original: b}
	if b.Phase == card.Advising {
		msg.mti, msg.original = guise.AdviceType(b), a.BankOriginal
		if msg.original != nil {
			msg.auth = txn.AuthCode{} // that of the original
		}
	} else if b.Kind == txn.BankLoad && !o.unloadPurse(t.ctx) {
		return
	}
	if b.Phase == card.Reversing && b.STAN == 0 {
		t.commit(e, o, txn.BankWork{Step: txn.BankDone}) // the bank has never heard of it
		return
	}
	// A repeat is the first message with another type: the bank knows it by trace number and
	// time.
	repeat := guise.Known(b)
	if !repeat && !t.number(e, l, b) {
		return
	}
	msg.stan, msg.sent = b.STAN, b.Sent
	if b.Phase == card.Reversing && !l.pos {
		msg.stan, msg.sent = b.ToldSTAN, b.ToldSent
	}
	if l.pos {
		msg.mti = guise.TypeOf(msg.mti)
	}
	if repeat {
		msg.mti = msg.mti.Repeat()
	}
	frame, key, err := l.write(o, &msg)
	if err != nil {
		s.fault("telling "+b.ID.String(), err)
		return
	}
	s.stats.Told.Add(1)
	reply, sent, err := l.exchange(t.ctx, frame, key, repeat)
	if sent != link.Answered {
		s.log.Warn("bank not told", "link", l.name, "request", b.ID.String(), "tries", b.Tries,
			"outcome", sent.String(), "error", err)
		t.postpone(e, b)
		return
	}
	said := l.read(reply)
	l.views.Put(reply)
	s.o.Failpoint(failTold)
	t.told(e, o, b, said)
}

// number gives the message the trace number that all its repeats have, durably before it is
// sent.
func (t *teller) number(e errand, l *outlet, b *card.BankTxn) bool {
	stan, err := l.link.Number(t.ctx)
	if err != nil {
		t.sw.fault("trace number", err)
		return false
	}
	a := t.sw.step(t.ctx, t.sw.errandRequest(e, txn.BankWork{Step: txn.BankAgain, Link: l.name,
		STAN: stan, Sent: sentAt(t.sw.o.Now()), Due: t.sw.laterBy(b.Tries)}))
	if a.Err != nil || a.Bank == nil || a.Bank.Phase != b.Phase || a.BankAhead {
		return false
	}
	*b = *a.Bank
	return true
}

// postpone moves the next try away, further each time.
func (t *teller) postpone(e errand, b *card.BankTxn) {
	if b.Tries <= 1 {
		return // due again after the first pause
	}
	a := t.sw.step(t.ctx, t.sw.errandRequest(e, txn.BankWork{Step: txn.BankAgain,
		Due: t.sw.laterBy(b.Tries)}))
	if a.Err != nil {
		t.sw.fault("telling", a.Err)
	}
}

// told commits what the bank said to a reversal or an advice.
func (t *teller) told(e errand, o *order, b *card.BankTxn, said said) {
	code := string(said.code[:])
	approved := message.MeaningOf(code).Approved
	w := txn.BankWork{Code: said.code, Auth: said.auth, RRN: said.rrn}
	switch {
	case b.Phase == card.Reversing && (approved || code == codeUnknown):
		w.Step = txn.BankDone // what the bank never saw needs no undoing
	case approved:
		w.Step = txn.BankApprove
	case guise.NotNow(code):
		t.postpone(e, b)
		return
	case b.Phase == card.Reversing:
		w.Step = txn.BankGiveUp
	default:
		w.Step = txn.BankDecline
	}
	if w.Step == txn.BankGiveUp || w.Step == txn.BankDecline {
		t.sw.stats.Dead.Add(1)
		if err := t.sw.keepDead(t.ctx, e, b, o.number.Last4(), said.code); err != nil {
			t.sw.fault("dead letter", err)
			return // told again later
		}
		t.sw.log.Error("bank refuses what it was told: see tapswitch bank dead", "link", b.Link,
			"request", b.ID.String(), "phase", b.Phase.String(), "code", code)
	}
	if w.Step == txn.BankDone && approved && tally.Doubted(b) {
		if err := t.sw.recons.Undid(t.ctx, tally.BankParty(b.Link), b); err != nil {
			t.sw.fault("telling", err)
			return // told again later
		}
	}
	t.commit(e, o, w)
	t.sw.o.Failpoint(failDone)
}

func (t *teller) commit(e errand, o *order, w txn.BankWork) {
	r := t.sw.errandRequest(e, w)
	if o != nil {
		r.Place, r.STAN = o.place, o.sum.STAN
	}
	a := t.sw.step(t.ctx, r)
	if a.Err != nil {
		t.sw.fault("telling", a.Err) // it stays due, and the bank knows a repeat
	} else if a.Bank == nil || !a.Bank.Phase.Open() {
		t.release(e)
	}
}
