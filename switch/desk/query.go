package desk

import (
	"context"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Money is what a carrier's card state says.
type Money struct {
	Token   pan.Token
	Last4   pan.Last4
	Known   bool
	Balance txn.Minor
	Journey bool // a ride is open
	Bank    int  // bank transactions that are not ended
	Offline bool // off-line records were booked: more may come
	Moving  txn.Minor
	// Widen is what a trust flag adds to the limit of post-paid riding until WidenUntil, Unpaid
	// how many rides in a row are not paid yet.
	Widen      txn.Minor
	WidenUntil txn.Millis
	Unpaid     uint32
}

// MoneyOf reads the card states of an account, living and dead.
func (s *Service) MoneyOf(ctx context.Context, doc *account.Account) ([]Money, error) {
	var all []Money
	read := func(token pan.Token, last4 pan.Last4) error {
		c, err := s.card(ctx, token)
		if err != nil {
			return err
		}
		m := Money{Token: token, Last4: last4, Known: c.Status != 0, Balance: c.Balance,
			Journey: c.Journey.Open(), Offline: c.Counter.Bits != 0, Moving: c.Life.Moving.Amount,
			Unpaid: c.Credit.Rides}
		if s.o.Now() < c.Credit.Until {
			m.Widen, m.WidenUntil = c.Credit.Widen, c.Credit.Until
		}
		for i := range c.Bank {
			if c.Bank[i].Phase.Open() {
				m.Bank++
			}
		}
		all = append(all, m)
		return nil
	}
	for _, c := range doc.Carriers {
		if err := read(c.Token, c.Last4); err != nil {
			return nil, err
		}
	}
	for _, f := range doc.Former {
		if err := read(f.Token, f.Last4); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Affairs looks up what the document cannot know and a cancellation must settle (HD24).
func (s *Service) Affairs(ctx context.Context, doc *account.Account) (account.Set[account.Affair], error) {
	money, err := s.MoneyOf(ctx, doc)
	if err != nil {
		return 0, err
	}
	var open account.Set[account.Affair]
	for i := range money {
		m := &money[i]
		if m.Journey {
			open |= account.SetOf(account.OpenJourney)
		}
		if m.Bank > 0 {
			open |= account.SetOf(account.BankPending)
		}
		if m.Offline {
			open |= account.SetOf(account.OfflineRecords)
		}
		if m.Balance != 0 || m.Moving != 0 {
			open |= account.SetOf(account.PurseBalance)
		}
	}
	return open, nil
}

// Entry reads a card's blacklist entry; ok is false when it is not listed.
func (s *Service) Entry(ctx context.Context, card pan.Token) (store.Entry, bool, error) {
	e, ok, err := s.o.List.Entry(ctx, card)
	if err != nil {
		return e, false, fmt.Errorf("%w: %w", ErrStore, err)
	}
	if !ok {
		e = store.Entry{}
	}
	return e, ok, nil
}

// NoticesOf lists the notices about a carrier, the latest last.
func (s *Service) NoticesOf(ctx context.Context, card pan.Token) ([]string, error) {
	ids, _, err := s.noticesOf(ctx, card)
	return ids, err
}

// RecordsOf returns the settled records of a card since a day: what a holder may see of
// himself (HD26, ZS11, WZ10), declines with their reasons included.
func (s *Service) RecordsOf(ctx context.Context, card pan.Token, from txn.BusinessDate, most int) ([]txn.Record, error) {
	if s.o.History == nil {
		return nil, nil
	}
	var rows []txn.Record
	err := s.o.History.Records(ctx, card, from, func(r *txn.Record) error {
		if len(rows) == most {
			rows = rows[1:]
		}
		rows = append(rows, *r)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger of card %s: %w", card, err)
	}
	return rows, nil
}

// Today is the local day.
func (s *Service) Today() txn.BusinessDate { return s.scheme().Rules.Calendar.Date(s.o.Now()) }

// City names the scheme.
func (s *Service) City() string { return s.scheme().City }

// Rules are the rules of today; not to be changed.
func (s *Service) Rules() *account.Rules { return &s.scheme().Rules }

// Scheme is the policy of today; not to be changed.
func (s *Service) Scheme() *Scheme { return s.scheme() }

// Now is the desk's clock.
func (s *Service) Now() txn.Millis { return s.o.Now() }
