package vector

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/tlv"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// decoded is a message that was read, and what of it is compared.
type decoded struct {
	*message.Message
	entry *entry
	frame []byte // without its length
}

// comparison reports whether an expected value is that of the message.
type comparison func(d *decoded, raw json.RawMessage) bool

// comparisons are the expected values besides the fields; nobody changes it.
var comparisons = map[string]comparison{
	"length":           (*decoded).sameLength,
	"tpdu":             (*decoded).sameTPDU,
	"header":           (*decoded).sameHeader,
	"header_hex":       (*decoded).sameHeader,
	"mti":              (*decoded).sameMTI,
	"MTI":              (*decoded).sameMTI,
	"type":             (*decoded).sameMTI,
	"t":                (*decoded).sameMTI,
	"bitmap":           (*decoded).sameBitmap,
	"bitmaps":          (*decoded).sameBitmap,
	"p":                (*decoded).samePrimary,
	"primary_bitmap":   (*decoded).samePrimary,
	"secondary_bitmap": (*decoded).sameSecondary,
	"hex":              (*decoded).sameBytes,
	"encoded":          (*decoded).sameBytes,
	"repacked":         (*decoded).sameBytes,
	"mac_valid":        (*decoded).sameMACValid,
}

// compare reports the first expected value that is not the message's. The more fits before
// it, the deeper the fault.
func (e *entry) compare(m *message.Message, frame []byte) *fault {
	d := &decoded{m, e, frame}
	fit := 0
	for _, key := range slices.Sorted(maps.Keys(e.rest)) {
		same, ok := comparisons[key]
		if ok && !same(d, e.rest[key]) {
			return faultf(notEqual+fit, "read as %s, %.40q differs", m.Spec().Name(), key)
		}
		fit++
	}
	expected := map[int]bool{}
	for _, key := range slices.Sorted(maps.Keys(e.fields)) {
		n, _ := fieldNumber(key)
		if n > 1 && expected[n] {
			return faultf(notEqual, "field %d is expected twice", n)
		}
		expected[n] = true
		if what := d.differs(key, e.fields[key]); what != "" {
			return faultf(notEqual+fit, "read as %s, %s differs", m.Spec().Name(), what)
		}
		fit++
	}
	for _, n := range m.Numbers() {
		if len(e.fields) > 0 && !expected[n] {
			return faultf(notEqual+fit, "read as %s, field %d is there and not expected",
				m.Spec().Name(), n)
		}
	}
	if why := d.wrongMAC(); why != "" {
		return faultf(notEqual+fit, "read as %s, %s", m.Spec().Name(), why)
	}
	return nil
}

// differs compares what is expected under the key of a field and says what differs. Field 0
// is the type, 1 the second bitmap.
func (d *decoded) differs(key string, raw json.RawMessage) (what string) {
	n, isField := fieldNumber(key)
	switch {
	case !isField && !comparisons[key](d, raw), isField && n == 0 && !d.sameMTI(raw):
		return "the " + headName(key)
	case n == 1 && !d.sameSecondary(raw):
		return "the second bitmap"
	case n > 1 && !d.sameField(n, raw):
		return fmt.Sprintf("field %d", n)
	}
	return ""
}

func headName(key string) string {
	if key == "bitmap" || key == "p" {
		return "bitmap"
	}
	return "message type"
}

// sameHex compares hexadecimal of either case.
func sameHex(raw json.RawMessage, got []byte) bool {
	text, err := plain(raw)
	if err != nil {
		return false
	}
	want, err := hex.DecodeString(compact(text))
	return err == nil && len(got) > 0 && string(want) == string(got)
}

// sameLength compares the length in front, as a number or as it is written.
func (d *decoded) sameLength(raw json.RawMessage) bool {
	prefix := d.entry.frame[:len(d.entry.frame)-len(d.frame)]
	if len(prefix) == 0 {
		return false
	}
	value := 0
	if len(prefix) == 2 {
		value = int(prefix[0])<<8 | int(prefix[1])
	} else if n, err := strconv.Atoi(string(prefix)); err == nil {
		value = n
	}
	text, err := plain(raw)
	if err != nil {
		return false
	}
	if len(raw) > 0 && raw[0] != '"' {
		return text == strconv.Itoa(value)
	}
	return text == string(prefix) || strings.EqualFold(text, hex.EncodeToString(prefix)) ||
		len(prefix) == 2 && text == strconv.Itoa(value)
}

func (d *decoded) sameTPDU(raw json.RawMessage) bool {
	switch d.Spec().Envelope() {
	case message.TPDUOnly, message.TPDUHeader:
		return sameHex(raw, d.TPDU[:])
	}
	return false
}

