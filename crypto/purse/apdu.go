package purse

import (
	"encoding/binary"
	"fmt"
)

// Operation is what an INITIALIZE command begins.
type Operation uint8

// The operations, by P1 of INITIALIZE.
const (
	OpLoad      Operation = 0x00
	OpPurchase  Operation = 0x01 // also cash withdrawal, by the purse's own type
	OpCompound  Operation = 0x03
	OpOverdraft Operation = 0x04
	OpUnload    Operation = 0x05
)

// valid reports whether o is one of the operations.
func (o Operation) valid() bool { return o <= OpUnload && o != 2 }

// Purse is P2 of commands: which of the two purses.
type Purse uint8

// The purses.
const (
	ED Purse = 0x01 // electronic deposit
	EP Purse = 0x02 // electronic purse
)

// command checks a case 3 or 4 command's header and lengths: it returns the data, and
// whether a Le byte follows.
func command(b []byte, header [4]byte, size int) (data []byte, le bool, err error) {
	switch {
	case len(b) < 5 || [4]byte(b[:4]) != header:
		return nil, false, fmt.Errorf("%w: another header", ErrCommand)
	case int(b[4]) != size || len(b) < 5+size || len(b) > 6+size:
		return nil, false, fmt.Errorf("%w: %d bytes, want %d of data", ErrCommand, len(b), size)
	}
	return b[5 : 5+size], len(b) == 6+size, nil
}

// appendLe appends the expected length, if the command has one.
func appendLe(dst []byte, le bool, n byte) []byte {
	if le {
		dst = append(dst, n)
	}
	return dst
}

// Init is an INITIALIZE command: for load, purchase, compound purchase, unload, and for the
// overdraft update, which has no amount.
type Init struct {
	Operation Operation
	Purse     Purse
	KeyIndex  uint8
	Amount    uint32 // fen
	Terminal  [6]byte
	Le        bool // the command ends with the length of its reply
}

// ParseInit reads an INITIALIZE command (80 50), with or without its last byte Le, whose
// value is not looked at.
func ParseInit(b []byte) (c Init, err error) {
	if len(b) < 5 || b[0] != 0x80 || b[1] != 0x50 {
		return c, fmt.Errorf("%w: not INITIALIZE", ErrCommand)
	}
	c.Operation, c.Purse = Operation(b[2]), Purse(b[3])
	if err := c.check(); err != nil {
		return Init{}, err
	}
	size := 11
	if c.Operation == OpOverdraft {
		size = 7
	}
	data, le, err := command(b, [4]byte(b[:4]), size)
	if err != nil {
		return Init{}, err
	}
	c.KeyIndex, c.Le = data[0], le
	if c.Operation != OpOverdraft {
		c.Amount = binary.BigEndian.Uint32(data[1:])
	}
	copy(c.Terminal[:], data[size-6:])
	return c, nil
}

// check refuses purses and operations that no card has: only the ED has unload and overdraft,
// only the EP has compound purchase.
func (c *Init) check() error {
	ok := c.Operation.valid() && (c.Purse == ED || c.Purse == EP)
	switch c.Operation {
	case OpUnload, OpOverdraft:
		ok = ok && c.Purse == ED
	case OpCompound:
		ok = ok && c.Purse == EP
	}
	if !ok {
		return fmt.Errorf("%w: INITIALIZE with P1 %02x, P2 %02x", ErrCommand,
			uint8(c.Operation), uint8(c.Purse))
	}
	return nil
}

// Type returns the transaction type of the command's MACs. A cash withdrawal has the same
// command as a purchase of the ED; its type is CashED, which only the terminal knows.
func (c *Init) Type() Type {
	switch c.Operation {
	case OpLoad:
		return LoadED + Type(c.Purse-ED)
	case OpPurchase:
		return PurchaseED + Type(c.Purse-ED)
	case OpCompound:
		return Compound
	case OpUnload:
		return UnloadED
	default:
		return Overdraft
	}
}

