package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"strconv"
	"sync"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// The headers of a terminal's signature.
const (
	HeaderTerminal  = "X-Tap-Terminal"
	HeaderTimestamp = "X-Tap-Timestamp"
	HeaderCounter   = "X-Tap-Counter"
	HeaderSignature = "X-Tap-Signature"
)

// SignatureSize is the length of a signature as it stands in its header.
const SignatureSize = 2 * sha256.Size

// signed is what a signature covers, as bytes of the request.
type signed struct {
	method, path, body           []byte
	terminal, timestamp, counter []byte
}

// append appends the text that is signed.
func (m *signed) append(dst []byte) []byte {
	sum := sha256.Sum256(m.body)
	dst = append(append(dst, m.method...), '\n')
	dst = append(append(dst, m.path...), '\n')
	dst = append(hex.AppendEncode(dst, sum[:]), '\n')
	dst = append(append(dst, m.terminal...), '\n')
	dst = append(append(dst, m.timestamp...), '\n')
	return append(dst, m.counter...)
}

// signingKey is a terminal's key ready for use: its HMAC states are kept and reset.
type signingKey struct {
	pool sync.Pool // *signingState
	// until is when the key ends, 0 for never.
	until txn.Millis
}

type signingState struct {
	mac  hash.Hash
	text []byte
	sum  [sha256.Size]byte
	want [sha256.Size]byte
}

// newSigningKey copies key.
func newSigningKey(key []byte, until txn.Millis) *signingKey {
	own := append([]byte(nil), key...)
	k := &signingKey{until: until}
	k.pool.New = func() any { return &signingState{mac: hmac.New(sha256.New, own)} }
	return k
}

// compute puts the signature of m into s.sum.
func (s *signingState) compute(m *signed) {
	s.text = m.append(s.text[:0])
	s.mac.Reset()
	_, _ = s.mac.Write(s.text)
	s.mac.Sum(s.sum[:0])
}

// verify reports whether signature, in lower-case hex, is that of m. It takes the same
// time wherever they differ.
func (k *signingKey) verify(m *signed, signature []byte) bool {
	s := k.pool.Get().(*signingState)
	defer k.pool.Put(s)
	if _, err := hex.Decode(s.want[:], signature); err != nil {
		return false
	}
	s.compute(m)
	return subtle.ConstantTimeCompare(s.sum[:], s.want[:]) == 1
}

// Signer signs requests as a terminal does. Simulated terminals, tools and tests use it;
// it is the other half of what the gate verifies. Safe for concurrent use.
type Signer struct {
	terminal string
	key      *signingKey
}

// NewSigner returns a Signer for the terminal under its key, which it copies.
func NewSigner(terminal string, key []byte) *Signer {
	return &Signer{terminal: terminal, key: newSigningKey(key, 0)}
}

// Terminal returns the terminal's id.
func (s *Signer) Terminal() string { return s.terminal }

// Stamp is what makes a signature fresh: the terminal's clock and its counter.
type Stamp struct {
	At      txn.Millis
	Counter uint64
}

// Sign returns the signature of a request as it stands in its header. The stamp goes into
// its own headers as decimal numbers.
func (s *Signer) Sign(method, path string, body []byte, at Stamp) string {
	state := s.key.pool.Get().(*signingState)
	defer s.key.pool.Put(state)
	state.compute(&signed{
		method: []byte(method), path: []byte(path), body: body,
		terminal:  []byte(s.terminal),
		timestamp: strconv.AppendInt(nil, int64(at.At), 10),
		counter:   strconv.AppendUint(nil, at.Counter, 10),
	})
	return hex.EncodeToString(state.sum[:])
}

// wellFormed reports whether signature is SignatureSize digits of lower-case hex.
func wellFormed(signature []byte) bool {
	if len(signature) != SignatureSize {
		return false
	}
	for _, c := range signature {
		if !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
