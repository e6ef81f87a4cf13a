package account_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// week is a calendar of five working days, eight hours east, with holidays.
type week struct{ holidays []txn.BusinessDate }

var east = time.FixedZone("", 8*3600)

func (w week) Date(at txn.Millis) txn.BusinessDate { return txn.DateOf(at.Time(), east, 0) }

func (w week) Start(d txn.BusinessDate) txn.Millis {
	return txn.MillisOf(d.Time()) - 8*3600*1000
}

func (w week) Working(d txn.BusinessDate) bool {
	day := d.Time().Weekday()
	return day != time.Saturday && day != time.Sunday && !slices.Contains(w.holidays, d)
}

// at returns an instant of local time, "2026-03-02 09:00".
func at(s string) txn.Millis {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, east)
	if err != nil {
		panic(err)
	}
	return txn.MillisOf(t)
}

const minute, day txn.Millis = 60 * 1000, 24 * 3600 * 1000

var (
	holder = account.Who{Actor: account.Holder, Channel: account.AtOutlet, ID: account.ResidentID}
	agent  = account.Who{Actor: account.Agent, Channel: account.AtOutlet, ID: account.ResidentID}
	phoned = account.Who{Actor: account.Holder, Channel: account.ByPhone}
	letter = account.Paper{No: "L-1", Facts: "the facts", Reasons: "the reasons",
		Remedies: "the remedies"}
	all = account.SetOf(account.AtAgency, account.AtOutlet, account.AtUnit, account.Online)
)

// plain are rules of no city: what the tests of a duty need is set in them.
func plain() *account.Rules {
	counter := account.Access{Actors: account.SetOf(account.Holder, account.Agent),
		Channels: account.SetOf(account.AtAgency, account.AtOutlet),
		IDs:      account.SetOf(account.ResidentID, account.Passport)}
	person := counter
	person.Actors = account.SetOf(account.Holder)
	days := func(n int) account.Days { return account.Days{N: n} }
	working := func(n int) account.Days { return account.Days{N: n, Working: true} }
	return &account.Rules{Scheme: "plain", Version: "1", Calendar: week{},
		Application: account.ApplicationRules{Checked: true, ECardMeanwhile: true,
			Access: account.Access{
				Actors:   account.SetOf(account.Holder, account.Employer, account.Guardian),
				Channels: account.SetOf(account.AtOutlet, account.InBulk, account.Online)}},
		Loss: account.LossRules{Access: counter, Forms: account.SetOf(account.Written),
			Boundary: account.FreezeDue, TellBank: true},
		PreReport: account.PreReportRules{Allowed: true, Impossible: true, Written: days(7),
			Access: account.Access{Actors: account.SetOf(account.Holder),
				Channels: account.SetOf(account.ByPhone)}},
		Release: account.ReleaseRules{Access: person, SecondPerson: true,
			Closes: account.ClosedWhenDone, AfterRefusal: account.ReleaseReopens},
		Replacement: account.ReplacementRules{Access: counter,
			Grounds: account.SetOf(account.BeforeExpiry, account.Damaged, account.OtherGood),
			Duties:  account.SetOf(account.NameChanged),
			Takes:   account.SetOf(account.Chip, account.BankPAN), TemporaryDays: days(60),
			TemporaryKinds: account.SetOf(account.ECard, account.QR)},
		Validity: account.ValidityRules{Years: 10, OpenDays: 90, LeadDays: 30, ServesRenewing: true},
		Cancellation: account.CancellationRules{Refund: true, ExOfficio: true,
			Waivable: account.SetOf(account.OfflineRecords, account.OpenFees),
			Access: account.Access{Actors: account.SetOf(account.Holder, account.Relative),
				Channels: account.SetOf(account.AtOutlet)}},
		Limits: account.Limits{ProductionData: days(30), FirstIssue: days(60), Renewal: working(15),
			Replacement: working(15), RefuseWithin: days(5), Release: days(1), Cancellation: days(30),
			Suspension: days(180), Correction: days(15), Complaint: days(15), Claim: days(60),
			Finding: days(30)},
		Claims: account.ClaimRules{Access: counter, Parties: []string{"bus", "bank"},
			Faults: account.SetOf(account.Lent, account.Careless), AmountMax: 1000_00},
		Suspensions: []account.SuspensionRule{{App: txn.AppSocial, Role: "social_dept",
			Faults: account.SetOf(account.Lent, account.Rented)}},
		Functions: []account.FunctionRule{
			{App: txn.AppTransit, Channels: all, AtIssue: true},
			{App: txn.AppPurse, Channels: all, AtIssue: true},
			{App: txn.AppSocial, Channels: all, AtIssue: true},
			{App: txn.AppBank, Channels: account.SetOf(account.AtOutlet, account.AtBank),
				AfterBank: true},
			{App: txn.AppLibrary, Channels: account.SetOf(account.AtOutlet),
				Outlets: []string{"outlet-1"}},
			{App: txn.AppCampus, Channels: all, From: 20270901}},
		Families: []account.FamilyRule{{Name: "t-union", Issue: true, Basis: "doc 1"},
			{Name: "old", Until: 20281231}},
		Tariff: []account.FeeRule{
			{Event: account.FirstIssue, Amount: 0, Income: "income/fees"},
			{Event: account.Replacement, Amount: 2000, Income: "income/fees",
				Waivers: []string{"hardship"}},
			{Event: account.Renewal, Amount: 1000, Income: "income/fees",
				Waivers: []string{"hardship"}}},
		Fields: []account.FieldRule{
			{Field: account.HolderName, Owner: "police", Surface: true, Ground: account.NameChanged},
			{Field: account.Telephone, Owner: "agency"}},
		Purposes: []account.PurposeRule{{Purpose: "dispute", Roles: []string{"desk"}},
			{Purpose: "research", Roles: []string{"data_user"}, Consent: true}},
	}
}

