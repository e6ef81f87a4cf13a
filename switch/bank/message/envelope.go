package message

import "fmt"

// Envelope is what stands in a frame in front of the message.
type Envelope uint8

// The envelopes. The UnionPay POS form is TPDUHeader, the interbank form CUPSHead.
const (
	Bare       Envelope = iota // nothing
	TPDUOnly                   // TPDU of 5 bytes
	TPDUHeader                 // TPDU of 5 bytes, header of 6 (DOMAIN.md 2.1)
	CUPSHead                   // header of 46 bytes (DOMAIN.md 2.3)
)

// Sizes in bytes.
const (
	tpduSize   = 5
	headerSize = 6
	cupsSize   = 46
)

// ParseEnvelope reads what String prints.
func ParseEnvelope(s string) (Envelope, error) {
	for e := Bare; e <= CUPSHead; e++ {
		if s == e.String() {
			return e, nil
		}
	}
	return 0, fmt.Errorf("envelope %q: want none, tpdu, tpdu_header or cups", s)
}

// String returns the name as in a spec file.
func (e Envelope) String() string {
	switch e {
	case TPDUOnly:
		return "tpdu"
	case TPDUHeader:
		return "tpdu_header"
	case CUPSHead:
		return "cups"
	default:
		return "none"
	}
}

// Size returns the number of bytes in front of the message.
func (e Envelope) Size() int {
	switch e {
	case TPDUOnly:
		return tpduSize
	case TPDUHeader:
		return tpduSize + headerSize
	case CUPSHead:
		return cupsSize
	default:
		return 0
	}
}

// TPDU is the transport header of UnionPay terminals: id 60, destination 2, source 2.
type TPDU [tpduSize]byte

// NewTPDU returns the TPDU 60, destination, source.
func NewTPDU(destination, source uint16) TPDU {
	return TPDU{0x60, byte(destination >> 8), byte(destination), byte(source >> 8), byte(source)}
}

// Destination returns the address that the frame goes to.
func (t TPDU) Destination() uint16 { return uint16(t[1])<<8 | uint16(t[2]) }

// Source returns the address that the frame comes from.
func (t TPDU) Source() uint16 { return uint16(t[3])<<8 | uint16(t[4]) }

// Reply returns the TPDU of the answer: destination and source swapped.
func (t TPDU) Reply() TPDU { return TPDU{t[0], t[3], t[4], t[1], t[2]} }

// Requirement is what a host asks of a terminal in its answer (DOMAIN.md 2.1).
type Requirement uint8

// The requirements that are known.
const (
	NoRequirement     Requirement = 0
	DownloadParams    Requirement = 1
	UploadState       Requirement = 2
	SignOnAgain       Requirement = 3
	UpdateCAKeys      Requirement = 4
	UpdateICParams    Requirement = 5
	DownloadFromTMS   Requirement = 6
	requirementNibble             = 2 // the byte of the header whose low nibble it is
)

// Header is the header of UnionPay terminals, 12 nibbles: application class 2, software
// version 2, terminal state 1, requirement 1, software sub-version 6. Terminals send nibbles
// that are no digits, so none is refused and all are echoed.
type Header [headerSize]byte

// Requirement returns the requirement nibble.
func (h Header) Requirement() Requirement { return Requirement(h[requirementNibble] & 15) }

// WithRequirement returns the header with the requirement set (its low nibble) and all else
// as it was.
func (h Header) WithRequirement(r Requirement) Header {
	h[requirementNibble] = h[requirementNibble]&0xF0 | byte(r)&15
	return h
}

// CUPSHeader is the header of UnionPay's interbank network as it stands on the wire. The
// length in it is set when the message is packed.
type CUPSHeader [cupsSize]byte

// Where the parts of a CUPS header stand.
const (
	cupsLengthAt      = 2
	cupsDestinationAt = 6
	cupsSourceAt      = 17
	cupsReservedAt    = 28
	cupsBatchAt       = 31
	cupsInfoAt        = 32
	cupsUserAt        = 40
	cupsRejectAt      = 41
	cupsStation       = 11
	cupsVersion       = 0x02
)

// NewCUPSHeader returns a header between two stations. Their ids are at most 11 characters.
func NewCUPSHeader(destination, source string) (CUPSHeader, error) {
	h := CUPSHeader{cupsSize, cupsVersion}
	if len(destination) > cupsStation || len(source) > cupsStation {
		return h, fmt.Errorf("%w: station id has more than %d characters", ErrFormat, cupsStation)
	}
	for i := cupsLengthAt; i < cupsReservedAt; i++ {
		h[i] = ' '
	}
	copy(h[cupsLengthAt:], "0000")
	copy(h[cupsDestinationAt:], destination)
	copy(h[cupsSourceAt:], source)
	copy(h[cupsInfoAt:], "00000000")
	copy(h[cupsRejectAt:], "00000")
	return h, nil
}

// Version returns flags and version, 0x82 or 0x02.
func (h CUPSHeader) Version() byte { return h[1] }

// Destination returns the id of the station that the frame goes to, with its spaces.
func (h CUPSHeader) Destination() string {
	return string(h[cupsDestinationAt:cupsSourceAt])
}

// Source returns the id of the station that the frame comes from, with its spaces.
func (h CUPSHeader) Source() string { return string(h[cupsSourceAt:cupsReservedAt]) }

// Batch returns the batch number.
func (h CUPSHeader) Batch() byte { return h[cupsBatchAt] }

// Info returns the transaction information, 8 characters.
func (h CUPSHeader) Info() string { return string(h[cupsInfoAt:cupsUserAt]) }

// Reject returns why the network sent a message back, "00000" when it did not.
func (h CUPSHeader) Reject() string { return string(h[cupsRejectAt:]) }

// Reply returns the header of the answer: destination and source swapped, nothing rejected.
func (h CUPSHeader) Reply() CUPSHeader {
	r := h
	copy(r[cupsDestinationAt:], h[cupsSourceAt:cupsReservedAt])
	copy(r[cupsSourceAt:], h[cupsDestinationAt:cupsSourceAt])
	copy(r[cupsRejectAt:], "00000")
	return r
}

// setLength writes the length of the frame, which includes the header.
func (h *CUPSHeader) setLength(n int) bool {
	if n > 9999 {
		return false
	}
	for i := cupsDestinationAt - 1; i >= cupsLengthAt; i-- {
		h[i] = '0' + byte(n%10)
		n /= 10
	}
	return true
}

// checkEnvelope reports why the front of frame is none of e, or nothing.
func checkEnvelope(e Envelope, frame []byte) (reason string) {
	if len(frame) > FrameMax {
		return reasonOversize
	}
	if len(frame) < e.Size() {
		return reasonEnvelope
	}
	if e != CUPSHead {
		return ""
	}
	if frame[0] != cupsSize {
		return reasonHeader
	}
	said := 0
	for _, c := range frame[cupsLengthAt:cupsDestinationAt] {
		if c < '0' || c > '9' {
			return reasonHeader
		}
		said = said*10 + int(c-'0')
	}
	if said != len(frame) {
		return reasonHeaderSize
	}
	return ""
}
