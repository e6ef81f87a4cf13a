package keyring

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// The store's file, integers big-endian:
//
//	magic 8 | kind 1 | KCV of the master key 5 | salt 32 | generation 8 | entries 4
//	each entry: length 4 | metadata (JSON) | length 4 | nonce 12 ‖ AES-256-GCM(material)
//	HMAC-SHA256 32, over all before it
//
// The keys of GCM and HMAC come from the master key and the salt by HKDF-SHA256. The salt is
// new with each master key. The metadata is additional data of GCM.
const (
	magic      = "TSKEYS\x00\x01"
	saltSize   = 32
	nonceSize  = 12
	headerSize = len(magic) + 1 + kcvSize + saltSize + 8 + 4

	// entriesMax bounds a store: a key each for the terminals of a large city.
	entriesMax = 100_000
	// metaMax bounds the metadata of an entry, sealedMax its sealed material.
	metaMax   = 2048
	sealedMax = 256
)

// The kinds of stores.
const (
	kindSoftware = 's'
	kindToken    = 't'
)

// meta is what is stored of a key besides its material. Names of fields are part of the
// format.
type meta struct {
	Ref        Ref       `json:"ref"`
	Algorithm  Algorithm `json:"algorithm"`
	KCV        KCV       `json:"kcv"`
	State      State     `json:"state"`
	Origin     string    `json:"origin"`
	Exportable bool      `json:"exportable,omitzero"`
	// Usage and Mode are those of the TR-31 block that the key came in.
	Usage     string    `json:"usage,omitempty"`
	Mode      string    `json:"mode,omitempty"`
	Created   time.Time `json:"created"`
	Activated time.Time `json:"activated,omitzero"`
	Until     time.Time `json:"until,omitzero"`
	Retired   time.Time `json:"retired,omitzero"`
	Destroyed time.Time `json:"destroyed,omitzero"`
	Public    []byte    `json:"public,omitempty"`
}

// record is an entry in clear. On a token, and when destroyed, it has no material.
type record struct {
	meta *meta
	key  secret
}

// image is the content of a store's file in clear.
type image struct {
	kind       byte
	generation uint64
	records    []record
}

func (m *image) wipe() {
	for _, r := range m.records {
		r.key.wipe()
	}
}

// vault seals and opens images. It holds the derived keys, not the master key.
type vault struct {
	kind byte
	kcv  [kcvSize]byte
	salt [saltSize]byte
	aead cipher.AEAD
	mac  secret
}

// newVault derives the keys of a store from its master key.
func newVault(kind byte, master []byte, salt [saltSize]byte) (*vault, error) {
	v := &vault{kind: kind, salt: salt, kcv: rawMasterKCV(master)}
	seal, err := hkdf.Key(sha256.New, master, salt[:], "tapswitch keyring entries", 32)
	if err != nil {
		return nil, fmt.Errorf("cannot derive the key of the entries: %w", err)
	}
	defer clear(seal)
	mac, err := hkdf.Key(sha256.New, master, salt[:], "tapswitch keyring file", 32)
	if err != nil {
		return nil, fmt.Errorf("cannot derive the key of the file: %w", err)
	}
	v.mac = newSecret(mac)
	c, err := aes.NewCipher(seal)
	if err != nil {
		return nil, fmt.Errorf("cannot seal entries: %w", err)
	}
	v.aead, err = cipher.NewGCM(c)
	return v, err
}

// newSalt draws the salt of a new master key.
func newSalt(random io.Reader) (s [saltSize]byte, err error) {
	if _, err = io.ReadFull(random, s[:]); err != nil {
		err = fmt.Errorf("cannot draw a salt: %w", err)
	}
	return s, err
}

func (v *vault) wipe() {
	v.mac.wipe()
	v.aead = nil
}

func (v *vault) sum(data []byte) []byte {
	h := hmac.New(sha256.New, v.mac.open())
	_, _ = h.Write(data)
	return h.Sum(nil)
}

// seal returns the file of an image.
func (v *vault) seal(m *image, random io.Reader) ([]byte, error) {
	b := append(make([]byte, 0, headerSize+len(m.records)*512), magic...)
	b = append(b, v.kind)
	b = append(b, v.kcv[:]...)
	b = append(b, v.salt[:]...)
	b = binary.BigEndian.AppendUint64(b, m.generation)
	b = binary.BigEndian.AppendUint32(b, uint32(len(m.records)))
	for _, r := range m.records {
		text, err := json.Marshal(r.meta)
		if err != nil {
			return nil, fmt.Errorf("cannot write entry %v: %w", r.meta.Ref, err)
		}
		if len(text) > metaMax {
			return nil, fmt.Errorf("cannot write entry %v: %d bytes, limit %d", r.meta.Ref, len(text),
				metaMax)
		}
		sealed := make([]byte, nonceSize, nonceSize+len(r.key.open())+v.aead.Overhead())
		if _, err := io.ReadFull(random, sealed); err != nil {
			return nil, fmt.Errorf("cannot draw a nonce: %w", err)
		}
		sealed = v.aead.Seal(sealed, sealed[:nonceSize], r.key.open(), text)
		b = appendPart(appendPart(b, text), sealed)
	}
	return append(b, v.sum(b)...), nil
}

