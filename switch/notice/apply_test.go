package notice

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// document is a document with parties p0, p1, …, all sent at once by link.
func document(parties int) *Document {
	d := &Document{Notice: freeze("N-1", 1), Parts: 1, CreatedAt: startMS + 10, Ready: true}
	for i := range parties {
		d.Rows = append(d.Rows, Row{Party: fmt.Sprintf("p%d", i), Channel: IssuerLink,
			Next: startMS + 10})
	}
	return d
}

// after applies events at an instant and returns the last changes.
func after(t testing.TB, d *Document, now txn.Millis, events ...Event) (*Document, Changes) {
	t.Helper()
	var c Changes
	for _, e := range events {
		d, c = Apply(d, e, now)
	}
	return d, c
}

func delivered(at txn.Millis) Event { return Event{Kind: Delivered, Party: "p0", At: at} }

func acked(received, effective txn.Millis) Event {
	return Event{Kind: Acknowledged, Party: "p0",
		Ack: Ack{Received: received, Effective: effective, Proof: ProofCallback}}
}

// HD19: the window begins with the receipt, and without its proof with the sending, which
// is shown apart.
func TestClockStartsAtReceipt(t *testing.T) {
	sent, received := startMS+5*minuteMS, startMS+20*minuteMS
	d, _ := after(t, document(1), sent, delivered(sent))
	c := ClocksOf(d, sent)[0]
	if c.Basis != BySending || c.Start != sent || c.Deadline != sent+120*minuteMS {
		t.Errorf("after the sending: %s from %d", c.Basis, c.Start)
	}
	if c.AcceptedToSent != 5*minuteMS {
		t.Errorf("acceptance to sent %d", c.AcceptedToSent)
	}
	d, _ = after(t, d, received, acked(received, 0))
	c = ClocksOf(d, received)[0]
	if c.Basis != ByReceipt || c.Start != received || c.Deadline != received+120*minuteMS {
		t.Errorf("after the receipt: %s from %d to %d", c.Basis, c.Start, c.Deadline)
	}
}

func TestLateIsStrictlyAfterTheWindow(t *testing.T) {
	received := startMS + minuteMS
	end := received + 120*minuteMS
	f := func(effective txn.Millis, late bool) {
		t.Helper()
		now := end + 10*minuteMS
		d, _ := after(t, document(1), received, delivered(received), acked(received, 0))
		d, c := after(t, d, now, acked(0, effective))
		if d.Rows[0].Late != late || (len(c.Late) == 1) != late || !c.Completed {
			t.Errorf("effective %d ms after the end: late %v %v, want %v", effective-end,
				d.Rows[0].Late, c.Late, late)
		}
	}
	f(end-1, false)
	f(end, false)
	f(end+1, true)
}

// A party that acted in time and said so too late is late only until it has said so.
func TestLateIsLiftedByProof(t *testing.T) {
	received := startMS + minuteMS
	d, _ := after(t, document(1), received, delivered(received), acked(received, 0))
	past := received + 121*minuteMS
	d, c := after(t, d, past, Event{Kind: Passed, Party: "p0"})
	if !d.Rows[0].Late || len(c.Late) != 1 {
		t.Fatalf("not late at the deadline: %+v", c)
	}
	d, c = after(t, d, past+minuteMS, acked(0, received+minuteMS))
	if d.Rows[0].Late || !slices.Equal(c.Lifted, []string{"p0"}) {
		t.Errorf("late %v, lifted %v", d.Rows[0].Late, c.Lifted)
	}
}

func TestNoWindowNoLateness(t *testing.T) {
	d := document(1)
	d.Policy.Window = 0
	d, c := after(t, d, startMS+1000*minuteMS, delivered(startMS+20),
		Event{Kind: Passed, Party: "p0"})
	if d.Rows[0].Late || len(c.Late) > 0 || ClocksOf(d, startMS*2)[0].Overdue {
		t.Error("late without a window")
	}
	if d.Rows[0].Alarms != 3 {
		t.Errorf("%d alarms", d.Rows[0].Alarms)
	}
}

