package purse

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// Truncation says how a MAC's last block becomes four bytes.
type Truncation uint8

// The truncations. PBOC with 3DES keeps the left four bytes; for SM4 sources disagree.
const (
	TruncLeft4    Truncation = iota // the leftmost four bytes
	TruncXorFold4                   // the XOR of all words of four bytes
	truncationEnd
)

// String returns "left4" or "xorfold4".
func (t Truncation) String() string {
	if t >= truncationEnd {
		return "unknown"
	}
	return [truncationEnd]string{"left4", "xorfold4"}[t]
}

// TACKey says how the key of the TAC comes from the card's TAC key.
type TACKey uint8

// The ways. 3DES schemes fold or are given the folded key, SM4 schemes take the whole.
const (
	TACFold   TACKey = iota // the XOR of the two halves of 8 bytes
	TACWhole                // the whole key of 16 bytes
	TACFolded               // the key was folded when it was loaded: 8 bytes, no levels
	tacKeyEnd
)

// String returns "fold", "whole" or "folded".
func (k TACKey) String() string {
	if k >= tacKeyEnd {
		return "unknown"
	}
	return [tacKeyEnd]string{"fold", "whole", "folded"}[k]
}

// Source says where a factor comes from.
type Source uint8

// The sources.
const (
	SourceFixed  Source = iota // bytes of the scheme
	SourceIssuer               // the issuer id, 8 bytes
	SourceRegion               // the region code, 4 bytes
	SourceSerial               // the application serial, 10 bytes
	sourceEnd
)

// sources has the name and the length of each source.
var sources = [sourceEnd]struct {
	name string
	size int
}{{"fixed", 8}, {"issuer", 8}, {"region", 4}, {"serial", 10}}

// Factor is one level of diversification: Length bytes of a source from Offset on,
// repeated to fill eight bytes (a region code stands twice).
type Factor struct {
	Source         Source
	Offset, Length int     // Length is 1, 2, 4 or 8; both 0 for fixed bytes
	Fixed          [8]byte // for SourceFixed
}

// FixedFactor is the factor of eight bytes that are the same for all cards.
func FixedFactor(b [8]byte) Factor { return Factor{Source: SourceFixed, Fixed: b} }

// IssuerFactor is the issuer id.
func IssuerFactor() Factor { return Factor{Source: SourceIssuer, Length: 8} }

// RegionFactor is the region code twice.
func RegionFactor() Factor { return Factor{Source: SourceRegion, Length: 4} }

// SerialFactor is the rightmost 16 digits of the application serial.
func SerialFactor() Factor { return Factor{Source: SourceSerial, Offset: 2, Length: 8} }

// ParseFactor reads "issuer", "region", "serial" (its rightmost 16 digits), a part of a
// source as in "issuer[2:4]", and "fixed:" with 16 hex digits.
func ParseFactor(s string) (Factor, error) {
	name, part, sliced := strings.Cut(s, "[")
	switch {
	case s == "issuer":
		return IssuerFactor(), nil
	case s == "region":
		return RegionFactor(), nil
	case s == "serial":
		return SerialFactor(), nil
	case !sliced:
		f := Factor{Source: SourceFixed}
		digits, fixed := strings.CutPrefix(s, "fixed:")
		b, err := hex.DecodeString(digits)
		if !fixed || err != nil || len(b) != 8 {
			return f, fmt.Errorf("%w: factor %.40q is not issuer, region, serial or "+
				"fixed: with 16 hex digits", ErrScheme, s)
		}
		copy(f.Fixed[:], b)
		return f, nil
	}
	return parsePart(name, part)
}

// parsePart reads the part of a source, from after the bracket on.
func parsePart(name, part string) (Factor, error) {
	f := Factor{Source: SourceIssuer}
	for f.Source < sourceEnd && sources[f.Source].name != name {
		f.Source++
	}
	bounds, closed := strings.CutSuffix(part, "]")
	low, high, colon := strings.Cut(bounds, ":")
	from, err1 := strconv.ParseUint(low, 10, 8)
	to, err2 := strconv.ParseUint(high, 10, 8)
	if !closed || !colon || err1 != nil || err2 != nil {
		return f, fmt.Errorf("%w: factor part is not [from:to]", ErrScheme)
	}
	f.Offset, f.Length = int(from), int(to)-int(from)
	return f, f.check()
}

// String returns the factor as ParseFactor reads it.
func (f Factor) String() string {
	switch {
	case f.Source == SourceFixed:
		return "fixed:" + hex.EncodeToString(f.Fixed[:])
	case f == IssuerFactor(), f == RegionFactor(), f == SerialFactor():
		return sources[f.Source].name
	case f.Source >= sourceEnd:
		return "unknown"
	default:
		return fmt.Sprintf("%s[%d:%d]", sources[f.Source].name, f.Offset, f.Offset+f.Length)
	}
}

