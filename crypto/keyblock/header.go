package keyblock

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Usage is the two characters that say what a key is for (ANSI X9.143 table 2).
type Usage string

// The usages that this system has keys for; a block may have any other.
const (
	UsageBDK        Usage = "B0" // DUKPT base derivation key
	UsageInitialKey Usage = "B1" // DUKPT initial key
	UsageCVK        Usage = "C0" // card verification
	UsageData       Usage = "D0" // data encryption
	UsageKEK        Usage = "K0" // key encryption or wrapping
	UsageKBPK       Usage = "K1" // key block protection
	UsageMAC3       Usage = "M3" // ISO 9797-1 algorithm 3
	UsageCMAC       Usage = "M6" // ISO 9797-1 algorithm 5
	UsagePIN        Usage = "P0" // PIN encryption
	UsageIBM3624    Usage = "V1" // PIN verification, IBM 3624
	UsagePVV        Usage = "V2" // PIN verification, Visa PVV
)

// Header is what a block says about its key; it is in clear and covered by the MAC.
type Header struct {
	Version Version
	Usage   Usage
	// Algorithm is what the key is of: 'A' AES, 'T' TDES, 'D' DES, 'H' HMAC, 'R' RSA, 'E' EC.
	Algorithm byte
	// Mode is what may be done with it: 'E' encrypt, 'D' decrypt, 'B' both, 'C' make and
	// verify, 'G' make, 'V' verify, 'S' sign, 'X' derive, 'N' anything.
	Mode byte
	// KeyVersion is two characters, "00" for none.
	KeyVersion string
	// Export is 'E' under a trusted key, 'N' not, 'S' under a key of less trust.
	Export byte
	// Context is '0' both, '1' storage, '2' exchange; 0 is taken for '0'.
	Context byte
	// Optional are the optional blocks in order, without the padding block PB.
	Optional []Optional
	// Count is the number of optional blocks that the header states, PB counted. Wrap
	// computes it.
	Count int
}

// Optional is an optional block: two characters of name and printable ASCII data.
type Optional struct {
	ID, Data string
}

// Find returns the data of the optional block id, false if there is none.
func (h Header) Find(id string) (string, bool) {
	for _, o := range h.Optional {
		if o.ID == id {
			return o.Data, true
		}
	}
	return "", false
}

const (
	headLen     = 16   // the fixed part of a header
	textMax     = 9999 // four decimal digits of length
	optionalMax = 99   // two decimal digits of count
	padID       = "PB"
)

// parsed is a block whose form is right and whose MAC nobody has looked at.
type parsed struct {
	header    Header
	head      string
	data, tag []byte
}

// ParseHeader reads the header of a whole block and checks the form of all of it, without
// any key. What it returns may be forged: it is for choosing the protection key and for
// showing to people; believe only what Unwrap returns.
func ParseHeader(text string) (Header, error) {
	p, err := parse(text)
	return p.header, err
}

func parse(text string) (parsed, error) {
	if len(text) == 0 {
		return parsed{}, fmt.Errorf("%w: it is empty", ErrHeader)
	}
	f, err := formOf(Version(text[0]))
	if err != nil {
		return parsed{}, err
	}
	if len(text) < headLen || len(text) > textMax {
		return parsed{}, fmt.Errorf("%w: %d characters, want %d to %d", ErrHeader, len(text), headLen,
			textMax)
	}
	if n, ok := decimal(text[1:5]); !ok || n != len(text) {
		return parsed{}, fmt.Errorf("%w: it has %d characters and its length field says otherwise",
			ErrHeader, len(text))
	}
	p := parsed{header: fixedHeader(text)}
	if err := p.header.check(text[15]); err != nil {
		return parsed{}, err
	}
	count, ok := decimal(text[12:14])
	if !ok {
		return parsed{}, fmt.Errorf("%w: the number of optional blocks is not decimal", ErrHeader)
	}
	p.header.Count = count
	rest := text[headLen:]
	if p.header.Optional, rest, err = parseOptional(rest, count, f); err != nil {
		return parsed{}, err
	}
	p.head = text[:len(text)-len(rest)]
	return p, p.parseBody(rest, f)
}

