package recon

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// ClaimsMax bounds the totals that terminals and operators claim in one run.
const ClaimsMax = 1_000_000

// Claim is what a terminal says of its batch, or an operator of its day: field 48 of a 0500, or
// a line of a file. Batch is empty for a whole day.
type Claim struct {
	Terminal string `json:"terminal"`
	Batch    string `json:"batch"`
	Tally    `json:"totals"`
	// Settled is when the switch got it, and Known what its store had of the batch then; 0 and nil
	// for a claim of a file, which is one of the day that is reconciled.
	Settled txn.Millis `json:"settled_ms,omitempty"`
	Known   *Tally     `json:"known,omitempty"`
}

// Tally is a number of rows and their sums in minor units: debits are what holders pay, credits
// what they get back, both positive.
type Tally struct {
	Debits  int64 `json:"debits"`
	Debit   int64 `json:"debit_amount"`
	Credits int64 `json:"credits"`
	Credit  int64 `json:"credit_amount"`
}

// Count adds a row's amount. A free ride moves no money and is in no total.
func (t *Tally) Count(amount int64) error {
	if amount == 0 {
		return nil
	}
	n, sum := &t.Debits, &t.Debit
	if amount < 0 {
		n, sum, amount = &t.Credits, &t.Credit, -amount
	}
	s, err := add(*sum, amount)
	*n, *sum = *n+1, s
	return err
}

// Account is what the three say of one batch.
type Account struct {
	Terminal string `json:"terminal"`
	Batch    string `json:"batch"`
	Claimed  Tally  `json:"claimed"`
	Ledger   Tally  `json:"ledger"`
	Theirs   Tally  `json:"counterparty"`
	Odd      Party  `json:"odd"`

	claim    Claim
	unknown  Tally // of Theirs: rows that the ledger does not have, each a break of its own
	currency txn.Currency
}

// Accounts adds up both sides by what was claimed. Not safe for concurrent use.
type Accounts struct {
	byKey map[string]*Account
	key   []byte
}

// NewAccounts begins with the claims; two of one batch are refused: nobody can say which holds.
func NewAccounts(claims []Claim) (*Accounts, error) {
	if len(claims) > ClaimsMax {
		return nil, fmt.Errorf("%d claims, at most %d are compared in one run", len(claims), ClaimsMax)
	}
	a := &Accounts{byKey: make(map[string]*Account, len(claims))}
	for _, c := range claims {
		key := c.Terminal + "\x00" + c.Batch
		if a.byKey[key] != nil {
			return nil, fmt.Errorf("terminal %s claims batch %q twice; keep the claim that holds",
				c.Terminal, c.Batch)
		}
		a.byKey[key] = &Account{Terminal: c.Terminal, Batch: c.Batch, Claimed: c.Tally, claim: c}
	}
	return a, nil
}

// find returns the account of a row: of its batch, or of its terminal's day.
func (a *Accounts) find(r *Row) *Account {
	a.key = batchKey(a.key[:0], r)
	if found := a.byKey[string(a.key)]; found != nil {
		return found
	}
	a.key = append(append(a.key[:0], r.Text[Terminal]...), 0)
	return a.byKey[string(a.key)]
}

// Matched counts rows that matched: those of the counterparty belong to the batch that the
// ledger's row names, for few files name batches.
func (a *Accounts) Matched(ours, theirs []*Row) error {
	if len(theirs) == 0 {
		return nil // cancelled within the ledger: terminals do not count what was undone
	}
	for i, r := range ours {
		found := a.find(r)
		if found == nil {
			continue
		}
		found.currency = r.Currency
		if err := found.Ledger.Count(r.Amount); err != nil {
			return err
		}
		amount := r.Amount
		switch {
		case len(ours) == 1:
			for _, t := range theirs[1:] {
				if err := found.Theirs.Count(t.Amount); err != nil {
					return err
				}
			}
			amount = theirs[0].Amount
		case i == 0: // many of ours: the tolerance goes to the first
			sumOurs, _ := sumOf(ours)
			sumTheirs, _ := sumOf(theirs)
			amount += sumTheirs - sumOurs
		}
		if err := found.Theirs.Count(amount); err != nil {
			return err
		}
	}
	return nil
}

// Break counts the rows of a difference: the counterparty's by the ledger's batch where the
// pair is known.
func (a *Accounts) Break(b *Break) error {
	r := b.Row()
	found := a.find(r)
	if found == nil || b.Difference == HeldLine {
		return nil
	}
	found.currency = r.Currency
	if b.Difference == TheirsOnly {
		if err := found.unknown.Count(b.Theirs.Amount); err != nil {
			return err
		}
	}
	if b.Ours != nil {
		if err := found.Ledger.Count(b.Ours.Amount); err != nil {
			return err
		}
	}
	if b.Theirs != nil {
		return found.Theirs.Count(b.Theirs.Amount)
	}
	return nil
}

