package card_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// bankRow is an approved purchase that is old enough to be forgotten.
func bankRow(n int, change ...func(*card.BankTxn)) card.BankTxn {
	b := card.BankTxn{ID: id(n), Kind: txn.BankPurchase, Phase: card.Approved, Amount: 100,
		At: now - card.BankYoung, Booked: true}
	for _, c := range change {
		c(&b)
	}
	return b
}

func inPhase(p card.Phase) func(*card.BankTxn) {
	return func(b *card.BankTxn) { b.Phase = p }
}

func rows(n int, change ...func(*card.BankTxn)) (s card.State) {
	for i := range n {
		s.Bank = append(s.Bank, bankRow(i, change...))
	}
	return s
}

// The limits, each at its last value and one beyond.
func TestRoomForBank(t *testing.T) {
	young := func(b *card.BankTxn) { b.At = now - card.BankYoung + 1 }
	for _, tt := range []struct {
		name   string
		state  card.State
		room   bool
		forgot int // the row that has gone, -1 for none
	}{
		{"empty", rows(0), true, -1},
		{"one left", rows(card.BankMax-1, young), true, -1},
		{"full of young", rows(card.BankMax, young), false, -1},
		{"full", rows(card.BankMax), true, 0},
		{"as many open as may be", rows(card.BankOpenMax-1, inPhase(card.Pending)), true, -1},
		{"pending", rows(card.BankOpenMax, inPhase(card.Pending)), false, -1},
		{"reversing", rows(card.BankOpenMax, inPhase(card.Reversing)), false, -1},
		{"advising", rows(card.BankOpenMax, inPhase(card.Advising)), false, -1},
		{"dead", rows(card.BankOpenMax, inPhase(card.Dead)), false, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.state.Bank)
			if got := tt.state.RoomForBank(now); got != tt.room {
				t.Fatalf("room %v, want %v", got, tt.room)
			}
			if tt.forgot >= 0 {
				before = slices.Delete(before, tt.forgot, tt.forgot+1)
			}
			if !reflect.DeepEqual(tt.state.Bank, before) {
				t.Fatalf("left %+v", tt.state.Bank)
			}
		})
	}
}

// What has failed is forgotten before what may be given back, and that before what waits for
// its completion or counts for a limit; of each the oldest. What is open, dead, young or
// still counted on is not forgotten at all.
func TestForgetsInOrder(t *testing.T) {
	s := rows(card.BankMax)
	preAuth := func(b *card.BankTxn) { b.Kind = txn.BankPreAuth }
	change := func(i int, how ...func(*card.BankTxn)) { s.Bank[i] = bankRow(i, how...) }
	change(0, preAuth, func(b *card.BankTxn) { b.At = now - card.BankPreAuthKeep + 1 })
	change(1, inPhase(card.Pending))
	change(2, inPhase(card.Dead))
	change(3, func(b *card.BankTxn) { b.StandIn, b.At = true, now-card.BankStandInKeep+1 })
	change(5, preAuth, func(b *card.BankTxn) { b.At = now - card.BankPreAuthKeep })
	change(6, func(b *card.BankTxn) { b.Voided = true })
	change(7, inPhase(card.Declined))
	change(8, inPhase(card.Reversed))
	change(9, func(b *card.BankTxn) { b.Kind, b.Original = txn.BankRefund, id(4) })
	change(10, preAuth, func(b *card.BankTxn) { b.Used = 1 })
	change(11, func(b *card.BankTxn) { b.StandIn, b.At = true, now-card.BankStandInKeep })
	change(12, inPhase(card.Advising))
	change(13, func(b *card.BankTxn) { b.At = now })
	var order []int
	for range 3 * card.BankMax {
		if !s.RoomForBank(now) {
			break
		}
		for i := range card.BankMax {
			if s.FindBank(id(i)) < 0 && !slices.Contains(order, i) {
				order = append(order, i)
			}
		}
		if len(s.Bank) < card.BankMax {
			s.Bank = append(s.Bank, bankRow(100+len(order), func(b *card.BankTxn) { b.At = now }))
		}
	}
	if want := []int{6, 7, 8, 5, 9, 4, 10, 11, 0, 3}; !slices.Equal(order, want) {
		t.Fatalf("forgotten in order %v, want %v", order, want)
	}
}

// The original of a transaction is not forgotten to make room for it, nor while the
// transaction may still move money.
func TestOriginalIsKept(t *testing.T) {
	s := rows(card.BankMax)
	if !s.RoomForBankBeside(now, id(0)) || s.FindBank(id(0)) < 0 || s.FindBank(id(1)) >= 0 {
		t.Fatalf("%+v", s.Bank)
	}
	for _, tt := range []struct {
		phase card.Phase
		kept  bool
	}{
		{card.Pending, true}, {card.Approved, true}, {card.Declined, false}, {card.Reversed, false},
		{card.Reversing, true}, {card.Advising, true}, {card.Dead, true},
	} {
		s := rows(card.BankMax)
		s.Bank[1] = bankRow(1, inPhase(tt.phase), func(b *card.BankTxn) {
			b.Kind, b.Original, b.At = txn.BankVoid, id(0), now
		})
		if !s.RoomForBank(now) || (s.FindBank(id(0)) >= 0) != tt.kept || s.FindBank(id(1)) < 0 {
			t.Errorf("%s: %+v", tt.phase, s.Bank[:2])
		}
	}
}

