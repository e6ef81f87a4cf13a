package gatesim

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/gate/provision"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func setup() Setup {
	return Setup{Seed: 7, Gates: 3, Cards: 4, Base: 1_800_000_000_000, Interval: 1000,
		Balance: 50_000, Skew: 60_000, Drift: 100, OutageEvery: 40, OutageTaps: 10, Repeats: 2000}
}

// reopen reads a queue from the disk into a new book.
func reopen(t *testing.T, dir string) (*queue, *book) {
	t.Helper()
	b := newBook()
	q, err := openQueue(dir, false, b.apply)
	if err != nil {
		t.Fatal(err)
	}
	return q, b
}

// write puts some taps into a queue: three debits, one of them torn, one refusal.
func write(t *testing.T, q *queue, b *book) {
	t.Helper()
	intent := func(seq uint32, amount txn.Minor) *entry {
		return &entry{Kind: entryIntent, Record: &Record{Seq: seq, Tap: int(seq), Amount: amount}}
	}
	for _, e := range []*entry{{Kind: entryLife, Boot: 1}, intent(1, 200),
		{Kind: entryDone, Seq: 1, TAC: [4]byte{1, 2, 3, 4}}, {Kind: entryPassed, Tap: 2, Why: "listed"},
		intent(2, 300), {Kind: entryDone, Seq: 2}, intent(3, 400)} {
		if err := q.append(e); err != nil {
			t.Fatal(err)
		}
		if err := b.apply(e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestQueueSurvives(t *testing.T) {
	dir := t.TempDir()
	q, b := reopen(t, dir)
	write(t, q, b)
	if err := q.close(); err != nil {
		t.Fatal(err)
	}
	q, again := reopen(t, dir)
	if !reflect.DeepEqual(b, again) {
		t.Errorf("%+v, want %+v", again, b)
	}
	if again.Served != 2 || again.ServedFen != 500 || again.Open == nil || again.Open.Seq != 3 ||
		again.Waiting[0].TAC != [4]byte{1, 2, 3, 4} || again.Waiting[1].Number != 2 ||
		again.Waiting[1].Sum != 500 || again.Passed["listed"] != 1 {
		t.Errorf("%+v", again)
	}
	if _, err := openQueue(dir, false, newBook().apply); !errors.Is(err, ErrInUse) {
		t.Errorf("a second process: %v", err)
	}
	if err := q.close(); err != nil {
		t.Fatal(err)
	}
}

// A kill may cut the last entry at any byte: what is whole before it stays.
func TestQueueTornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	q, b := reopen(t, dir)
	write(t, q, b)
	if err := q.close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, queueName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int]bool{0: true}
	for at := 0; at < len(whole); {
		at += frameHead + int(binary.BigEndian.Uint32(whole[at:]))
		ends[at] = true
	}
	for cut := range whole {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		q, _ := reopen(t, dir)
		want := cut
		for !ends[want] {
			want--
		}
		if q.size != int64(want) {
			t.Fatalf("cut at %d: %d bytes are kept, want %d", cut, q.size, want)
		}
		if err := q.append(&entry{Kind: entryLife, Boot: 9}); err != nil {
			t.Fatal(err)
		}
		_ = q.close()
		q, b := reopen(t, dir)
		_ = q.close()
		if b.Boot != 9 {
			t.Fatalf("cut at %d: what came after is lost", cut)
		}
	}
}

// A flipped byte in the middle is no torn end: the gate does not start.
func TestQueueDamagedInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	q, b := reopen(t, dir)
	write(t, q, b)
	_ = q.close()
	path := filepath.Join(dir, queueName)
	whole, _ := os.ReadFile(path)
	last := 0
	for at := 0; at < len(whole); {
		last, at = at, at+frameHead+int(binary.BigEndian.Uint32(whole[at:]))
	}
	for at := range last {
		bad := slices.Clone(whole)
		bad[at] ^= 0x40
		_ = os.WriteFile(path, bad, 0o600)
		if q, err := openQueue(dir, false, newBook().apply); err == nil {
			t.Fatalf("byte %d of %d: taken, %d bytes", at, len(whole), q.size)
		}
	}
}

