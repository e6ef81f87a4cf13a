package account

import (
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// OpenCorrection takes in that a datum is wrong and routes it to the department that is
// responsible (HD27). Old and New are keyed digests of the values, made by the caller, so
// that the audit trail can prove them without holding them.
type OpenCorrection struct {
	Who   Who
	Field Field
	Old   Digest
	New   Digest
}

// Name returns the step's stable name.
func (OpenCorrection) Name() string { return "open_correction" }

func (s OpenCorrection) decide(c *change) Refusal {
	rule := c.rules.field(s.Field)
	switch {
	case rule == nil:
		return NotOffered
	case s.Old == s.New || s.Who.Actor == ActorNone || s.Who.Actor >= actorEnd:
		return InvalidCommand
	case !c.room(CaseCorrection):
		return TooManyCases
	}
	k := c.open(CaseCorrection, Received, s.Who)
	k.Field, k.Owner = s.Field, rule.Owner
	c.note(s.Field.String(), rule.Owner, hexOf(s.Old), hexOf(s.New))
	return RefusalNone
}

func (r *Rules) field(f Field) *FieldRule {
	i := slices.IndexFunc(r.Fields, func(rule FieldRule) bool { return rule.Field == f })
	if i < 0 {
		return nil
	}
	return &r.Fields[i]
}

func hexOf(d Digest) string {
	const digits = "0123456789abcdef"
	var out []byte
	for _, b := range d {
		out = append(out, digits[b>>4], digits[b&15])
	}
	return string(out)
}

// CloseCorrection is the department's outcome. When the datum is printed on the card, a
// renewal is opened for the holder.
type CloseCorrection struct {
	Case      uint32
	Corrected bool
	Paper     Paper // the answer; needed when it was not corrected
}

// Name returns the step's stable name.
func (CloseCorrection) Name() string { return "close_correction" }

func (s CloseCorrection) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseCorrection)
	switch {
	case r != RefusalNone:
		return r
	case k.Owner != c.cmd.By.Role:
		return NotTheOwner
	case !s.Corrected && !s.Paper.complete():
		return PaperIncomplete
	}
	rule, who, no := c.rules.field(k.Field), Who{Actor: k.Actor, Channel: k.Channel, ID: k.ID}, k.No
	c.note(k.Field.String())
	if !s.Corrected {
		c.out.Paper = &s.Paper
		c.end(k, Refused)
		return RefusalNone
	}
	c.end(k, Completed)
	if rule != nil && rule.Surface {
		c.surface(rule, who)
	}
	c.out.Case = no
	return RefusalNone
}

// surface opens the renewal that a change of printed data needs, unless a new card is on
// its way already or there is none to renew.
func (c *change) surface(rule *FieldRule, who Who) {
	old := c.next.main()
	if old == nil || c.next.Lost() || c.next.openCase(CaseReplacement, CaseRenewal) != nil {
		return
	}
	k := c.open(CaseRenewal, Received, who)
	k.Carrier, k.Ground = old.Token, rule.Ground
}

// OpenComplaint takes a complaint in, about transactions where there are any (SY14, ZZ16,
// HD29).
type OpenComplaint struct {
	Who   Who
	Owner string // who answers it; the outlet itself when empty
	Txns  []txn.Position
}

// Name returns the step's stable name.
func (OpenComplaint) Name() string { return "open_complaint" }

func (s OpenComplaint) decide(c *change) Refusal {
	switch {
	case len(s.Txns) > TxnsMax || long(s.Owner) || s.Who.Actor == ActorNone ||
		s.Who.Actor >= actorEnd:
		return InvalidCommand
	case !c.room(CaseComplaint):
		return TooManyCases
	}
	k := c.open(CaseComplaint, Received, s.Who)
	k.Txns = slices.Clone(s.Txns)
	if s.Owner != "" {
		k.Owner = s.Owner
	}
	c.note(s.Who.words(), k.Owner)
	return RefusalNone
}

// AnswerComplaint feeds the outcome back, with the proof that the holder got it.
type AnswerComplaint struct {
	Case    uint32
	Upheld  bool
	Paper   Paper
	ProofNo string // of the delivery of the answer
}

// Name returns the step's stable name.
func (AnswerComplaint) Name() string { return "answer_complaint" }

func (s AnswerComplaint) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseComplaint)
	switch {
	case r != RefusalNone:
		return r
	case !s.Paper.complete():
		return PaperIncomplete
	case s.ProofNo == "":
		return ProofMissing
	case long(s.ProofNo):
		return InvalidCommand
	}
	state := Refused
	if s.Upheld {
		state = Completed
	}
	c.out.Paper = &s.Paper
	c.note(state.String(), s.Paper.No, s.ProofNo)
	c.end(k, state)
	return RefusalNone
}

// OpenClaim takes a claim in against named transactions (SY15).
type OpenClaim struct {
	Who    Who
	Party  string // who is said to be liable
	Amount txn.Minor
	Txns   []txn.Position
}

// Name returns the step's stable name.
func (OpenClaim) Name() string { return "open_claim" }

