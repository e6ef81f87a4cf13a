package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// The settled record on the wire is the protobuf message Record of
// ledger/feed/recordpb/record.proto. It is written and read here by hand, because
// it is made once for every commit on the hot path and this package imports no
// library; a test of recordpb holds both against the generated code.

// Errors of DecodeRecord.
var (
	// ErrRecord reports bytes that are no record.
	ErrRecord = errors.New("not a settled record")
	// ErrRecordVersion reports a record of a later version than this code knows.
	ErrRecordVersion = errors.New("settled record of a later version")
)

// Field numbers of the message Record. Append only.
const (
	fVersion = iota + 1
	fBucket
	fEpoch
	fSeq
	fBusinessDate
	fTerminal
	fBoot
	fCounter
	fKind
	fOutcome
	fReason
	fCard
	fLast4
	fCardVersion
	fApplication
	fRider
	fOperator
	fLine
	fStation
	fMerchant
	fMCC
	fAcquirer
	fIssuer
	fSTAN
	fRRN
	fAuth
	fFullFare
	fDiscountCauses
	fDiscountAmounts
	fCharged
	fCurrency
	fBalanceAfter
	fOfflineCounter
	fOffline
	fTAC
	fListEpoch
	fServiceAt
	fReceivedAt
	fLiability
	fAccounts
	fAmounts
	fOriginal
	fEntryStation
	fEntryAt
	fListReason
	fListScope
	fListActor
	fListNote
	fPreviousEpoch
	fPreviousSeq
	fClosedDate
	fResponse
	fSettled
	fMode
	fBusiness
	fMetres
	fDegraded
	fieldsEnd
)

const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// AppendRecord appends r in protobuf. It leaves the position and the business
// date out when they are zero: the store decides them, and AppendPosition adds
// them to the encoded record afterwards.
func AppendRecord(dst []byte, r *Record) []byte {
	dst = appendUint(dst, fVersion, uint64(r.Version))
	dst = AppendPosition(dst, r.Position, r.BusinessDate)
	dst = appendRequestID(dst, r.Request)
	dst = appendUint(dst, fKind, uint64(r.Kind))
	dst = appendUint(dst, fOutcome, uint64(r.Outcome))
	dst = appendUint(dst, fReason, uint64(r.Reason))
	dst = appendCard(dst, r)
	dst = appendPlace(dst, r)
	dst = appendMoney(dst, r)
	dst = appendUint(dst, fOfflineCounter, uint64(r.OfflineCounter))
	dst = appendUint(dst, fOffline, uint64(boolByte(r.Offline)))
	dst = appendUint(dst, fTAC, uint64(r.TAC))
	dst = appendUint(dst, fListEpoch, r.ListEpoch)
	dst = appendUint(dst, fServiceAt, uint64(r.ServiceAt))
	dst = appendUint(dst, fReceivedAt, uint64(r.ReceivedAt))
	dst = appendUint(dst, fLiability, uint64(r.Liability))
	dst = appendPostings(dst, r.Postings)
	if !r.Original.IsZero() {
		var text [34]byte
		dst = appendBytes(dst, fOriginal, r.Original.Append(text[:0]))
	}
	dst = appendString(dst, fEntryStation, r.EntryStation)
	dst = appendUint(dst, fEntryAt, uint64(r.EntryAt))
	dst = appendUint(dst, fListReason, uint64(r.Listing.Mark.Reason))
	dst = appendUint(dst, fListScope, uint64(r.Listing.Mark.Scope))
	dst = appendString(dst, fListActor, r.Listing.Actor)
	dst = appendString(dst, fListNote, r.Listing.Note)
	dst = appendUint(dst, fPreviousEpoch, uint64(r.Previous.Epoch))
	dst = appendUint(dst, fPreviousSeq, uint64(r.Previous.Seq))
	dst = appendUint(dst, fClosedDate, uint64(r.ClosedDate))
	return appendRide(appendAnswer(dst, r), &r.Ride)
}

// appendRide appends what the terminal told of a ride.
func appendRide(dst []byte, r *Ride) []byte {
	dst = appendUint(dst, fMode, uint64(r.Mode))
	dst = appendUint(dst, fBusiness, uint64(boolByte(r.Business)))
	dst = appendUint(dst, fMetres, uint64(r.Metres))
	return appendUint(dst, fDegraded, uint64(r.Degraded))
}