func appendPart(b, part []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
}

// verify checks the MAC over a file.
func (v *vault) verify(file []byte) error {
	end := len(file) - sha256.Size
	if !hmac.Equal(v.sum(file[:end]), file[end:]) {
		return fmt.Errorf("%w: the MAC over the file is wrong", ErrTampered)
	}
	return nil
}

// header is what can be read before there is a key.
type header struct {
	kind       byte
	kcv        [kcvSize]byte
	salt       [saltSize]byte
	generation uint64
	entries    uint32
}

// parseHeader checks the outside of a store's file. Nothing of it is trusted yet.
func parseHeader(file []byte) (header, error) {
	var h header
	if len(file) < headerSize+sha256.Size || !bytes.HasPrefix(file, []byte(magic)) {
		return h, fmt.Errorf("%w: %d bytes that are no key store of this version", ErrTampered,
			len(file))
	}
	b := file[len(magic):]
	h.kind = b[0]
	b = b[1+copy(h.kcv[:], b[1:]):]
	b = b[copy(h.salt[:], b):]
	h.generation = binary.BigEndian.Uint64(b)
	h.entries = binary.BigEndian.Uint32(b[8:])
	if h.entries > entriesMax {
		return h, fmt.Errorf("%w: %d entries, limit %d", ErrTampered, h.entries, entriesMax)
	}
	return h, nil
}

// openFile derives the keys from master and opens a file.
func openFile(kind byte, master, file []byte) (*vault, *image, error) {
	h, err := parseHeader(file)
	if err != nil {
		return nil, nil, err
	}
	if h.kind != kind {
		return nil, nil, fmt.Errorf("%w: it is of kind %q, want %q", ErrKind, h.kind, kind)
	}
	if given := rawMasterKCV(master); given != h.kcv {
		return nil, nil, fmt.Errorf("%w: the store's has KCV %X, the one given %X", ErrMaster, h.kcv,
			given)
	}
	v, err := newVault(kind, master, h.salt)
	if err != nil {
		return nil, nil, err
	}
	m, err := v.open(file, h)
	if err != nil {
		v.wipe()
		return nil, nil, err
	}
	return v, m, nil
}

// open checks and reads a file whose header is h.
func (v *vault) open(file []byte, h header) (*image, error) {
	if err := v.verify(file); err != nil {
		return nil, err
	}
	m := &image{kind: h.kind, generation: h.generation}
	rest := file[headerSize : len(file)-sha256.Size]
	for i := range h.entries {
		var r record
		var err error
		if r, rest, err = v.openEntry(rest); err != nil {
			m.wipe()
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		m.records = append(m.records, r)
	}
	if len(rest) > 0 {
		m.wipe()
		return nil, fmt.Errorf("%w: %d bytes after the last entry", ErrTampered, len(rest))
	}
	return m, nil
}

// openEntry reads the entry at the front of b and returns what follows it.
func (v *vault) openEntry(b []byte) (r record, rest []byte, err error) {
	text, b, ok := cutPart(b, metaMax)
	sealed, rest, ok2 := cutPart(b, sealedMax)
	if !ok || !ok2 || len(sealed) < nonceSize {
		return r, nil, fmt.Errorf("%w: it is cut short", ErrTampered)
	}
	key, err := v.aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], text)
	if err != nil {
		return r, nil, fmt.Errorf("%w: its seal is broken", ErrTampered)
	}
	r = record{&meta{}, newSecret(key)}
	if err := json.Unmarshal(text, r.meta); err != nil {
		r.key.wipe()
		return r, nil, fmt.Errorf("%w: its metadata cannot be read: %w", ErrTampered, err)
	}
	if err := r.check(v.kind); err != nil {
		r.key.wipe()
		return r, nil, err
	}
	return r, rest, nil
}

// check refuses an entry that this program would not have written.
func (r *record) check(kind byte) error {
	m := r.meta
	err := m.Ref.check()
	if err == nil {
		err = m.Ref.Purpose.fits(m.Algorithm)
	}
	want := m.Algorithm.Size()
	if kind == kindToken || m.State == Destroyed {
		want = 0
	}
	if err != nil || m.Ref.Version == 0 || m.State >= stateEnd || len(r.key.open()) != want {
		return fmt.Errorf("%w: an entry is no key of this program", ErrTampered)
	}
	return nil
}

// cutPart takes a part with its length off the front of b.
func cutPart(b []byte, longest int) (part, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint32(b))
	if n > longest || n > len(b)-4 {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}