// Append appends the command to dst.
func (c *Init) Append(dst []byte) []byte {
	dst = append(dst, 0x80, 0x50, byte(c.Operation), byte(c.Purse))
	reply := byte(0x10)
	switch c.Operation {
	case OpOverdraft:
		dst = append(dst, 7, c.KeyIndex)
		dst = append(dst, c.Terminal[:]...)
		return appendLe(dst, c.Le, 0x13)
	case OpPurchase, OpCompound:
		reply = 0x0f
	}
	dst = append(dst, 11, c.KeyIndex)
	dst = binary.BigEndian.AppendUint32(dst, c.Amount)
	dst = append(dst, c.Terminal[:]...)
	return appendLe(dst, c.Le, reply)
}

// InitReply is the card's answer to INITIALIZE, without its status word. Load and unload
// have MAC1, purchase has the overdraft limit, overdraft update both.
type InitReply struct {
	Balance    uint32 // fen, before
	Counter    uint16 // online or offline, before it grows
	Limit      uint32 // overdraft limit, fen, 3 bytes
	KeyVersion uint8
	Algorithm  uint8
	Random     [4]byte
	MAC1       [4]byte
}

// layout returns the length of the reply, and whether it has a limit and MAC1.
func (o Operation) layout() (size int, limit, mac bool) {
	switch o {
	case OpPurchase, OpCompound:
		return 15, true, false
	case OpOverdraft:
		return 19, true, true
	default:
		return 16, false, true
	}
}

// ParseInitReply reads the data of the reply to INITIALIZE for an operation.
func ParseInitReply(o Operation, b []byte) (r InitReply, err error) {
	size, limit, mac := o.layout()
	if !o.valid() || len(b) != size {
		return r, fmt.Errorf("%w: %d bytes to INITIALIZE with P1 %02x, want %d", ErrReply,
			len(b), uint8(o), size)
	}
	r.Balance, r.Counter = binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:])
	b = b[6:]
	if limit {
		r.Limit, b = uint24(b), b[3:]
	}
	r.KeyVersion, r.Algorithm = b[0], b[1]
	copy(r.Random[:], b[2:])
	if mac {
		copy(r.MAC1[:], b[6:])
	}
	return r, nil
}

// Append appends the reply for an operation to dst.
func (r *InitReply) Append(dst []byte, o Operation) []byte {
	_, limit, mac := o.layout()
	dst = binary.BigEndian.AppendUint32(dst, r.Balance)
	dst = binary.BigEndian.AppendUint16(dst, r.Counter)
	if limit {
		dst = append24(dst, r.Limit)
	}
	dst = append(dst, r.KeyVersion, r.Algorithm)
	dst = append(dst, r.Random[:]...)
	if mac {
		dst = append(dst, r.MAC1[:]...)
	}
	return dst
}

// Values fills what an INITIALIZE command and its reply say about a transaction. A MAC1 of
// load can be verified with it; date, time and sequence number come from the host or the
// terminal.
func (c *Init) Values(r *InitReply) Values {
	v := Values{
		Type: c.Type(), Amount: c.Amount, Terminal: c.Terminal,
		Balance: r.Balance, Counter: r.Counter, OldLimit: r.Limit,
	}
	switch c.Operation {
	case OpLoad:
		v.NewBalance = r.Balance + c.Amount
	case OpOverdraft:
		v.NewBalance = r.Balance
	default:
		v.NewBalance = r.Balance - c.Amount
	}
	return v
}

// Commit is the command that completes a transaction: CREDIT FOR LOAD, DEBIT FOR PURCHASE
// (compound too), DEBIT FOR UNLOAD, UPDATE OVERDRAFT LIMIT.
type Commit struct {
	Operation Operation
	TermSeq   uint32 // purchase only
	NewLimit  uint32 // overdraft only, fen, 3 bytes
	Date      [4]byte
	Time      [3]byte
	MAC       [4]byte // MAC1 of purchase, else MAC2
	Le        bool    // the command ends with the length of its reply
}