func TestAlarms(t *testing.T) {
	sent := startMS + minuteMS
	d, _ := after(t, document(1), sent, delivered(sent))
	for i, minutes := range []txn.Millis{30, 60, 90} {
		due, _ := DueAt(d)
		if due != sent+minutes*minuteMS {
			t.Fatalf("alarm %d due at %d", i+1, (due-sent)/minuteMS)
		}
		if len(Overdues(d, due-1)) != 0 || len(Overdues(d, due)) != 1 {
			t.Fatalf("alarm %d: not due exactly at its time", i+1)
		}
		var c Changes
		d, c = after(t, d, due, Event{Kind: Passed, Party: "p0"})
		if len(c.Alarms) != 1 || c.Alarms[0].Number != i+1 || c.Alarms[0].Basis != BySending {
			t.Fatalf("alarm %d: %+v", i+1, c.Alarms)
		}
	}
	if due, _ := DueAt(d); due != sent+120*minuteMS+1 {
		t.Errorf("the deadline is not due: %d", due-sent)
	}
	d, _ = after(t, d, sent+121*minuteMS, Event{Kind: Passed, Party: "p0"})
	if _, any := DueAt(d); any {
		t.Error("something is due after the deadline")
	}
}

// A party that cannot be told has no clock, and somebody must hear of it all the same.
func TestAlarmsOfTheUntold(t *testing.T) {
	d, c := after(t, document(1), startMS+31*minuteMS, Event{Kind: Passed, Party: "p0"})
	if len(c.Alarms) != 1 || c.Alarms[0].Basis != NoClock || d.Rows[0].Late {
		t.Errorf("%+v", c)
	}
}

func TestAcknowledgementRefused(t *testing.T) {
	now := startMS + 10*minuteMS
	f := func(want Refusal, a Ack, edit func(*Row)) {
		t.Helper()
		d := document(2)
		if edit != nil {
			edit(&d.Rows[0])
		}
		before := d.Rows[0]
		next, c := Apply(d, Event{Kind: Acknowledged, Party: "p0", Ack: a}, now)
		if c.Refused != want {
			t.Errorf("%+v: %s, want %s", a, c.Refused, want)
		}
		row := next.Rows[0]
		if want == Contradiction {
			before.Contradictions++
		}
		if want != Accepted && row != before {
			t.Errorf("refused as %s, and changed to %+v", want, row)
		}
	}
	good := startMS + 5*minuteMS
	known := func(r *Row) { r.Received, r.Effective, r.Proof = good, good, ProofCallback }
	f(OtherCard, Ack{Card: pan.Token{9}, Received: now * 2}, nil)
	f(NoTimes, Ack{}, nil)
	f(InFuture, Ack{Received: now + 5001}, nil)
	f(InFuture, Ack{Received: good, Effective: now + 5001}, nil)
	f(Accepted, Ack{Received: now + 5000}, nil)
	f(BeforeNotice, Ack{Received: startMS + 10 - 5001}, nil)
	f(Accepted, Ack{Received: startMS + 10 - 5000}, nil)
	f(BeforeNotice, Ack{Received: good, Effective: startMS - 5001}, nil)
	f(NoReceipt, Ack{Effective: good}, nil)
	f(Contradiction, Ack{Received: good + 1}, known)
	f(Contradiction, Ack{Effective: good + 1}, known)
	f(Accepted, Ack{Received: good, Effective: good, Card: card(1)}, known)
	// What the response proved is ours to know.
	f(Accepted, Ack{Received: good + 1}, func(r *Row) { r.Received, r.Proof = good, ProofResponse })
	if _, c := Apply(document(1), Event{Kind: Acknowledged, Party: "x"}, now); c.Refused != UnknownParty {
		t.Errorf("unknown party: %s", c.Refused)
	}
}

// The holder may have called the bank himself: it froze after the acceptance and before it
// got the notice.
func TestEffectBeforeReceipt(t *testing.T) {
	now := startMS + 10*minuteMS
	d, c := after(t, document(1), now, acked(now, startMS+1))
	if c.Refused != Accepted || d.Rows[0].Effective != startMS+1 || d.Rows[0].Late {
		t.Errorf("%s: %+v", c.Refused, d.Rows[0])
	}
}

// An answer may overtake the record of the sending.
func TestAnswerBeforeSendingIsRecorded(t *testing.T) {
	got := startMS + 20
	d, _ := after(t, document(1), got, acked(got, got))
	d, _ = after(t, d, got+50, delivered(got+40))
	r := d.Rows[0]
	if r.Received != got || r.Proof != ProofCallback || r.SentFirst != got+40 || r.Tries != 1 {
		t.Errorf("%+v", r)
	}
}