// fixedHeader reads the 16 characters without looking at them.
func fixedHeader(text string) Header {
	return Header{
		Version: Version(text[0]), Usage: Usage(text[5:7]), Algorithm: text[7], Mode: text[8],
		KeyVersion: text[9:11], Export: text[11], Context: text[14],
	}
}

// check looks at the characters of the fixed header; reserved is the last.
func (h Header) check(reserved byte) error {
	switch {
	case len(h.Usage) != 2 || !alnum(string(h.Usage)):
		return fmt.Errorf("%w: key usage is not two letters or digits", ErrHeader)
	case !alnum(string([]byte{h.Algorithm})):
		return fmt.Errorf("%w: algorithm is not a letter or digit", ErrHeader)
	case !alnum(string([]byte{h.Mode})):
		return fmt.Errorf("%w: mode of use is not a letter or digit", ErrHeader)
	case len(h.KeyVersion) != 2 || !keyVersion(h.KeyVersion):
		return fmt.Errorf("%w: key version is not two letters or digits", ErrHeader)
	case h.Export != 'E' && h.Export != 'N' && h.Export != 'S':
		return fmt.Errorf("%w: exportability is not E, N or S", ErrHeader)
	case h.Context < '0' || h.Context > '2' || reserved != '0':
		return fmt.Errorf("%w: reserved characters are not 00, 10 or 20", ErrHeader)
	}
	return nil
}

// parseBody reads the hex of key data and MAC that follow the header.
func (p *parsed) parseBody(rest string, f form) error {
	dataLen := len(rest)/2 - f.macSize
	if len(rest)%2 != 0 || dataLen < max(f.dataUnit, 3) || dataLen%f.dataUnit != 0 {
		return fmt.Errorf("%w: %d characters of key data and MAC do not fit version %c", ErrHeader,
			len(rest), p.header.Version)
	}
	if strings.ToUpper(rest) != rest {
		return fmt.Errorf("%w: key data or MAC has lower-case letters", ErrHeader)
	}
	body, err := hex.DecodeString(rest)
	if err != nil {
		// The error of hex shows a character of the block.
		return fmt.Errorf("%w: key data or MAC is not hex", ErrHeader)
	}
	p.data, p.tag = body[:dataLen:dataLen], body[dataLen:]
	return nil
}

// parseOptional reads count optional blocks and returns what follows them.
func parseOptional(rest string, count int, f form) ([]Optional, string, error) {
	var out []Optional
	all := len(rest)
	seen := make(map[string]bool, count)
	for i := range count {
		id, data, n, err := parseOne(rest)
		if err != nil {
			return nil, "", fmt.Errorf("%w: optional block %d of %d %w", ErrHeader, i+1, count, err)
		}
		if seen[id] {
			return nil, "", fmt.Errorf("%w: optional block %d repeats another", ErrHeader, i+1)
		}
		if id == padID && i != count-1 {
			return nil, "", fmt.Errorf("%w: padding block is not the last", ErrHeader)
		}
		seen[id] = true
		rest = rest[n:]
		if id != padID {
			out = append(out, Optional{id, data})
		}
	}
	// ISO 20038 samples of E need no alignment; the rest do (ANSI X9.143 6.3.6).
	if f.use != UseCTR && (all-len(rest))%f.headUnit != 0 {
		return nil, "", fmt.Errorf("%w: optional blocks have %d characters, no multiple of %d", ErrHeader,
			all-len(rest), f.headUnit)
	}
	return out, rest, nil
}

// malformed says what is wrong with an optional block.
type malformed string

func (m malformed) Error() string { return string(m) }

