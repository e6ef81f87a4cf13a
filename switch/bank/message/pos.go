package message

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// ErrSubfield reports a private field whose parts do not stand as the dialect has them. The
// error shows no content.
var ErrSubfield = errors.New("private field is not laid out as its dialect has it")

// parts is a field cut into parts of fixed widths, of which the last ones may be missing.
type parts struct {
	field  string
	widths []int
}

// The private fields of UnionPay terminals that are rows of digits, and field 90.
var (
	field60 = parts{"field 60", []int{2, 6, 3, 1, 1, 1, 3}}
	field61 = parts{"field 61", []int{6, 6, 4, 2, 11}}
	field90 = parts{"field 90", []int{4, 6, 10, 11, 11}}
)

// cut fills to with the parts of text and returns what is left over. A text that ends inside
// a part is an error.
func (p parts) cut(text string, to ...*string) (rest string, err error) {
	for i, width := range p.widths {
		if text == "" {
			return "", nil
		}
		if len(text) < width {
			return "", fmt.Errorf("%w: %s ends inside part %d", ErrSubfield, p.field, i+1)
		}
		*to[i], text = text[:width], text[width:]
	}
	return text, nil
}

// join puts the parts together up to the first missing one.
func (p parts) join(rest string, from ...string) (string, error) {
	var b strings.Builder
	ended := false
	for i, width := range p.widths {
		switch {
		case from[i] == "":
			ended = true
		case ended || len(from[i]) != width || checkEach([]byte(from[i]), isDigit, "x") != "":
			return "", fmt.Errorf("%w: %s: part %d is not %d digits after all before it",
				ErrSubfield, p.field, i+1, width)
		}
		b.WriteString(from[i])
	}
	if ended && rest != "" {
		return "", fmt.Errorf("%w: %s: more follows a missing part", ErrSubfield, p.field)
	}
	return b.String() + rest, nil
}

// Private is field 60 of UnionPay terminals (DOMAIN.md 2.2). Parts at the end may be missing,
// and are "".
type Private struct {
	Type           string // 60.1, 2 digits: 22 purchase, 00 management …
	Batch          string // 60.2, 6 digits
	Network        string // 60.3, 3 digits: 001, 003, 004 sign-on, 201 settlement …
	ReadCapability string // 60.4, 1 digit
	ICCondition    string // 60.5, 1 digit
	Partial        string // 60.6, 1 digit
	AccountType    string // 60.7, 3 digits
	Rest           string // what some terminals append
}

// ParsePrivate takes the digits of field 60 apart.
func ParsePrivate(digits string) (p Private, err error) {
	p.Rest, err = field60.cut(digits, &p.Type, &p.Batch, &p.Network, &p.ReadCapability,
		&p.ICCondition, &p.Partial, &p.AccountType)
	return p, err
}

// Digits returns field 60.
func (p Private) Digits() (string, error) {
	return field60.join(p.Rest, p.Type, p.Batch, p.Network, p.ReadCapability, p.ICCondition,
		p.Partial, p.AccountType)
}

// Original is field 61 of UnionPay terminals: what a void, refund or reversal refers to.
type Original struct {
	Batch       string // 6 digits
	STAN        string // 6 digits
	Date        string // MMDD
	AuthMode    string // 2 digits
	Institution string // 11 digits
	Rest        string
}

// ParseOriginal takes the digits of field 61 apart.
func ParseOriginal(digits string) (o Original, err error) {
	o.Rest, err = field61.cut(digits, &o.Batch, &o.STAN, &o.Date, &o.AuthMode, &o.Institution)
	return o, err
}

// Digits returns field 61.
func (o Original) Digits() (string, error) {
	return field61.join(o.Rest, o.Batch, o.STAN, o.Date, o.AuthMode, o.Institution)
}

// OriginalElements is field 90 of ISO 8583 and of the interbank network.
type OriginalElements struct {
	MTI       string // 4 digits
	STAN      string // 6 digits
	Sent      string // MMDDhhmmss
	Acquirer  string // 11 digits, zeros in front
	Forwarder string // 11 digits, zeros in front
}

// ParseOriginalElements takes the 42 digits of field 90 apart.
func ParseOriginalElements(digits string) (o OriginalElements, err error) {
	rest, err := field90.cut(digits, &o.MTI, &o.STAN, &o.Sent, &o.Acquirer, &o.Forwarder)
	if err == nil && (rest != "" || o.Forwarder == "") {
		err = fmt.Errorf("%w: field 90 has %d digits, not 42", ErrSubfield, len(digits))
	}
	return o, err
}

// Digits returns field 90.
func (o OriginalElements) Digits() (string, error) {
	return field90.join("", o.MTI, o.STAN, o.Sent, o.Acquirer, o.Forwarder)
}

