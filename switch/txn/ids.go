package txn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// BucketCount is the number of buckets, fixed at init: card state, blacklist,
// outbox, due queue and meta of a card live in the bucket of its token
// (DESIGN.md section 3). A list of commits in Redis Cluster may hold one slot
// only, so buckets are few.
const BucketCount = 64

// Bucket is a bucket number, 0 to BucketCount-1.
type Bucket uint8

// BucketOf returns the bucket that owns token: its first six bits.
func BucketOf(token pan.Token) Bucket { return Bucket(token[0] >> 2) }

// String returns the bucket as in keys and file names: "b017".
func (b Bucket) String() string { return fmt.Sprintf("b%03d", uint8(b)) }

// Epoch numbers the writers of a bucket: whoever takes a bucket over opens the
// next epoch, and commits of an older one are refused. It starts at 1.
type Epoch uint64

// Seq numbers the outbox entries of one bucket and epoch without holes. Entry 0
// is the marker that opens the epoch; transactions start at 1.
type Seq uint64

// Position places an outbox entry: unique, and without holes within an epoch.
// The zero Position stands before the first entry of a bucket.
type Position struct {
	Bucket Bucket
	Epoch  Epoch
	Seq    Seq
}

// Before reports whether p stands before q in the same bucket.
func (p Position) Before(q Position) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Seq < q.Seq
}

// String returns the position as the record id: "b017-3-42".
func (p Position) String() string {
	return p.Bucket.String() + "-" + strconv.FormatUint(uint64(p.Epoch), 10) +
		"-" + strconv.FormatUint(uint64(p.Seq), 10)
}

// ParsePosition reads what String writes: "b017-3-42".
func ParsePosition(s string) (Position, error) {
	var p Position
	bucket, rest, ok1 := strings.Cut(s, "-")
	epoch, seq, ok2 := strings.Cut(rest, "-")
	digits, ok3 := strings.CutPrefix(bucket, "b")
	b, err1 := strconv.ParseUint(digits, 10, 8)
	e, err2 := strconv.ParseUint(epoch, 10, 64)
	q, err3 := strconv.ParseUint(seq, 10, 64)
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || err3 != nil || b >= BucketCount {
		return p, fmt.Errorf("%q is no position as b017-3-42", s)
	}
	p = Position{Bucket: Bucket(b), Epoch: Epoch(e), Seq: Seq(q)}
	if p.String() != s {
		return Position{}, fmt.Errorf("%q is no position as b017-3-42", s)
	}
	return p, nil
}

// TerminalIDMax is the greatest length of a terminal id: ISO 8583 field 41 has
// 8 characters, a PSAM number 12 digits (DOMAIN.md 1.1).
const TerminalIDMax = 12

// RideDesk stands for a terminal in the ids of requests that holders make at a desk about their
// rides; no terminal may have it.
const RideDesk = "RIDEDESK"

// GraceDesk is the same for what orders of degraded modes forgive afterwards.
const GraceDesk = "GRACEDESK"

// TerminalID names a gate, a POS or a channel: 1 to 12 characters of
// [0-9A-Za-z_.], padded with zero bytes. It is comparable and fixed in size
// because every card state holds several.
type TerminalID [TerminalIDMax]byte

// ErrTerminalID reports text that is not a terminal id.
var ErrTerminalID = errors.New("terminal id must be 1 to 12 characters of 0-9 A-Z a-z _ or dot")

// ParseTerminalID reads a terminal id.
func ParseTerminalID(s string) (TerminalID, error) {
	var t TerminalID
	if len(s) == 0 || len(s) > TerminalIDMax {
		return t, ErrTerminalID
	}
	for i := range len(s) {
		if !terminalChar(s[i]) {
			return t, ErrTerminalID
		}
	}
	copy(t[:], s)
	return t, nil
}

func terminalChar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' ||
		c == '_' || c == '.'
}

// Append appends the id without its padding.
func (t TerminalID) Append(dst []byte) []byte {
	for _, c := range t {
		if c == 0 {
			break
		}
		dst = append(dst, c)
	}
	return dst
}

// String returns the id without its padding.
func (t TerminalID) String() string { return string(t.Append(make([]byte, 0, TerminalIDMax))) }

// RequestID is made by the terminal and names one request for ever: the terminal,
// the number of its boot, and a counter that grows by one within the boot. The
// same id always means the same request; it is what makes a retry safe.
type RequestID struct {
	Terminal TerminalID
	Boot     uint32
	Counter  uint32
}

// RequestIDSize is the length of an encoded RequestID in bytes.
const RequestIDSize = TerminalIDMax + 8

// ErrRequestID reports text that is not a request id.
var ErrRequestID = errors.New("request id must be TERMINAL-BOOT-COUNTER, both decimal, below 2^32")

// IsZero reports whether id is the zero RequestID, which names no request.
func (id RequestID) IsZero() bool { return id == RequestID{} }

// AppendText appends the id as text: "GATE01-3-42".
func (id RequestID) Append(dst []byte) []byte {
	dst = id.Terminal.Append(dst)
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, uint64(id.Boot), 10)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, uint64(id.Counter), 10)
}

// String returns the id as text: "GATE01-3-42".
func (id RequestID) String() string {
	if id.IsZero() {
		return ""
	}
	return string(id.Append(make([]byte, 0, 34)))
}

// AppendBinary appends the id in RequestIDSize bytes: terminal, boot and counter,
// big-endian.
func (id RequestID) AppendBinary(dst []byte) []byte {
	dst = append(dst, id.Terminal[:]...)
	dst = binary.BigEndian.AppendUint32(dst, id.Boot)
	return binary.BigEndian.AppendUint32(dst, id.Counter)
}

// DecodeRequestID reads the RequestIDSize bytes that AppendBinary wrote.
func DecodeRequestID(b []byte) RequestID {
	var id RequestID
	copy(id.Terminal[:], b[:TerminalIDMax])
	id.Boot = binary.BigEndian.Uint32(b[TerminalIDMax:])
	id.Counter = binary.BigEndian.Uint32(b[TerminalIDMax+4:])
	return id
}

// ParseRequestID reads the text form. It returns ErrRequestID or ErrTerminalID.
func ParseRequestID(s string) (RequestID, error) {
	var id RequestID
	counterAt := strings.LastIndexByte(s, '-')
	if counterAt < 0 {
		return id, ErrRequestID
	}
	bootAt := strings.LastIndexByte(s[:counterAt], '-')
	if bootAt < 0 {
		return id, ErrRequestID
	}
	t, err := ParseTerminalID(s[:bootAt])
	if err != nil {
		return id, fmt.Errorf("request id: %w", err)
	}
	boot, err1 := parseUint32(s[bootAt+1 : counterAt])
	counter, err2 := parseUint32(s[counterAt+1:])
	if err1 != nil || err2 != nil {
		return RequestID{}, ErrRequestID
	}
	return RequestID{Terminal: t, Boot: boot, Counter: counter}, nil
}

// parseUint32 refuses what strconv allows and a canonical id must not have: an
// empty string, and leading zeros, which would give one request two spellings.
func parseUint32(s string) (uint32, error) {
	if len(s) > 1 && s[0] == '0' {
		return 0, ErrRequestID
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}