func (f *Factor) check() error {
	if f.Source >= sourceEnd {
		return fmt.Errorf("%w: unknown source of a factor", ErrScheme)
	}
	if f.Source == SourceFixed {
		return nil
	}
	size := sources[f.Source].size
	if f.Length < 1 || f.Length > 8 || 8%f.Length != 0 || f.Offset < 0 ||
		f.Offset > size-f.Length {
		return fmt.Errorf("%w: %d bytes from %d of %s do not fill a factor", ErrScheme,
			f.Length, f.Offset, sources[f.Source].name)
	}
	return nil
}

// of returns the factor of a card as a number. f has been checked.
func (f *Factor) of(c *Card) uint64 {
	var from []byte
	switch f.Source {
	case SourceIssuer:
		from = c.Issuer[:]
	case SourceRegion:
		from = c.Region[:]
	case SourceSerial:
		from = c.Serial[:]
	default:
		return binary.BigEndian.Uint64(f.Fixed[:])
	}
	from = from[f.Offset : f.Offset+f.Length]
	switch f.Length {
	case 8:
		return binary.BigEndian.Uint64(from)
	case 4:
		return uint64(binary.BigEndian.Uint32(from)) * 0x1_00000001
	case 2:
		return uint64(binary.BigEndian.Uint16(from)) * 0x1_0001_0001_0001
	default:
		return uint64(from[0]) * 0x0101010101010101
	}
}

// LevelsMax is the most levels of diversification: nation, region, issuer, card.
const LevelsMax = 4

// Scheme says how the cards of an issuer compute. It is not changed once it is in use.
type Scheme struct {
	// Cipher is block.TDES (two-key 3DES, and DES for the MACs) or block.SM4.
	Cipher block.Algorithm
	// Levels are the factors from the master key to the card's key, in order. None
	// means that the keys given are those of the card.
	Levels []Factor
	// Truncation is how a MAC becomes four bytes.
	Truncation Truncation
	// TACKey is how the TAC key is made.
	TACKey TACKey
	// Templates has the data of MACs that differ from the standard's.
	Templates Templates
}

// TDES returns the scheme of PBOC 2.0 and JT/T 978 with 3DES.
func TDES(levels ...Factor) Scheme { return Scheme{Cipher: block.TDES, Levels: levels} }

// SM4 returns the scheme of JT/T 978 with SM4. Which truncation a city uses has to be asked.
func SM4(t Truncation, levels ...Factor) Scheme {
	return Scheme{Cipher: block.SM4, Levels: levels, Truncation: t, TACKey: TACWhole}
}

// CJT166 returns the scheme of CJ/T 166 with security authentication: PBOC 2.0 with the
// card's authentication code after the data of the purchase's MAC1.
func CJT166(levels ...Factor) Scheme {
	s := TDES(levels...)
	s.Templates[PurchaseMAC1] = append(Standard(PurchaseMAC1), FieldAuthCode)
	return s
}

// Check reports whether the scheme can be used.
func (s *Scheme) Check() error {
	if s.Cipher != block.TDES && s.Cipher != block.SM4 {
		return fmt.Errorf("%w: cipher %v, want tdes or sm4", ErrScheme, s.Cipher)
	}
	if s.Truncation >= truncationEnd || s.TACKey >= tacKeyEnd {
		return fmt.Errorf("%w: truncation %v, TAC key %v", ErrScheme, s.Truncation, s.TACKey)
	}
	if (s.Cipher == block.SM4) != (s.TACKey == TACWhole) {
		return fmt.Errorf("%w: TAC key %v does not go with %v", ErrScheme, s.TACKey, s.Cipher)
	}
	if len(s.Levels) > LevelsMax || s.TACKey == TACFolded && len(s.Levels) > 0 {
		return fmt.Errorf("%w: %d levels with TAC key %v", ErrScheme, len(s.Levels), s.TACKey)
	}
	for i := range s.Levels {
		if err := s.Levels[i].check(); err != nil {
			return err
		}
	}
	for _, t := range s.Templates {
		if err := t.check(); err != nil {
			return err
		}
	}
	return nil
}

// Template returns the template of a message in this scheme.
func (s *Scheme) Template(m Message) Template {
	if m >= messageEnd {
		return nil
	}
	if t := s.Templates[m]; len(t) > 0 {
		return t
	}
	return standard[m]
}

// keySize returns the length of the keys that the scheme is given.
func (s *Scheme) keySize() int {
	if s.TACKey == TACFolded {
		return 8
	}
	return 16
}