// Security is field 53 of UnionPay terminals.
type Security struct {
	PINFormat      byte // 1 without, 2 with the card number; 0 none
	KeyAlgorithm   byte // 0 DES, 6 3DES of two keys; 4 is seen with SM4
	TrackEncrypted bool
}

const securityDigits = 16

// ParseSecurity takes the 16 digits of field 53 apart.
func ParseSecurity(digits string) (Security, error) {
	if len(digits) != securityDigits || digits[2] > '1' {
		return Security{}, fmt.Errorf("%w: field 53", ErrSubfield)
	}
	return Security{digits[0] - '0', digits[1] - '0', digits[2] == '1'}, nil
}

// Digits returns field 53.
func (s Security) Digits() string {
	track := byte('0')
	if s.TrackEncrypted {
		track = '1'
	}
	return string([]byte{'0' + s.PINFormat%10, '0' + s.KeyAlgorithm%10, track}) +
		strings.Repeat("0", securityDigits-3)
}

// Totals are one half of a settlement: debits are purchases, completions and offline sales,
// credits are refunds (DOMAIN.md 2.5). Amounts are minor units.
type Totals struct {
	DebitAmount  int64
	DebitCount   int
	CreditAmount int64
	CreditCount  int
	Verdict      Verdict
}

// Verdict is the reconciliation code of a settlement.
type Verdict byte

// The verdicts. A request says Unsettled.
const (
	Unsettled  Verdict = 0
	Balanced   Verdict = 1
	Unbalanced Verdict = 2
	Failed     Verdict = 3
)

// Settlement is field 48 of a UnionPay settlement, domestic and foreign cards.
type Settlement struct{ Domestic, Foreign Totals }

const (
	totalsDigits   = 31
	countMax       = 999
	uploadRowsMax  = 8 // 2 + 8 × 40 digits is what field 48 holds
	uploadDigits   = 40
	uploadPAN      = 20
	balanceChars   = 20
	amountDigits   = 12
	stanDigits     = 6
	sequencePrefix = "Sequence No"
)

// ParseSettlement takes the 62 digits of field 48 apart.
func ParseSettlement(digits string) (s Settlement, err error) {
	if len(digits) != 2*totalsDigits {
		return s, fmt.Errorf("%w: settlement has %d digits, not %d", ErrSubfield, len(digits),
			2*totalsDigits)
	}
	if s.Domestic, err = parseTotals(digits[:totalsDigits]); err != nil {
		return Settlement{}, err
	}
	if s.Foreign, err = parseTotals(digits[totalsDigits:]); err != nil {
		return Settlement{}, err
	}
	return s, nil
}

func parseTotals(d string) (t Totals, err error) {
	var debits, credits, verdict int64
	for _, p := range []struct {
		to   *int64
		text string
	}{{&t.DebitAmount, d[:12]}, {&debits, d[12:15]}, {&t.CreditAmount, d[15:27]},
		{&credits, d[27:30]}, {&verdict, d[30:]}} {
		if *p.to, err = digitsValue(p.text); err != nil {
			return Totals{}, err
		}
	}
	if verdict > int64(Failed) {
		return Totals{}, fmt.Errorf("%w: settlement verdict is none", ErrSubfield)
	}
	t.DebitCount, t.CreditCount, t.Verdict = int(debits), int(credits), Verdict(verdict)
	return t, nil
}

// digitsValue reads digits only, without a sign.
func digitsValue(text string) (int64, error) {
	if checkEach([]byte(text), isDigit, "x") != "" {
		return 0, fmt.Errorf("%w: not a number", ErrSubfield)
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: not a number", ErrSubfield)
	}
	return v, nil
}

// Digits returns field 48.
func (s Settlement) Digits() (string, error) {
	domestic, err := s.Domestic.digits()
	if err != nil {
		return "", err
	}
	foreign, err := s.Foreign.digits()
	return domestic + foreign, err
}

func (t Totals) digits() (string, error) {
	amounts := min(t.DebitAmount, t.CreditAmount) < 0 ||
		max(t.DebitAmount, t.CreditAmount) > AmountMax
	counts := min(t.DebitCount, t.CreditCount) < 0 || max(t.DebitCount, t.CreditCount) > countMax
	if amounts || counts || t.Verdict > Failed {
		return "", fmt.Errorf("%w: a settlement total does not fit", ErrSubfield)
	}
	return fmt.Sprintf("%012d%03d%012d%03d%d", t.DebitAmount, t.DebitCount, t.CreditAmount,
		t.CreditCount, t.Verdict), nil
}

// UploadRow is one transaction of a batch upload in field 48.
type UploadRow struct {
	Type   string // 2 digits
	STAN   uint32
	PAN    pan.Number
	Amount int64 // minor units
}