// commit returns the first four bytes, the length of the data and that of the reply.
func (o Operation) commit() (header [4]byte, size int, reply byte) {
	switch o {
	case OpPurchase, OpCompound:
		return [4]byte{0x80, 0x54, 0x01, 0x00}, 15, 8
	case OpUnload:
		return [4]byte{0x80, 0x54, 0x03, 0x00}, 11, 4
	case OpOverdraft:
		return [4]byte{0x80, 0x58, 0x00, 0x00}, 14, 4
	default:
		return [4]byte{0x80, 0x52, 0x00, 0x00}, 11, 4
	}
}

// ParseCommit reads the command that completes a transaction. The card tells a compound
// purchase by the INITIALIZE before: its command reads as OpPurchase.
func ParseCommit(b []byte) (c Commit, err error) {
	for _, o := range [...]Operation{OpLoad, OpPurchase, OpUnload, OpOverdraft} {
		header, size, _ := o.commit()
		if len(b) < 4 || [4]byte(b[:4]) != header {
			continue
		}
		data, le, err := command(b, header, size)
		if err != nil {
			return c, err
		}
		c.Operation, c.Le = o, le
		switch o {
		case OpPurchase:
			c.TermSeq = binary.BigEndian.Uint32(data)
		case OpOverdraft:
			c.NewLimit = uint24(data)
		}
		tail := data[size-11:]
		copy(c.Date[:], tail)
		copy(c.Time[:], tail[4:])
		copy(c.MAC[:], tail[7:])
		return c, nil
	}
	return c, fmt.Errorf("%w: not CREDIT, DEBIT or UPDATE OVERDRAFT LIMIT", ErrCommand)
}

// Append appends the command to dst.
func (c *Commit) Append(dst []byte) []byte {
	header, size, reply := c.Operation.commit()
	dst = append(append(dst, header[:]...), byte(size))
	switch c.Operation {
	case OpPurchase, OpCompound:
		dst = binary.BigEndian.AppendUint32(dst, c.TermSeq)
	case OpOverdraft:
		dst = append24(dst, c.NewLimit)
	}
	dst = append(append(append(dst, c.Date[:]...), c.Time[:]...), c.MAC[:]...)
	return appendLe(dst, c.Le, reply)
}

// Proof is what a card answers to DEBIT FOR PURCHASE (TAC, then MAC2) and to the commands
// with one value: TAC of load and overdraft, MAC3 of unload.
type Proof struct {
	TAC [4]byte // MAC3 of unload
	MAC [4]byte // MAC2 of purchase
}

// ParseProof reads the data of the reply to the command that completes a transaction.
func ParseProof(o Operation, b []byte) (p Proof, err error) {
	_, _, reply := o.commit()
	if !o.valid() || len(b) != int(reply) {
		return p, fmt.Errorf("%w: proof of %d bytes, want %d", ErrReply, len(b), reply)
	}
	copy(p.MAC[:], b[copy(p.TAC[:], b):])
	return p, nil
}

// Append appends the reply for an operation to dst.
func (p *Proof) Append(dst []byte, o Operation) []byte {
	dst = append(dst, p.TAC[:]...)
	if o == OpPurchase || o == OpCompound {
		dst = append(dst, p.MAC[:]...)
	}
	return dst
}

// GetProof is GET TRANSACTION PROVE: it asks for the proof of the transaction of a type that
// has this counter, after a torn tap. A card that has none answers StatusNoProof.
type GetProof struct {
	Type    Type
	Counter uint16
	Le      bool // the command ends with the length of its reply
}