// All returns the accounts by terminal and batch, each with who disagrees.
func (a *Accounts) All() []Account {
	all := make([]Account, 0, len(a.byKey))
	for _, acc := range a.byKey {
		acc.Odd = odd(acc.Ledger == acc.Theirs, acc.Ledger == acc.Claimed, acc.Theirs == acc.Claimed)
		all = append(all, *acc)
	}
	slices.SortFunc(all, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Terminal, b.Terminal), cmp.Compare(a.Batch, b.Batch))
	})
	return all
}

// Breaks returns the claims that no row explains, by terminal and batch, each with who disagrees
// and its cause. A claim is explained where it says what the ledger has, or the counterparty, or
// what they have together: rows in which those differ are breaks themselves. One of the switch's list is also explained
// by what its store had when the batch was settled: the other rows of it are of another date.
func (a *Accounts) Breaks(plan *Plan, day txn.BusinessDate) ([]*Break, error) {
	var all []*Break
	accounts := a.All()
	for i := range accounts {
		acc := &accounts[i]
		if explained, err := acc.explained(plan, day); err != nil {
			return nil, err
		} else if explained {
			continue
		}
		if len(all) == BreaksMax {
			return nil, fmt.Errorf("%w: over %d claims", ErrTooManyBreaks, BreaksMax)
		}
		all = append(all, acc.difference(plan, day, uint64(i)+1))
	}
	return all, nil
}

func (acc *Account) explained(plan *Plan, day txn.BusinessDate) (bool, error) {
	union, err := acc.Ledger.plus(acc.unknown)
	if err != nil {
		return false, err
	}
	if acc.Claimed == acc.Ledger || acc.Claimed == acc.Theirs || acc.Claimed == union {
		return true, nil
	}
	if acc.claim.Known == nil {
		return false, nil
	}
	none := Tally{}
	if acc.Claimed == *acc.claim.Known {
		return true, nil
	}
	if acc.Ledger != none || acc.Theirs != none {
		return false, nil
	}
	// Nothing of the batch is of this date: it is of interest on the day of its settlement, or,
	// where the cut-off came before, on the next.
	settled := txn.DateOf(acc.claim.Settled.Time(), plan.Zone, 0)
	return *acc.claim.Known != none || day != settled && day != settled.Next(), nil
}

// difference makes the break of a claim. Its id is of the claim alone: a batch that reaches over
// two days is one break on both.
func (acc *Account) difference(plan *Plan, day txn.BusinessDate, line uint64) *Break {
	net := acc.Claimed.Debit - acc.Claimed.Credit
	row := &Row{Place: Place{Line: line}, Amount: net, Currency: cmp.Or(acc.currency, txn.CNY),
		At: acc.claim.Settled}
	row.Text[Terminal], row.Text[Batch] = acc.Terminal, acc.Batch
	had := acc.Ledger
	if acc.claim.Known != nil {
		had = *acc.claim.Known
	}
	b := &Break{Difference: OtherClaim, Cause: Unknown, Gap: had.Debit - had.Credit - net, Claim: row,
		Odd: acc.Odd, Where: "claim:" + acc.Terminal + "/" + acc.Batch, Opened: day, Owner: plan.Owner}
	for _, side := range []struct {
		name string
		Tally
	}{{"claimed", acc.Claimed}, {"the ledger has", acc.Ledger}, {"the counterparty has", acc.Theirs}} {
		b.Evidence = append(b.Evidence, side.name+" "+side.String())
	}
	if had == (Tally{}) && acc.Ledger == had && acc.Theirs == had {
		b.Cause = MissingBatch
		b.Evidence = append(b.Evidence, fmt.Sprintf("nothing of terminal %s, batch %q arrived",
			acc.Terminal, acc.Batch))
	}
	of := int64(day)
	if acc.claim.Settled != 0 {
		of = int64(acc.claim.Settled)
	}
	b.ID = idOf(fmt.Appendf(nil, "%q %q %q %q %d %v", plan.Name, OtherClaim, acc.Terminal, acc.Batch, of,
		acc.Claimed))
	return b
}

// String tells a tally to a person.
func (t Tally) String() string {
	return fmt.Sprintf("%d debits of %d and %d credits of %d", t.Debits, t.Debit, t.Credits, t.Credit)
}

func (t Tally) plus(o Tally) (sum Tally, err error) {
	sum.Debits, sum.Credits = t.Debits+o.Debits, t.Credits+o.Credits
	if sum.Debit, err = add(t.Debit, o.Debit); err == nil {
		sum.Credit, err = add(t.Credit, o.Credit)
	}
	return sum, err
}

// odd names who stands alone among three.
func odd(ledgerIsTheirs, ledgerIsClaim, theirsIsClaim bool) Party {
	switch {
	case ledgerIsTheirs && ledgerIsClaim:
		return NoParty
	case ledgerIsTheirs:
		return Claims
	case ledgerIsClaim:
		return Counterparty
	case theirsIsClaim:
		return Ledger
	default:
		return Everyone
	}
}

// oddOf compares existence, status and amount of one transaction.
func oddOf(ours, theirs, claim *Row) Party {
	equal := func(a, b *Row) bool {
		if a == nil || b == nil {
			return a == b
		}
		return a.Amount == b.Amount && statusAgrees(a, b)
	}
	return odd(equal(ours, theirs), equal(ours, claim), equal(theirs, claim))
}
