package keyring

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// Purpose says what a key is for, and thereby what can be done with it. Numbers are not
// stored; names are, and never change.
type Purpose uint8

// The purposes. Those of the purse hold master keys, from which card keys are derived
// (JT/T 978, PBOC 2.0): MLK, MPK, MTK and their like.
const (
	PurposeNone    Purpose = iota
	PurseLoad              // DLK: MAC1 and MAC2 of a load
	PursePurchase          // DPK: MAC1 and MAC2 of a purchase, compound ones too
	PurseTAC               // DTK: TAC of every transaction
	PurseUnload            // DULK: MAC1 to MAC3 of an unload
	PurseOverdraft         // DUK: MAC1 and MAC2 of a new overdraft limit
	MessageMAC             // MACs of messages between hosts
	TerminalMAC            // MAK of a terminal
	PIN                    // PIN key: zone (ZPK, PIK) or terminal (TPK)
	Data                   // enciphers data: TDK, track data
	KeyExchange            // ZMK, TMK, KEK: wraps other keys
	DUKPT                  // base derivation key
	CVK                    // card verification values
	PVK                    // Visa's PIN verification values
	PINOffset              // IBM 3624 natural PINs and offsets
	CardToken              // tokens that stand for card numbers
	Receipt                // signs receipts and day certificates
	purposeEnd
)

// Algorithm says what a key is a key of. Numbers are not stored; names are.
type Algorithm uint8

// The algorithms. A two-key 3DES key has 16 bytes, a three-key one 24.
const (
	AlgorithmNone Algorithm = iota
	DES
	TDES2
	TDES3
	AES128
	AES192
	AES256
	SM4
	HMACSHA256 // 32 bytes
	SM2        // a private key, 32 bytes
	Ed25519    // a private key's seed, 32 bytes
	algorithmEnd
)

type algorithmSpec struct {
	name   string
	cipher block.Algorithm
	size   int
	kcv    KCVKind
	letter byte // of TR-31, 0 where there is none
}

var algorithms = [algorithmEnd]algorithmSpec{
	AlgorithmNone: {name: "none"},
	DES:           {"des", block.DES, 8, KCVECB, 'D'},
	TDES2:         {"tdes2", block.TDES, 16, KCVECB, 'T'},
	TDES3:         {"tdes3", block.TDES, 24, KCVECB, 'T'},
	AES128:        {"aes128", block.AES, 16, KCVCMAC, 'A'},
	AES192:        {"aes192", block.AES, 24, KCVCMAC, 'A'},
	AES256:        {"aes256", block.AES, 32, KCVCMAC, 'A'},
	SM4:           {"sm4", block.SM4, 16, KCVECB, 0},
	HMACSHA256:    {"hmac-sha256", block.None, 32, KCVHash, 0},
	SM2:           {"sm2", block.None, 32, KCVPublic, 0},
	Ed25519:       {"ed25519", block.None, 32, KCVPublic, 0},
}

// String returns the name as stored: "tdes2", "aes128", "sm4", "hmac-sha256" and so on.
func (a Algorithm) String() string {
	if a >= algorithmEnd {
		return "unknown"
	}
	return algorithms[a].name
}

// ParseAlgorithm reads what String prints.
func ParseAlgorithm(s string) (Algorithm, error) {
	for a := DES; a < algorithmEnd; a++ {
		if algorithms[a].name == s {
			return a, nil
		}
	}
	return AlgorithmNone, fmt.Errorf("%w: unknown algorithm %.16q", ErrAlgorithm, s)
}

// Size returns the length of a key in bytes, 0 for AlgorithmNone.
func (a Algorithm) Size() int {
	if a >= algorithmEnd {
		return 0
	}
	return algorithms[a].size
}

// Cipher returns the block cipher of a, block.None for those that have none.
func (a Algorithm) Cipher() block.Algorithm {
	if a >= algorithmEnd {
		return block.None
	}
	return algorithms[a].cipher
}

// MarshalText returns String.
func (a Algorithm) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (a *Algorithm) UnmarshalText(b []byte) (err error) {
	*a, err = ParseAlgorithm(string(b))
	return err
}

// Operation is one thing that can be done with a key; the counters of Uses go by it.
type Operation uint8