func token(n uint32) pan.Token {
	var t pan.Token
	binary.BigEndian.PutUint32(t[:], n)
	t[15] = 0xAA
	return t
}

// Tokens of the tests.
var (
	person, chip, ecard, qr, bankCard = token(1), token(2), token(3), token(4), token(5)
	second, temporary                 = token(6), token(7)
)

func carrierOf(kind account.CarrierKind, t pan.Token) account.NewCarrier {
	return account.NewCarrier{Token: t, Kind: kind, Family: "t-union", Issuer: "city",
		Last4: pan.Last4{'0', '0', '0', '1'}, Ready: true}
}

// desk drives one account, and a world that carries its effects out.
type desk struct {
	t     testing.TB
	rules *account.Rules
	doc   *account.Account
	now   txn.Millis
	staff account.Staff
	count uint32

	marks     map[pan.Token]txn.Mark
	cards     map[pan.Token]account.CardState
	successor map[pan.Token]pan.Token
	balance   map[pan.Token]int
	paidOut   int
	notices   []account.Effect
	booked    []account.Effect // money and liability
}

func newDesk(t testing.TB, rules *account.Rules) *desk {
	t.Helper()
	if err := rules.Check(); err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, rules: rules, doc: new(account.Account), now: at("2026-03-02 09:00"),
		staff: account.Staff{ID: "clerk-1", Role: "desk", Outlet: "outlet-1"},
		marks: map[pan.Token]txn.Mark{}, cards: map[pan.Token]account.CardState{},
		successor: map[pan.Token]pan.Token{}, balance: map[pan.Token]int{}}
}

// opened is a desk with an account of a chip card, an e-card, a QR code and a bank card.
func opened(t testing.TB, rules *account.Rules) *desk {
	t.Helper()
	d := newDesk(t, rules)
	d.must(d.openAccount())
	d.must(account.BindCarrier{Who: holder, Carrier: carrierOf(account.ECard, ecard)})
	d.must(account.BindCarrier{Who: holder, Carrier: carrierOf(account.QR, qr)})
	d.must(account.BindCarrier{Who: holder, Carrier: carrierOf(account.BankPAN, bankCard)})
	d.settle()
	d.balance[chip] = 500
	return d
}

func (d *desk) openAccount() account.OpenAccount {
	return account.OpenAccount{Holder: person, Who: holder, Checked: true,
		Carrier: carrierOf(account.Chip, chip)}
}

// command makes a command with an id of its own.
func (d *desk) command(step account.Step) account.Command {
	d.count++
	cmd := account.Command{Made: d.now + txn.Millis(d.count), By: d.staff, Step: step}
	binary.BigEndian.PutUint32(cmd.ID[:], d.count)
	return cmd
}

