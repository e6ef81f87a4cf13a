package pan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"
)

// TokenSize is the length of a Token in bytes.
const TokenSize = 16

// tokenKeyMin is the least length of a token key in bytes: the strength of the
// 128-bit token it makes, doubled.
const tokenKeyMin = 32

// ErrTokenKey reports a token key that is too short.
var ErrTokenKey = errors.New("token key must have at least 32 bytes")

// Token stands for a card number in state, records and streams: the first 16
// bytes of HMAC-SHA256(key, digits). Its bits are uniform, so its first bits
// choose the bucket. It is no secret, yet never joinable to a truncated number
// without the key.
type Token [TokenSize]byte

// IsZero reports whether t is the zero Token, which stands for no card.
func (t Token) IsZero() bool { return t == Token{} }

// String returns t as 32 lower-case hex digits.
func (t Token) String() string { return hex.EncodeToString(t[:]) }

// MarshalText returns String.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// ParseToken reads 32 hex digits.
func ParseToken(s string) (Token, error) {
	var t Token
	if len(s) != 2*TokenSize {
		return t, fmt.Errorf("card token: want %d hex digits, got %d characters", 2*TokenSize, len(s))
	}
	if _, err := hex.Decode(t[:], []byte(s)); err != nil {
		return Token{}, errors.New("card token: not hexadecimal")
	}
	return t, nil
}

// Tokenizer makes tokens under one key. It is safe for concurrent use and
// allocates nothing in the steady state: HMAC states are pooled and reset.
type Tokenizer struct {
	pool sync.Pool
}

type macState struct {
	mac hash.Hash
	in  [digitsMax]byte
	out [sha256.Size]byte
}

// NewTokenizer returns a Tokenizer under key (at least 32 bytes), which it
// copies. It returns ErrTokenKey for a shorter one.
func NewTokenizer(key []byte) (*Tokenizer, error) {
	if len(key) < tokenKeyMin {
		return nil, fmt.Errorf("%w, got %d", ErrTokenKey, len(key))
	}
	own := append([]byte(nil), key...)
	t := &Tokenizer{}
	t.pool.New = func() any { return &macState{mac: hmac.New(sha256.New, own)} }
	return t, nil
}

// Token returns the token of n. The zero Number has no meaningful token; callers
// hold only parsed numbers.
func (t *Tokenizer) Token(n Number) Token {
	s := t.pool.Get().(*macState)
	s.mac.Reset()
	_, _ = s.mac.Write(s.in[:n.open(&s.in)])
	var tok Token
	copy(tok[:], s.mac.Sum(s.out[:0]))
	clear(s.in[:])
	t.pool.Put(s)
	return tok
}

// Derive returns a token of something that is no card number: an account, a holder's ID
// number, a printed identifier. Domain keeps the kinds apart; no derived token can be that
// of a card, whose digits begin no domain. Domain must not be empty nor hold a zero byte.
func (t *Tokenizer) Derive(domain, text string) Token {
	s := t.pool.Get().(*macState)
	s.mac.Reset()
	_, _ = s.mac.Write([]byte("derive:" + domain + "\x00" + text))
	var tok Token
	copy(tok[:], s.mac.Sum(s.out[:0]))
	t.pool.Put(s)
	return tok
}