func TestQueueShrinks(t *testing.T) {
	dir := t.TempDir()
	q, b := reopen(t, dir)
	write(t, q, b)
	if err := q.shrink(q.size+1, b.snapshot); err != nil || b.Waiting == nil {
		t.Fatal(err)
	}
	before := q.size
	if err := q.shrink(q.size, b.snapshot); err != nil {
		t.Fatal(err)
	}
	if err := q.append(&entry{Kind: entryVoid, Seq: 3}); err != nil {
		t.Fatal(err)
	}
	_ = q.close()
	q, again := reopen(t, dir)
	defer q.close()
	if again.Voided != 1 || again.Open != nil || len(again.Waiting) != 2 || again.Served != 2 {
		t.Errorf("%+v after shrinking %d to %d bytes", again, before, q.size)
	}
	if err := q.append(&entry{Kind: entryPassed, Why: string(make([]byte, entryMax))}); err == nil {
		t.Error("an entry above the limit was taken")
	}
}

// Whatever the switch answers in whatever order, the book adds up, and an answer counts once.
func TestBookAddsUp(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	b := newBook()
	for seq := uint32(1); seq <= 200; seq++ {
		for _, e := range []*entry{
			{Kind: entryIntent, Record: &Record{Seq: seq, Amount: txn.Minor(seq)}},
			{Kind: entryDone, Seq: seq, Proved: seq%50 == 0}} {
			if err := b.apply(e); err != nil {
				t.Fatal(err)
			}
		}
		var acks []ack
		for range r.IntN(4) {
			acks = append(acks, ack{Seq: 1 + r.Uint32N(seq),
				Fate: []fate{fateAccepted, fateKnown, fateRejected, fateHeld}[r.IntN(4)], Reason: "x"})
		}
		_ = b.apply(&entry{Kind: entrySent, Acks: acks})
		g := &Gate{book: b, id: &Identity{ID: "G"}}
		if rep := g.Report(); !rep.Balanced() {
			t.Fatalf("after %d: %+v", seq, rep)
		}
	}
	if b.Torn != 4 {
		t.Errorf("%d torn", b.Torn)
	}
	if err := b.apply(&entry{Kind: entryDone, Seq: 7}); !errors.Is(err, ErrDamaged) {
		t.Errorf("an end without a beginning: %v", err)
	}
	if err := b.apply(&entry{Kind: "party"}); !errors.Is(err, ErrDamaged) {
		t.Errorf("another kind: %v", err)
	}
}

