package finding

import (
	"context"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// State is what a person made of evidence.
type State string

// The states. Evidence is Open until a person decides; what was filed can be taken back.
const (
	Open      State = "open"
	Filed     State = "filed"
	Dismissed State = "dismissed"
	Withdrawn State = "withdrawn"
)

// Case is where evidence stands, with everybody who decided.
type Case struct {
	State State `json:"state"`
	Steps []Act `json:"steps,omitempty"`
}

// Act is one decision of a person.
type Act struct {
	State State      `json:"state"`
	By    string     `json:"by"`
	At    txn.Millis `json:"at"`
	// Body is the responsible body that it was filed with, Decision the number of the file.
	Body     string `json:"body,omitempty"`
	Decision string `json:"decision,omitempty"`
	Why      string `json:"why,omitempty"`
}

// Limits of a case.
const (
	ActsMax = 16
	textMax = 128 // bytes of by, body, decision and why
)

// Refusal says why a person may not decide so; "" when he may.
type Refusal string

// The refusals.
const (
	// NotTheHolder: the card had been reported lost, so the use was somebody else's.
	NotTheHolder Refusal = "use_after_loss_report"
	Incomplete   Refusal = "decision_incomplete"
	NotNow       Refusal = "state_not_right"
	TooManyActs  Refusal = "too_many_decisions"
)

// Text returns a sentence in each language.
func (r Refusal) Text() (english, chinese string) {
	switch r {
	case NotTheHolder:
		return "the card was reported lost before: the use is not the holder's", "卡已挂失,该使用不属于持卡人"
	case Incomplete:
		return "who, the responsible body, the file's number and the reason are needed", "须注明经办人、主管部门、文书编号和理由"
	case TooManyActs:
		return "too many decisions about this evidence", "该证据的处理次数过多"
	default:
		return "the evidence is not in a state for this", "当前状态不能办理"
	}
}

// State tells where evidence stands.
func (s *Service) State(ctx context.Context, n uint64) (*Case, error) {
	c, _, err := s.state(ctx, n)
	return c, err
}

func (s *Service) state(ctx context.Context, n uint64) (*Case, uint64, error) {
	c := &Case{State: Open}
	version, err := s.get(ctx, stateKey(n), c)
	return c, version, err
}

// Decide keeps a person's decision about evidence: Filed against the holder with the body
// that is responsible, Dismissed, or Withdrawn after it was filed. Nothing follows from it
// in the switch: no card is frozen, no money moves.
func (s *Service) Decide(ctx context.Context, n uint64, act Act) (Refusal, error) {
	_, e, err := s.Get(ctx, n)
	if err != nil {
		return "", err
	}
	act.At = s.o.Now()
	for range triesMax {
		c, version, err := s.state(ctx, n)
		if err != nil {
			return "", err
		}
		if r := c.allowed(e, &act); r != "" {
			return r, nil
		}
		c.State = act.State
		c.Steps = append(c.Steps, act)
		err = s.put(ctx, stateKey(n), c, version)
		if !errors.Is(err, store.ErrConflict) {
			return "", err
		}
	}
	return "", fmt.Errorf("finding: the state of %d changes too often, ask again", n)
}

func (c *Case) allowed(e *Evidence, act *Act) Refusal {
	switch {
	case act.By == "" || act.Why == "" || len(act.By)+len(act.Why)+len(act.Body)+len(act.Decision) > 4*textMax:
		return Incomplete
	case len(c.Steps) >= ActsMax:
		return TooManyActs
	case act.State == Filed && e.Lost:
		return NotTheHolder
	case act.State == Filed && (act.Body == "" || act.Decision == ""):
		return Incomplete
	case act.State == Withdrawn && c.State != Filed, act.State != Withdrawn && c.State == Filed,
		act.State != Filed && act.State != Dismissed && act.State != Withdrawn:
		return NotNow
	default:
		return ""
	}
}

// Step is the account's case by which a person proposes that the loss of the uses is the
// holder's (HD30, ZS13, WZ17, SY12); a second person has to confirm it there.
func (e *Evidence) Step(fault account.Fault) (account.OpenFinding, Refusal) {
	if e.Lost {
		return account.OpenFinding{}, NotTheHolder
	}
	step := account.OpenFinding{Fault: fault, Evidence: fmt.Sprintf("E-%d", e.Number)}
	for i := range e.Uses {
		p, err := txn.ParsePosition(e.Uses[i].Record)
		if err == nil && e.Uses[i].Outcome == txn.Approved.String() && len(step.Txns) < account.TxnsMax {
			step.Txns = append(step.Txns, p)
		}
	}
	if len(step.Txns) == 0 {
		return step, NotNow
	}
	return step, ""
}
