package pinblock

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Why Translate refuses. The PIN has not been looked at then.
var (
	ErrTranslation = errors.New("ISO 9564 forbids this translation of PIN blocks")
	ErrPANChange   = errors.New("PIN block would change its card number")
)

// Side is one side of a translation.
type Side struct {
	Format Format
	// Cipher is the PIN key: of 8-byte blocks (DES, 3DES) for the 8-byte formats, of
	// 16-byte blocks (AES, SM4) for format 4.
	Cipher cipher.Block
	// PAN is the whole card number, with its check digit. Formats that do not bind it do
	// not look at it.
	PAN string
}

// Translation says what Translate does. It is not changed, and may be used at once from
// several goroutines.
type Translation struct {
	In, Out Side
	// ChangePAN allows that Out has another card number than In, as when a card is issued
	// anew. Never set it for a payment.
	ChangePAN bool
	// Random is the source of fill, nil for crypto/rand.
	Random io.Reader
}

// allowed is the table of ISO 9564-1:2017 (also requirement 3-3 of PCI PIN): from the row's
// format to the column's. A format that binds the card number becomes another such one, and
// nothing that does not: else a block could be read against any card. Format 2 is for chip
// cards and reaches no host. UnionPay's form counts as one that binds no card number; it
// has no random fill either, so that nothing but itself becomes it.
var allowed = [formatEnd][formatEnd]bool{
	Format0:   {Format0: true, Format3: true, Format4: true},
	Format1:   {Format0: true, Format1: true, Format3: true, Format4: true},
	Format3:   {Format0: true, Format3: true, Format4: true},
	Format4:   {Format0: true, Format3: true, Format4: true},
	FormatCUP: {Format0: true, Format3: true, Format4: true, FormatCUP: true},
}

// Allowed reports whether ISO 9564-1 lets a block of one format become one of another, the
// card number being the same.
func Allowed(from, to Format) bool {
	return from < formatEnd && to < formatEnd && allowed[from][to]
}

// check reports whether t may be done at all.
func (t *Translation) check() error {
	from, to := t.In.Format, t.Out.Format
	if !Allowed(from, to) {
		return fmt.Errorf("%w: %v to %v", ErrTranslation, from, to)
	}
	if from.BindsPAN() && to.BindsPAN() && t.In.PAN != t.Out.PAN && !t.ChangePAN {
		return ErrPANChange
	}
	for _, side := range [2]*Side{&t.In, &t.Out} {
		if side.Cipher == nil || side.Cipher.BlockSize() != side.Format.Size() {
			return fmt.Errorf("%w: %v wants blocks of %d bytes", ErrCipher, side.Format,
				side.Format.Size())
		}
	}
	return nil
}

// Translate deciphers a block, checks it, makes the block of the other side from its PIN,
// and appends that, enciphered, to dst: one allocation, none besides when dst has room. It
// refuses what ISO 9564-1 forbids: a format that binds the card number becoming one that
// does not, format 2, and another card number unless t asks for it (ErrTranslation,
// ErrPANChange). The PIN never leaves the function.
func Translate(dst, enciphered []byte, t *Translation) ([]byte, error) {
	if err := t.check(); err != nil {
		return dst, err
	}
	if size := t.In.Format.Size(); len(enciphered) != size {
		return dst, fmt.Errorf("%w: %d bytes, want %d", ErrBlock, len(enciphered), size)
	}
	s := new(scratch)
	defer s.clear()
	copy(s.in[:], enciphered)
	if err := s.open(&t.In); err != nil {
		return dst, err
	}
	if err := s.seal(&t.Out, t.Random); err != nil {
		return dst, err
	}
	return append(dst, s.out[:t.Out.Format.Size()]...), nil
}

// open keeps the PIN of the enciphered block in s.in.
func (s *scratch) open(side *Side) error {
	if side.Format == Format4 {
		return s.decode4(side.Cipher, side.PAN)
	}
	side.Cipher.Decrypt(s.in[:8], s.in[:8])
	return s.decode8(side.Format, binary.BigEndian.Uint64(s.in[:8]), side.PAN)
}

// seal leaves the enciphered block of the PIN in s in s.out.
func (s *scratch) seal(side *Side, random io.Reader) error {
	if side.Format == Format4 {
		return s.encode4(side.Cipher, side.PAN, random)
	}
	b, err := s.encode8(side.Format, side.PAN, random)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint64(s.out[:8], b)
	side.Cipher.Encrypt(s.out[:8], s.out[:8])
	return nil
}