// A chip keeps its newer copy, and the older when the newer is torn.
func TestChips(t *testing.T) {
	dir := t.TempDir()
	c, err := openChips(dir, 3, 50_000, false)
	if err != nil {
		t.Fatal(err)
	}
	want := chip{Balance: 49_800, Counter: 1, LastSeq: 9, LastTAC: [4]byte{1, 2, 3, 4},
		LeaseUntil: 1_800_000_000_000, Taps: 3, Total: 600, LastAt: 1_700_000_000_000}
	if err := c.store(1, &want); err != nil {
		t.Fatal(err)
	}
	_ = c.close()
	if c, err = openChips(dir, 3, 1, false); err != nil {
		t.Fatal(err)
	}
	if got, err := c.load(1); err != nil || got != want {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := c.load(2); err != nil || got != (chip{Balance: 50_000}) {
		t.Errorf("%+v %v", got, err)
	}
	newer := int64(2*chipHalf) + int64(c.gens[1]%2)*chipHalf
	if _, err := c.file.WriteAt([]byte{0xff}, newer+10); err != nil {
		t.Fatal(err)
	}
	if got, err := c.load(1); err != nil || got.Balance != 50_000 {
		t.Errorf("newer copy torn: %+v %v", got, err)
	}
	if _, err := c.file.WriteAt(make([]byte, 2*chipHalf), 2*chipHalf); err != nil {
		t.Fatal(err)
	}
	if _, err := c.load(1); !errors.Is(err, errChip) {
		t.Errorf("both gone: %v", err)
	}
	_ = c.close()
}

// The proof is one that clearing verifies.
func TestTACIsGood(t *testing.T) {
	s := setup()
	master, err := purse.NewMaster(TACScheme(), TestTACKey())
	if err != nil {
		t.Fatal(err)
	}
	r := &Record{Seq: 5, Card: 2, Counter: 3, Before: 49_000, Amount: 200, At: s.Base}
	if r.TAC, err = s.tac(master, r, 1); err != nil {
		t.Fatal(err)
	}
	v := purse.NewVerifier(purse.KeyTable{{Version: keyVersion, Index: keyIndex}: master}, purse.Options{})
	rec := purse.Record{Card: purse.Card{Issuer: issuer(), Serial: serialOf(s.number(1*s.Cards + 2))},
		KeyVersion: keyVersion, KeyIndex: keyIndex, Values: s.values(r, 1), TAC: r.TAC}
	if got := v.Verify(&rec); got != purse.Good {
		t.Errorf("%v", got)
	}
	rec.Amount++
	if got := v.Verify(&rec); got != purse.WrongTAC {
		t.Errorf("another amount: %v", got)
	}
	date, clock := bcdTime(1_800_000_000_000) // 2027-01-15 16:00 in Beijing
	if fmt.Sprintf("%x %x", date, clock) != "20270115 160000" {
		t.Errorf("%x %x", date, clock)
	}
}

func TestDecisions(t *testing.T) {
	p := provision.DefaultParameters()
	p.QueueMax = 10
	at := txn.Millis(1_800_000_000_000)
	for name, c := range map[string]struct {
		chip   func(*chip)
		moment func(*moment)
		charge txn.Minor
		want   verdict
	}{
		"good":                    {nil, nil, 200, serve},
		"emergency before all":    {nil, func(m *moment) { m.modes, m.listed, m.waiting = modes("emergency_release"), true, 10 }, 200, released},
		"queue full":              {nil, func(m *moment) { m.waiting = 10 }, 200, refuseQueue},
		"queue nearly full":       {nil, func(m *moment) { m.waiting = 9 }, 200, serve},
		"station closed":          {nil, func(m *moment) { m.modes = modes("station_closed") }, 200, refuseClosed},
		"listed":                  {nil, func(m *moment) { m.listed = true }, 200, refuseListed},
		"listed, just seen":       {nil, func(m *moment) { m.listed, m.seen = true, true }, 200, refuseListed},
		"listed, train fault":     {nil, func(m *moment) { m.listed, m.modes = true, modes("train_fault") }, 0, refuseListed},
		"stale, small":            {nil, func(m *moment) { m.age = provision.Stale }, 200, serve},
		"stale, large":            {nil, func(m *moment) { m.age = provision.Stale }, 2001, refuseTap},
		"unknown":                 {nil, func(m *moment) { m.age = provision.Unknown }, 200, refuseUnknown},
		"unknown, just seen":      {nil, func(m *moment) { m.age, m.seen = provision.Unknown, true }, 200, serve},
		"lease over":              {func(c *chip) { c.LeaseUntil = at - 1 }, nil, 200, askLease},
		"lease over, just seen":   {func(c *chip) { c.LeaseUntil = 0 }, func(m *moment) { m.seen = true }, 200, serve},
		"lease to the moment":     {func(c *chip) { c.LeaseUntil = at }, nil, 200, serve},
		"floor":                   {nil, nil, 5000, askFloor},
		"below the floor":         {nil, nil, 4999, serve},
		"floor, just seen":        {nil, func(m *moment) { m.seen = true }, 5000, serve},
		"above all, just seen":    {nil, func(m *moment) { m.seen = true }, 10_001, refuseTap},
		"card had its money":      {func(c *chip) { c.Total = 49_801 }, nil, 200, askCard},
		"card had its taps":       {func(c *chip) { c.Taps = 100 }, nil, 200, askCard},
		"gate gave its money":     {nil, func(m *moment) { m.given = 4_999_801 }, 200, refuseGate},
		"balance":                 {func(c *chip) { c.Balance = 199 }, nil, 200, refuseBalance},
		"balance to the fen":      {func(c *chip) { c.Balance = 200 }, nil, 200, serve},
		"counter at its end":      {func(c *chip) { c.Counter = 0xffff }, nil, 200, refuseCounter},
		"pass-back":               {func(c *chip) { c.LastAt = at - 119_999 }, nil, 200, refusePass},
		"after the window":        {func(c *chip) { c.LastAt = at - 120_000 }, nil, 200, serve},
		"pass-back, order waived": {func(c *chip) { c.LastAt = at - 1 }, func(m *moment) { m.modes = modes("entry_exit_waived") }, 200, serve},
		"clock went back":         {func(c *chip) { c.LastAt = at + 5000 }, nil, 200, serve},
	} {
		card := chip{Balance: 50_000, LeaseUntil: at + 1000}
		m := moment{at: at, age: provision.Fresh}
		if c.chip != nil {
			c.chip(&card)
		}
		if c.moment != nil {
			c.moment(&m)
		}
		if got := judge(&p, &card, m, c.charge); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A gate obeys the lease that the switch tells, and its own parameter where that is shorter.
func TestLeaseOfAnAnswer(t *testing.T) {
	at := txn.Millis(1_800_000_000_000)
	p := provision.Parameters{LeaseS: 3600}
	for body, want := range map[string]txn.Millis{
		`{"outcome":"approved"}`: at + 3_600_000,
		`{"outcome":"approved","lease_until":"2027-01-15T08:30:00.000Z"}`: at + 1_800_000,
		`{"outcome":"approved","lease_until":"2027-01-18T08:00:00.000Z"}`: at + 3_600_000,
		`{"outcome":"approved","lease":"none"}`:                           0,
	} {
		told, err := sim.ParseAnswer([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := leaseOf(&p, &told, at); got != want {
			t.Errorf("%s: %d, want %d", body, got-at, want-at)
		}
	}
}

func modes(name string) disruption.Flags {
	m, err := disruption.ParseMode(name)
	if err != nil {
		panic(err)
	}
	return disruption.Flags(0).With(m)
}

// The plan depends on the seed alone, and loses the network about as often as it says.
func TestScript(t *testing.T) {
	s := setup()
	a, b := newScript(&s, 1), newScript(&s, 1)
	other := newScript(&s, 2)
	lost, differs, longest, run := 0, false, 0, 0
	for n := range 4000 {
		if a.card(n) != b.card(n) || a.lost(n) != b.lost(n) || a.repeated(n) != b.repeated(n) {
			t.Fatalf("tap %d differs", n)
		}
		differs = differs || a.card(n) != other.card(n)
		if run++; !a.lost(n) {
			run = 0
		}
		longest = max(longest, run)
		if a.lost(n) {
			lost++
		}
	}
	if !differs || lost < 100 || lost > 1000 || longest > 2*s.OutageTaps {
		t.Errorf("other gate differs %t, lost %d, longest %d", differs, lost, longest)
	}
	if a.skew > s.Skew || a.skew < -s.Skew || a.offset(0, -1) != a.skew || a.offset(50, 50) != 0 {
		t.Errorf("skew %d", a.skew)
	}
	if got := a.offset(1000_000, -1) - a.skew; got != txn.Millis(1_000_000_000*a.drift/1_000_000) {
		t.Errorf("drift %d after a million taps", got)
	}
	s.OutageEvery = 0
	if newScript(&s, 1).lost(7) {
		t.Error("lost without outages")
	}
}

func TestSetupIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Setup){
		"no gates": func(s *Setup) { s.Gates = 0 }, "many": func(s *Setup) { s.Gates = GatesMax + 1 },
		"no cards": func(s *Setup) { s.Cards = 0 }, "no time": func(s *Setup) { s.Interval = 0 },
		"no base": func(s *Setup) { s.Base = 0 }, "drift": func(s *Setup) { s.Drift = 1001 },
		"repeats": func(s *Setup) { s.Repeats = 10_001 }, "rich": func(s *Setup) { s.Balance = 200_001 },
		"skew": func(s *Setup) { s.Skew = -1 },
	} {
		s := setup()
		change(&s)
		if err := s.check(); !errors.Is(err, ErrSetup) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := setup()
	if err := s.check(); err != nil {
		t.Error(err)
	}
}

// What the switch answers to taps.
func TestFatesOfTaps(t *testing.T) {
	for name, c := range map[string]struct {
		answer sim.Answer
		fate   fate
		ok     bool
	}{
		"approved":  {sim.Answer{Outcome: "approved"}, fateAccepted, true},
		"again":     {sim.Answer{Outcome: "approved", Replay: true}, fateKnown, true},
		"declined":  {sim.Answer{Outcome: "declined", Reason: "unknown_card"}, fateRejected, true},
		"seen":      {sim.Answer{Error: &sim.APIError{Code: txn.CounterSeen.String()}}, fateKnown, true},
		"not known": {sim.Answer{Error: &sim.APIError{Code: "outcome_unknown", Retryable: true}}, "", false},
		"malformed": {sim.Answer{Error: &sim.APIError{Code: "time_invalid"}}, fateRejected, true},
	} {
		if f, _, ok := fateOf(&c.answer); f != c.fate || ok != c.ok {
			t.Errorf("%s: %s %t", name, f, ok)
		}
	}
}

// What the switch answers to a frame, and what the frame says of a record.
func TestFrames(t *testing.T) {
	records := []Record{{Seq: 1}, {Seq: 2}, {Seq: 3}, {Seq: 4}, {Seq: 5}, {Seq: 6}}
	acks, err := readFates([]byte(`{"states":"adr?hd","exceptions":[{"i":2,"state":"rejected","reason":"tac_wrong"},
	 {"i":4,"state":"held","reason":"dispute"},{"i":5,"state":"duplicate","reason":"declined"}]}`), records)
	want := []ack{{1, fateAccepted, ""}, {2, fateKnown, ""}, {3, fateRejected, "tac_wrong"},
		{5, fateHeld, "dispute"}, {6, fateRejected, "declined"}}
	if err != nil || !slices.Equal(acks, want) {
		t.Errorf("%v %v", acks, err)
	}
	for _, body := range []string{"", `{"states":"a"}`, `{"states":"aaaaaaa"}`} {
		if _, err := readFates([]byte(body), records); !errors.Is(err, errNoNetwork) {
			t.Errorf("%q: %v", body, err)
		}
	}
	s := setup()
	w := &World{Setup: s, Identities: []Identity{s.identity(0), s.identity(1), s.identity(2)}}
	u := &frames{world: w, gate: 2}
	tap := u.tap(&Record{Seq: 9, Card: 3, Amount: 200, Fare: 200, Before: 900, At: s.Base, Known: true,
		Offset: -7, Proved: true, Epoch: 44, Modes: modes("entry_exit_waived") | modes("time_waived"),
		TAC: [4]byte{1, 2, 3, 4}})
	raw, err := tap.Append(nil)
	rec := frame.Record(raw)
	if err != nil || rec.Flags() != frame.Proved|frame.OrderWaived|frame.TimeWaived ||
		rec.ClockOffset() != -7 || rec.ListEpoch() != 44 || rec.PSAM() != s.psam(2) {
		t.Errorf("%x %v", raw, err)
	}
	if n, err := rec.Number(); err != nil || n != s.number(2*s.Cards+3) {
		t.Errorf("the card is another: %v", err)
	}
}

func TestWorldIsKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenWorld(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	s := setup()
	w := &World{Setup: s, Keys: json.RawMessage(`[]`)}
	for i := range s.Gates {
		w.Identities = append(w.Identities, s.identity(i))
	}
	w.Tokens = make([]string, s.Gates*s.Cards)
	if err := w.write(dir); err != nil {
		t.Fatal(err)
	}
	again, err := OpenWorld(dir)
	if err != nil || !reflect.DeepEqual(w, again) {
		t.Errorf("%+v %v", again, err)
	}
	info, err := os.Stat(filepath.Join(dir, worldName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keys can be read by others: %v %v", info.Mode(), err)
	}
	w.Tokens = w.Tokens[1:]
	_ = w.write(dir)
	if _, err := OpenWorld(dir); !errors.Is(err, ErrSetup) {
		t.Errorf("a token is missing: %v", err)
	}
}

func TestTotal(t *testing.T) {
	one := &Report{Served: 3, ServedFen: 600, Settled: 2, SettledFen: 400, Waiting: 1, WaitingFen: 200,
		Passed: map[string]int{"listed": 2}, Reasons: map[string]int{"x": 1}, Did: Did{Polls: 4}}
	sum := Total([]*Report{one, one})
	if sum.Served != 6 || sum.SettledFen != 800 || !sum.Balanced() || sum.Did.Polls != 8 ||
		!maps.Equal(sum.Passed, map[string]int{"listed": 4}) || !maps.Equal(sum.Reasons, map[string]int{"x": 2}) {
		t.Errorf("%+v", sum)
	}
	one.Waiting++
	if one.Balanced() {
		t.Error("it does not add up")
	}
}
