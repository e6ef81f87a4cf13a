package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// CardsMax bounds a plan: about 2 GB of steps.
const CardsMax = 1_000_000

// morning is about how long the service times of a plan stretch; none lies beyond Span.
const morning = 3 * time.Hour

// Span is the time within which all service times of a plan lie. A driver puts the whole
// of it into the past, so that no request is early and none is so young that a card
// remembers more than usual.
const Span = 4 * time.Hour

// Action says what a step does.
type Action uint8

// The actions.
const (
	// Request sends a transaction.
	Request Action = iota
	// Again sends an earlier step's request once more; it must be absorbed.
	Again
	// Freeze is one call of the card desk.
	Freeze
	// Release is asked by one person and confirmed by another.
	Release
	// Bad is a request that the gate must refuse.
	Bad
)

// Flaw is what is wrong with a Bad step.
type Flaw uint8

// The flaws.
const (
	FlawUnknownField Flaw = iota
	FlawSignature
	FlawNegative
	FlawUnknownCard
	FlawFuture
	flawEnd
)

// Step is one thing that happens to a card.
type Step struct {
	Index    int
	At       time.Duration // service time, since the morning began
	Action   Action
	Kind     txn.Kind
	Terminal int // index in Plan.Terminals
	ID       txn.RequestID
	Amount   txn.Minor
	// Given, Full and Amount are a fare that the terminal computed.
	Given bool
	Full  txn.Minor
	// Original is the step that a refund, a reversal or Again points to, and OriginalID
	// its request id, which may belong to a step that comes later.
	Original   int
	OriginalID txn.RequestID
	// Copies is how often the request is sent again at once after its answer.
	Copies int
	// Late says that the card may have forgotten what Again sends once more.
	Late bool
	// Lost cuts the connection before the first answer is read.
	Lost   bool
	Reason txn.FreezeReason
	Scope  txn.App
	Flaw   Flaw
	Want   Want
}

// Card is a card and its script.
type Card struct {
	Number  pan.Number
	Apps    []string
	Rider   string
	Steps   []Step
	Balance txn.Minor // at the end
}

// Plan is a city's morning.
type Plan struct {
	Seed      uint64
	Tariff    fare.File
	Terminals []TerminalSpec
	Cards     []Card
	// Want is what the ledger should hold at the end, the enrolments included.
	Want *Figures
	// Steps counts what there is to do; Requests what is sent, copies included.
	Steps, Requests int
}

// NewPlan makes the morning of seed for a number of cards. The same arguments give the
// same plan; a card's script does not depend on how many cards there are, but for the
// counters in its request ids.
func NewPlan(seed uint64, cards int) (*Plan, error) {
	if cards < 1 || cards > CardsMax {
		return nil, fmt.Errorf("plan of %d cards: want 1 to %d", cards, CardsMax)
	}
	c := newCity()
	p := &Plan{Seed: seed, Tariff: c.tariff, Terminals: c.terminals, Want: NewFigures(),
		Cards: make([]Card, cards)}
	fares := newFares(c.tariff)
	counters := make([]uint32, len(c.terminals))
	for i := range p.Cards {
		w := newWriter(seed, i, c, fares, counters)
		if err := w.write(&p.Cards[i]); err != nil {
			return nil, err
		}
		p.count(&p.Cards[i])
	}
	return p, nil
}

// count adds a card's script to the expected figures.
func (p *Plan) count(c *Card) {
	p.Want.Add(Item{Kind: txn.Enrol, Outcome: txn.Approved})
	for i := range c.Steps {
		s := &c.Steps[i]
		p.Steps++
		p.Requests += 1 + s.Copies
		if s.Action == Release || s.Lost {
			p.Requests++
		}
		if s.Want.Recorded {
			p.Want.Add(p.Item(s))
		}
	}
}

// Item returns the record that a step should leave.
func (p *Plan) Item(s *Step) Item {
	it := Item{Kind: s.Kind, Outcome: s.Want.Outcome, Reason: s.Want.Reason,
		FullFare: s.Want.FullFare, Charged: s.Want.Charged}
	if s.Action == Request {
		it.Operator = p.Terminals[s.Terminal].Operator
	}
	return it
}

// Balances returns what all cards should hold together at the end.
func (p *Plan) Balances() txn.Minor {
	var sum txn.Minor
	for i := range p.Cards {
		sum += p.Cards[i].Balance
	}
	return sum
}

// Digest identifies the plan: every step of every card.
func (p *Plan) Digest() string {
	h := sha256.New()
	var b []byte
	for i := range p.Cards {
		c := &p.Cards[i]
		b = append(b[:0], c.Number.Digits()...)
		b = append(append(b, c.Rider...), fmt.Sprint(c.Apps)...)
		for j := range c.Steps {
			b = c.Steps[j].appendBinary(b)
		}
		_, _ = h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func (s *Step) appendBinary(b []byte) []byte {
	b = append(b, byte(s.Action), byte(s.Kind), byte(s.Copies), byte(s.Reason), byte(s.Flaw))
	for _, v := range [...]int64{int64(s.At), int64(s.Terminal), int64(s.Amount), int64(s.Full),
		int64(s.Original), int64(s.Scope), int64(s.Want.Outcome), int64(s.Want.Reason),
		int64(s.Want.FullFare), int64(s.Want.Charged), int64(s.Want.Balance)} {
		b = binary.AppendVarint(b, v)
	}
	b = append(b, boolByte(s.Given), boolByte(s.Lost), boolByte(s.Late), boolByte(s.Want.Recorded))
	return s.OriginalID.AppendBinary(s.ID.AppendBinary(b))
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// fares answers what a ride costs in full.
type fares struct {
	pairs map[[2]string]txn.Minor
	bus   map[string]txn.Minor
	share map[string]int64
}

func newFares(f fare.File) *fares {
	t := &fares{pairs: map[[2]string]txn.Minor{}, bus: f.Bus.Lines, share: f.Riders}
	for _, p := range f.Metro.Pairs {
		t.pairs[[2]string{p.From, p.To}] = p.Fare
		t.pairs[[2]string{p.To, p.From}] = p.Fare
	}
	return t
}
