package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// NewCarrier is a carrier that is to be bound.
type NewCarrier struct {
	Token  pan.Token
	Last4  pan.Last4
	Kind   CarrierKind
	Family string // of card numbers; none for a bank card
	Issuer string
	// Existing: the card was given out before and is drawn in (HD33), so its family need
	// only be accepted, not issued.
	Existing bool
	// Ready: it is in the holder's hands already; in production otherwise.
	Ready bool
}

// OpenAccount enrols a holder with a first carrier (ZS15, HD14, HD15, WZ14). A unit enrols
// its people with the same step, one command a person.
type OpenAccount struct {
	Holder    pan.Token
	Unit      string
	Who       Who
	Carrier   NewCarrier
	Numbers   []Number
	Functions []txn.App // beside those that every card has
	Rider     Rider
	ExpiresOn txn.BusinessDate // as printed; 0: by the rules, from today
	Checked   bool             // the data was checked and is true
}

// Name returns the step's stable name.
func (OpenAccount) Name() string { return "open_account" }

func (s OpenAccount) decide(c *change) Refusal {
	if r := c.allowed(&c.rules.Application.Access, s.Who); r != RefusalNone {
		return r
	}
	switch {
	case s.Holder.IsZero() || long(s.Unit) || !s.validNumbers():
		return InvalidCommand
	case c.rules.Application.Checked && !s.Checked:
		return NotChecked
	case s.Carrier.Kind == Temporary || s.Carrier.Kind == BankPAN:
		return CarrierKindNotAllowed
	}
	a := c.next
	a.Holder, a.Unit, a.Opened, a.Numbers = s.Holder, s.Unit, c.now, slices.Clone(s.Numbers)
	if r := c.rider(s.Rider); r != RefusalNone {
		return r
	}
	if a.ExpiresOn = s.ExpiresOn; a.ExpiresOn == 0 {
		a.ExpiresOn = c.validity()
	}
	if a.ExpiresOn.Valid() && !c.validUntil(a.ExpiresOn) {
		return ExpiryPast
	}
	if !c.validUntil(a.ExpiresOn) {
		return InvalidCommand
	}
	if r := c.functions(s.Functions, s.Who); r != RefusalNone {
		return r
	}
	return s.issue(c)
}

func (s *OpenAccount) validNumbers() bool {
	for _, n := range s.Numbers {
		if n.Kind == NumberNone || n.Kind >= numberEnd || n.Token.IsZero() {
			return false
		}
	}
	return len(s.Numbers) <= NumbersMax
}

func (s *OpenAccount) issue(c *change) Refusal {
	var no uint32
	if !s.Carrier.Ready {
		k := c.open(CaseApplication, Accepted, s.Who)
		k.Carrier, no = s.Carrier.Token, k.No
	}
	k, r := c.bind(&s.Carrier, no)
	if r != RefusalNone {
		return r
	}
	c.note(s.Who.words(), k.Kind.String())
	if s.Carrier.Existing {
		return RefusalNone
	}
	return c.charge(FirstIssue)
}

// validity returns the last day of a card that is issued now.
func (c *change) validity() txn.BusinessDate {
	if c.rules.Validity.Years == 0 {
		return 0
	}
	return addDays(addYears(c.rules.Calendar.Date(c.now), c.rules.Validity.Years), -1)
}

// validUntil reports whether d may be a last day of validity.
func (c *change) validUntil(d txn.BusinessDate) bool {
	return d == 0 || d.Valid() && d >= c.rules.Calendar.Date(c.now)
}

// functions opens what every card has, and what is wished beside it.
func (c *change) functions(wished []txn.App, who Who) Refusal {
	today := c.rules.Calendar.Date(c.now)
	for i := range c.rules.Functions {
		f := &c.rules.Functions[i]
		if f.AtIssue && today >= f.From {
			c.next.Functions = append(c.next.Functions, Function{App: f.App, OpenedAt: c.now,
				Channel: who.Channel, Outlet: c.cmd.By.Outlet, AfterBank: f.AfterBank})
		}
	}
	for _, app := range wished {
		r := OpenFunction{App: app, Channel: who.Channel}.decide(c)
		if r != RefusalNone && r != FunctionOpen {
			return r
		}
	}
	return RefusalNone
}

func (w Who) words() string {
	s := w.Actor.String() + " " + w.Channel.String()
	if w.ID != IDNone {
		s += " " + w.ID.String()
	}
	return s
}