func (s OpenClaim) decide(c *change) Refusal {
	rule := &c.rules.Claims
	if len(rule.Parties) == 0 {
		return NotOffered
	}
	if r := c.allowed(&rule.Access, s.Who); r != RefusalNone {
		return r
	}
	switch {
	case !slices.Contains(rule.Parties, s.Party) || long(s.Party):
		return PartyUnknown
	case s.Amount <= 0 || s.Amount > rule.AmountMax:
		return AmountInvalid
	case len(s.Txns) == 0 || len(s.Txns) > TxnsMax:
		return TxnsMissing
	case !c.room(CaseClaim):
		return TooManyCases
	}
	k := c.open(CaseClaim, Received, s.Who)
	k.Party, k.Amount, k.Txns = s.Party, s.Amount, slices.Clone(s.Txns)
	c.note(s.Who.words(), s.Party)
	return RefusalNone
}

// ProposeClaim is the first person's outcome of a claim.
type ProposeClaim struct {
	Case   uint32
	Amount txn.Minor // 0: nothing is paid
	Party  string    // another one than was claimed; empty: the same
}

// Name returns the step's stable name.
func (ProposeClaim) Name() string { return "propose_claim" }

func (s ProposeClaim) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseClaim)
	rule := &c.rules.Claims
	switch {
	case r != RefusalNone:
		return r
	case k.State == Waiting:
		return CaseNotReady
	case s.Amount < 0 || s.Amount > rule.AmountMax:
		return AmountInvalid
	case s.Party != "" && !slices.Contains(rule.Parties, s.Party):
		return PartyUnknown
	}
	k.Amount, k.By = s.Amount, c.cmd.By.ID
	if s.Party != "" {
		k.Party = s.Party
	}
	c.note(k.Party)
	c.move(k, Waiting)
	return RefusalNone
}

// OpenFinding proposes that the loss of transactions is the holder's (HD30, ZS13, WZ17,
// SY12), or with Undo that an earlier finding is taken back, which books new entries.
type OpenFinding struct {
	Fault    Fault
	Evidence string // number of the evidence
	Txns     []txn.Position
	Undo     bool
}

// Name returns the step's stable name.
func (OpenFinding) Name() string { return "open_finding" }

func (s OpenFinding) decide(c *change) Refusal {
	switch {
	case s.Fault == FaultNone || s.Fault >= faultEnd || !c.rules.Claims.Faults.Has(s.Fault):
		return GroundNotAllowed
	case s.Evidence == "":
		return ProofMissing
	case long(s.Evidence):
		return InvalidCommand
	case len(s.Txns) == 0 || len(s.Txns) > TxnsMax:
		return TxnsMissing
	case !c.room(CaseFinding):
		return TooManyCases
	}
	k := c.open(CaseFinding, Waiting, Who{Actor: Agency})
	k.Fault, k.Decision, k.Undo, k.Txns = s.Fault, s.Evidence, s.Undo, slices.Clone(s.Txns)
	c.note(s.Fault.String(), s.Evidence)
	return RefusalNone
}

// ConfirmCase is the second person's word on a claim or a finding. A claim that is denied
// goes back to be proposed anew; a finding that is denied has ended.
type ConfirmCase struct {
	Case uint32
	Deny bool
	// Paper is the answer to the holder, needed when a claim ends without payment.
	Paper Paper
}

// Name returns the step's stable name.
func (ConfirmCase) Name() string { return "confirm_case" }

func (s ConfirmCase) decide(c *change) Refusal {
	k, r := c.wanted(s.Case, CaseClaim, CaseFinding)
	switch {
	case r != RefusalNone:
		return r
	case k.State != Waiting:
		return CaseNotReady
	case k.By == c.cmd.By.ID:
		return SamePerson
	case s.Deny && k.Kind == CaseClaim:
		c.note("denied")
		c.move(k, Accepted)
		return RefusalNone
	case s.Deny:
		c.note("denied")
		c.end(k, Refused)
		return RefusalNone
	case k.Kind == CaseFinding:
		return c.find(k)
	default:
		return s.pay(c, k)
	}
}

// find books a confirmed finding, one entry a transaction.
func (c *change) find(k *Case) Refusal {
	c.out.Case = k.No
	c.note(k.Fault.String(), k.Decision)
	for _, p := range k.Txns {
		c.push(Effect{Kind: BookLiability, Txn: p, Fault: k.Fault, Undo: k.Undo})
	}
	c.end(k, Completed)
	return RefusalNone
}

// pay books an approved claim for the holder's main carrier; to a cancelled account it is
// paid out.
func (s *ConfirmCase) pay(c *change, k *Case) Refusal {
	c.out.Case = k.No
	if k.Amount == 0 {
		if !s.Paper.complete() {
			return PaperIncomplete
		}
		c.out.Paper = &s.Paper
		c.note(s.Paper.No)
		c.end(k, Refused)
		return RefusalNone
	}
	e := Effect{Kind: Compensate, Amount: k.Amount, Name: k.Party, Txn: k.Txns[0],
		Outlet: c.cmd.By.Outlet}
	if to := c.next.main(); to != nil {
		e.Carrier = to.Token
	}
	c.note(k.Party)
	c.push(e)
	c.end(k, Completed)
	return RefusalNone
}
