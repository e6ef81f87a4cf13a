package pos

import (
	"context"
	"errors"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// rowsPerUpload is how many rows a batch upload message holds.
const rowsPerUpload = 8

// totals are what the cashier believes of the batch: debits are loads and sales that were not
// voided, with what was added to them, credits are refunds. Reversed and unanswered rows do not count.
func (t *terminal) totals() (s message.Totals) {
	for _, r := range t.rows {
		if r.State != Approved || r.Batch != t.report.Batch {
			continue
		}
		switch r.Kind {
		case Purchase, OfflineSale, Completion, CompletionAdvice, Load, CashLoad:
			if !r.Closed {
				s.DebitAmount += r.Minor + r.Amended
				s.DebitCount++
			}
		case Refund:
			s.CreditAmount += r.Minor
			s.CreditCount++
		}
	}
	return s
}

// settle compares the batch with the host, and uploads it when the two differ.
func (t *terminal) settle(ctx context.Context) {
	own := t.totals()
	t.report.DebitMinor, t.report.Debits = own.DebitAmount, own.DebitCount
	t.report.CreditMinor, t.report.Credits = own.CreditAmount, own.CreditCount
	digits, err := message.Settlement{Domestic: own}.Digits()
	if err != nil {
		t.report.Failed = "settlement: " + err.Error()
		return
	}
	a := t.insist(ctx, func(stan uint32) (*message.Message, error) {
		m, err := t.message(message.SettlementRequest, stan,
			message.Private{Type: "00", Network: "201"})
		return m, errors.Join(err, m.SetDigits(48, digits), m.SetText(49, "156"),
			m.SetBytes(63, []byte("01 ")))
	})
	if a == nil || a.ResponseCode() != "00" {
		t.report.Failed = "settlement was not answered with 00"
		return
	}
	digits, _ = a.Digits(48)
	s, err := message.ParseSettlement(digits)
	if err != nil {
		t.contradict("settlement: %v", err)
		return
	}
	t.report.Verdict = s.Domestic.Verdict
	if s.Domestic.Verdict == message.Balanced {
		return
	}
	if t.unanswered() == 0 {
		t.contradict("settlement: the host's totals are not the terminal's")
	}
	t.upload(ctx)
}

// unanswered counts the rows whose end the terminal does not know.
func (t *terminal) unanswered() (n int) {
	for _, r := range t.rows {
		if r.State == Unanswered && r.Kind != Balance {
			n++
		}
	}
	return n
}

// upload sends every row of the batch that counts, then the end.
func (t *terminal) upload(ctx context.Context) {
	var rows []message.UploadRow
	for _, r := range t.rows {
		counts := r.Kind == Purchase || r.Kind == OfflineSale || r.Kind == Completion ||
			r.Kind == CompletionAdvice || r.Kind == Refund || r.Kind == Load || r.Kind == CashLoad
		if r.State == Approved && counts && !r.Closed && r.Batch == t.report.Batch {
			rows = append(rows, message.UploadRow{Type: formOf(r.Kind).kind, STAN: r.STAN, PAN: r.Card,
				Amount: r.Minor + r.Amended})
		}
	}
	for len(rows) > 0 {
		part := rows[:min(rowsPerUpload, len(rows))]
		digits, err := message.UploadDigits(part)
		if err != nil {
			t.report.Failed = "batch upload: " + err.Error()
			return
		}
		if !t.tell(ctx, "201", digits) {
			return
		}
		t.report.Uploaded += len(part)
		rows = rows[len(part):]
	}
	t.tell(ctx, "202", "")
}

// tell sends one message of a batch upload; f48 "" is the end.
func (t *terminal) tell(ctx context.Context, network, f48 string) bool {
	a := t.insist(ctx, func(stan uint32) (*message.Message, error) {
		m, err := t.message(message.FileAdvice, stan, message.Private{Type: "00", Network: network})
		if f48 != "" {
			err = errors.Join(err, m.SetDigits(48, f48))
		}
		return m, err
	})
	if a == nil || a.ResponseCode() != "00" {
		t.report.Failed = "batch upload was not answered with 00"
		return false
	}
	return true
}

// insist sends a message until it is answered; nil when it never is.
func (t *terminal) insist(ctx context.Context, write func(stan uint32) (*message.Message, error),
) *message.Message {
	stan := t.number()
	for try := range t.o.RetriesMax {
		if try > 0 && !t.pause(ctx, t.o.RetryDelay) {
			return nil
		}
		m, err := write(stan)
		if err != nil {
			t.report.Failed = err.Error()
			return nil
		}
		if try > 0 {
			m.SetMTI(m.MTI().Repeat())
		}
		mti, _ := m.MTI().Answer()
		signed := mti.Class() == message.Administrative && t.keys.mac != nil
		a, err := t.ask(ctx, m, &expectation{mti: mti, stan: stan, signed: signed})
		if err == nil && (!signed || !message.MeaningOf(a.ResponseCode()).SignOn) {
			return a
		}
		if err == nil && t.signOn(ctx) != nil {
			return nil
		}
	}
	return nil
}