// parseOne reads the optional block at the front of s and returns its whole length too.
func parseOne(s string) (id, data string, n int, err error) {
	if len(s) < 4 || !alnum(s[:2]) {
		return "", "", 0, malformed("has no name")
	}
	head := 4
	n, ok := hexNumber(s[2:4])
	if ok && n == 0 {
		n, head, ok = extended(s)
	}
	if !ok || n < head || n > len(s) {
		return "", "", 0, malformed("has a wrong length")
	}
	for i := head; i < n; i++ {
		if s[i] < ' ' || s[i] > '~' {
			return "", "", 0, malformed("has a character that is not printable")
		}
	}
	return s[:2], s[head:n], n, nil
}

// extended reads an extended length: 00, the length of the length, the length, and returns
// the end of that too. X9.143 counts the length of the length in bytes, of two characters
// each; its own sample 8.6 has 04 before four characters. Four bytes cannot be meant, since
// no block is so long, unless they begin with zeros, which four characters cannot do.
func extended(s string) (n, head int, ok bool) {
	if len(s) < 6 {
		return 0, 0, false
	}
	digits, ok := hexNumber(s[4:6])
	if !ok || digits < 1 || digits > 4 {
		return 0, 0, false
	}
	chars := 2 * digits
	if digits == 4 && len(s) >= 10 && s[6:10] != "0000" {
		chars = 4
	}
	head = 6 + chars
	if len(s) < head {
		return 0, 0, false
	}
	n, ok = hexNumber(s[6:head])
	return n, head, ok
}

// text writes the header for a block with rest characters of key data and MAC.
func (h Header) text(f form, rest int) (string, error) {
	if h.Context == 0 {
		h.Context = '0'
	}
	if err := h.check('0'); err != nil {
		return "", err
	}
	var opt strings.Builder
	count := len(h.Optional)
	for _, o := range h.Optional {
		if len(o.ID) != 2 || o.ID == padID {
			return "", fmt.Errorf("%w: optional block has a name of %d characters or is %s", ErrHeader,
				len(o.ID), padID)
		}
		if len(o.Data) > textMax {
			return "", fmt.Errorf("%w: optional block of %d characters", ErrHeader, len(o.Data))
		}
		opt.WriteString(o.text())
	}
	if over := opt.Len() % f.headUnit; over != 0 {
		count++
		opt.WriteString(padding(f.headUnit, f.headUnit-over))
	}
	total := headLen + opt.Len() + rest
	if total > textMax || count > optionalMax {
		return "", fmt.Errorf("%w: %d characters with %d optional blocks, at most %d and %d", ErrHeader,
			total, count, textMax, optionalMax)
	}
	if _, _, err := parseOptional(opt.String(), count, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%c%04d%s%c%c%s%c%02d%c0", h.Version, total, h.Usage, h.Algorithm, h.Mode,
		h.KeyVersion, h.Export, count, h.Context) + opt.String(), nil
}

func (o Optional) text() string {
	if n := 4 + len(o.Data); n <= 255 {
		return fmt.Sprintf("%s%02X%s", o.ID, n, o.Data)
	}
	return fmt.Sprintf("%s0002%04X%s", o.ID, 10+len(o.Data), o.Data)
}

// padding is a padding block of n characters, or of unit more if it cannot be so short.
func padding(unit, n int) string {
	if n < 4 {
		n += unit
	}
	return fmt.Sprintf("%s%02X%s", padID, n, strings.Repeat("0", n-4))
}

// decimal reads digits only: no sign, no space.
func decimal(s string) (int, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// hexNumber reads up to eight upper-case hex digits.
func hexNumber(s string) (int, bool) {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'A' || s[i] > 'F') {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 16, 64)
	return int(n), err == nil
}

// alnum reports whether s is upper-case letters and digits.
func alnum(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'A' || s[i] > 'Z') {
			return false
		}
	}
	return true
}

// keyVersion also allows the lower-case c of a key component.
func keyVersion(s string) bool { return alnum(strings.Replace(s, "c", "C", 1)) && s[1] != 'c' }