// sameHeader compares the header as hex, or that of the interbank network part by part.
func (d *decoded) sameHeader(raw json.RawMessage) bool {
	switch d.Spec().Envelope() {
	case message.TPDUHeader:
		return sameHex(raw, d.Header[:])
	case message.CUPSHead:
		var parts map[string]json.RawMessage
		if json.Unmarshal(raw, &parts) != nil {
			return sameHex(raw, d.CUPS[:])
		}
		for name, value := range parts {
			if !d.sameHeaderPart(name, value) {
				return false
			}
		}
		return len(parts) > 0
	}
	return false
}

// sameHeaderPart compares a part of the header of the interbank network (DOMAIN.md 2.3).
func (d *decoded) sameHeaderPart(name string, raw json.RawMessage) bool {
	text, err := plain(raw)
	if err != nil {
		return false
	}
	h := d.CUPS[:]
	switch name {
	case "length", "header_length":
		return text == strconv.Itoa(int(h[0]))
	case "version", "flags":
		return sameHex(raw, h[1:2])
	case "total_len", "total_length":
		n, err := strconv.Atoi(string(h[2:6]))
		return text == string(h[2:6]) || err == nil && raw[0] != '"' && text == strconv.Itoa(n)
	case "dest", "destination":
		return text == string(h[6:17])
	case "source", "src":
		return text == string(h[17:28])
	case "reserved":
		return sameHex(raw, h[28:31])
	case "batch":
		return sameHex(raw, h[31:32])
	case "trans_info", "transaction_info":
		return text == string(h[32:40])
	case "user_info":
		return sameHex(raw, h[40:41])
	case "reject", "reject_code":
		return text == string(h[41:46])
	}
	return false
}

func (d *decoded) sameMTI(raw json.RawMessage) bool {
	text, err := plain(raw)
	return err == nil && text == d.MTI().String()
}

// bitmaps returns the bitmaps of the message, 8 or 16 bytes, made of its fields.
func (d *decoded) bitmaps() []byte {
	out := make([]byte, 8, 16)
	if d.hasSecond() {
		out = out[:16]
		out[0] = 0x80
	}
	for _, n := range d.Numbers() {
		out[(n-1)/8] |= 0x80 >> ((n - 1) % 8)
	}
	return out
}

// hasSecond reports whether the frame has a second bitmap, which may hold no field.
func (d *decoded) hasSecond() bool {
	empty := message.New(d.Spec(), d.MTI())
	empty.TPDU, empty.Header, empty.CUPS = d.TPDU, d.Header, d.CUPS
	out, err := empty.Append(nil)
	if err != nil {
		return false
	}
	at := d.Spec().Envelope().Size()
	// The type takes 2 bytes or 4, the bitmap 8 or 16.
	size := len(out) - at
	at += 2
	if size%8 == 4 {
		at += 2
	}
	if at >= len(d.frame) {
		return false
	}
	first := d.frame[at]
	if size >= 18 {
		return first >= '8'
	}
	return first&0x80 != 0
}

func (d *decoded) sameBitmap(raw json.RawMessage) bool {
	all := d.bitmaps()
	_, apart := d.entry.rest["secondary_bitmap"]
	_, first := d.entry.fields["1"]
	return sameHex(raw, all) || (apart || first) && sameHex(raw, all[:8])
}

func (d *decoded) samePrimary(raw json.RawMessage) bool { return sameHex(raw, d.bitmaps()[:8]) }

func (d *decoded) sameSecondary(raw json.RawMessage) bool { return sameHex(raw, d.bitmaps()[8:]) }

// sameBytes compares what the message packs to, which is what it was read from.
func (d *decoded) sameBytes(raw json.RawMessage) bool {
	return sameHex(raw, d.entry.frame) || sameHex(raw, d.frame)
}

// sameField compares the content of a field: digits and text as they are, bytes as hex or as
// the text that they are, chip data and private fields part by part.
func (d *decoded) sameField(n int, raw json.RawMessage) bool {
	info, ok := d.Spec().Field(n)
	if !ok || !d.Has(n) {
		return false
	}
	text, err := plain(raw)
	if err != nil {
		return d.sameParts(n, raw)
	}
	got, _ := d.Text(n)
	content, _ := d.Bytes(n)
	switch info.Type {
	case message.Digits, message.Signed:
		return text == got
	case message.Track:
		return strings.ReplaceAll(text, "D", "=") == strings.ReplaceAll(got, "D", "=")
	case message.Binary:
		return strings.EqualFold(compact(text), got) || text == string(content) ||
			text == textOf(content)
	}
	return text == got || text == string(content) || text != "" && sameHex(raw, content)
}

