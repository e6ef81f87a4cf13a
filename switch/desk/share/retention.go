package share

import (
	"context"
	"errors"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Retained is what the retention job did about one account, or would do.
type Retained struct {
	Account  string `json:"account"`
	Closed   string `json:"closed"`
	Holder   bool   `json:"holder"`
	Cases    int    `json:"cases"`
	Consents int    `json:"consents"`
	// Waits says why nothing could be forgotten though it was due.
	Waits string `json:"waits,omitempty"`
}

// Retention is the report of one run.
type Retention struct {
	DryRun   bool       `json:"dry_run"`
	Day      string     `json:"day"`
	Looked   int        `json:"looked"`
	Erased   int        `json:"erased"`
	Accounts []Retained `json:"accounts"`
	// LedgerBefore names, for what stands in the ledger, the day before which its period has
	// passed. The ledger is never edited: days before it may be taken off as a whole.
	LedgerBefore map[string]string `json:"ledger_before"`
}

// periods are the days of each kind; one that is missing is kept for ever.
func (s *Service) periods() map[scheme.Retained]int {
	days := map[scheme.Retained]int{}
	for _, r := range s.o.Policy.Retention {
		days[r.Data] = r.Days
	}
	return days
}

// Retain forgets what cancelled accounts have held for longer than the scheme's periods; with
// dry nothing is changed and the report says what would be. Accounts that live keep
// everything. After an error the run may be repeated.
func (s *Service) Retain(ctx context.Context, dry bool, by string) (*Retention, error) {
	out := &Retention{DryRun: dry, Day: s.today().String(), Accounts: []Retained{},
		LedgerBefore: map[string]string{}}
	days := s.periods()
	for _, data := range []scheme.Retained{scheme.RetainTransactions, scheme.RetainQueries} {
		if n, ok := days[data]; ok {
			out.LedgerBefore[string(data)] = s.dayOf(s.now() - txn.Millis(n)*dayMS).String()
		}
	}
	closed, err := s.o.Desk.ClosedAccounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, token := range closed {
		doc, _, err := s.o.Desk.Load(ctx, token)
		if err != nil {
			return nil, err
		}
		if doc == nil || doc.Closed == 0 {
			continue
		}
		out.Looked++
		line, e := plan(doc, days, s.now())
		line.Account = token.String()
		if !line.Holder && line.Cases+line.Consents == 0 {
			continue
		}
		if !dry {
			done, err := s.o.Desk.Erase(ctx, token, e, by)
			switch {
			case errors.Is(err, desk.ErrNotErasable):
				line.Waits = err.Error()
			case err != nil:
				return out, err
			case done:
				out.Erased++
			}
		}
		out.Accounts = append(out.Accounts, line)
	}
	s.log.Info("retention", "dry_run", dry, "looked", out.Looked, "due", len(out.Accounts), "erased", out.Erased)
	return out, nil
}

const dayMS txn.Millis = 24 * 3600 * 1000

// plan says what of a cancelled account is due to be forgotten at now.
func plan(doc *account.Account, days map[scheme.Retained]int, now txn.Millis) (Retained, desk.Erasure) {
	past := func(data scheme.Retained, since txn.Millis) bool {
		n, ok := days[data]
		return ok && since != 0 && now >= since+txn.Millis(n)*dayMS
	}
	e := desk.Erasure{
		Holder: past(scheme.RetainHolderData, doc.Closed) &&
			(!doc.Holder.IsZero() || len(doc.Numbers) > 0 || doc.Unit != ""),
		Ended: func(l *account.Ended) bool {
			if l.Kind == account.CaseComplaint {
				return past(scheme.RetainComplaints, l.At)
			}
			return past(scheme.RetainCases, l.At)
		},
		Consent: func(g *account.Consent) bool { return past(scheme.RetainConsents, g.Withdrawn) },
	}
	line := Retained{Closed: instant(doc.Closed), Holder: e.Holder}
	for i := range doc.Ended {
		if e.Ended(&doc.Ended[i]) {
			line.Cases++
		}
	}
	for i := range doc.Consents {
		if e.Consent(&doc.Consents[i]) {
			line.Consents++
		}
	}
	return line, e
}
