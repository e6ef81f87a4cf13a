package book

import (
	"context"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// Answer is what became of a frame: a fate for each record in order, and the gate's state.
type Answer struct {
	Fates []upload.Fate
	Gate  upload.Gate
	Batch upload.Batch
}

// item is one record on its way.
type item struct {
	record frame.Record
	token  pan.Token
	last4  pan.Last4
	at     txn.Millis
	digest upload.Digest
	page   int32         // index into work.pages, -1 without
	fate   upload.Fate   // Taken: to be booked
	prior  upload.Fate   // what the page said before
	retry  bool          // the page said Taken: a step of before may have been done
	proves bool          // it proves the torn record that was held under its number
	torn   upload.Digest // of the held record that it takes the place of
	seen   bool          // its card's line counts it as booked
	sure   bool          // the time is known
}

// page is a page of one security module that a frame touches.
type page struct {
	psam   [6]byte
	number uint32
	mine   [upload.PageSize]bool // met in this frame
	upload.Page
}

// work is the memory of one frame; it is used again for another one.
type work struct {
	s         *Service
	terminal  txn.TerminalID
	source    Source
	now       txn.Millis
	clock     upload.Clock
	device    string     // the terminal's name
	whiteFrom txn.Millis // from when on the white list of modules binds; 0 for never

	items    []item
	pages    []page
	modules  []module
	purses   []purse.Record
	verdicts []purse.Verdict
	checked  []int32 // the items that purses stand for
	order    []int32 // the items to be booked, by card and counter
	ranks    []rank
	requests []txn.Request // of one call of the engine
	list     []*txn.Request
	listed   []int32
	parts    []part
	resolved []resolution
	names    lately
}

// module is a security module of the frame with its line of numbers.
type module struct {
	psam    [6]byte
	version uint64
	white   upload.White // where the white list binds
	upload.Sequence
}

// part is what one worker finds out about cards.
type part struct {
	lines []upload.Line
	solve []resolution
	err   error
}

// resolution is a torn record about which a later one told.
type resolution struct {
	id   string
	fate upload.Fate
}

// Take takes a frame in that device sent. It returns when every fate is durable; a record
// that is only Taken could not be booked now and is to be sent again.
func (s *Service) Take(ctx context.Context, device txn.TerminalID, f *frame.Frame) (*Answer, error) {
	if f.Terminal != device.String() {
		return nil, fmt.Errorf("%w: %s", ErrTerminal, device)
	}
	source, err := s.o.Source(ctx, device)
	if err != nil {
		return nil, err
	}
	w := s.works.Get().(*work)
	w.begin(s, device, source, f)
	w.read()
	unlock := s.lock(device)
	answer, err := w.take(ctx, f)
	solved := slices.Clone(w.resolved)
	unlock()
	w.end()
	s.works.Put(w)
	if err != nil {
		return nil, err
	}
	for _, r := range solved {
		d := Decision{ID: r.id, Accept: r.fate.State == upload.Accepted, Actor: itself,
			Note: "the card's next record", Reason: r.fate.Reason}
		if err := s.Decide(ctx, d); err != nil {
			s.o.Log.Warn("a torn record was not resolved", "record", r.id, "error", err)
		}
	}
	return answer, nil
}

// itself is the switch as the actor of a decision.
const itself = "tapswitch"

func (w *work) begin(s *Service, id txn.TerminalID, source Source, f *frame.Frame) {
	w.s, w.terminal, w.source, w.now, w.device = s, id, source, s.o.Now(), f.Terminal
	w.clock = upload.Clock{Zone: s.o.Zone, Ahead: txn.Millis(f.SentAt) - w.now}
	n := f.Len()
	w.items = slices.Grow(w.items[:0], n)[:n]
	w.requests = slices.Grow(w.requests[:0], min(n, bookMax))[:min(n, bookMax)]
	w.purses = slices.Grow(w.purses[:0], n)
	w.verdicts = slices.Grow(w.verdicts[:0], n)
	for i := range n {
		w.items[i] = item{record: f.Record(i), page: -1}
	}
}

// end lets go of what is not the work's own.
func (w *work) end() {
	clear(w.items)
	clear(w.purses[:cap(w.purses)])
	clear(w.requests)
	clear(w.list)
	clear(w.parts)
	*w = work{items: w.items[:0], pages: w.pages[:0], modules: w.modules[:0], purses: w.purses[:0],
		verdicts: w.verdicts[:0], checked: w.checked[:0], order: w.order[:0], ranks: w.ranks[:0],
		requests: w.requests[:0], list: w.list[:0], listed: w.listed[:0], parts: w.parts[:0],
		resolved: w.resolved[:0]}
}

// take does the three steps.
func (w *work) take(ctx context.Context, f *frame.Frame) (*Answer, error) {
	gate, version, err := w.s.readGate(ctx, w.terminal)
	if err != nil {
		return nil, err
	}
	if w.whiteFrom, err = w.s.WhiteFrom(ctx); err != nil {
		return nil, err
	}
	back := gate.Frame(&f.Header, f.Len(), w.now)
	if err := w.claim(ctx); err != nil {
		return nil, err
	}
	w.judge(back)
	w.verify()
	if err := w.chain(ctx); err != nil {
		return nil, err
	}
	if err := w.commitTaken(ctx); err != nil {
		return nil, err
	}
	w.book(ctx)
	for i := range w.items {
		it := &w.items[i]
		if it.page < 0 && it.fate.State == upload.Rejected {
			continue // its number cannot be read, so it cannot be told from a repeat
		}
		if it.fate.State == upload.Duplicate {
			gate.Repeats++
		} else {
			gate.Count(it.prior, it.fate, txn.Minor(it.record.Amount()))
		}
	}
	if err := w.commitFates(ctx, gate, version); err != nil {
		return nil, err
	}
	a := &Answer{Fates: make([]upload.Fate, len(w.items)), Gate: *gate}
	for i := range w.items {
		a.Fates[i] = w.items[i].fate
	}
	for _, b := range gate.Batches {
		if b.Boot == f.Boot && b.Number == f.Batch {
			a.Batch = b
		}
	}
	return a, nil
}

// read does for each record what needs nothing but the record.
func (w *work) read() {
	w.s.split(len(w.items), 512, func(from, to int) {
		for i := from; i < to; i++ {
			it := &w.items[i]
			it.digest = upload.DigestOf(it.record)
			if err := it.record.Check(); err != nil {
				it.fate = upload.Fate{State: upload.Rejected, Reason: upload.Malformed}
				continue
			}
			number, err := it.record.Number()
			if err != nil {
				it.fate = upload.Fate{State: upload.Rejected, Reason: upload.Malformed}
				continue
			}
			it.token, it.last4 = w.s.o.Tokenizer.Token(number), number.Last4()
			it.at, it.sure = w.clock.At(it.record)
		}
	})
}

// claim looks every number up on its page: what is known already is answered, what is new is
// Taken.
func (w *work) claim(ctx context.Context) error {
	for i := range w.items {
		it := &w.items[i]
		if it.fate.State == upload.Rejected {
			continue // malformed: not even its number is believed
		}
		at, err := w.pageOf(ctx, it)
		if err != nil {
			return err
		}
		seq := it.record.TermSeq()
		was := w.pages[at].At(seq)
		it.page, it.prior = int32(at), was.Fate
		fate, fresh := w.pages[at].Claim(seq, it.digest)
		again := w.pages[at].mine[seq%upload.PageSize]
		w.pages[at].mine[seq%upload.PageSize] = true
		switch {
		case fresh && again:
			it.fate = upload.Fate{State: upload.Duplicate}
		case fresh:
			it.fate, it.retry = fate, was.State == upload.Taken
			if it.retry && was.Reason != upload.NoReason { // it was held before it was taken
				it.prior.State = upload.Held
			}
		case fate.State == upload.Duplicate && was.Reason == upload.KeyUnknown && w.s.o.Verifier != nil:
			it.fate, it.torn = upload.Fate{State: upload.Taken}, it.digest // asked once more
			w.pages[at].Set(seq, upload.Entry{Digest: it.digest,
				Fate: upload.Fate{State: upload.Taken, Reason: upload.KeyUnknown}})
		case was.Reason == upload.Torn && it.record.Flags()&frame.Proved != 0:
			if err := w.prove(ctx, it, was); err != nil {
				return err
			}
		case fate.Reason == upload.Dispute && was.State == upload.Accepted &&
			was.Digest == upload.TornDigest(it.record):
			it.fate = upload.Fate{State: upload.Duplicate} // the card's next record had told
		case fate.Reason == upload.Dispute:
			err := w.dispute(ctx, it)
			if err != nil {
				return err
			}
		default:
			it.fate = fate
		}
	}
	return nil
}

// dispute holds a record whose number another one has. One that is held or was decided
// already is a repeat.
func (w *work) dispute(ctx context.Context, it *item) error {
	it.prior, it.page = upload.Fate{}, -1
	it.fate = upload.Fate{State: upload.Held, Reason: upload.Dispute}
	known, err := w.s.knownDispute(ctx, heldID(it.record.PSAM(), it.record.TermSeq(), it.digest))
	if known {
		it.fate = upload.Fate{State: upload.Duplicate, Reason: upload.Dispute}
	}
	return err
}

// prove compares a proved record with the torn one that is held under its number.
func (w *work) prove(ctx context.Context, it *item, was upload.Entry) error {
	id := heldID(it.record.PSAM(), it.record.TermSeq(), was.Digest)
	_, torn, _, err := w.s.readHeld(ctx, id)
	if err != nil || !sameTap(torn, it.record) {
		if err == nil {
			err = w.dispute(ctx, it)
		}
		return err
	}
	it.fate, it.proves, it.torn = upload.Fate{State: upload.Taken}, true, was.Digest
	w.pages[it.page].Set(it.record.TermSeq(), upload.Entry{Digest: it.digest,
		Fate: upload.Fate{State: upload.Taken, Reason: upload.Torn}})
	return nil
}

// sameTap reports whether two records are of one transaction: all but TAC, key and flags.
func sameTap(a, b frame.Record) bool {
	return a[0] == b[0] && string(a[1:14]) == string(b[1:14]) && string(a[24:55]) == string(b[24:55])
}

// pageOf returns the index of the page that has a record's number, reading it once.
func (w *work) pageOf(ctx context.Context, it *item) (int, error) {
	psam, number := it.record.PSAM(), upload.PageOf(it.record.TermSeq())
	for i := len(w.pages) - 1; i >= 0; i-- {
		if p := &w.pages[i]; p.number == number && p.psam == psam {
			return i, nil
		}
	}
	if len(w.pages) == PagesMax {
		return 0, ErrScattered
	}
	if err := w.moduleOf(ctx, psam); err != nil {
		return 0, err
	}
	n := len(w.pages)
	w.pages = slices.Grow(w.pages, 1)[:n+1]
	w.pages[n].psam, w.pages[n].number = psam, number
	clear(w.pages[n].mine[:])
	l, err := w.s.o.Cards.Load(ctx, w.s.pageToken(psam, number), nil)
	if err == nil {
		err = w.pages[n].Read(l.State, l.Version)
	}
	if err != nil {
		return 0, fmt.Errorf("page %d of a security module: %w", number, err)
	}
	return n, nil
}

func (s *Service) pageToken(psam [6]byte, number uint32) pan.Token {
	return s.o.Tokenizer.Derive("uploads/page", fmt.Sprintf("%x/%d", psam, number))
}

// judge does what needs no key and no card: kinds, clocks, torn records, sequences.
func (w *work) judge(back bool) {
	for i := range w.items {
		it := &w.items[i]
		if it.fate.State != upload.Taken {
			continue
		}
		fate, at := w.form(it), txn.Millis(0)
		if it.sure {
			at = min(it.at, w.now)
		}
		// A record that was taken before may stand in its module's line or not.
		m := w.module(it.record.PSAM())
		place := m.See(it.record.TermSeq(), at)
		switch {
		case fate.State != upload.Taken || it.retry:
		case place == upload.Rolled:
			fate = upload.Fate{State: upload.Held, Reason: upload.RolledBack}
		case back:
			fate = upload.Fate{State: upload.Held, Reason: upload.TotalsBack}
		case w.whiteFrom != 0 && it.at >= w.whiteFrom && !m.white.Lists(w.device, it.at):
			fate = upload.Fate{State: upload.Held, Reason: upload.NotListed}
		}
		it.fate = fate
	}
}

// form judges a record by itself.
func (w *work) form(it *item) upload.Fate {
	r, o := it.record, &w.s.o
	rejected := func(why upload.Reason) upload.Fate { return upload.Fate{State: upload.Rejected, Reason: why} }
	held := func(why upload.Reason) upload.Fate { return upload.Fate{State: upload.Held, Reason: why} }
	switch {
	case r.Verdict() != 0:
		return rejected(upload.GateDeclined)
	case !slices.Contains(w.source.Kinds, kindOf(r)):
		return rejected(upload.NotPermitted)
	case !it.sure:
		return held(upload.ClockOff)
	case it.at > w.now+o.FutureMax:
		return held(upload.InFuture)
	case it.at < w.now-o.AgeMax:
		return rejected(upload.TooOld)
	case r.Flags()&frame.Grey != 0:
		return held(upload.Torn)
	default:
		return upload.Fate{State: upload.Taken}
	}
}

func kindOf(r frame.Record) txn.Kind {
	switch r.Kind() {
	case frame.Bus:
		return txn.BusBoarding
	case frame.Entry:
		return txn.MetroEntry
	case frame.Exit:
		return txn.MetroExit
	default:
		return txn.Purchase
	}
}

// verify asks for the TACs of what is to be booked.
func (w *work) verify() {
	if w.s.o.Verifier == nil {
		return
	}
	w.checked, w.purses = w.checked[:0], w.purses[:0]
	for i := range w.items {
		if it := &w.items[i]; it.fate.State == upload.Taken {
			w.checked = append(w.checked, int32(i))
			w.purses = append(w.purses, purseRecord(it.record))
		}
	}
	w.verdicts = w.verdicts[:len(w.purses)]
	if _, err := w.s.o.Verifier.VerifyAll(w.purses, w.verdicts); err != nil {
		panic("book: internal error: " + err.Error()) // a frame is shorter than a batch may be
	}
	for k, i := range w.checked {
		w.items[i].fate = tacFate(w.verdicts[k])
	}
}

func tacFate(v purse.Verdict) upload.Fate {
	switch v {
	case purse.Good:
		return upload.Fate{State: upload.Taken}
	case purse.WrongTAC:
		return upload.Fate{State: upload.Rejected, Reason: upload.TACWrong}
	case purse.Malformed:
		return upload.Fate{State: upload.Rejected, Reason: upload.Malformed}
	default:
		return upload.Fate{State: upload.Held, Reason: upload.KeyUnknown}
	}
}

func purseRecord(r frame.Record) purse.Record {
	return purse.Record{
		Card:       purse.Card{Issuer: r.Issuer(), Region: r.Region(), Serial: r.Serial()},
		KeyVersion: r.KeyVersion(), KeyIndex: r.KeyIndex(), Algorithm: r.Algorithm(),
		Values: purse.Values{Type: purse.Type(r.TTI()), Amount: r.Amount(), Balance: r.Before(),
			Counter: r.Counter(), TermSeq: r.TermSeq(), Terminal: r.PSAM(), Date: r.Date(), Time: r.Time()},
		TAC: r.TAC(),
	}
}