// do decides a step and takes the next document over.
func (d *desk) do(step account.Step) account.Outcome {
	return d.send(d.command(step))
}

func (d *desk) send(cmd account.Command) account.Outcome {
	out := account.Apply(d.doc, cmd, d.rules, d.now)
	if out.Refusal == account.RefusalNone {
		d.doc = out.Next
	}
	return out
}

func (d *desk) must(step account.Step) account.Outcome {
	d.t.Helper()
	out := d.do(step)
	if out.Refusal != account.RefusalNone {
		d.t.Fatalf("%s: %s", step.Name(), out.Refusal)
	}
	return out
}

func (d *desk) refused(step account.Step, want account.Refusal) {
	d.t.Helper()
	if out := d.do(step); out.Refusal != want {
		d.t.Errorf("%s: %s, want %s", step.Name(), out.Refusal, want)
	}
}

// as runs f with another operator.
func (d *desk) as(id, role string, f func()) {
	before := d.staff
	d.staff.ID, d.staff.Role = id, role
	f()
	d.staff = before
}

// settle carries all effects out.
func (d *desk) settle() {
	for len(d.doc.ToDo) > 0 {
		for _, e := range d.doc.Ready() {
			d.carryOut(&e)
			d.do(account.Done{Seq: e.Seq})
		}
	}
}

// carryOut does what an effect says, and nothing that a switch would refuse.
func (d *desk) carryOut(e *account.Effect) {
	switch e.Kind {
	case account.SetMark:
		if d.marks[e.Carrier].Reason.Terminal() && d.marks[e.Carrier] != e.Mark {
			d.t.Fatalf("%s: mark %v became %v", e.Carrier, d.marks[e.Carrier], e.Mark)
		}
		d.marks[e.Carrier] = e.Mark
	case account.Enrol:
		if _, there := d.cards[e.Carrier]; there {
			d.t.Fatalf("%s enrolled twice", e.Carrier)
		}
		d.cards[e.Carrier] = e.Card
	case account.Amend:
		d.cards[e.Carrier] = e.Card
		if !e.To.IsZero() {
			d.successor[e.Carrier] = e.To
		}
	case account.Transfer:
		if _, there := d.cards[e.To]; !there || !d.marks[e.Carrier].Reason.Terminal() {
			d.t.Fatalf("transfer from a living card %v, or to none", d.marks[e.Carrier])
		}
		d.balance[e.To] += d.balance[e.Carrier]
		d.balance[e.Carrier] = 0
	case account.Payout:
		d.paidOut += d.balance[e.Carrier]
		d.balance[e.Carrier] = 0
	case account.Notify, account.Alarm:
		d.notices = append(d.notices, *e)
	default:
		d.booked = append(d.booked, *e)
	}
}

func (d *desk) noticed(n account.Notice) bool {
	return slices.ContainsFunc(d.notices, func(e account.Effect) bool { return e.Notice == n })
}

// lose reports the loss as the rules of plain want it.
func (d *desk) lose() account.Outcome {
	d.t.Helper()
	return d.must(account.ReportLoss{Who: holder, Form: account.Written, BankTold: true})
}

// release does both halves of a release.
func (d *desk) release() {
	d.t.Helper()
	out := d.must(account.RequestRelease{Who: holder})
	d.as("clerk-2", "desk", func() { d.must(account.ConfirmRelease{Case: out.Case}) })
}

// replace does a replacement up to the new card in the holder's hands.
func (d *desk) replace(old, next pan.Token) {
	d.t.Helper()
	out := d.must(account.ApplyReplacement{Who: holder, Old: old, Accept: true})
	d.must(account.MakeCard{Case: out.Case, Carrier: carrierOf(account.Chip, next)})
	d.settle()
}

func (d *desk) frozen(app txn.App, tokens ...pan.Token) bool {
	return !slices.ContainsFunc(tokens, func(t pan.Token) bool { return !d.marks[t].Frozen(app) })
}

func (d *desk) free(tokens ...pan.Token) bool {
	return !slices.ContainsFunc(tokens, func(t pan.Token) bool { return d.marks[t].Frozen(txn.AppAll) })
}

func txns(n int) []txn.Position {
	var all []txn.Position
	for i := range n {
		all = append(all, txn.Position{Bucket: 1, Epoch: 1, Seq: txn.Seq(i + 1)})
	}
	return all
}