func TestResponseProvesReceipt(t *testing.T) {
	f := func(a Answer, basis Basis, done bool) {
		t.Helper()
		d := document(1)
		d.Rows[0].Answer = a
		d, _ = after(t, d, startMS+100, delivered(startMS+100))
		if got := ClocksOf(d, startMS+100)[0].Basis; got != basis || (d.ClosedAt != 0) != done {
			t.Errorf("%s: clock by %s, closed %d", a, got, d.ClosedAt)
		}
	}
	f(Explicit, BySending, false)
	f(Response, ByReceipt, false)
	f(Informed, NoClock, true)
}

func TestRetriesBackOffAndGiveUp(t *testing.T) {
	d, now := document(1), startMS+10
	var pauses []txn.Millis
	for range 8 {
		d, _ = after(t, d, now, Event{Kind: Failed, Party: "p0", At: now, Failure: "down"})
		pauses = append(pauses, (d.Rows[0].Next-now)/1000)
		now = d.Rows[0].Next
	}
	if want := []txn.Millis{10, 20, 40, 80, 160, 300, 300, 300}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
	now = d.CreatedAt + 24*60*minuteMS
	d, c := after(t, d, now, Event{Kind: Failed, Party: "p0", At: now})
	if !d.Rows[0].Dead || d.Rows[0].State() != Dead || len(c.Died) != 1 {
		t.Fatalf("not given up: %+v", d.Rows[0])
	}
	d, _ = after(t, d, now+5, Event{Kind: Revived, Party: "p0"})
	if !d.Rows[0].wantsTry() || d.Rows[0].Next != now+5 {
		t.Errorf("not revived: %+v", d.Rows[0])
	}
	p := handan()
	if low, high := p.pause(1, 1), p.pause(1, 0); low != 7500 || high != 10_000 {
		t.Errorf("jitter from %d to %d", low, high)
	}
}

// randomEvent draws any event for any party, also for none.
func randomEvent(rt *rapid.T, now txn.Millis) Event {
	at := func(label string) txn.Millis {
		return rapid.SampledFrom([]txn.Millis{0, 0, startMS - 6000, startMS, startMS + 20,
			now - 1, now, now + 9000}).Draw(rt, label)
	}
	return Event{Kind: EventKind(rapid.IntRange(1, int(Revived)).Draw(rt, "kind")),
		Party: fmt.Sprintf("p%d", rapid.IntRange(0, 4).Draw(rt, "party")), At: at("at"),
		Next: at("next"), Failure: rapid.StringN(0, 200, 200).Draw(rt, "failure"),
		Ack: Ack{Sent: at("sent"), Received: at("received"), Effective: at("effective"),
			Proof: Proof(rapid.IntRange(1, 3).Draw(rt, "proof")),
			By:    rapid.StringN(0, 100, 100).Draw(rt, "by"),
			Note:  rapid.StringN(0, 200, 200).Draw(rt, "note"),
			Card:  rapid.SampledFrom([]pan.Token{{}, card(1), card(2)}).Draw(rt, "card")}}
}

// A party's row is changed by its own events only; an event twice is an event once; what is
// recorded of receipt and effect stays; a document always encodes and decodes.
func TestRowsAreChangedByTheirOwnEvents(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d, now := document(4), startMS+10
		d.Rows[1].Channel, d.Rows[2].Answer, d.Rows[3].Answer = Manual, Response, Informed
		for range rapid.IntRange(1, 40).Draw(rt, "events") {
			now += txn.Millis(rapid.IntRange(0, 40*60_000).Draw(rt, "passed"))
			e := randomEvent(rt, now)
			before := slices.Clone(d.Rows)
			next, c := Apply(d, e, now)
			if !slices.Equal(before, d.Rows) {
				rt.Fatalf("%+v changed its input", e)
			}
			checkStep(rt, d, next, &e, c)
			again, _ := Apply(next, e, now)
			if e.Kind != Acknowledged && !reflect.DeepEqual(again, next) {
				rt.Fatalf("%+v twice: %+v, then %+v", e, next, again)
			}
			d = next
		}
		back, err := DecodeDocument(AppendDocument(nil, d))
		if err != nil || !reflect.DeepEqual(back, d) {
			rt.Fatalf("%v: %+v, want %+v", err, back, d)
		}
	})
}