// ParseUpload takes field 48 of a batch upload apart: a count and up to 8 rows.
func ParseUpload(digits string) ([]UploadRow, error) {
	if len(digits) < 2 {
		return nil, fmt.Errorf("%w: upload has %d digits", ErrSubfield, len(digits))
	}
	count, err := digitsValue(digits[:2])
	if err != nil || count > uploadRowsMax || len(digits) != 2+int(count)*uploadDigits {
		return nil, fmt.Errorf("%w: upload has %d digits, which is not its count", ErrSubfield,
			len(digits))
	}
	rows := make([]UploadRow, 0, count)
	for d := digits[2:]; d != ""; d = d[uploadDigits:] {
		row, err := parseUploadRow(d[:uploadDigits])
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", len(rows)+1, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func parseUploadRow(d string) (UploadRow, error) {
	card, d := d[8:8+uploadPAN], d[:8]+d[8+uploadPAN:]
	number, err := pan.Parse(strings.TrimLeft(card, "0"))
	if err != nil {
		return UploadRow{}, fmt.Errorf("%w: %w", ErrSubfield, err)
	}
	stan, err := digitsValue(d[2 : 2+stanDigits])
	if err != nil {
		return UploadRow{}, err
	}
	amount, err := digitsValue(d[2+stanDigits:])
	if err != nil {
		return UploadRow{}, err
	}
	return UploadRow{d[:2], uint32(stan), number, amount}, nil
}

// UploadDigits returns field 48 of a batch upload of at most 8 rows. Card numbers stand in
// 20 digits with zeros in front.
func UploadDigits(rows []UploadRow) (string, error) {
	if len(rows) > uploadRowsMax {
		return "", fmt.Errorf("%w: %d rows, a message holds %d", ErrSubfield, len(rows),
			uploadRowsMax)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%02d", len(rows))
	for i, r := range rows {
		if len(r.Type) != 2 || checkEach([]byte(r.Type), isDigit, "x") != "" || r.PAN.IsZero() ||
			r.STAN > 999_999 || r.Amount < 0 || r.Amount > AmountMax {
			return "", fmt.Errorf("%w: row %d does not fit", ErrSubfield, i+1)
		}
		fmt.Fprintf(&b, "%s%0*d%0*s%0*d", r.Type, stanDigits, r.STAN, uploadPAN, r.PAN.Digits(),
			amountDigits, r.Amount)
	}
	return b.String(), nil
}

// Balance is one amount of field 54.
type Balance struct {
	AccountType, AmountType string // 2 digits each
	Currency                string // 3 characters
	Minor                   int64  // negative for a debit balance
}

// ParseBalances takes field 54 apart: amounts of 20 characters.
func ParseBalances(text string) ([]Balance, error) {
	if len(text)%balanceChars != 0 {
		return nil, fmt.Errorf("%w: field 54 has %d characters", ErrSubfield, len(text))
	}
	var all []Balance
	for ; text != ""; text = text[balanceChars:] {
		minor, err := digitsValue(text[8:balanceChars])
		if err != nil || text[7] != 'C' && text[7] != 'D' {
			return nil, fmt.Errorf("%w: field 54, amount %d", ErrSubfield, len(all)+1)
		}
		if text[7] == 'D' {
			minor = -minor
		}
		all = append(all, Balance{text[:2], text[2:4], text[4:7], minor})
	}
	return all, nil
}

// BalanceText returns field 54.
func BalanceText(all []Balance) (string, error) {
	var b strings.Builder
	for i, a := range all {
		sign, minor := "C", a.Minor
		if minor < 0 {
			sign, minor = "D", -minor
		}
		if len(a.AccountType) != 2 || len(a.AmountType) != 2 || len(a.Currency) != 3 ||
			minor < 0 || minor > AmountMax {
			return "", fmt.Errorf("%w: field 54, amount %d", ErrSubfield, i+1)
		}
		fmt.Fprintf(&b, "%s%s%s%s%012d", a.AccountType, a.AmountType, a.Currency, sign, minor)
	}
	return b.String(), nil
}

// WrappedKey is a working key as a host sends it: encrypted under the terminal's master key,
// with the first bytes of zeros encrypted under it. It prints its length only.
type WrappedKey struct {
	Key   []byte // 8 or 16 bytes; nil is no key
	Check [checkSize]byte
}

const checkSize = 4

// Format prints how long the key is.
func (k WrappedKey) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "wrapped key of %d bytes", len(k.Key))
}

// WorkingKeys are the keys in field 62 of a sign-on answer (DOMAIN.md 3.4).
type WorkingKeys struct {
	PIN, MAC WrappedKey
	Track    WrappedKey // only in the answer to 60.3 = 004
}

