package receipt

import (
	"encoding/hex"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

// purpose is the first line of what is signed: no signature of another use can be passed off
// as one of a statement.
const purpose = "tapswitch statement v1"

// Envelope is a statement with its signature.
type Envelope struct {
	// Statement is the statement's canonical encoding.
	Statement []byte
	Algorithm Algorithm
	KeyID     string
	Signature []byte
	// Fingerprint is the SM3 hash of the public key, for people; what is trusted is the key
	// that the verifier holds.
	Fingerprint [HashSize]byte
}

// signed returns the bytes under the signature: purpose, algorithm, key id and statement, with
// a line feed after each of the first three.
func (e *Envelope) signed() []byte {
	b := make([]byte, 0, len(purpose)+len(e.Algorithm)+len(e.KeyID)+3+len(e.Statement))
	b = append(append(b, purpose...), '\n')
	b = append(append(b, e.Algorithm...), '\n')
	b = append(append(b, e.KeyID...), '\n')
	return append(b, e.Statement...)
}

// Fingerprint returns the SM3 hash of a public key in the form of its Algorithm.
func Fingerprint(public []byte) [HashSize]byte { return sm.SM3(public) }

// Seal signs a statement. The signature is verified before it is given out, so a signer that
// fails in silence cannot spoil a receipt.
func Seal(s Statement, by Signer) (*Envelope, error) {
	statement, err := Canonical(s)
	if err != nil {
		return nil, err
	}
	key, err := newKey(Key{ID: by.KeyID(), Algorithm: by.Algorithm(), Public: by.PublicKey()})
	if err != nil {
		return nil, fmt.Errorf("cannot seal a %s: %w", s.Kind(), err)
	}
	e := &Envelope{Statement: statement, Algorithm: by.Algorithm(), KeyID: by.KeyID(),
		Fingerprint: key.fingerprint}
	if e.Signature, err = by.Sign(e.signed()); err != nil {
		return nil, fmt.Errorf("cannot seal a %s: %w", s.Kind(), err)
	}
	if !key.verify(e.signed(), e.Signature) {
		return nil, fmt.Errorf("cannot seal a %s: the signer's own signature: %w", s.Kind(), ErrSignature)
	}
	return e, nil
}

// Encode returns the envelope as canonical JSON, in which the statement stands as an object
// in its own canonical bytes.
func (e *Envelope) Encode() ([]byte, error) {
	v, err := parse(e.Statement)
	if err != nil {
		return nil, err
	}
	return encode(nil, object(is("statement", v), is("algorithm", text(string(e.Algorithm))),
		is("key_id", text(e.KeyID)), is("signature", text(hex.EncodeToString(e.Signature))),
		is("fingerprint", hash(e.Fingerprint))))
}

// ParseEnvelope reads what Encode wrote and nothing else. It verifies no signature; errors
// wrap ErrNotCanonical.
func ParseEnvelope(b []byte) (*Envelope, error) {
	e, _, err := parseEnvelope(b)
	return e, err
}

// parseEnvelope returns the statement also as a value, so that it is parsed once. Its canonical
// bytes are made again, which gives what stood in the envelope, since that was canonical.
func parseEnvelope(b []byte) (*Envelope, value, error) {
	v, err := parse(b)
	if err != nil {
		return nil, value{}, err
	}
	d := &decoder{}
	r := d.object(v, "statement", "algorithm", "key_id", "signature", "fingerprint")
	e := &Envelope{Algorithm: Algorithm(r.text("algorithm")), KeyID: r.text("key_id"),
		Signature: r.bytes("signature", signatureSize), Fingerprint: r.hash("fingerprint")}
	statement := r.get("statement", kindObject)
	if d.err != nil {
		return nil, value{}, d.err
	}
	if e.Statement, err = encode(nil, statement); err != nil {
		return nil, value{}, err
	}
	return e, statement, nil
}
