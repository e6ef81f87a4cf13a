package account

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// widest are values as long as they can be.
const (
	widestTime   txn.Millis = 1<<47 - 1
	widestNumber            = math.MaxUint32
)

func name24() string { return strings.Repeat("x", NameMax) }

func fill[T any](n int, v T) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// full is a document in which every list is at its limit and every value as long as it
// can be, with the effects that a document can hold at most of each kind.
func full() *Account {
	tok := pan.Token(bytes.Repeat([]byte{0xff}, pan.TokenSize))
	issuer := strings.Repeat("i", IssuerMax)
	pos := txn.Position{Bucket: 63, Epoch: 1 << 40, Seq: 1 << 50}
	state := CardState{Apps: txn.AppAll, Rider: txn.RiderVeteran, ExpiresOn: 29991231, Status: Active}
	a := &Account{Holder: tok, Unit: name24(), Opened: widestTime, Closed: widestTime,
		Rider:     Rider{Category: txn.RiderVeteran, Source: name24(), Until: 29991231},
		ExpiresOn: 29991231, Stage: StageExpired, BankSince: widestTime, Floor: widestTime,
		LastCase: widestNumber, LastEffect: widestNumber, LastFee: widestNumber,
		LastGrant: widestNumber}
	mark := txn.Mark{Reason: txn.Cancelled, Scope: txn.AppAll}
	a.Carriers = fill(CarriersMax, Carrier{Token: tok, Kind: Temporary, Status: Expired,
		Family: issuer, Issuer: issuer, BoundAt: widestTime, EndsAt: widestTime, Case: widestNumber,
		Spared: widestNumber, told: told{mark: mark, enrolled: true, card: state}})
	a.Former = fill(FormerMax-CarriersMax, Former{Token: tok, Kind: Chip, Status: Replaced,
		At: widestTime, Successor: tok})
	a.Numbers = fill(NumbersMax, Number{Kind: PrintedCardNumber, Token: tok})
	a.Functions = fill(FunctionsMax, Function{App: 1 << 15, OpenedAt: widestTime, Channel: AtBank,
		ClosedAt: widestTime, Outlet: name24(), AfterBank: true})
	a.Restrictions = fill(RestrictionsMax, Restriction{Reason: txn.Lost, Scope: txn.AppAll,
		Case: widestNumber, Received: widestTime, Since: widestTime, Counts: widestTime,
		Effective: widestTime, LapsesAt: widestTime, Closed: true, Actor: System, ID: OtherID,
		Channel: AtBank, Form: Electronic, BankTold: true, Fault: Careless, By: name24(),
		Outlet: name24(), Role: name24(), Decision: name24()})
	a.Cases = fill(CasesMax, Case{No: widestNumber, Kind: CaseClaim, State: Waiting,
		Received: widestTime, Accepted: widestTime, Sent: widestTime, Made: widestTime,
		Due: widestTime, Owner: name24(), By: name24(), App: txn.AppAll, Left: known, Waived: known,
		Carrier: tok, Next: tok, Party: name24(), Amount: txn.MinorMax, Decision: name24(),
		Txns: fill(TxnsMax, pos), Lines: fill(LinesMax, Line{At: widestTime, State: Lapsed,
			By: name24()})})
	a.Ended = fill(EndedMax-EndedTrust, Ended{No: widestNumber, Kind: CaseFinding, State: Lapsed,
		From: widestTime, At: widestTime})
	a.Consents = fill(ConsentsMax, Consent{No: widestNumber, Party: name24(), Purpose: name24(),
		Scope: txn.AppAll, Given: widestTime, Until: 29991231, Withdrawn: widestTime})
	a.Fees = fill(FeesMax, Fee{No: widestNumber, Event: Cancellation, State: FeeWaived,
		Case: widestNumber, Amount: txn.MinorMax, Income: name24(), Outlet: name24(), Why: name24(),
		At: widestTime})
	// The reserve is for commands that freeze: they add marks and a notice.
	a.ToDo = fill(EffectsMax-EffectsReserve, Effect{Seq: widestNumber, Kind: Compensate, Case: widestNumber,
		Tries: TriesMax, Why: strings.Repeat("w", WhyMax), Carrier: tok, Amount: txn.MinorMax,
		Name: name24(), Outlet: name24(), Txn: pos})
	a.ToDo = append(a.ToDo, fill(EffectsReserve, Effect{Seq: widestNumber, Kind: SetMark,
		Case: widestNumber, Tries: TriesMax, Why: strings.Repeat("w", WhyMax), Carrier: tok,
		Mark: mark})...)
	a.Trust = Trust{Widen: txn.MinorMax, Purpose: name24(), Source: name24(), Decision: name24(), By: name24(),
		Consent: widestNumber, Since: widestTime, Until: 29991231}
	a.Recent = fill(RecentMax, Remembered{Case: widestNumber, Made: widestTime})
	return a
}

