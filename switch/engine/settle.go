package engine

import (
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The accounts of this engine. Credits are positive, debits negative.
const (
	// AccountPurse is what the scheme owes its cards.
	AccountPurse txn.Account = "purse"
	// AccountSuspense takes what a place without a payee earns, for finance to place.
	AccountSuspense txn.Account = "suspense"
)

// settle fills out.Record.
func (d *decider) settle() {
	r, out := d.r, d.out
	out.Settle = true
	version := d.v.Version
	if out.Write {
		version++
	}
	out.Record = txn.Record{
		Version: txn.RecordVersion,
		Request: r.ID, Kind: r.Kind, Outcome: out.Decision.Outcome, Reason: out.Decision.Reason,
		Position: txn.Position{Bucket: txn.BucketOf(r.Card)},
		Card:     r.Card, Last4: out.Next.Last4, CardVersion: version,
		Application: application(r.Kind), Rider: out.Next.Rider,
		Place: r.Place, Issuer: out.Next.Issuer, STAN: r.STAN, RRN: r.RRN,
		Auth:     out.Decision.AuthCode,
		FullFare: out.Decision.FullFare, Charged: out.Decision.Charged, Currency: r.Currency,
		BalanceAfter: out.Decision.BalanceAfter, OfflineCounter: r.OfflineCounter,
		Offline: r.Offline, ListEpoch: r.ListEpoch,
		ServiceAt: r.ServiceAt, ReceivedAt: r.ReceivedAt, Original: r.Original,
		Ride: r.Ride, EntryStation: d.ridden.Station, EntryAt: d.ridden.EnteredAt,
	}
	if !d.toldOf.IsZero() {
		out.Record.Original = d.toldOf
	}
	if d.rodeBy != txn.ModeOfKind {
		out.Record.Mode = d.rodeBy
	}
	out.Record.Business = r.Business || d.rodeBusiness
	if out.List != nil {
		out.Record.Listing = r.Listing
		out.Record.Listing.Mark, out.Record.Listing.From = out.List.Entry.Mark, txn.Mark{}
	}
	if r.Kind == txn.Verify {
		out.Record.Application = r.App
	}
	if (r.Kind.IsAgency() || r.Kind == txn.Correction || r.Kind == txn.PassSale) && out.List == nil {
		out.Record.Listing = txn.Listing{Actor: r.Listing.Actor, Note: r.Listing.Note}
	}
	switch out.Record.TAC = r.TAC; {
	case !r.Offline:
		out.Record.TAC = txn.TACNone
	case r.TAC == txn.TACNone && r.Code.IsZero():
		out.Record.TAC = txn.TACUnchecked
	}
	if d.served() {
		out.Record.Liability = txn.LiabilityOpen
	}
	if out.Decision.LeaseEnded {
		out.Record.Liability, out.Record.Reason = txn.LiabilityOperator, txn.LeaseEnded
	}
	if r.Kind == txn.Liable || r.Kind == txn.Compensation {
		out.Record.Liability = r.Liability
	}
	if out.Record.Outcome == txn.Approved {
		d.discount()
		d.post()
	}
}

// discount tells why less than the full fare was charged, and what else the desk should know.
func (d *decider) discount() {
	if d.causes == 0 {
		d.discountWhole()
	}
	for _, note := range d.notes[:d.noted] {
		d.cause(note, 0)
	}
	if d.causes > 0 {
		d.out.Record.Discounts = d.out.discounts[:d.causes]
	}
}

// discountWhole names one cause for all that was not charged, and tells that a reversal takes
// the discount of a ride back with its fare.
func (d *decider) discountWhole() {
	gap := d.fullFare - d.charged
	reversed := d.r.Kind == txn.Reversal && d.fullFare != 0
	if gap == 0 || !d.r.Kind.IsTap() && !reversed {
		return
	}
	cause := "rider"
	switch {
	case reversed:
		cause = "reversal"
	case d.r.FareGiven:
		cause = "terminal"
	}
	d.cause(cause, gap)
}

// post makes the postings: the purse on one side, the payee or the funding account on
// the other. They sum to zero by construction.
func (d *decider) post() {
	if d.charged == 0 && d.toldBack == 0 {
		return
	}
	own, other := AccountPurse, d.r.Place.Payee
	switch {
	case d.payee != "":
		other = d.payee
	case d.fundsLoad():
		other = d.r.Place.Funding
	case d.r.Kind == txn.TransferOut || d.r.Kind == txn.TransferIn:
		other = AccountTransfer
	case d.r.Kind == txn.Fee:
		own = d.r.Place.Funding
	}
	if other == "" {
		other = AccountSuspense
	}
	if d.toldBack != 0 && d.toldPayee != other {
		d.postRetold(own, other)
		return
	}
	if d.charged == 0 {
		return
	}
	d.out.postings[0] = txn.Posting{Account: own, Amount: -d.charged}
	d.out.postings[1] = txn.Posting{Account: other, Amount: d.charged}
	d.out.Record.Postings = d.out.postings[:2]
}

// fundsLoad reports whether the money came from outside: a load, or the reversal of one.
func (d *decider) fundsLoad() bool {
	if d.r.Kind != txn.Reversal {
		return d.r.Kind == txn.Load
	}
	i := d.out.Next.Find(d.r.Original)
	return i >= 0 && d.out.Next.Recent[i].Kind == txn.Load
}
