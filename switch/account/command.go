package account

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// CommandID names one command for ever; whoever sends the command makes it. The same id
// always means the same command, which is what makes a retry safe.
type CommandID [16]byte

// String returns the id as 32 hex digits.
func (id CommandID) String() string { return hex.EncodeToString(id[:]) }

// Digest is the beginning of a SHA-256.
type Digest [8]byte

// AheadMax is how far a command's time may run ahead of ours: clocks of desks differ.
const AheadMax txn.Millis = 5 * 60 * 1000

// Staff is who carries a command out: an operator of the agency, of an outlet or of a
// department.
type Staff struct {
	ID     string // operator; never a holder's data
	Role   string
	Outlet string // outlet or department
}

// Who is who asks for something, by which way and with which identity paper.
type Who struct {
	Actor   Actor
	Channel Channel
	ID      IDKind
}

// Command is one wish about an account.
type Command struct {
	ID       CommandID
	Made     txn.Millis // when the id was made
	Received txn.Millis // when the holder's request came in; 0: now
	By       Staff
	Step     Step
}

// Step is what a command asks for. The types of this package whose names are verbs are
// the only ones.
type Step interface {
	// Name returns the step's stable name, as it stands in the audit trail.
	Name() string
	decide(c *change) Refusal
}

// Outcome is the answer to a command. With a Refusal, or with Replay, there is nothing to
// commit. Otherwise Next replaces the document, in one commit with the Record, with the
// index of the cases in Opened written before and of those in Ended removed after.
type Outcome struct {
	Refusal Refusal
	Replay  bool // the command was carried out before; Next is the document as it is
	Next    *Account
	Effects []Effect // those that the command added; they stand in Next.ToDo as well
	Case    uint32   // the case that the command was about
	Opened  []CaseRef
	Ended   []CaseRef
	Record  Record
	Paper   *Paper // the letter that goes with it, to be kept by the caller
	// Left is set with NotSettled: what a cancellation waits for.
	Left Set[Affair]
}

// CaseRef names a case.
type CaseRef struct {
	Kind CaseKind
	No   uint32
}

// Record is what the audit trail keeps of a command: no personal data.
type Record struct {
	Step  string
	Actor string // the operator
	Case  uint32
	Note  string
}

// Paper is a written answer to the holder (HD23). It may hold personal data, so that the
// document keeps its digest only.
type Paper struct {
	No       string
	Facts    string
	Reasons  string
	Remedies string
}

// PaperMax bounds the bytes of each text of a paper.
const PaperMax = 1200

// Digest identifies the paper for as long as its case's line is kept.
func (p *Paper) Digest() Digest {
	return digest(p.No, p.Facts, p.Reasons, p.Remedies)
}

func (p *Paper) complete() bool {
	return fits(p.No, NameMax) && fits(p.Facts, PaperMax) && fits(p.Reasons, PaperMax) &&
		fits(p.Remedies, PaperMax)
}

func fits(s string, most int) bool { return s != "" && len(s) <= most }

func digest(parts ...string) Digest {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	var d Digest
	copy(d[:], h.Sum(nil))
	return d
}

// print digests what a command asks for, so that an id used again for something else is
// seen. Times differ between the copies of one command and are left out.
func (cmd *Command) print() Digest {
	step, err := json.Marshal(cmd.Step)
	if err != nil {
		panic(fmt.Sprintf("account: internal error: step %s: %v", cmd.Step.Name(), err))
	}
	return digest(cmd.Step.Name(), cmd.By.ID, cmd.By.Role, cmd.By.Outlet, string(step))
}

// change is a command at work on a copy of the document.
type change struct {
	cmd      *Command
	rules    *Rules
	now      txn.Millis
	received txn.Millis
	next     *Account
	out      *Outcome
}

// Apply decides a command on the document under rules at instant now. It changes neither
// of them. The guards stand in order: the first that applies is the answer.
func Apply(doc *Account, cmd Command, rules *Rules, now txn.Millis) Outcome {
	var out Outcome
	quiet := repeatable(cmd.Step)
	if r := cmd.check(now, quiet); r != RefusalNone {
		return Outcome{Refusal: r}
	}
	if !quiet {
		if done, r := doc.recall(&cmd); r != RefusalNone || done.Replay {
			done.Refusal = r
			return done
		}
	}
	c := &change{cmd: &cmd, rules: rules, now: now, received: cmd.Received, next: doc.Clone(),
		out: &out}
	if c.received == 0 || c.received > now {
		c.received = now
	}
	if r := c.run(); r != RefusalNone {
		return Outcome{Refusal: r, Left: out.Left}
	}
	out.Next = c.next
	if !quiet {
		c.next.remember(Remembered{ID: cmd.ID, Print: cmd.print(), Case: out.Case, Made: cmd.Made})
	}
	out.Record.Step, out.Record.Actor, out.Record.Case = cmd.Step.Name(), cmd.By.ID, out.Case
	return out
}

// run decides the step, tells the carriers what has changed, and keeps the limits.
func (c *change) run() Refusal {
	if r := c.life(); r != RefusalNone {
		return r
	}
	if r := c.cmd.Step.decide(c); r != RefusalNone || c.out.Replay {
		return r
	}
	c.marks()
	c.cards()
	c.effective()
	c.makeRoom()
	most := EffectsMax - EffectsReserve
	if protects(c.cmd.Step) {
		most = EffectsMax
	}
	if len(c.out.Effects) > 0 && len(c.next.ToDo) > most {
		return TooManyEffects
	}
	return RefusalNone
}