// The operations. Those that only verify or decipher are open to a retiring key.
const (
	OpMAC Operation = iota
	OpVerifyMAC
	OpPINFrom
	OpPINTo
	OpEncrypt
	OpDecrypt
	OpCVV
	OpPVV
	OpPINOffset
	OpPurseMake
	OpPurseVerify
	OpDeriveTerminal // DUKPT: a transaction key
	OpWrap
	OpUnwrap
	OpToken
	OpSign
	operationEnd
)

type operationSpec struct {
	name  string
	makes bool // makes something new, which a retiring key must not
}

var operations = [operationEnd]operationSpec{
	OpMAC: {"mac", true}, OpVerifyMAC: {"verify_mac", false},
	OpPINFrom: {"pin_from", false}, OpPINTo: {"pin_to", true},
	OpEncrypt: {"encrypt", true}, OpDecrypt: {"decrypt", false},
	OpCVV: {"verify_cvv", false}, OpPVV: {"verify_pvv", false},
	OpPINOffset: {"verify_pin_offset", false}, OpPurseMake: {"purse_make", true},
	OpPurseVerify: {"purse_verify", false}, OpDeriveTerminal: {"derive_dukpt", false},
	OpWrap: {"wrap", true}, OpUnwrap: {"unwrap", false},
	OpToken: {"token", true}, OpSign: {"sign", true},
}

// String returns the name that the audit trail shows.
func (o Operation) String() string {
	if o >= operationEnd {
		return "unknown"
	}
	return operations[o].name
}

// MarshalText returns String.
func (o Operation) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// purposeSpec is what a purpose allows.
type purposeSpec struct {
	name       string
	algorithms []Algorithm
	operations []Operation
	// usages and modes of TR-31 key blocks that may be imported; the first are written on
	// export. No usage: no key blocks.
	usages []string
	modes  string
}

var (
	masters = []Algorithm{TDES2, SM4}
	ciphers = []Algorithm{TDES2, TDES3, AES128, AES192, AES256, SM4}
	macs    = []Algorithm{TDES2, TDES3, AES128, AES192, AES256, SM4, DES}
	// purseMaster is "other derivation master" of X9.143: it has no closer usage for the
	// keys of a purse.
	purseMaster = []string{"E6"}
	macUsages   = []string{"M3", "M1", "M5", "M6", "M0"}
	purseOps    = []Operation{OpPurseMake, OpPurseVerify}
	macOps      = []Operation{OpMAC, OpVerifyMAC}
)

var purposes = [purposeEnd]purposeSpec{
	PurposeNone:   {name: "none"},
	PurseLoad:     {"purse_load", masters, purseOps, purseMaster, "XN"},
	PursePurchase: {"purse_purchase", masters, purseOps, purseMaster, "XN"},
	PurseTAC: {"purse_tac", []Algorithm{TDES2, SM4, DES}, []Operation{OpPurseVerify}, purseMaster,
		"XN"}, // DES for a folded TAC key
	PurseUnload:    {"purse_unload", masters, purseOps, purseMaster, "XN"},
	PurseOverdraft: {"purse_overdraft", masters, purseOps, purseMaster, "XN"},
	MessageMAC:     {"mac", macs, macOps, macUsages, "CNGV"},
	TerminalMAC:    {"terminal_mac", macs, macOps, macUsages, "CNGV"},
	PIN:            {"pin", ciphers, []Operation{OpPINFrom, OpPINTo}, []string{"P0"}, "BNED"},
	Data:           {"data", ciphers, []Operation{OpEncrypt, OpDecrypt}, []string{"D0"}, "BNED"},
	KeyExchange: {"key_exchange", ciphers, []Operation{OpWrap, OpUnwrap}, []string{"K0", "K1"},
		"BNED"},
	DUKPT: {"dukpt_bdk", []Algorithm{TDES2, AES128, AES192, AES256},
		[]Operation{OpDeriveTerminal}, []string{"B0"}, "XN"},
	CVK:       {"cvk", []Algorithm{TDES2}, []Operation{OpCVV}, []string{"C0"}, "CNGV"},
	PVK:       {"pvk", []Algorithm{TDES2}, []Operation{OpPVV}, []string{"V2"}, "CNGV"},
	PINOffset: {"pin_offset", []Algorithm{TDES2, TDES3}, []Operation{OpPINOffset}, []string{"V1"}, "CNGV"},
	CardToken: {name: "card_token", algorithms: []Algorithm{HMACSHA256},
		operations: []Operation{OpToken}},
	Receipt: {name: "receipt", algorithms: []Algorithm{Ed25519, SM2},
		operations: []Operation{OpSign}},
}