func checkStep(rt *rapid.T, d, next *Document, e *Event, c Changes) {
	for i := range d.Rows {
		was, is := d.Rows[i], next.Rows[i]
		if was != is && (e.Kind == Prepared || was.Party != e.Party || !c.Changed) {
			rt.Fatalf("%+v changed the row of %s", e, was.Party)
		}
		if was.Received != 0 && was.Received != is.Received ||
			was.Effective != 0 && was.Effective != is.Effective ||
			was.SentFirst != 0 && was.SentFirst != is.SentFirst || is.Alarms < was.Alarms {
			rt.Fatalf("%+v changed what was proven: %+v, then %+v", e, was, is)
		}
		if c.Refused != Accepted {
			was.Contradictions = is.Contradictions
			was.Alarms, was.Late = is.Alarms, is.Late // time passes all the same
			if was != is {
				rt.Fatalf("refused as %s: %+v, then %+v", c.Refused, was, is)
			}
		}
	}
	if d.ClosedAt != 0 && next.ClosedAt != d.ClosedAt {
		rt.Fatalf("closed at %d, then %d", d.ClosedAt, next.ClosedAt)
	}
}

// fullDocument is the largest that can be.
func fullDocument() *Document {
	text := func(n int) string { return string(slices.Repeat([]byte{'W'}, n)) }
	far := startMS + 400*24*60*minuteMS
	n := freeze(text(IDMax), 1)
	n.Case, n.Supersedes, n.Policy.Clause = text(CaseMax), text(IDMax), text(ClauseMax)
	n.ListEpoch = 1<<64 - 1
	n.Policy.Alarms = slices.Repeat([]time.Duration{300 * 24 * time.Hour}, AlarmsMax)
	d := &Document{Notice: n, Part: 10, Parts: 11, CreatedAt: far, ClosedAt: far, Ready: true}
	for i := range RowsMax {
		r := Row{Party: text(NameMax-2) + fmt.Sprintf("%02d", i), Channel: Manual, Answer: Informed,
			Tries: 1<<32 - 1, Failure: text(FailureMax), ReceivedBy: text(ByMax),
			EffectiveBy: text(ByMax), Note: text(NoteMax), Proof: ProofPerson,
			EffectProof: ProofPerson, Alarms: AlarmsMax, Late: true, Dead: true,
			Contradictions: 1<<16 - 1}
		for _, at := range r.instants() {
			*at = far
		}
		d.Rows = append(d.Rows, r)
	}
	return d
}

func TestFullDocumentFits(t *testing.T) {
	d := fullDocument()
	b := AppendDocument(nil, d)
	t.Logf("%d rows of the greatest length take %d of %d bytes", RowsMax, len(b), store.StateMax)
	if len(b) > store.StateMax {
		t.Errorf("%d bytes, the store takes %d", len(b), store.StateMax)
	}
	back, err := DecodeDocument(b)
	if err != nil || !reflect.DeepEqual(back, d) {
		t.Errorf("%v: %+v", err, back)
	}
}

func TestDecodeRefuses(t *testing.T) {
	b := AppendDocument(nil, fullDocument())
	for n := range len(b) {
		if _, err := DecodeDocument(b[:n]); err == nil {
			t.Fatalf("%d of %d bytes are a document", n, len(b))
		}
	}
	if _, err := DecodeDocument(append(b, 0)); err == nil {
		t.Error("a byte too many is no error")
	}
	later := append([]byte{documentVersion + 1}, b[1:]...)
	if _, err := DecodeDocument(later); err == nil || !reflect.DeepEqual(later[0], byte(2)) {
		t.Error("a later version is read")
	}
}

func FuzzDecodeDocument(f *testing.F) {
	f.Add(AppendDocument(nil, document(2)))
	f.Add(AppendDocument(nil, fullDocument()))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDocument(b)
		if err != nil {
			return
		}
		back, err := DecodeDocument(AppendDocument(nil, d))
		if err != nil || !reflect.DeepEqual(back, d) {
			t.Errorf("%v: %+v, then %+v", err, d, back)
		}
	})
}

func BenchmarkApply(b *testing.B) {
	d := document(RowsMax)
	for i := range b.N {
		d2, c := Apply(d, delivered(startMS+txn.Millis(i)+11), startMS+txn.Millis(i)+11)
		if !c.Changed || d2 == d {
			b.Fatal("nothing changed")
		}
	}
}

func BenchmarkDocumentCodec(b *testing.B) {
	d := document(RowsMax)
	buf := AppendDocument(nil, d)
	b.ReportMetric(float64(len(buf)), "B/document")
	for b.Loop() {
		back, err := DecodeDocument(buf)
		if err != nil {
			b.Fatal(err)
		}
		buf = AppendDocument(buf[:0], back)
	}
}
