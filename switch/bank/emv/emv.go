// Package emv holds what chip terminals download before they take cards: the public keys of
// the card schemes and the applications with their parameters, from two YAML files. A set is
// read once and does not change; it is safe for concurrent use.
//
// Terminals ask as UnionPay's have it: for a list, page by page (field 60.3 372 keys, 382
// applications), then for each item by its name (370, 380). Requests and answers stand in
// field 62, and an answer begins with a digit: 0 nothing, 1 this is the end, 2 there is more.
// A request for a page says "1" and in two digits how many entries came before; one for an
// item has the tags that the list gave.
//
// The package signs nothing and checks no certificate: a key file is as good as its source.
// It refuses keys whose check value is wrong and files beyond their limits.
package emv

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/tapswitch/tapswitch/crypto/tlv"
)

// The limits: what two digits can count, and what field 62 can hold.
const (
	// ItemsMax is how many keys or applications a file has.
	ItemsMax = 99
	// AnswerMax is the longest field 62 in bytes, PageMax how many entries a list's page has.
	AnswerMax = 999
	PageMax   = 48
	fileMax   = 1 << 20
	// modulusMax is the longest modulus of EMV book 2 in bytes.
	modulusMax = 248
)

// ErrFile is what every refusal of a file is; the error names the entry.
var ErrFile = errors.New("file of a chip terminal's parameters")

// The tags by which terminals name items, and what an item says (EMV book 3 and UnionPay's
// own DFxx).
const (
	tagAID      tlv.Tag = 0x9F06
	tagIndex    tlv.Tag = 0x9F22
	tagExpires  tlv.Tag = 0xDF05
	tagHash     tlv.Tag = 0xDF06
	tagCipher   tlv.Tag = 0xDF07
	tagModulus  tlv.Tag = 0xDF02
	tagExponent tlv.Tag = 0xDF04
	tagCheck    tlv.Tag = 0xDF03
)

// Set is what one file has to download.
type Set struct{ items []item }

// item is one entry: its name (what terminals ask with), its entry in the list, and all of it.
type item struct{ name, entry, full []byte }

// keyText is a public key of a scheme as in its file.
type keyText struct {
	RID       string `yaml:"rid"`
	Index     string `yaml:"index"`
	Expires   string `yaml:"expires"` // YYYYMMDD
	Hash      string `yaml:"hash"`
	Algorithm string `yaml:"algorithm"`
	Modulus   string `yaml:"modulus"`
	Exponent  string `yaml:"exponent"`
	// Checksum is SHA-1 over RID, index, modulus and exponent.
	Checksum string `yaml:"checksum"`
}

// appText is an application as in its file: tag to value, both in hex.
type appText struct {
	AID        string            `yaml:"aid"`
	Parameters map[string]string `yaml:"parameters"`
}

// LoadKeys reads a file of public keys.
func LoadKeys(path string) (*Set, error) {
	var all []keyText
	return load(path, &all, func(i int) (item, error) { return all[i].item() })
}

// LoadApplications reads a file of applications.
func LoadApplications(path string) (*Set, error) {
	var all []appText
	return load(path, &all, func(i int) (item, error) { return all[i].item() })
}

func load[T any](path string, all *[]T, make func(int) (item, error)) (*Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err == nil && len(text) > fileMax {
		err = fmt.Errorf("more than %d bytes", fileMax)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrFile, path, err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(all); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %s: %w", ErrFile, path, err)
	}
	if len(*all) > ItemsMax {
		return nil, fmt.Errorf("%w: %s: %d entries, allowed are %d", ErrFile, path, len(*all), ItemsMax)
	}
	s := &Set{}
	for i := range *all {
		it, err := make(i)
		switch {
		case err != nil:
		case 1+len(it.full) > AnswerMax:
			err = fmt.Errorf("%d bytes, field 62 has room for %d", len(it.full), AnswerMax-1)
		case s.find(it.name) >= 0:
			err = errors.New("stands twice")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: entry %d: %w", ErrFile, path, i+1, err)
		}
		s.items = append(s.items, it)
	}
	return s, nil
}

// builder appends elements and keeps the first error.
type builder struct {
	out []byte
	err error
}

func (b *builder) put(t tlv.Tag, value []byte) {
	if b.err == nil {
		b.out, b.err = tlv.Append(b.out, t, value)
	}
}

