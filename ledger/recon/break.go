package recon

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Difference is what is wrong between the sides.
type Difference string

// The differences, in the order in which they are told of a pair that differs in several.
const (
	Repeated   Difference = "duplicate"   // a side has the same row twice
	OtherState Difference = "status"      // approved here, declined or reversed there
	OtherSum   Difference = "amount"      // same transaction, other amount
	OtherDate  Difference = "date"        // booked to another day
	OtherTime  Difference = "time"        // service times too far apart
	OursOnly   Difference = "ours_only"   // they do not have it
	TheirsOnly Difference = "theirs_only" // we do not have it
	HeldLine   Difference = "unreadable"  // a line that its layout holds back
	OtherClaim Difference = "claim"       // a terminal or operator claims totals that no row explains
)

// Cause is why, as far as the rows show it.
type Cause string

// The causes.
const (
	LateUpload    Cause = "late_upload"
	ListLag       Cause = "list_lag"
	StanReuse     Cause = "stan_reuse"
	CutOffShift   Cause = "cut_off_shift"
	DuplicateFile Cause = "duplicate_file"
	TariffVersion Cause = "tariff_version"
	ClockSkew     Cause = "clock_skew"
	MissingBatch  Cause = "missing_batch"
	// RepeatedRow is a single row twice in a file that is no copy of another.
	RepeatedRow Cause = "repeated_row"
	// UnreadableLine is a line that could not be read; its evidence says why.
	UnreadableLine Cause = "unreadable_line"
	// Unknown: nothing in the rows shows why. A person finds out.
	Unknown Cause = "unknown"
)

// Causes returns all of them.
func Causes() []Cause {
	return []Cause{LateUpload, ListLag, StanReuse, CutOffShift, DuplicateFile, TariffVersion,
		ClockSkew, MissingBatch, RepeatedRow, UnreadableLine, Unknown}
}

// Party is the one of three whose word stands against the other two.
type Party string

// The parties.
const (
	NoParty      Party = "" // not asked, or all three agree on the amount
	Ledger       Party = "ledger"
	Counterparty Party = "counterparty"
	Claims       Party = "claims"
	Everyone     Party = "all" // three different words
)

// Break is one difference with its cause. Amounts are minor units.
type Break struct {
	// ID is the same for the same difference in every run.
	ID         string     `json:"id"`
	Difference Difference `json:"difference"`
	Cause      Cause      `json:"cause"`
	// Evidence are the facts that led to the cause.
	Evidence []string `json:"evidence"`
	// Gap is ours less theirs, a missing row taken for zero.
	Gap    int64  `json:"gap"`
	Ours   *Row   `json:"ours,omitempty"`
	Theirs *Row   `json:"theirs,omitempty"`
	Claim  *Row   `json:"claim,omitempty"`
	Odd    Party  `json:"odd,omitempty"`
	Where  string `json:"where"` // the places of the rows: "ledger:17 bank.txt:12"
	// Opened is the day of the run that met it first.
	Opened txn.BusinessDate `json:"opened"`
	Owner  string           `json:"owner,omitempty"`
}

// Row returns the row of ours, or of theirs where there is none, or the claim of a difference of
// totals: its terminal, its batch and what it claims in all.
func (b *Break) Row() *Row {
	switch {
	case b.Ours != nil:
		return b.Ours
	case b.Theirs != nil:
		return b.Theirs
	}
	return b.Claim
}

// Currency is that of the rows.
func (b *Break) Currency() txn.Currency { return b.Row().Currency }

// Carried are the breaks of earlier runs whose rows this one is made of.
func (b *Break) Carried() (ids []string) {
	for _, r := range []*Row{b.Ours, b.Theirs} {
		if r != nil && r.Carried != "" {
			ids = append(ids, r.Carried)
		}
	}
	return ids
}

// Carries reports whether the break's row goes into the next run, to meet its other side.
func (b *Break) Carries() bool { return b.Difference == OursOnly || b.Difference == TheirsOnly }

// sortBreaks orders breaks by difference and place and gives them their ids: equal rows of one
// plan are told apart by their number.
func sortBreaks(plan *Plan, all []*Break) error {
	slices.SortFunc(all, func(a, b *Break) int {
		if c := cmp.Compare(a.Difference, b.Difference); c != 0 {
			return c
		}
		return byPlace(a.Row(), b.Row())
	})
	seen := map[string]int{}
	for _, b := range all {
		if carried := b.Carried(); b.Carries() && len(carried) == 1 {
			b.ID = carried[0]
			continue
		}
		text, err := json.Marshal([]any{plan.Name, b.Difference, b.Ours, b.Theirs})
		if err != nil {
			return fmt.Errorf("break of %s: %w", b.Where, err)
		}
		seen[string(text)]++
		b.ID = idOf(fmt.Appendf(text, "#%d", seen[string(text)]))
	}
	return nil
}

// idOf is the id of what a break is about.
func idOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