// A trust flag takes the place of ended cases.
func TestEncodedMaxHoldsADocumentAtAllLimits(t *testing.T) {
	bare := full()
	bare.Trust, bare.Ended = Trust{}, fill(EndedMax, full().Ended[0])
	if n := len(bare.Append(nil)); n > EncodedMax {
		t.Fatalf("%d bytes without a trust flag, limit %d", n, EncodedMax)
	}
	encoded := full().Append(nil)
	t.Logf("%d bytes of %d", len(encoded), EncodedMax)
	if len(encoded) > EncodedMax || EncodedMax > store.StateMax {
		t.Fatalf("%d bytes, limit %d, the store takes %d", len(encoded), EncodedMax, store.StateMax)
	}
	back, err := Decode(encoded)
	if err != nil || !reflect.DeepEqual(back, full()) {
		t.Fatalf("came back changed: %v", err)
	}
}

func TestCodecKeepsEveryKindOfEffect(t *testing.T) {
	tok := pan.Token{1}
	for k := SetMark; k < effectEnd; k++ {
		e := Effect{Seq: 1, Kind: k, Case: 2}
		switch k {
		case SetMark:
			e.Carrier, e.Mark = tok, txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
		case Enrol:
			e.Carrier, e.Card, e.Issuer = tok, CardState{Apps: 3, Status: Active}, "city"
			e.Last4 = pan.Last4{'1', '2', '3', '4'}
		case Amend:
			e.Carrier, e.To, e.Card = tok, pan.Token{2}, CardState{ExpiresOn: 20300101}
		case Transfer:
			e.Carrier, e.To = tok, pan.Token{2}
		case PostFee:
			e.Amount, e.Name, e.Outlet = 5, "income", "outlet"
		case Widen:
			e.Carrier, e.Amount, e.Until = tok, 500, 20300101
		case Payout:
			e.Carrier, e.Outlet = tok, "outlet"
		case Notify:
			e.Notice, e.Since = NoticeExpired, 7
		case Alarm:
			e.Name, e.Since = "owner", 7
		case Compensate:
			e.Carrier, e.Amount, e.Name, e.Outlet = tok, 5, "bus", "outlet"
			e.Txn = txn.Position{Bucket: 1, Epoch: 2, Seq: 3}
		case BookLiability:
			e.Txn, e.Fault, e.Undo = txn.Position{Bucket: 1, Epoch: 2, Seq: 3}, Lent, true
		}
		a := &Account{Opened: 1, ToDo: []Effect{e}}
		if back, err := Decode(a.Append(nil)); err != nil || !reflect.DeepEqual(back, a) {
			t.Errorf("%s: %v\n%+v\n%+v", k, err, back, a)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := full().Append(nil)
	later := append([]byte{trustVersion + 1}, good[1:]...)
	for name, b := range map[string][]byte{"nothing": nil, "a later version": later,
		"an older version": {0}, "more": append(bytes.Clone(good), 0)} {
		if _, err := Decode(b); !errors.Is(err, ErrDocument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range len(good) {
		if _, err := Decode(good[:n]); !errors.Is(err, ErrDocument) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestAppendPanicsBeyondALimit(t *testing.T) {
	defer func() {
		if msg, _ := recover().(string); !strings.HasPrefix(msg, "account: internal error: ") {
			t.Errorf("%q", msg)
		}
	}()
	a := &Account{Carriers: make([]Carrier, CarriersMax+1)}
	a.Append(nil)
}

// FuzzDecode: whatever is read is written again as it was, so that a document has one form
// only, and nothing is read that Apply could not work on.
func FuzzDecode(f *testing.F) {
	f.Add((&Account{}).Append(nil))
	f.Add(full().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Decode(b)
		if err != nil {
			return
		}
		if again := a.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
		a.Ready()
		a.Mark()
		if !reflect.DeepEqual(a.Clone(), a) {
			t.Fatal("the clone differs")
		}
	})
}