// bind adds a carrier to the account.
func (c *change) bind(n *NewCarrier, forCase uint32) (*Carrier, Refusal) {
	a := c.next
	switch {
	case n.Token.IsZero() || n.Kind == CarrierNone || n.Kind >= carrierEnd ||
		len(n.Issuer) > IssuerMax || len(n.Family) > IssuerMax:
		return nil, InvalidCommand
	case a.Carrier(n.Token) != nil || a.Gone(n.Token) != nil:
		return nil, CarrierExists
	case len(a.Carriers) >= CarriersMax || len(a.Carriers)+len(a.Former) >= FormerMax:
		return nil, AccountFull
	}
	if r := c.family(n); r != RefusalNone {
		return nil, r
	}
	k := Carrier{Token: n.Token, Last4: n.Last4, Kind: n.Kind, Family: n.Family, Issuer: n.Issuer,
		BoundAt: c.now, Case: forCase, Status: InProduction}
	if n.Ready {
		k.Status = Active
	}
	a.Carriers = append(a.Carriers, k)
	return &a.Carriers[len(a.Carriers)-1], RefusalNone
}

// family judges a card number by the families of the scheme. A bank card's number is the
// bank's.
func (c *change) family(n *NewCarrier) Refusal {
	if n.Kind == BankPAN {
		return RefusalNone
	}
	i := slices.IndexFunc(c.rules.Families, func(f FamilyRule) bool { return f.Name == n.Family })
	if i < 0 {
		return FamilyUnknown
	}
	f := &c.rules.Families[i]
	ended := f.Until != 0 && c.rules.Calendar.Date(c.now) > f.Until
	if ended || !f.Issue && !n.Existing {
		return FamilyClosed
	}
	return RefusalNone
}

// BindCarrier adds an e-card, a QR code, a bank card or another chip card to the account.
// While the account is frozen nothing is bound but a temporary credential.
type BindCarrier struct {
	Who     Who
	Carrier NewCarrier
}

// Name returns the step's stable name.
func (BindCarrier) Name() string { return "bind_carrier" }

func (s BindCarrier) decide(c *change) Refusal {
	if r := c.allowed(&c.rules.Application.Access, s.Who); r != RefusalNone {
		return r
	}
	waiting := c.next.openCase(CaseApplication) != nil
	switch {
	case s.Carrier.Kind == Temporary:
		return CarrierKindNotAllowed
	case slices.ContainsFunc(c.next.Restrictions, func(r Restriction) bool {
		return r.Reason != txn.Suspended
	}):
		return Frozen
	case waiting && s.Carrier.Kind == ECard && !c.rules.Application.ECardMeanwhile:
		return CarrierNotActive
	}
	k, r := c.bind(&s.Carrier, 0)
	if r == RefusalNone {
		c.note(s.Who.words(), k.Kind.String())
	}
	return r
}

// UnbindCarrier takes an e-card, a QR code or a bank card off the account. A frozen one
// stays: unbinding is no way around a release. The number of ours dies; a bank card goes
// on under its bank's rules.
type UnbindCarrier struct {
	Who    Who
	Token  pan.Token
	Outlet string // where its balance is paid out when no other carrier takes it over
}

// Name returns the step's stable name.
func (UnbindCarrier) Name() string { return "unbind_carrier" }

func (s UnbindCarrier) decide(c *change) Refusal {
	k, r := c.carrier(s.Token)
	if r != RefusalNone {
		return r
	}
	if r := c.allowed(&c.rules.Application.Access, s.Who); r != RefusalNone {
		return r
	}
	switch {
	case long(s.Outlet):
		return InvalidCommand
	case k.Kind == Chip || k.Kind == Temporary:
		return CarrierKindNotAllowed
	case c.next.union(k).Reason != txn.NotFrozen:
		return Frozen
	}
	c.note(s.Who.words(), k.Kind.String())
	if k.Kind == BankPAN {
		c.drop(s.Token)
		return RefusalNone
	}
	c.retire(s.Token, s.Outlet)
	return RefusalNone
}

// retire cancels one carrier of an account that goes on; its balance goes to the main one.
func (c *change) retire(token pan.Token, outlet string) {
	c.kill(token, Cancelled)
	if to := c.next.main(); to != nil {
		c.cards()
		c.bequeath(token, to.Token)
		return
	}
	c.push(Effect{Kind: Payout, Carrier: token, Outlet: outlet})
}

// bequeath makes a living carrier the successor of one that died.
func (c *change) bequeath(from, to pan.Token) {
	c.push(Effect{Kind: Transfer, Carrier: from, To: to})
	c.next.Gone(from).Successor = to
}