// textOf reads bytes as GB18030.
func textOf(content []byte) string {
	s, err := message.Named("cup_pos")
	if err != nil {
		return ""
	}
	const text = 56 // text of any length in GB18030
	m := message.New(s, message.NetworkResponse)
	if m.SetBytes(text, content) != nil {
		return ""
	}
	got, _ := m.Text(text)
	if strings.ContainsRune(got, '\uFFFD') {
		return ""
	}
	return got
}

// sameParts compares a field that is given as an object: BER-TLV by tag, or the sub-fields of
// a private field by number.
func (d *decoded) sameParts(n int, raw json.RawMessage) bool {
	var want map[string]json.RawMessage
	if json.Unmarshal(raw, &want) != nil || len(want) == 0 {
		return false
	}
	digits, _ := d.Digits(n)
	if parts := partsOf(n, digits, d.Spec().Dialect()); parts != nil {
		return samePrivate(n, parts, want)
	}
	content, _ := d.Bytes(n)
	elements, err := tlv.Parse(nil, content)
	if err != nil || len(elements) != len(want) {
		return false
	}
	for _, element := range elements {
		value, ok := want[element.Tag.String()]
		text, err := plain(value)
		if !ok || err != nil || text != string(element.Value) && !sameHex(value, element.Value) {
			return false
		}
	}
	return true
}

// partsOf takes a private field of digits apart; nil is one without parts.
func partsOf(n int, digits string, dialect message.Dialect) []string {
	switch {
	case n == 60 && dialect == message.POS:
		if p, err := message.ParsePrivate(digits); err == nil {
			return []string{p.Type, p.Batch, p.Network, p.ReadCapability, p.ICCondition, p.Partial,
				p.AccountType}
		}
	case n == 61 && dialect == message.POS:
		if o, err := message.ParseOriginal(digits); err == nil {
			return []string{o.Batch, o.STAN, o.Date, o.AuthMode, o.Institution}
		}
	case n == 90:
		if o, err := message.ParseOriginalElements(digits); err == nil {
			return []string{o.MTI, o.STAN, o.Sent, o.Acquirer, o.Forwarder}
		}
	}
	return nil
}

// samePrivate compares sub-fields named 60.1 or 1; all that are there have to be expected.
func samePrivate(n int, parts []string, want map[string]json.RawMessage) bool {
	there := 0
	for _, part := range parts {
		if part != "" {
			there++
		}
	}
	for name, value := range want {
		i, err := strconv.Atoi(strings.TrimPrefix(name, fmt.Sprintf("%d.", n)))
		text, bad := plain(value)
		if err != nil || bad != nil || i < 1 || i > len(parts) || parts[i-1] == "" ||
			text != parts[i-1] {
			return false
		}
	}
	return there == len(want)
}

// schemes are the MACs that a vector may name.
var schemes = map[string]mac.Scheme{
	"x9.9": mac.X99, "x99": mac.X99, "x9.19": mac.X919, "x919": mac.X919,
	"cup-des": mac.CUPDES, "cup-tdes": mac.CUPTDES, "cup-sm4": mac.CUPSM4,
}

// verifies reports whether the message's MAC holds under the vector's key. asked is false
// when there is no key.
func (d *decoded) verifies() (valid, asked bool) {
	text, ok := d.entry.input("mak", "MAK", "mac_key")
	if !ok {
		return false, false
	}
	key, err := hex.DecodeString(compact(text))
	if err != nil {
		return false, true
	}
	scheme := mac.Scheme{Algorithm: mac.CUPECB, Cipher: block.TDES}
	if len(key) == 8 {
		scheme.Cipher = block.DES
	}
	if name, ok := d.entry.input("mac_scheme", "scheme", "mac_algorithm"); ok {
		if scheme, ok = schemes[strings.ToLower(name)]; !ok {
			return false, true
		}
	}
	m, err := mac.New(scheme, key)
	if err != nil {
		return false, true
	}
	return message.Verify(d.Spec(), d.frame, m) == nil, true
}

// wrongMAC says what is wrong with the MAC of a message whose key is given.
func (d *decoded) wrongMAC() string {
	if _, said := d.entry.rest["mac_valid"]; said {
		return ""
	}
	if valid, asked := d.verifies(); asked && !valid {
		return "the MAC does not hold under the key"
	}
	return ""
}

// sameMACValid compares whether the MAC holds.
func (d *decoded) sameMACValid(raw json.RawMessage) bool {
	var want bool
	valid, asked := d.verifies()
	return json.Unmarshal(raw, &want) == nil && asked && valid == want
}
