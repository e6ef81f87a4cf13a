package secure

import (
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
)

// The first digit of field 53: the form of the PIN block in field 52 (DOMAIN.md 2.2, 3.1).
const (
	PINWithoutPAN = 1
	PINWithPAN    = 2
)

// PINBlock is an enciphered PIN as a terminal or an acquirer sent it.
type PINBlock struct {
	// Block is field 52.
	Block []byte
	// Key is what it is under: TerminalKey.PINKey or LinkKeys.PINKey.
	Key keyring.PINKey
	// Form is PINWithoutPAN or PINWithPAN.
	Form byte
	PAN  pan.Number
}

// String shows nothing of the card.
func (b PINBlock) String() string { return "[PIN block]" }

// GoString returns String.
func (b PINBlock) GoString() string { return b.String() }

// Format writes String for every verb.
func (b PINBlock) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(b.String())) }

// MarshalText returns String.
func (b PINBlock) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// PINKey returns the PIN key in force; ErrNoKey when there is none.
func (l *LinkKeys) PINKey() (keyring.PINKey, error) {
	s := &l.state.Load().slots[PINKey]
	if s.current.none() {
		return keyring.PINKey{}, s.problem
	}
	return s.current.pin(), nil
}

// FormerPINKey returns the PIN key before, while the overlap lasts: for a block of an acquirer
// that was under way when the key changed.
func (l *LinkKeys) FormerPINKey() (keyring.PINKey, bool) {
	s := &l.state.Load().slots[PINKey]
	if s.former.none() || !l.o.Now().Before(s.until) {
		return keyring.PINKey{}, false
	}
	return s.former.pin(), true
}

func (k *key) pin() keyring.PINKey {
	if k.zone != nil {
		return k.zone.PINKey()
	}
	return keyring.PINKey{Ref: k.ref}
}

// TranslatePIN appends to dst the PIN of a block, enciphered under the link's PIN key in the
// link's format. The PIN does not leave the key ring. A block that holds no PIN under its key
// is keyring.ErrPINBlock (response code 99 for a terminal).
func (l *LinkKeys) TranslatePIN(dst []byte, from *PINBlock) ([]byte, error) {
	to, err := l.PINKey()
	if err != nil {
		return dst, err
	}
	digits := from.PAN.Digits()
	t := keyring.PINTranslation{
		In:  keyring.PINBlock{Key: from.Key, PAN: digits},
		Out: keyring.PINBlock{Key: to, Format: l.o.PINFormat, PAN: digits},
	}
	switch from.Form {
	case PINWithoutPAN:
		t.In.Format = pinblock.FormatCUP
	case PINWithPAN:
		t.In.Format = pinblock.Format0
	default:
		return dst, fmt.Errorf("%w: field 53 names PIN form %d", keyring.ErrPINBlock, from.Form)
	}
	out, err := l.o.Ring.TranslatePIN(dst, from.Block, &t)
	if err != nil {
		return dst, fmt.Errorf("cannot translate a PIN for link %s: %w", l.o.Link, err)
	}
	return out, nil
}