// life refuses what does not go with where the account stands.
func (c *change) life() Refusal {
	_, opens := c.cmd.Step.(OpenAccount)
	switch {
	case opens && c.next.Opened != 0:
		return AccountExists
	case !opens && c.next.Opened == 0:
		return UnknownAccount
	case c.next.Closed != 0 && !afterwards(c.cmd.Step):
		return AccountClosed
	default:
		return RefusalNone
	}
}

// repeatable are the steps of the switch itself, which change nothing when they come twice
// and so need no memory.
func repeatable(s Step) bool {
	switch s.(type) {
	case Done, Failed, Tick, NumberDied:
		return true
	default:
		return false
	}
}

// protects are the steps that may use the effects kept in reserve.
func protects(s Step) bool {
	switch s.(type) {
	case ReportLoss, PreReport, Suspend, FreezeRisk, NumberDied:
		return true
	default:
		return false
	}
}

// afterwards are the steps that a cancelled account still takes.
func afterwards(s Step) bool {
	switch s.(type) {
	case Done, Failed, Tick, OpenComplaint, AnswerComplaint, OpenClaim, ProposeClaim, OpenFinding,
		ConfirmCase, Query, PayFee, WaiveFee, WithdrawConsent, RequestRelease:
		return true
	default:
		return false
	}
}

func (cmd *Command) check(now txn.Millis, quiet bool) Refusal {
	switch {
	case cmd.Step == nil, !quiet && (cmd.ID == CommandID{} || cmd.Made <= 0 || cmd.By.ID == ""),
		cmd.Received < 0, long(cmd.By.ID, cmd.By.Role, cmd.By.Outlet):
		return InvalidCommand
	case cmd.Made > now+AheadMax || cmd.Received > now+AheadMax:
		return CommandFromFuture
	default:
		return RefusalNone
	}
}

// recall answers a command that was carried out before.
func (a *Account) recall(cmd *Command) (Outcome, Refusal) {
	for i := range a.Recent {
		switch m := &a.Recent[i]; {
		case m.ID != cmd.ID:
		case m.Print != cmd.print():
			return Outcome{}, CommandReused
		default:
			return Outcome{Replay: true, Next: a, Case: m.Case,
				Record: Record{Step: cmd.Step.Name(), Actor: cmd.By.ID, Case: m.Case}}, RefusalNone
		}
	}
	// A freeze may come twice without harm, and must not be lost.
	if cmd.Made <= a.Floor && !protects(cmd.Step) {
		return Outcome{}, CommandTooOld
	}
	return Outcome{}, RefusalNone
}

// remember forgets the command that was made first when the memory is full.
func (a *Account) remember(m Remembered) {
	a.Recent = append(a.Recent, m)
	if len(a.Recent) <= RecentMax {
		return
	}
	oldest := 0
	for i := range a.Recent[:RecentMax] {
		if a.Recent[i].Made < a.Recent[oldest].Made {
			oldest = i
		}
	}
	a.Floor = max(a.Floor, a.Recent[oldest].Made)
	a.Recent = slices.Delete(a.Recent, oldest, oldest+1)
}

// long reports whether any of the names exceeds NameMax.
func long(names ...string) bool {
	return slices.ContainsFunc(names, func(s string) bool { return len(s) > NameMax })
}

// allowed judges who asks by an access rule.
func (c *change) allowed(a *Access, who Who) Refusal {
	switch {
	case !a.Actors.Has(who.Actor) || who.Actor == ActorNone || who.Actor >= actorEnd:
		return ActorNotAllowed
	case who.Channel >= channelEnd || who.ID >= idEnd:
		return InvalidCommand
	}
	if r := c.reachable(a.Channels, a.Outlets, who.Channel); r != RefusalNone {
		return r
	}
	if a.IDs != 0 && !a.IDs.Has(who.ID) {
		return IDNotAllowed
	}
	return RefusalNone
}

func (c *change) reachable(channels Set[Channel], outlets []string, by Channel) Refusal {
	switch {
	case !channels.Has(by) || by == ChannelNone:
		return ChannelNotAllowed
	case by == AtOutlet && len(outlets) > 0 && !slices.Contains(outlets, c.cmd.By.Outlet):
		return OutletNotAllowed
	default:
		return RefusalNone
	}
}

// room reports whether one more case may be opened. The last two places are for cases that
// protect.
func (c *change) room(kind CaseKind) bool {
	most := CasesMax - 2
	if kind == CasePreReport || kind == CaseSuspension || kind == CaseRelease {
		most = CasesMax
	}
	return len(c.next.Cases) < most
}

// note sets what the audit trail says beside the step.
func (c *change) note(parts ...string) {
	for _, p := range parts {
		if p != "" && c.out.Record.Note != "" {
			c.out.Record.Note += " "
		}
		c.out.Record.Note += p
	}
}

// carrier returns the living carrier that a step names.
func (c *change) carrier(token pan.Token) (*Carrier, Refusal) {
	if k := c.next.Carrier(token); k != nil && !token.IsZero() {
		return k, RefusalNone
	}
	return nil, UnknownCarrier
}
