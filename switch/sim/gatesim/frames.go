package gatesim

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// frames uploads as POST /v1/uploads: binary frames with TACs and degraded modes.
type frames struct {
	link  *link
	world *World
	gate  int
	boot  uint32
	// ahead is how much the gate's clock is ahead of the machine's.
	ahead func() txn.Millis
	// book is the gate's, for its own totals.
	book *book
}

var _ Uplink = (*frames)(nil)

const (
	framePath  = "/v1/uploads"
	frameMedia = "application/vnd.tapswitch.frame"
)

// Upload implements Uplink. A batch is named by its first record, so that one that is sent
// again is known.
func (u *frames) Upload(ctx context.Context, records []Record) ([]ack, error) {
	if len(records) > frame.RecordsMax {
		records = records[:frame.RecordsMax]
	}
	id := &u.world.Identities[u.gate]
	total, sum := u.totals(records)
	up := frame.Upload{Header: frame.Header{Terminal: id.ID, Boot: u.boot, Batch: records[0].Seq,
		BatchRecords: uint32(len(records)), First: uint64(records[0].Number),
		TotalRecords: uint64(total), TotalSum: uint64(sum),
		SentAt: time.Now().UnixMilli() + int64(u.ahead())}}
	for i := range records {
		up.Taps = append(up.Taps, u.tap(&records[i]))
	}
	body, err := up.Frame()
	if err != nil {
		return nil, fmt.Errorf("gate %s: upload: %w", id.ID, err)
	}
	a, err := u.link.ask(ctx, question{path: framePath, body: body, media: frameMedia})
	if err != nil {
		return nil, err
	}
	return readFates(a.body, records)
}

// totals are what the gate has counted up to these records: they never go back, also where
// what was torn is sent once more.
func (u *frames) totals(records []Record) (number int, sum txn.Minor) {
	if u.book != nil {
		number, sum = u.book.Sent, u.book.SentFen
	}
	for i := range records {
		number, sum = max(number, records[i].Number), max(sum, records[i].Sum)
	}
	return number, sum
}

// tap is a record as it is uploaded.
func (u *frames) tap(r *Record) frame.Tap {
	id, card := &u.world.Identities[u.gate], u.world.cardOf(u.gate, r.Card)
	number, maker := u.world.psam(u.gate), issuer()
	date, clock := bcdTime(r.At)
	t := frame.Tap{Kind: cmp.Or(r.Kind, kindBoard), TTI: uint8(purse.PurchaseEP),
		Card: frame.Digits(u.world.number(card).Digits()), Issuer: hex.EncodeToString(maker[:]),
		PSAM: hex.EncodeToString(number[:]), TermSeq: r.Seq, Counter: r.Counter,
		Amount: uint32(r.Amount), Fare: uint32(r.Fare), Before: uint32(r.Before),
		At:         hex.EncodeToString(date[:]) + hex.EncodeToString(clock[:]),
		KeyVersion: keyVersion, KeyIndex: keyIndex,
		ListEpoch: r.Epoch, Line: id.Line, Station: id.Station, Flags: flagsOf(r),
		Mode: r.Mode, Metres: r.Metres, EntryStation: r.From, EntryAt: uint32(r.FromAt / 1000)}
	if r.Business {
		t.Travel = price.Business.String()
	}
	if !r.Grey {
		t.TAC = hex.EncodeToString(r.TAC[:])
	}
	if r.Known {
		t.ClockOffset = &r.Offset
	}
	return t
}

// flagsOf names what was special about a record.
func flagsOf(r *Record) (flags []string) {
	switch {
	case r.Grey:
		flags = append(flags, "grey")
	case r.Proved:
		flags = append(flags, "proved")
	}
	for _, m := range disruption.Modes() {
		switch {
		case !r.Modes.Has(m):
		case m == disruption.EntryExitWaived:
			flags = append(flags, "order_waived")
		default:
			flags = append(flags, m.String())
		}
	}
	return flags
}

// fates is the answer to a frame: a letter for each record, and words for the exceptions.
type fates struct {
	States     string
	Exceptions []struct {
		Index         int `json:"i"`
		State, Reason string
	}
}

// rejections are the reasons for which a record is rejected; for the others it is held.
func rejections() []string {
	return []string{"malformed", "tac_wrong", "too_old", "not_permitted", "declined", reasonNotDebited,
		"by_person", "gate_declined", "card_invalid", "card_unknown"}
}

// readFates reads the answer to a frame. A repeat of a record that was rejected or is held is
// that.
func readFates(body []byte, records []Record) ([]ack, error) {
	var f fates
	if err := json.Unmarshal(body, &f); err != nil || len(f.States) != len(records) {
		return nil, fmt.Errorf("%w: %d fates for %d records", errNoNetwork, len(f.States), len(records))
	}
	reasons := make([]string, len(records))
	for _, e := range f.Exceptions {
		if e.Index >= 0 && e.Index < len(reasons) {
			reasons[e.Index] = e.Reason
		}
	}
	var acks []ack
	for i, letter := range f.States {
		a := ack{Seq: records[i].Seq, Reason: reasons[i]}
		switch {
		case !strings.ContainsRune("adrh", letter):
			continue // to be sent again
		case letter == 'a':
			a.Fate = fateAccepted
		case letter == 'd' && (a.Reason == "" || a.Reason == string(askLease)):
			a.Fate = fateKnown
		case slices.Contains(rejections(), a.Reason):
			a.Fate = fateRejected
		default:
			a.Fate = fateHeld
		}
		acks = append(acks, a)
	}
	return acks, nil
}