// AppendPosition appends where the store put a record and its business date.
// Appended to an encoded record it overrides what stands there, since the last
// value of a protobuf field wins.
func AppendPosition(dst []byte, p Position, d BusinessDate) []byte {
	dst = appendUint(dst, fBucket, uint64(p.Bucket))
	dst = appendUint(dst, fEpoch, uint64(p.Epoch))
	dst = appendUint(dst, fSeq, uint64(p.Seq))
	return appendUint(dst, fBusinessDate, uint64(d))
}

func appendRequestID(dst []byte, id RequestID) []byte {
	if id.IsZero() {
		return dst
	}
	var text [TerminalIDMax]byte
	dst = appendBytes(dst, fTerminal, id.Terminal.Append(text[:0]))
	dst = appendUint(dst, fBoot, uint64(id.Boot))
	return appendUint(dst, fCounter, uint64(id.Counter))
}

func appendCard(dst []byte, r *Record) []byte {
	if !r.Card.IsZero() {
		dst = appendBytes(dst, fCard, r.Card[:])
	}
	if r.Last4[0] != 0 {
		dst = appendBytes(dst, fLast4, r.Last4[:])
	}
	dst = appendUint(dst, fCardVersion, r.CardVersion)
	dst = appendUint(dst, fApplication, uint64(r.Application))
	return appendUint(dst, fRider, uint64(r.Rider))
}

func appendPlace(dst []byte, r *Record) []byte {
	dst = appendString(dst, fOperator, r.Place.Operator)
	dst = appendString(dst, fLine, r.Place.Line)
	dst = appendString(dst, fStation, r.Place.Station)
	dst = appendString(dst, fMerchant, r.Place.Merchant)
	dst = appendString(dst, fMCC, r.Place.MCC)
	dst = appendString(dst, fAcquirer, r.Place.Acquirer)
	dst = appendString(dst, fIssuer, r.Issuer)
	dst = appendUint(dst, fSTAN, uint64(r.STAN))
	dst = appendString(dst, fRRN, r.RRN)
	if r.Auth[0] != 0 {
		dst = appendBytes(dst, fAuth, r.Auth[:])
	}
	return dst
}

// appendAnswer appends what a bank answered.
func appendAnswer(dst []byte, r *Record) []byte {
	if r.Response[0] != 0 {
		dst = appendBytes(dst, fResponse, r.Response[:])
	}
	if r.Settled[0] != 0 {
		dst = appendBytes(dst, fSettled, r.Settled[:])
	}
	return dst
}

func appendMoney(dst []byte, r *Record) []byte {
	dst = appendSint(dst, fFullFare, int64(r.FullFare))
	for _, d := range r.Discounts {
		dst = appendElement(dst, fDiscountCauses, d.Cause)
	}
	if len(r.Discounts) > 0 {
		size := 0
		for _, d := range r.Discounts {
			size += varintSize(zigzag(int64(d.Amount)))
		}
		dst = appendHead(dst, fDiscountAmounts, size)
		for _, d := range r.Discounts {
			dst = binary.AppendUvarint(dst, zigzag(int64(d.Amount)))
		}
	}
	dst = appendSint(dst, fCharged, int64(r.Charged))
	dst = appendUint(dst, fCurrency, uint64(r.Currency))
	return appendSint(dst, fBalanceAfter, int64(r.BalanceAfter))
}

func appendPostings(dst []byte, postings []Posting) []byte {
	if len(postings) == 0 {
		return dst
	}
	size := 0
	for _, p := range postings {
		dst = appendElement(dst, fAccounts, string(p.Account))
		size += varintSize(zigzag(int64(p.Amount)))
	}
	dst = appendHead(dst, fAmounts, size)
	for _, p := range postings {
		dst = binary.AppendUvarint(dst, zigzag(int64(p.Amount)))
	}
	return dst
}

func appendUint(dst []byte, field int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(field<<3|wireVarint))
	return binary.AppendUvarint(dst, v)
}

func appendSint(dst []byte, field int, v int64) []byte { return appendUint(dst, field, zigzag(v)) }

