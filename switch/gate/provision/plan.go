package provision

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Plan is the statement that a gate gets: what it works by now and next.
type Plan struct {
	Terminal string `json:"terminal"`
	Kind     Kind   `json:"kind"`
	// Serial is the number of the last change; a gate never goes back to a smaller one.
	Serial uint64 `json:"serial"`
	// InForce is nil when nothing was published for the place; Next when nothing is to come.
	InForce *Part `json:"in_force"`
	Next    *Part `json:"next"`
	// Orders are the degraded modes that hold or are to come; with parameters only.
	Orders []disruption.Order `json:"orders,omitempty"`
}

// Part is a document in a plan: parameters are whole, a tariff is named and loaded apart.
type Part struct {
	Version    string           `json:"version"`
	Scope      disruption.Scope `json:"scope"`
	Effective  txn.Millis       `json:"effective_ms"`
	SHA256     string           `json:"sha256"`
	Size       int              `json:"size"`
	Parameters json.RawMessage  `json:"parameters,omitempty"`
}

// Envelope carries a statement and who signed it.
type Envelope struct {
	Statement json.RawMessage   `json:"statement"`
	Algorithm receipt.Algorithm `json:"algorithm"`
	Key       string            `json:"key"`
	Signature string            `json:"signature"` // hexadecimal
}

// domain stands before what is signed, so that the signature is good for nothing else.
const domain = "tapswitch terminal plan v1\x00"

// seal signs a statement, which is compact JSON.
func seal(statement []byte, by receipt.Signer) ([]byte, error) {
	signature, err := by.Sign(append([]byte(domain), statement...))
	if err != nil {
		return nil, fmt.Errorf("provision: the plan cannot be signed with key %s: %w", by.KeyID(), err)
	}
	return json.Marshal(Envelope{statement, by.Algorithm(), by.KeyID(),
		hex.EncodeToString(signature)})
}

// The errors of OpenPlan and CheckContent. After each of them a gate keeps what it has.
var (
	ErrUnsigned = errors.New("plan is not signed by a key that is trusted")
	ErrPlan     = errors.New("plan cannot be used")
)

// Keys are the public keys that a gate trusts for plans. It never changes and is safe for
// concurrent use.
type Keys struct{ byID map[string]receipt.Key }

// NewKeys returns the set of keys; their validity in time is not looked at, since gates often
// have no clock to trust.
func NewKeys(keys ...receipt.Key) (*Keys, error) {
	if _, err := receipt.NewKeys(keys...); err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	set := &Keys{map[string]receipt.Key{}}
	for _, k := range keys {
		set.byID[k.ID] = k
	}
	return set, nil
}

func (k *Keys) verify(e *Envelope) bool {
	key, ok := k.byID[e.Key]
	signature, err := hex.DecodeString(e.Signature)
	if !ok || err != nil || key.Algorithm != e.Algorithm {
		return false
	}
	message := append([]byte(domain), e.Statement...)
	if key.Algorithm == receipt.SM2 {
		public, err := sm.ParsePublicKey(key.Public)
		return err == nil && public.Verify(message, signature)
	}
	return ed25519.Verify(key.Public, message, signature)
}

// OpenPlan reads the answer to a gate's question, for a terminal that holds a plan of the kind
// with the serial number held (0 for none). It checks signature, terminal, kind, serial and the
// parameters. Errors are ErrUnsigned and ErrPlan.
func OpenPlan(envelope []byte, keys *Keys, terminal string, kind Kind, held uint64) (*Plan, error) {
	var e Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if !keys.verify(&e) {
		return nil, fmt.Errorf("%w: key %.64q", ErrUnsigned, e.Key)
	}
	var p Plan
	if err := json.Unmarshal(e.Statement, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	switch {
	case p.Terminal != terminal || p.Kind != kind:
		return nil, fmt.Errorf("%w: it is for %.16q, %.16q; asked was %s, %s", ErrPlan, p.Terminal,
			p.Kind, terminal, kind)
	case p.Serial < held:
		return nil, fmt.Errorf("%w: it has number %d, the gate holds %d", ErrPlan, p.Serial, held)
	}
	for _, part := range []*Part{p.InForce, p.Next} {
		if part == nil || kind != KindParameters {
			continue
		}
		if err := part.CheckContent(part.Parameters); err != nil {
			return nil, err
		}
		if _, r := ReadParameters(part.Parameters); r != nil {
			return nil, fmt.Errorf("%w: version %s: %w", ErrPlan, part.Version, r)
		}
	}
	return &p, nil
}

// CheckContent compares a content, of a tariff file say, with what the plan says of it.
func (p *Part) CheckContent(content []byte) error {
	sum := sha256.Sum256(content)
	if len(content) != p.Size || hex.EncodeToString(sum[:]) != p.SHA256 {
		return fmt.Errorf("%w: the content of version %s is another (%d bytes)", ErrPlan, p.Version,
			len(content))
	}
	return nil
}

// At returns the part that holds at an instant, nil for none. A gate that is off line takes the
// next version by itself when its time has come.
func (p *Plan) At(now txn.Millis) *Part {
	if p.Next != nil && p.Next.Effective <= now {
		return p.Next
	}
	return p.InForce
}