func (c *change) drop(token pan.Token) {
	c.next.Carriers = slices.DeleteFunc(c.next.Carriers, func(k Carrier) bool {
		return k.Token == token
	})
}

// kill ends a living carrier for ever, and says so before anything else happens to it.
// There is always room to remember it: bind sees to that.
func (c *change) kill(token pan.Token, how CarrierStatus) {
	k := c.next.Carrier(token)
	f := Former{Token: token, Last4: k.Last4, Kind: k.Kind, Status: how, At: c.now}
	c.next.Former = append(c.next.Former, f)
	c.drop(token)
	c.push(Effect{Kind: SetMark, Carrier: token, Mark: f.mark()})
}

// OpenFunction opens an application at the holder's wish (WZ11, ZS14).
type OpenFunction struct {
	App     txn.App
	Channel Channel
}

// Name returns the step's stable name.
func (OpenFunction) Name() string { return "open_function" }

func (s OpenFunction) decide(c *change) Refusal {
	i := slices.IndexFunc(c.rules.Functions, func(f FunctionRule) bool { return f.App == s.App })
	if i < 0 || s.App == 0 || s.App&(s.App-1) != 0 {
		return FunctionUnknown
	}
	rule := &c.rules.Functions[i]
	if c.rules.Calendar.Date(c.now) < rule.From {
		return NotOffered
	}
	if r := c.reachable(rule.Channels, rule.Outlets, s.Channel); r != RefusalNone {
		return r
	}
	f := c.next.function(s.App)
	switch {
	case f != nil && f.ClosedAt == 0:
		return FunctionOpen
	case rule.AfterBank && c.next.BankSince == 0:
		return BankNotActivated
	}
	opened := Function{App: s.App, OpenedAt: c.now, Channel: s.Channel, Outlet: c.cmd.By.Outlet,
		AfterBank: rule.AfterBank}
	if f != nil {
		*f = opened
	} else {
		c.next.Functions = append(c.next.Functions, opened)
	}
	c.note(appWords(s.App), s.Channel.String())
	return RefusalNone
}

// CloseFunction closes an application at the holder's wish.
type CloseFunction struct {
	App     txn.App
	Channel Channel
}

// Name returns the step's stable name.
func (CloseFunction) Name() string { return "close_function" }

func (s CloseFunction) decide(c *change) Refusal {
	f := c.next.function(s.App)
	if f == nil || f.ClosedAt != 0 {
		return FunctionClosed
	}
	i := slices.IndexFunc(c.rules.Functions, func(f FunctionRule) bool { return f.App == s.App })
	if i < 0 {
		return FunctionUnknown
	}
	rule := &c.rules.Functions[i]
	if r := c.reachable(rule.Channels, rule.Outlets, s.Channel); r != RefusalNone {
		return r
	}
	f.ClosedAt = c.now
	c.note(appWords(s.App), s.Channel.String())
	return RefusalNone
}

// ActivateBank records that the bank account was activated, which opens what waited for
// it (ZZ19). The bank says so, not the holder.
type ActivateBank struct {
	Off bool // the bank function was given up
}

// Name returns the step's stable name.
func (ActivateBank) Name() string { return "activate_bank" }

func (s ActivateBank) decide(c *change) Refusal {
	switch {
	case s.Off && c.next.BankSince == 0:
		return BankNotActivated
	case s.Off:
		c.next.BankSince = 0
		c.note("off")
	case c.next.BankSince != 0:
		return BankActivated
	default:
		c.next.BankSince = c.now
	}
	return RefusalNone
}

// SetRider records a concession with the department that vouches for it (HD3).
type SetRider struct{ Rider Rider }

// Name returns the step's stable name.
func (SetRider) Name() string { return "set_rider" }

func (s SetRider) decide(c *change) Refusal {
	if r := c.rider(s.Rider); r != RefusalNone {
		return r
	}
	c.note(s.Rider.Category.String(), s.Rider.Source)
	return RefusalNone
}

func (c *change) rider(r Rider) Refusal {
	switch {
	case r.Category.String() == "unknown" || long(r.Source) || r.Until != 0 && !r.Until.Valid():
		return InvalidCommand
	case r.Category != txn.RiderOrdinary && r.Source == "":
		return NoReason
	case r.Until != 0 && r.Until < c.rules.Calendar.Date(c.now):
		return RiderEnded
	}
	c.next.Rider = r
	return RefusalNone
}