// ParseGetProof reads a GET TRANSACTION PROVE.
func ParseGetProof(b []byte) (c GetProof, err error) {
	if len(b) < 4 || b[3] < byte(LoadED) || b[3] > byte(Compound) {
		return c, fmt.Errorf("%w: not GET TRANSACTION PROVE", ErrCommand)
	}
	data, le, err := command(b, [4]byte{0x80, 0x5a, 0x00, b[3]}, 2)
	if err != nil {
		return c, err
	}
	return GetProof{Type: Type(b[3]), Counter: binary.BigEndian.Uint16(data), Le: le}, nil
}

// Append appends the command to dst.
func (c *GetProof) Append(dst []byte) []byte {
	dst = append(dst, 0x80, 0x5a, 0x00, byte(c.Type), 2)
	dst = binary.BigEndian.AppendUint16(dst, c.Counter)
	return appendLe(dst, c.Le, 8)
}

// ParseGetProofReply reads the data of the reply to GET TRANSACTION PROVE: MAC2 before the
// TAC, the other way round than in DEBIT FOR PURCHASE; or four bytes, MAC3 or TAC alone.
func ParseGetProofReply(b []byte) (p Proof, err error) {
	switch len(b) {
	case 4:
		copy(p.TAC[:], b)
	case 8:
		copy(p.TAC[:], b[copy(p.MAC[:], b):])
	default:
		return p, fmt.Errorf("%w: proof of %d bytes, want 4 or 8", ErrReply, len(b))
	}
	return p, nil
}

// AppendGetBalance appends GET BALANCE of a purse to dst.
func AppendGetBalance(dst []byte, p Purse) []byte {
	return append(dst, 0x80, 0x5c, 0x00, byte(p), 0x04)
}

// ParseBalance reads the data of the reply to GET BALANCE, in fen.
func ParseBalance(b []byte) (uint32, error) {
	if len(b) != 4 {
		return 0, fmt.Errorf("%w: balance of %d bytes, want 4", ErrReply, len(b))
	}
	return binary.BigEndian.Uint32(b), nil
}

// AppendReadRecord appends READ RECORD of record n (from 1) of a short file id (1 to 30) to
// dst.
func AppendReadRecord(dst []byte, sfi, n uint8) []byte {
	return append(dst, 0x00, 0xb2, n, sfi<<3|4, 0x00)
}

// Status is the status word at the end of a card's reply.
type Status uint16

// The status words that a purse's host handles.
const (
	StatusOK          Status = 0x9000
	StatusWrongMAC    Status = 0x9302
	StatusLowBalance  Status = 0x9401
	StatusCounterEnd  Status = 0x9402
	StatusKeyIndex    Status = 0x9403
	StatusNoProof     Status = 0x9406
	StatusConditions  Status = 0x6985
	StatusMessaging   Status = 0x6988
	statusPINTries    Status = 0x63c0
	statusPINTriesEnd Status = 0x63cf
)

// String says what the card means.
func (s Status) String() string {
	switch {
	case s == StatusOK:
		return "done"
	case s == StatusWrongMAC:
		return "wrong MAC"
	case s == StatusLowBalance:
		return "balance too low"
	case s == StatusCounterEnd:
		return "transaction counter at its end"
	case s == StatusKeyIndex:
		return "key index not supported"
	case s == StatusNoProof:
		return "no proof of that transaction"
	case s == StatusConditions:
		return "conditions of use not satisfied"
	case s == StatusMessaging:
		return "secure messaging wrong"
	case s >= statusPINTries && s <= statusPINTriesEnd:
		return fmt.Sprintf("wrong PIN, %d tries left", uint16(s&15))
	default:
		return fmt.Sprintf("status %04x", uint16(s))
	}
}

// SplitReply separates a card's reply into its data and its status word.
func SplitReply(b []byte) ([]byte, Status, error) {
	if len(b) < 2 {
		return nil, 0, fmt.Errorf("%w: %d bytes, want a status word", ErrReply, len(b))
	}
	n := len(b) - 2
	return b[:n], Status(binary.BigEndian.Uint16(b[n:])), nil
}
