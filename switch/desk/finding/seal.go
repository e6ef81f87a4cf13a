package finding

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Sealed is a piece of evidence as it is kept and handed out.
type Sealed struct {
	// Body is the evidence in its canonical bytes, and Hash the SM3 hash of them.
	Body []byte `json:"body"`
	Hash string `json:"hash"`
	// KeyID and Signature are of the body; none without a key.
	KeyID     string `json:"key_id,omitempty"`
	Signature []byte `json:"signature,omitempty"`
}

// Evidence is what Body says. Its members stand in the order of their names, without spaces.
type Evidence struct {
	Card     string     `json:"card"`
	City     string     `json:"city"`
	FoundAt  txn.Millis `json:"found_at"`
	ID       string     `json:"id"`
	Kind     Kind       `json:"kind"`
	Last4    string     `json:"last4"`
	Lost     bool       `json:"lost"`
	Number   uint64     `json:"number"`
	Previous string     `json:"previous"` // hash of the evidence before; "" for the first
	Uses     []Use      `json:"uses"`
	Version  int        `json:"version"`
	Why      string     `json:"why"`
}

// evidenceVersion is what this code writes; a greater one is refused.
const evidenceVersion = 1

// ErrEvidence reports evidence that was changed, or that stands in the wrong place.
var ErrEvidence = errors.New("finding: evidence is not what was sealed")

// canonical returns the one encoding: names in order, no spaces, no escapes beyond JSON's.
func canonical(e *Evidence) ([]byte, error) {
	direct, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("evidence %d: %w", e.Number, err)
	}
	d := json.NewDecoder(bytes.NewReader(direct))
	d.UseNumber()
	var members any // maps are written in the order of their names
	if err := d.Decode(&members); err != nil {
		return nil, fmt.Errorf("evidence %d: %w", e.Number, err)
	}
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	w.SetEscapeHTML(false)
	if err := w.Encode(members); err != nil {
		return nil, fmt.Errorf("evidence %d: %w", e.Number, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// seal makes evidence of a finding, after the one with hash previous.
func seal(e *Evidence, by receipt.Signer) (*Sealed, error) {
	body, err := canonical(e)
	if err != nil {
		return nil, err
	}
	s := &Sealed{Body: body, Hash: hashOf(body)}
	if by == nil {
		return s, nil
	}
	if s.Signature, err = by.Sign(message(body)); err != nil {
		return nil, fmt.Errorf("evidence %d: %w", e.Number, err)
	}
	s.KeyID = by.KeyID()
	return s, nil
}

// message is what is signed: a line of its own comes first, so that the signature is good
// for nothing else.
func message(body []byte) []byte { return append([]byte("tapswitch finding\n"), body...) }

func hashOf(body []byte) string {
	sum := sm.SM3(body)
	return hex.EncodeToString(sum[:])
}

// Open reads sealed evidence and proves that it is whole. The signature is for Check.
func (s *Sealed) Open() (*Evidence, error) {
	if hashOf(s.Body) != s.Hash {
		return nil, fmt.Errorf("%w: the hash is another", ErrEvidence)
	}
	d := json.NewDecoder(bytes.NewReader(s.Body))
	d.DisallowUnknownFields()
	e := new(Evidence)
	if err := d.Decode(e); err != nil {
		return nil, fmt.Errorf("%w: not evidence of version %d", ErrEvidence, evidenceVersion)
	}
	again, err := canonical(e)
	if _, end := d.Token(); err != nil || !errors.Is(end, io.EOF) || !bytes.Equal(again, s.Body) ||
		e.Version > evidenceVersion {
		return nil, fmt.Errorf("%w: not the one encoding", ErrEvidence)
	}
	return e, nil
}

// Check verifies the signature by a verifier's own check of (message, signature).
func (s *Sealed) Check(verify func(message, signature []byte) bool) error {
	if !verify(message(s.Body), s.Signature) {
		return fmt.Errorf("%w: the signature of %s is wrong", ErrEvidence, s.KeyID)
	}
	return nil
}