// String returns the name as stored: "purse_load", "pin", "key_exchange" and so on.
func (p Purpose) String() string {
	if p >= purposeEnd {
		return "unknown"
	}
	return purposes[p].name
}

// Purposes returns all purposes, in the order of their numbers.
func Purposes() []Purpose {
	all := make([]Purpose, 0, purposeEnd)
	for p := PurposeNone + 1; p < purposeEnd; p++ {
		all = append(all, p)
	}
	return all
}

// ParsePurpose reads what String prints.
func ParsePurpose(s string) (Purpose, error) {
	for p := PurposeNone + 1; p < purposeEnd; p++ {
		if purposes[p].name == s {
			return p, nil
		}
	}
	return PurposeNone, fmt.Errorf("%w: unknown purpose %.24q", ErrRef, s)
}

// Algorithms returns the algorithms that keys of p may have, the usual one first.
func (p Purpose) Algorithms() []Algorithm {
	if p >= purposeEnd {
		return nil
	}
	return slices.Clone(purposes[p].algorithms)
}

// Allows reports whether keys of p are for o.
func (p Purpose) Allows(o Operation) bool {
	return p < purposeEnd && slices.Contains(purposes[p].operations, o)
}

// MarshalText returns String.
func (p Purpose) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Purpose) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePurpose(string(b))
	return err
}

// fits refuses an algorithm that is not p's.
func (p Purpose) fits(a Algorithm) error {
	if p == PurposeNone || p >= purposeEnd {
		return fmt.Errorf("%w: purpose %d", ErrRef, p)
	}
	if !slices.Contains(purposes[p].algorithms, a) {
		return fmt.Errorf("%w: %v for %v, want one of %v", ErrAlgorithm, a, p, purposes[p].algorithms)
	}
	return nil
}

// schemeMax is the longest name of a scheme: it has to fit a token's label and a line.
const schemeMax = 48

// Ref names a key. Refs are comparable. Version 0 stands for the active version, the one
// activated last where there are several.
type Ref struct {
	Purpose Purpose `json:"purpose"`
	// Scheme tells keys of one purpose apart: whose cards, which link, which terminal. 1 to
	// 48 letters, digits, '.', '_' and '-'.
	Scheme  string `json:"scheme"`
	Version uint32 `json:"version"`
}

// ParseRef reads purpose/scheme or purpose/scheme/version.
func ParseRef(s string) (Ref, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return Ref{}, fmt.Errorf("%w: %.80q, want purpose/scheme or purpose/scheme/version", ErrRef, s)
	}
	p, err := ParsePurpose(parts[0])
	if err != nil {
		return Ref{}, err
	}
	r := Ref{Purpose: p, Scheme: parts[1]}
	if len(parts) == 3 {
		n, err := strconv.ParseUint(parts[2], 10, 32)
		if err != nil || parts[2] != strconv.FormatUint(n, 10) {
			return Ref{}, fmt.Errorf("%w: version %.16q is no number", ErrRef, parts[2])
		}
		r.Version = uint32(n)
	}
	return r, r.check()
}

// String returns purpose/scheme/version, the last part only where it is not 0.
func (r Ref) String() string {
	s := r.Purpose.String() + "/" + r.Scheme
	if r.Version != 0 {
		s += "/" + strconv.FormatUint(uint64(r.Version), 10)
	}
	return s
}

func (r Ref) check() error {
	if r.Purpose == PurposeNone || r.Purpose >= purposeEnd {
		return fmt.Errorf("%w: purpose %d", ErrRef, r.Purpose)
	}
	ok := len(r.Scheme) > 0 && len(r.Scheme) <= schemeMax
	for i := 0; ok && i < len(r.Scheme); i++ {
		c := r.Scheme[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '.' || c == '_' || c == '-'
	}
	if !ok {
		return fmt.Errorf("%w: scheme %.64q, want 1 to %d letters, digits, '.', '_' or '-'", ErrRef,
			r.Scheme, schemeMax)
	}
	return nil
}

// slot is what versions are versions of.
type slot struct {
	purpose Purpose
	scheme  string
}

func (r Ref) slot() slot { return slot{r.Purpose, r.Scheme} }