// Whatever the memory holds, making room forgets at most one, and never one that counts.
func TestRoomForBankProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s card.State
		for i := range rapid.IntRange(card.BankMax-2, card.BankMax).Draw(t, "rows") {
			s.Bank = append(s.Bank, bankRow(i, inPhase(rapid.SampledFrom([]card.Phase{card.Approved,
				card.Approved, card.Declined, card.Reversed, card.Pending, card.Dead}).Draw(t, "phase")),
				func(b *card.BankTxn) {
					b.At -= rapid.SampledFrom([]txn.Millis{-1, 0, minute}).Draw(t, "age")
					if o := rapid.IntRange(0, 2*card.BankMax).Draw(t, "original"); o < i {
						b.Original = id(o)
					}
				}))
		}
		before := slices.Clone(s.Bank)
		room := s.RoomForBank(now)
		if lost := len(before) - len(s.Bank); lost < 0 || lost > 1 || lost == 1 && !room ||
			room && len(s.Bank) >= card.BankMax {
			t.Fatalf("room %v, from %d to %d rows", room, len(before), len(s.Bank))
		}
		for _, b := range before {
			if s.FindBank(b.ID) >= 0 {
				continue
			}
			if b.Phase.Open() || b.Phase == card.Dead || b.At > now-card.BankYoung {
				t.Fatalf("forgot %+v", b)
			}
			for _, o := range s.Bank {
				if o.Original == b.ID && o.Phase != card.Declined && o.Phase != card.Reversed {
					t.Fatalf("forgot the original of %+v", o)
				}
			}
		}
	})
}

func TestFindBank(t *testing.T) {
	s := rows(3)
	if s.FindBank(id(1)) != 1 || s.FindBank(id(9)) != -1 {
		t.Error("not found by its id")
	}
}

func TestPhases(t *testing.T) {
	names := map[card.Phase]string{card.PhaseNone: "none", card.Pending: "pending",
		card.Approved: "approved", card.Declined: "declined", card.Reversed: "reversed",
		card.Reversing: "reversing", card.Advising: "advising", card.Dead: "dead", 8: "unknown"}
	for p, name := range names {
		open := p == card.Pending || p == card.Reversing || p == card.Advising
		if p.String() != name || p.Open() != open {
			t.Errorf("%d: %s, open %v", p, p, p.Open())
		}
	}
}

// Every flag alone survives its encoding, and sets no other.
func TestBankFlags(t *testing.T) {
	for i, set := range []func(*card.BankTxn){
		func(b *card.BankTxn) { b.Voided = true }, func(b *card.BankTxn) { b.Booked = true },
		func(b *card.BankTxn) { b.StandIn = true }, func(b *card.BankTxn) { b.Tombstone = true },
		func(b *card.BankTxn) { b.Advised = true }, func(b *card.BankTxn) { b.Adjusted = true },
		func(b *card.BankTxn) { b.AnswerElsewhere = true }, func(b *card.BankTxn) { b.Settled[0] = 1 },
	} {
		s := card.State{Status: card.Guest, Bank: []card.BankTxn{{ID: id(1),
			Kind: txn.BankPurchase, Phase: card.Approved}}}
		set(&s.Bank[0])
		var back card.State
		if err := back.Decode(s.Append(nil)); err != nil || !reflect.DeepEqual(back.Bank, s.Bank) {
			t.Errorf("flag %d: %+v, %v", i, back.Bank, err)
		}
	}
}

// Bank rows that no Append wrote are refused.
func TestBankRowsThatCannotBeRead(t *testing.T) {
	row := bankRow(0)
	good := (&card.State{Status: card.Guest, Bank: []card.BankTxn{row}}).Append(nil)
	head := len((&card.State{Status: card.Guest}).Append(nil)) + 1
	kind := head + txn.RequestIDSize + len(row.Fingerprint)
	for _, tt := range []struct {
		name  string
		at    int
		value byte
	}{
		{"kind of a purse", kind, byte(txn.Purchase)}, {"kind unknown", kind, byte(txn.BankAdjustment) + 1},
		{"no phase", kind + 1, 0}, {"phase unknown", kind + 1, byte(card.Dead) + 1},
		{"two rows", head - 1, 2}, {"original of another form", kind + 4 + 6 + 2 + 12 + 10 + 10, 2},
	} {
		b := slices.Clone(good)
		b[tt.at] = tt.value
		var s card.State
		if err := s.Decode(b); !errors.Is(err, card.ErrState) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	row.Sealed = make([]byte, card.BankSealedMax+1)
	var s card.State
	tooLong := (&card.State{Status: card.Guest, Bank: []card.BankTxn{row}}).Append(nil)
	if err := s.Decode(tooLong); !errors.Is(err, card.ErrState) {
		t.Errorf("too much sealed: %v", err)
	}
	row.Sealed, row.Answer = make([]byte, card.BankSealedMax-1), []byte{1, 2}
	tooLong = (&card.State{Status: card.Guest, Bank: []card.BankTxn{row}}).Append(nil)
	if err := s.Decode(tooLong); !errors.Is(err, card.ErrState) {
		t.Errorf("too much sealed together: %v", err)
	}
}