func appendHead(dst []byte, field, size int) []byte {
	dst = binary.AppendUvarint(dst, uint64(field<<3|wireBytes))
	return binary.AppendUvarint(dst, uint64(size))
}

func appendBytes(dst []byte, field int, b []byte) []byte {
	return append(appendHead(dst, field, len(b)), b...)
}

func appendString(dst []byte, field int, s string) []byte {
	if s == "" {
		return dst
	}
	return appendElement(dst, field, s)
}

// appendElement appends one element of a repeated string, which may be empty.
func appendElement(dst []byte, field int, s string) []byte {
	return append(appendHead(dst, field, len(s)), s...)
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func varintSize(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// DecodeRecord reads an encoded record. It copies what it keeps. Fields that it
// does not know are passed over in a record of a known version; a later version
// is ErrRecordVersion, anything malformed ErrRecord.
func DecodeRecord(b []byte) (Record, error) {
	var d recordDecoder
	return d.decode(b)
}

// namesMax bounds the names that a RecordReader remembers.
const namesMax = 1 << 16

// RecordReader decodes many records and shares the names that come in most of them:
// operators, stations, merchants, accounts. It belongs to one goroutine; what it returned
// stays good.
type RecordReader struct {
	decoder recordDecoder
}

// NewRecordReader returns a RecordReader.
func NewRecordReader() *RecordReader {
	return &RecordReader{recordDecoder{names: &names{all: map[string]string{}}}}
}

// Read is DecodeRecord.
func (r *RecordReader) Read(b []byte) (Record, error) {
	d := &r.decoder
	if len(d.names.all) >= namesMax {
		clear(d.names.all)
	}
	*d = recordDecoder{names: d.names, causes: d.causes[:0], parts: d.parts[:0],
		account: d.account[:0], amounts: d.amounts[:0]}
	return d.decode(b)
}

// names are the names that a RecordReader shares. Most records have those of the one before
// them: lately has the last of a kind and saves the look into all.
type names struct {
	all    map[string]string
	lately [64]string
}

// name returns b as a string, the same one for the same name.
func (d *recordDecoder) name(b []byte) string {
	if d.names == nil || len(b) == 0 {
		return string(b)
	}
	last := &d.names.lately[(uint(len(b))*5+uint(b[0])*3+uint(b[len(b)-1]))%64]
	if *last == string(b) {
		return *last
	}
	s, ok := d.names.all[string(b)]
	if !ok {
		s = string(b)
		d.names.all[s] = s
	}
	*last = s
	return s
}

func (d *recordDecoder) decode(b []byte) (Record, error) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
			return Record{}, fmt.Errorf("%w: bad tag", ErrRecord)
		}
		used, err := d.field(int(tag>>3), int(tag&7), b[n:])
		if err != nil {
			return Record{}, err
		}
		b = b[n+used:]
	}
	return d.finish()
}

// recordDecoder gathers the fields; parallel repeated fields are joined in finish.
type recordDecoder struct {
	rec     Record
	causes  []string
	parts   []Minor
	account []Account
	amounts []Minor
	names   *names // nil: none are shared
}

func (d *recordDecoder) field(field, wire int, b []byte) (int, error) {
	switch wire {
	case wireVarint:
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, fmt.Errorf("%w: field %d: bad varint", ErrRecord, field)
		}
		return n, d.number(field, v)
	case wireBytes:
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return 0, fmt.Errorf("%w: field %d: bad length", ErrRecord, field)
		}
		end := n + int(size)
		return end, d.bytes(field, b[n:end])
	case wireFixed64, wireFixed32:
		size := 8
		if wire == wireFixed32 {
			size = 4
		}
		if len(b) < size {
			return 0, fmt.Errorf("%w: field %d: cut short", ErrRecord, field)
		}
		return size, d.unknown(field)
	default:
		return 0, fmt.Errorf("%w: field %d: wire type %d", ErrRecord, field, wire)
	}
}

// unknown passes over a field number beyond the known ones, and refuses a known
// field with the wrong wire type.
func (d *recordDecoder) unknown(field int) error {
	if field >= fieldsEnd {
		return nil
	}
	return fmt.Errorf("%w: field %d: wrong wire type", ErrRecord, field)
}