// octets reads hex of a number of bytes from low to high.
func octets(what, text string, low, high int) ([]byte, error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) < low || len(raw) > high {
		return nil, fmt.Errorf("%s %q: want %d to %d bytes in hex", what, text, low, high)
	}
	return raw, nil
}

func (k *keyText) item() (it item, err error) {
	var parts [8][]byte
	for i, p := range []struct {
		what, text string
		low, high  int
	}{
		{"rid", k.RID, 5, 5}, {"index", k.Index, 1, 1}, {"expires", k.Expires, 4, 4},
		{"hash", k.Hash, 1, 1}, {"algorithm", k.Algorithm, 1, 1},
		{"modulus", k.Modulus, 64, modulusMax}, {"exponent", k.Exponent, 1, 3},
		{"checksum", k.Checksum, sha1.Size, sha1.Size},
	} {
		if parts[i], err = octets(p.what, p.text, p.low, p.high); err != nil {
			return it, err
		}
	}
	rid, index, modulus, exponent := parts[0], parts[1], parts[5], parts[6]
	sum := sha1.Sum(slices.Concat(rid, index, modulus, exponent))
	if !bytes.Equal(sum[:], parts[7]) {
		return it, fmt.Errorf("checksum of key %s %s: have %x, computed %x", k.RID, k.Index, parts[7], sum)
	}
	var b builder
	b.put(tagAID, rid)
	b.put(tagIndex, index)
	it.name = slices.Clone(b.out)
	b.put(tagExpires, parts[2])
	it.entry = slices.Clone(b.out)
	b.put(tagHash, parts[3])
	b.put(tagCipher, parts[4])
	b.put(tagModulus, modulus)
	b.put(tagExponent, exponent)
	b.put(tagCheck, parts[7])
	it.full = b.out
	return it, b.err
}

func (a *appText) item() (it item, err error) {
	aid, err := octets("aid", a.AID, 5, 16)
	if err != nil {
		return it, err
	}
	var b builder
	b.put(tagAID, aid)
	it.name, it.entry = slices.Clone(b.out), slices.Clone(b.out)
	tags := make([]string, 0, len(a.Parameters))
	for tag := range a.Parameters {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	for _, text := range tags {
		raw, err := octets("tag", text, 1, 2)
		if err != nil {
			return it, err
		}
		tag := tlv.Tag(raw[0])
		if len(raw) == 2 {
			tag = tag<<8 | tlv.Tag(raw[1])
		}
		if tag == tagAID || !tag.Valid() {
			return it, fmt.Errorf("tag %s cannot be a parameter", text)
		}
		value, err := octets("parameter "+text, a.Parameters[text], 1, 255)
		if err != nil {
			return it, err
		}
		b.put(tag, value)
	}
	it.full = b.out
	return it, b.err
}

// The first byte of an answer.
const (
	nothing = '0'
	last    = '1'
	more    = '2'
)

// List answers a request for a page: the entries behind those that the terminal has. ok is
// false for a request that is none.
func (s *Set) List(request []byte) (field62 []byte, ok bool) {
	have := 0
	switch {
	case len(request) == 0:
	case len(request) < 3 || request[1] < '0' || request[1] > '9' || request[2] < '0' || request[2] > '9':
		return nil, false
	default:
		have = int(request[1]-'0')*10 + int(request[2]-'0')
	}
	rest := s.items[min(have, len(s.items)):]
	out := []byte{nothing}
	for i := range rest {
		out[0] = last
		if i == PageMax || len(out)+len(rest[i].entry) > AnswerMax {
			out[0] = more
			break
		}
		out = append(out, rest[i].entry...)
	}
	return out, true
}

// Item answers a request for one entry. ok is false for a request that is none.
func (s *Set) Item(request []byte) (field62 []byte, ok bool) {
	elements, err := tlv.Parse(nil, request)
	aid, has := tlv.Find(elements, tagAID)
	if err != nil || !has {
		return nil, false
	}
	var b builder
	b.put(tagAID, aid)
	if index, has := tlv.Find(elements, tagIndex); has {
		b.put(tagIndex, index)
	}
	if b.err != nil {
		return nil, false
	}
	i := s.find(b.out)
	if i < 0 {
		return []byte{nothing}, true
	}
	return append([]byte{last}, s.items[i].full...), true
}

func (s *Set) find(name []byte) int {
	return slices.IndexFunc(s.items, func(it item) bool { return bytes.Equal(it.name, name) })
}

// Len returns how many entries there are.
func (s *Set) Len() int { return len(s.items) }
