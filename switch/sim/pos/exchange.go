package pos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// expectation is what the answer to a message must be.
type expectation struct {
	mti    message.MTI
	stan   uint32
	amount int64      // 0: none is expected
	card   pan.Number // must be the same where the answer has one
	signed bool       // the answer needs a MAC
	// twice sends the message two times, drop closes the connection behind it.
	twice, drop bool
}

// ask sends a message and waits for its answer.
func (t *terminal) ask(ctx context.Context, m *message.Message, e *expectation) (*message.Message,
	error,
) {
	var frame []byte
	var err error
	if e.signed {
		frame, err = m.AppendMAC(nil, t.keys.mac)
	} else {
		frame, err = m.Append(nil)
	}
	if err != nil {
		return nil, fmt.Errorf("terminal %s: message %v: %w", t.id, m.MTI(), err)
	}
	return t.exchange(ctx, frame, e)
}

// exchange sends a frame and waits for the answer that fits e.
func (t *terminal) exchange(ctx context.Context, frame []byte, e *expectation) (*message.Message,
	error,
) {
	if err := t.dial(ctx); err != nil {
		return nil, err
	}
	out, err := t.o.Framing.Append(nil, frame)
	if err != nil {
		return nil, err
	}
	if e.twice {
		out = append(out, out...)
	}
	nc := t.nc
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	deadline := time.Now().Add(t.o.Timeout)
	_ = t.nc.SetDeadline(deadline)
	t.report.Sent++
	if _, err := t.nc.Write(out); err != nil || e.drop {
		t.hangUp()
		t.report.Timeouts++
		return nil, errNoAnswer
	}
	return t.receive(ctx, e)
}

// receive reads until the answer is there, the time is over, or the line is lost.
func (t *terminal) receive(ctx context.Context, e *expectation) (*message.Message, error) {
	for ctx.Err() == nil {
		frame, err := t.reader.Next()
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.hangUp()
			}
			t.report.Timeouts++
			return nil, errNoAnswer
		}
		m, err := t.judge(frame, e)
		if m != nil || err != nil {
			return m, err
		}
	}
	return nil, ctx.Err()
}

// judge returns the answer, errMAC, or neither for a frame that is to be ignored.
func (t *terminal) judge(frame []byte, e *expectation) (*message.Message, error) {
	m, err := message.Parse(t.o.Spec, frame)
	if err != nil {
		t.report.WrongAnswers++
		t.contradict("an answer that is no message: %v", err)
		return nil, nil
	}
	stan, _ := m.STAN()
	if stan != e.stan {
		t.stray(stan, m)
		return nil, nil
	}
	amount, hasAmount := m.Amount()
	switch {
	case m.MTI() != e.mti:
		if m.MTI().IsResponse() && m.MTI().Class() != e.mti.Class() {
			t.stray(stan, m) // the late answer to a request that is being reversed
			return nil, nil
		}
		return t.wrong("%v answers with %v", e.mti, m.MTI())
	case m.Terminal() != t.id:
		return t.wrong("an answer for another terminal")
	case e.amount > 0 && hasAmount && amount != e.amount:
		return t.wrong("%v with number %d: the answer is about another amount", e.mti, stan)
	case m.Has(2) && !e.card.IsZero() && m.PAN() != e.card:
		return t.wrong("%v with number %d: the answer is about another card", e.mti, stan)
	}
	if e.signed {
		if err := message.Verify(t.o.Spec, frame, t.keys.mac); err != nil {
			if errors.Is(err, message.ErrNoMAC) && message.MeaningOf(m.ResponseCode()).SignOn {
				return m, nil // the host has no key of ours: it wants a sign-on
			}
			t.report.MACFailures++
			t.contradict("%v with number %d: %v", e.mti, stan, err)
			return nil, errMAC
		}
	}
	if e.twice && m.ResponseCode() == "94" {
		e.twice = false // the refusal of one copy: the other is being carried out
		t.report.DuplicatesRefused++
		return nil, nil
	}
	if m.Header.Requirement() == message.SignOnAgain {
		t.stale = true
	}
	t.report.Answers++
	return m, nil
}

// wrong notes an answer that the terminal does not believe and goes on waiting.
func (t *terminal) wrong(format string, args ...any) (*message.Message, error) {
	t.report.WrongAnswers++
	t.contradict(format, args...)
	return nil, nil
}

// stray looks at an answer to something else: late, or once more, or nobody's.
func (t *terminal) stray(stan uint32, m *message.Message) {
	row := t.byStan[stan]
	code := m.ResponseCode()
	switch {
	case row == nil && stan > 0 && stan <= t.stan && !financial(m.MTI()):
		t.report.LateAnswers++ // to a sign-on or settlement that was repeated
	case row == nil:
		t.report.WrongAnswers++
		t.contradict("an answer %v to number %d, which was not asked", m.MTI(), stan)
	case m.MTI().Class() == message.Reversal || row.Code == "" || row.State == Reversed ||
		row.State == Unanswered:
		t.report.LateAnswers++
	case code == "94":
		t.report.DuplicatesRefused++
	case code != row.Code || m.RRN() != row.RRN:
		t.contradict("number %d was answered %q and then %q", stan, row.Code, code)
	default:
		t.report.ExtraAnswers++
	}
}

func financial(t message.MTI) bool {
	return t.Class() == message.Authorization || t.Class() == message.Financial ||
		t.Class() == message.Reversal
}

// dial connects when there is no connection, trying again as reversals are.
func (t *terminal) dial(ctx context.Context) error {
	if t.nc != nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, t.o.Timeout)
	defer cancel()
	nc, err := t.o.Dial(bounded, t.o.Target)
	if err != nil {
		return fmt.Errorf("terminal %s: %w", t.id, err)
	}
	t.nc, t.reader = nc, message.NewReader(nc, t.o.Framing)
	t.report.Connections++
	return nil
}

func (t *terminal) hangUp() {
	if t.nc != nil {
		_ = t.nc.Close()
		t.nc, t.reader = nil, nil
	}
}