// limit is the greatest value that a number field may have; a missing entry
// means that the field is no number.
func limit(field int) uint64 {
	switch field {
	case fBucket:
		return BucketCount - 1
	case fKind:
		return uint64(kindEnd - 1)
	case fOutcome:
		return uint64(Declined)
	case fReason:
		return uint64(reasonEnd - 1)
	case fRider:
		return uint64(riderEnd - 1)
	case fTAC:
		return uint64(tacEnd - 1)
	case fLiability:
		return uint64(liabilityEnd - 1)
	case fListReason:
		return uint64(freezeEnd - 1)
	case fMode:
		return uint64(modeEnd - 1)
	case fDegraded:
		return math.MaxUint8
	case fOffline, fBusiness:
		return 1
	case fApplication, fListScope, fCurrency:
		return math.MaxUint16
	case fVersion, fBusinessDate, fBoot, fCounter, fSTAN, fOfflineCounter, fClosedDate:
		return math.MaxUint32
	case fServiceAt, fReceivedAt, fEntryAt, fMetres:
		return math.MaxInt64
	default:
		return math.MaxUint64
	}
}

func (d *recordDecoder) number(field int, v uint64) error {
	if field == fVersion && v > RecordVersion {
		return fmt.Errorf("%w: version %d, known up to %d", ErrRecordVersion, v, RecordVersion)
	}
	if v > limit(field) || field == fReason && !Reason(v).Valid() {
		return fmt.Errorf("%w: field %d: value %d out of range", ErrRecord, field, v)
	}
	if d.small(field, v) || d.wide(field, v) || d.ride(field, v) {
		return nil
	}
	return d.unknown(field)
}

// small sets the fields of few bits and reports whether field is one.
func (d *recordDecoder) small(field int, v uint64) bool {
	r := &d.rec
	switch field {
	case fVersion:
		r.Version = uint32(v)
	case fBucket:
		r.Position.Bucket = Bucket(v)
	case fBusinessDate:
		r.BusinessDate = BusinessDate(v)
	case fKind:
		r.Kind = Kind(v)
	case fOutcome:
		r.Outcome = Outcome(v)
	case fReason:
		r.Reason = Reason(v)
	case fApplication:
		r.Application = App(v)
	case fRider:
		r.Rider = RiderCategory(v)
	case fCurrency:
		r.Currency = Currency(v)
	case fOffline:
		r.Offline = v == 1
	case fTAC:
		r.TAC = TACVerdict(v)
	case fLiability:
		r.Liability = Liability(v)
	case fListReason:
		r.Listing.Mark.Reason = FreezeReason(v)
	case fListScope:
		r.Listing.Mark.Scope = App(v)
	case fClosedDate:
		r.ClosedDate = BusinessDate(v)
	default:
		return false
	}
	return true
}

// wide sets the fields of many bits and reports whether field is one.
func (d *recordDecoder) wide(field int, v uint64) bool {
	r := &d.rec
	switch field {
	case fEpoch:
		r.Position.Epoch = Epoch(v)
	case fSeq:
		r.Position.Seq = Seq(v)
	case fBoot:
		r.Request.Boot = uint32(v)
	case fCounter:
		r.Request.Counter = uint32(v)
	case fCardVersion:
		r.CardVersion = v
	case fSTAN:
		r.STAN = uint32(v)
	case fFullFare:
		r.FullFare = Minor(unzigzag(v))
	case fCharged:
		r.Charged = Minor(unzigzag(v))
	case fBalanceAfter:
		r.BalanceAfter = Minor(unzigzag(v))
	case fOfflineCounter:
		r.OfflineCounter = uint32(v)
	case fListEpoch:
		r.ListEpoch = v
	case fServiceAt:
		r.ServiceAt = Millis(v)
	case fReceivedAt:
		r.ReceivedAt = Millis(v)
	case fEntryAt:
		r.EntryAt = Millis(v)
	case fPreviousEpoch:
		r.Previous.Epoch = Epoch(v)
	case fPreviousSeq:
		r.Previous.Seq = Seq(v)
	default:
		return false
	}
	return true
}

// ride sets what a terminal told of a ride and reports whether field is of that.
func (d *recordDecoder) ride(field int, v uint64) bool {
	r := &d.rec.Ride
	switch field {
	case fMode:
		r.Mode = Mode(v)
	case fBusiness:
		r.Business = v == 1
	case fMetres:
		r.Metres = int64(v)
	case fDegraded:
		r.Degraded = uint8(v)
	default:
		return false
	}
	return true
}