// ParseWorkingKeys takes field 62 apart: 24 bytes of single keys, 40 of double ones, 60 with a
// key for tracks. A single MAC key in a slot of 16 bytes is followed by 8 zero bytes.
func ParseWorkingKeys(data []byte) (WorkingKeys, error) {
	slotSize := 16
	switch len(data) {
	case 24:
		slotSize = 8
	case 40, 60:
	default:
		return WorkingKeys{}, fmt.Errorf("%w: field 62 has %d bytes, keys have 24, 40 or 60",
			ErrSubfield, len(data))
	}
	var keys WorkingKeys
	for _, to := range []*WrappedKey{&keys.PIN, &keys.MAC, &keys.Track} {
		if len(data) == 0 {
			break
		}
		to.Key = append([]byte(nil), data[:slotSize]...)
		copy(to.Check[:], data[slotSize:])
		data = data[slotSize+checkSize:]
	}
	if slotSize == 16 && string(keys.MAC.Key[8:]) == string(make([]byte, 8)) {
		keys.MAC.Key = keys.MAC.Key[:8]
	}
	return keys, nil
}

// Bytes returns field 62.
func (k WorkingKeys) Bytes() ([]byte, error) {
	slotSize := len(k.PIN.Key)
	single := slotSize == 8 && len(k.MAC.Key) == 8 && k.Track.Key == nil
	double := slotSize == 16 && (len(k.MAC.Key) == 8 || len(k.MAC.Key) == 16) &&
		(k.Track.Key == nil || len(k.Track.Key) == 16)
	if !single && !double {
		return nil, fmt.Errorf("%w: keys of %d, %d and %d bytes do not go into field 62",
			ErrSubfield, slotSize, len(k.MAC.Key), len(k.Track.Key))
	}
	out := make([]byte, 0, 60)
	for _, key := range []WrappedKey{k.PIN, k.MAC, k.Track} {
		if key.Key == nil {
			break
		}
		out = append(append(out, key.Key...), make([]byte, slotSize-len(key.Key))...)
		out = append(out, key.Check[:]...)
	}
	return out, nil
}

// ParseSequence returns what follows "Sequence No" in field 62 of a sign-on request, the
// terminal's serial; false when the field is something else.
func ParseSequence(data []byte) (string, bool) {
	rest, ok := strings.CutPrefix(string(data), sequencePrefix)
	return rest, ok && checkEach([]byte(rest), isPrintable, "x") == ""
}

// Notice is field 63 of UnionPay terminals: in a request the operator, in an answer the card
// brand and texts for the slip.
type Notice struct {
	Code                  string // 3 characters: operator, or card brand
	Issuer, Network, Host string // texts of 20, 20 and 60 bytes in GB18030, without filler
}

// ParseNotice takes field 63 apart. Texts at the end may be missing or short. Another form of
// field 63, which terminals also send, is an error.
func ParseNotice(data []byte) (Notice, error) {
	const codeSize = 3
	if len(data) < codeSize || checkEach(data[:codeSize], isPrintable, "x") != "" {
		return Notice{}, fmt.Errorf("%w: field 63 begins with no code", ErrSubfield)
	}
	n := Notice{Code: string(data[:codeSize])}
	data = data[codeSize:]
	for _, p := range []struct {
		to   *string
		size int
	}{{&n.Issuer, 20}, {&n.Network, 20}, {&n.Host, 60}} {
		size := min(p.size, len(data))
		text, err := simplifiedchinese.GB18030.NewDecoder().Bytes(data[:size])
		if err != nil {
			return Notice{}, fmt.Errorf("%w: field 63 holds no GB18030", ErrSubfield)
		}
		*p.to = strings.TrimRight(string(text), " ")
		data = data[size:]
	}
	if len(data) > 0 {
		return Notice{}, fmt.Errorf("%w: field 63 goes on for %d bytes", ErrSubfield, len(data))
	}
	return n, nil
}

// Bytes returns field 63, texts filled up with spaces; a notice without texts is its code.
func (n Notice) Bytes() ([]byte, error) {
	if len(n.Code) != 3 || checkEach([]byte(n.Code), isPrintable, "x") != "" {
		return nil, fmt.Errorf("%w: field 63 needs a code of 3 characters", ErrSubfield)
	}
	out := []byte(n.Code)
	if n.Issuer == "" && n.Network == "" && n.Host == "" {
		return out, nil
	}
	for _, p := range []struct {
		text string
		size int
	}{{n.Issuer, 20}, {n.Network, 20}, {n.Host, 60}} {
		b, err := simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(p.text))
		if err != nil || len(b) > p.size {
			return nil, fmt.Errorf("%w: a text of field 63 does not fit", ErrSubfield)
		}
		out = append(out, b...)
		out = append(out, strings.Repeat(" ", p.size-len(b))...)
	}
	return out, nil
}
