package notice

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of a notice. RowsMax follows from store.StateMax: so many rows of the greatest
// length fit one document.
const (
	IDMax      = 64  // bytes of the id of a notice
	CaseMax    = 64  // bytes of the id of a case
	ClauseMax  = 96  // bytes of the name of a clause
	ByMax      = 64  // bytes of who answered
	NoteMax    = 128 // bytes of a note by a person
	FailureMax = 96  // bytes of why a try failed
	AlarmsMax  = 4   // alarms of a party
	RowsMax    = 24  // parties in one document
	PartiesMax = 256 // parties of one notice, as many as a receipt holds
)

// clockSkewMax is how far the clock of a party may be from ours: a time less than this in
// the future, or before the notice, is cut to what is possible; more is refused.
const clockSkewMax = 5 * time.Second

// Errors of Notify.
var (
	// ErrNotice reports a notice that cannot be: a field is missing or out of range.
	ErrNotice = errors.New("not a notice")
	// ErrOther reports that another notice bears the id already.
	ErrOther = errors.New("another notice has this id")
)

// Kind says what a notice asks for. Numbers go to disk: append only.
type Kind uint8

// The kinds.
const (
	KindNone Kind = iota
	// Freeze asks to close the card (HD19).
	Freeze
	// Release asks to open it again (HD20).
	Release
	kindEnd
)

// String returns the stable name.
func (k Kind) String() string {
	if k >= kindEnd {
		return "unknown"
	}
	return [kindEnd]string{"none", "freeze", "release"}[k]
}

// Policy is what the scheme says about a notice. It is kept with the notice, so that a
// later policy changes no clock that runs.
type Policy struct {
	// Window is how long a party has from its receipt; 0 when the scheme sets no hours,
	// and then nobody is late.
	Window time.Duration
	// Alarms come so long after the clock started, ascending, at most AlarmsMax.
	Alarms []time.Duration
	// RetryFirst is the pause after the first failed try; it doubles up to RetryMax.
	RetryFirst, RetryMax time.Duration
	// GiveUp is how long after its creation a notice is tried; then it is dead until
	// Revive. 0 for ever.
	GiveUp time.Duration
	// Clause names the rule that the policy comes from.
	Clause string
}

// Notice is what Notify makes known.
type Notice struct {
	// ID names the notice for ever: 1 to IDMax of 0-9 A-Z a-z _ . -.
	ID        string
	Kind      Kind
	Card      pan.Token
	Last4     pan.Last4
	Scope     txn.App // the applications concerned
	Reason    txn.FreezeReason
	Case      string // the case or freeze record
	ListEpoch uint64 // a party drops what is older than what it has done
	// AcceptedAt is when the report or release was accepted. Acceptance-to-sent counts
	// from here, the wait for a second person included.
	AcceptedAt txn.Millis
	// Supersedes names the notice that this one makes void; "" for none. It is stopped
	// before this one is sent, so that a late freeze never follows its release.
	Supersedes string
	Policy     Policy
	// Only limits the notice to these parties, as far as they are active and concerned:
	// the bank of the card and not every bank. Nil for all.
	Only []string
}

// check returns ErrNotice with the first field that is wrong. now is our clock.
func (n *Notice) check(now txn.Millis) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrNotice, fmt.Sprintf(format, a...))
	}
	switch {
	case !validID(n.ID):
		return bad("id %q: want 1 to %d characters of 0-9 A-Z a-z _ . -", n.ID, IDMax)
	case n.Supersedes != "" && !validID(n.Supersedes) || n.Supersedes == n.ID:
		return bad("superseded notice %q", n.Supersedes)
	case n.Kind == KindNone || n.Kind >= kindEnd:
		return bad("kind %d", n.Kind)
	case n.Card.IsZero():
		return bad("no card")
	case n.Scope == 0:
		return bad("no application in the scope")
	case n.AcceptedAt <= 0 || n.AcceptedAt > now+millis(clockSkewMax):
		return bad("accepted at %d, now is %d", n.AcceptedAt, now)
	case !validText(n.Case, CaseMax):
		return bad("case: want at most %d bytes of text", CaseMax)
	case len(n.Only) > PartiesMax:
		return bad("%d parties named, at most %d", len(n.Only), PartiesMax)
	}
	return n.Policy.check()
}

func (p *Policy) check() error {
	switch {
	case p.Window < 0 || p.GiveUp < 0:
		return fmt.Errorf("%w: a negative window or end of tries", ErrNotice)
	case p.RetryFirst <= 0 || p.RetryMax < p.RetryFirst:
		return fmt.Errorf("%w: pauses of %s to %s", ErrNotice, p.RetryFirst, p.RetryMax)
	case len(p.Alarms) > AlarmsMax:
		return fmt.Errorf("%w: %d alarms, at most %d", ErrNotice, len(p.Alarms), AlarmsMax)
	case !validText(p.Clause, ClauseMax):
		return fmt.Errorf("%w: clause: want at most %d bytes of text", ErrNotice, ClauseMax)
	}
	for i, a := range p.Alarms {
		if a <= 0 || i > 0 && a <= p.Alarms[i-1] {
			return fmt.Errorf("%w: alarms do not ascend: %v", ErrNotice, p.Alarms)
		}
	}
	return nil
}

// same reports whether two calls mean one notice. Policy and parties may have changed
// between them; the first call decided.
func (n *Notice) same(o *Notice) bool {
	return n.ID == o.ID && n.Kind == o.Kind && n.Card == o.Card && n.Scope == o.Scope &&
		n.Reason == o.Reason && n.Case == o.Case && n.AcceptedAt == o.AcceptedAt &&
		n.Supersedes == o.Supersedes
}

func validID(s string) bool {
	if len(s) == 0 || len(s) > IDMax {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// validText accepts text of up to max bytes without control characters.
func validText(s string, max int) bool {
	return len(s) <= max && utf8.ValidString(s) &&
		!slices.ContainsFunc([]rune(s), unicode.IsControl)
}

// cut makes any text fit: what cannot be printed goes, and what is beyond max bytes.
func cut(s string, max int) string {
	clean := make([]byte, 0, min(len(s), max))
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) {
			r = ' '
		}
		if len(clean)+utf8.RuneLen(r) > max {
			break
		}
		clean = utf8.AppendRune(clean, r)
	}
	return string(clean)
}

func millis(d time.Duration) txn.Millis { return txn.Millis(d / time.Millisecond) }