func (d *recordDecoder) bytes(field int, b []byte) error {
	r := &d.rec
	var err error
	switch field {
	case fTerminal:
		r.Request.Terminal, err = ParseTerminalID(d.name(b))
	case fCard:
		err = fill(r.Card[:], b)
	case fLast4:
		r.Last4, err = pan.ParseLast4(string(b))
	case fAuth:
		r.Auth, err = parseAuthCode(b)
	case fResponse:
		err = fill(r.Response[:], b)
	case fSettled:
		err = fill(r.Settled[:], b)
	case fDiscountCauses:
		d.causes = append(d.causes, d.name(b))
	case fDiscountAmounts:
		d.parts, err = appendAmounts(d.parts, b)
	case fAccounts:
		d.account = append(d.account, Account(d.name(b)))
	case fAmounts:
		d.amounts, err = appendAmounts(d.amounts, b)
	case fOriginal:
		r.Original, err = ParseRequestID(string(b))
	default:
		return d.text(field, b)
	}
	if err != nil {
		return fmt.Errorf("%w: field %d: %w", ErrRecord, field, err)
	}
	return nil
}

func (d *recordDecoder) text(field int, b []byte) error {
	r := &d.rec
	var to *string
	switch field {
	case fOperator:
		to = &r.Place.Operator
	case fLine:
		to = &r.Place.Line
	case fStation:
		to = &r.Place.Station
	case fMerchant:
		to = &r.Place.Merchant
	case fMCC:
		to = &r.Place.MCC
	case fAcquirer:
		to = &r.Place.Acquirer
	case fIssuer:
		to = &r.Issuer
	case fRRN:
		to = &r.RRN
	case fEntryStation:
		to = &r.EntryStation
	case fListActor:
		to = &r.Listing.Actor
	case fListNote:
		to = &r.Listing.Note
	default:
		return d.unknown(field)
	}
	if field == fRRN || field == fListNote { // each is another
		*to = string(b)
	} else {
		*to = d.name(b)
	}
	return nil
}

func (d *recordDecoder) finish() (Record, error) {
	if d.rec.Version == 0 {
		return Record{}, fmt.Errorf("%w: no version", ErrRecord)
	}
	if d.rec.Request.Terminal == (TerminalID{}) && !d.rec.Request.IsZero() {
		return Record{}, fmt.Errorf("%w: a request id without a terminal", ErrRecord)
	}
	if len(d.causes) != len(d.parts) || len(d.account) != len(d.amounts) {
		return Record{}, fmt.Errorf("%w: names and amounts differ in number", ErrRecord)
	}
	if len(d.causes) > 0 {
		d.rec.Discounts = make([]Discount, 0, len(d.causes))
	}
	if len(d.account) > 0 {
		d.rec.Postings = make([]Posting, 0, len(d.account))
	}
	for i, cause := range d.causes {
		d.rec.Discounts = append(d.rec.Discounts, Discount{Cause: cause, Amount: d.parts[i]})
	}
	for i, account := range d.account {
		d.rec.Postings = append(d.rec.Postings, Posting{Account: account, Amount: d.amounts[i]})
	}
	d.rec.Previous.Bucket = d.rec.Position.Bucket
	if d.rec.Kind != EpochMarker {
		d.rec.Previous = Position{}
	}
	return d.rec, nil
}

// parseAuthCode takes any printable code: banks make theirs as they like.
func parseAuthCode(b []byte) (AuthCode, error) {
	var a AuthCode
	for _, c := range b {
		if c < ' ' || c > '~' {
			return a, errors.New("authorization code is not printable")
		}
	}
	err := fill(a[:], b)
	return a, err
}

func fill(dst, b []byte) error {
	if len(b) != len(dst) {
		return fmt.Errorf("want %d bytes, got %d", len(dst), len(b))
	}
	copy(dst, b)
	return nil
}

func appendAmounts(dst []Minor, b []byte) ([]Minor, error) {
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errors.New("bad varint")
		}
		dst = append(dst, Minor(unzigzag(v)))
		b = b[n:]
	}
	return dst, nil
}
