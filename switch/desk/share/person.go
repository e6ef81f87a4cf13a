package share

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/form"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Copy is everything that is kept of one person, for the person (PIPL article 45, by
// ZZ13 and SY10).
type Copy struct {
	Refusal account.Refusal `json:"-"`
	Account string          `json:"account"`
	MadeAt  string          `json:"made_at"`
	// Document is the account with its carriers, cases, consents and identifiers as tokens.
	Document json.RawMessage `json:"document"`
	Money    json.RawMessage `json:"money"`
	// Freezes are the blacklist entries of its carriers, Losses the reports of a loss.
	Freezes []FreezeCopy      `json:"freezes"`
	Losses  []*desk.Loss      `json:"losses"`
	Records []json.RawMessage `json:"records"`
	// Steps are what was done about the account and who looked at it: the audit trail.
	Steps     []json.RawMessage `json:"steps"`
	Truncated bool              `json:"truncated"` // CopyRecordsMax was reached
	Kept      []Collected       `json:"kept"`
}

// FreezeCopy is a blacklist entry.
type FreezeCopy struct {
	Card   string   `json:"card"`
	Reason string   `json:"reason"`
	Scope  []string `json:"scope"`
	Since  string   `json:"since"`
}

// CopyRecordsMax bounds the records of one card in a copy.
const CopyRecordsMax = 20_000

// Copy gives a person everything that is kept of him. The query is judged by the account's
// rules and stands in its audit trail, this copy included.
func (s *Service) Copy(ctx context.Context, person pan.Token, cmd account.Command) (*Copy, error) {
	a, err := s.o.Desk.Do(ctx, person, cmd)
	switch {
	case err != nil:
		return nil, err
	case a.Outcome.Refusal != account.RefusalNone:
		return &Copy{Refusal: a.Outcome.Refusal}, nil
	}
	out := &Copy{Account: person.String(), MadeAt: instant(s.now()), Document: form.Tell(a.Account)}
	money, err := s.o.Desk.MoneyOf(ctx, a.Account)
	if err != nil {
		return nil, err
	}
	out.Money = form.Tell(money)
	if out.Losses, err = s.o.Desk.Losses(ctx, person); err != nil {
		return nil, err
	}
	if out.Kept, err = s.Collected(ctx); err != nil {
		return nil, err
	}
	if out.Steps, err = s.rows(ctx, out, person); err != nil {
		return nil, err
	}
	return out, s.copyCards(ctx, out, carriersOf(a.Account))
}

func (s *Service) copyCards(ctx context.Context, out *Copy, cards []pan.Token) error {
	for _, card := range cards {
		e, listed, err := s.o.Desk.Entry(ctx, card)
		if err != nil {
			return err
		}
		if listed {
			out.Freezes = append(out.Freezes, FreezeCopy{Card: card.String(), Reason: e.Mark.Reason.String(),
				Scope: e.Mark.Scope.Names(), Since: instant(e.Since)})
		}
		rows, err := s.rows(ctx, out, card)
		if err != nil {
			return err
		}
		out.Records = append(out.Records, rows...)
	}
	return nil
}

// rows are the settled records about a card or an account.
func (s *Service) rows(ctx context.Context, out *Copy, of pan.Token) ([]json.RawMessage, error) {
	records, err := s.o.Desk.RecordsOf(ctx, of, 0, CopyRecordsMax)
	if err != nil {
		return nil, err
	}
	out.Truncated = out.Truncated || len(records) == CopyRecordsMax
	all := make([]json.RawMessage, 0, len(records))
	for i := range records {
		all = append(all, form.Tell(&records[i]))
	}
	return all, nil
}

// Fix is what a person says is wrong. Old and New are read, digested and forgotten.
type Fix struct {
	Who      account.Who
	Field    account.Field
	Old, New string
}

// Correct routes a wrong datum to the department that is responsible for it (HD27, PIPL
// article 46), as a case with a legal date.
func (s *Service) Correct(ctx context.Context, person pan.Token, cmd account.Command, f Fix) (desk.Answer, error) {
	name := f.Field.String()
	cmd.Step = account.OpenCorrection{Who: f.Who, Field: f.Field, Old: s.digestOf(name, f.Old),
		New: s.digestOf(name, f.New)}
	return s.o.Desk.Do(ctx, person, cmd)
}

// Collected is one kind of data that is kept, for how long, and who may be told it (ZZ14,
// PIPL article 17).
type Collected struct {
	Data       string   `json:"data"`
	What       string   `json:"what"`
	WhatZH     string   `json:"what_zh"`
	Days       int      `json:"days"`
	From       string   `json:"counted_from"`
	Source     string   `json:"source"`
	Recipients []string `json:"recipients"`
}

// kept says what each kind of data is, and from when its period counts.
var kept = map[string][3]string{
	"transactions": {"rides, purchases and loads with place, time and amount, by token", "交易记录", "transaction"},
	"cases":        {"what was asked for at the desk, and its outcome", "业务办理记录", "end of the case"},
	"complaints":   {"complaints and their outcome", "投诉记录", "end of the case"},
	"queries":      {"who looked at the account, and why", "查询记录", "query"},
	"consents":     {"consents and their withdrawal", "授权记录", "withdrawal"},
	"holder_data":  {"keyed tokens of the holder's identifiers, unit, concession and trust flag", "持卡人标识(密文)、单位、优惠类别、信用激励", "end of the account"},
}

// Collected lists what is kept with its period and recipients, as it is today. Of a person's
// credit nothing is kept but a trust flag with who granted it, for what and how long; it ends
// with its last day, its consent or the account.
func (s *Service) Collected(ctx context.Context) ([]Collected, error) {
	consumers, err := s.Consumers(ctx)
	if err != nil {
		return nil, err
	}
	var all []Collected
	for _, r := range s.o.Policy.Retention {
		text := kept[string(r.Data)]
		c := Collected{Data: string(r.Data), What: text[0], WhatZH: text[1], Days: r.Days, From: text[2],
			Source: r.Source.String(), Recipients: []string{"agency"}}
		for i := range consumers {
			if to := &consumers[i]; to.admitToday(s.today()) && told(to.Fields, c.Data) {
				c.Recipients = append(c.Recipients, fmt.Sprintf("%s (%s)", to.Name, to.Agreement))
			}
		}
		all = append(all, c)
	}
	return all, nil
}

func (c *Consumer) admitToday(today txn.BusinessDate) bool {
	return c.From <= today && today <= c.Until
}

// told reports whether any of the fields is of a kind of data.
func told(fields []string, data string) bool {
	for _, f := range fieldTable {
		if contains(fields, f.name) && (f.of != nil && data == "transactions" ||
			f.person != nil && data == "holder_data") {
			return true
		}
	}
	return false
}
