// Package plant makes two sides of a day that agree but for differences that were planted, each
// with a known cause: what reconciliation is tested and measured with.
//
// The rows are those of a synthetic city: terminals with batches of purchases by synthetic
// cards. A seed and a number of rows give the same rows on every machine; a side is a
// recon.Source and may be read again. Amounts are minor units. Nothing here reads a clock or a
// disk, and no card number exists: rows have a made-up token and last four digits.
package plant

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Day is the business date of all rows.
const Day = txn.BusinessDate(20261120)

// RowsMax bounds one day.
const RowsMax = 100_000_000

// BatchRows is how many rows a terminal has in its batch.
const BatchRows = 200

// clustered are the planted rows that share one cause: a batch, a clock, a tariff, a file.
const clustered = 5

// CutOff is when the counterparty's day ends, local time.
const CutOff = 23 * time.Hour

var zone = time.FixedZone("", 8*60*60)

// City is one day. Planted differences come evenly spread over it.
type City struct {
	rows   int
	every  int // a group of differences begins every so many rows, 0 for none
	groups int
}

// New returns a day of rows with planted differences, which are rounded down to whole groups
// of each of the eight causes.
func New(rows, planted int) (*City, error) {
	c := &City{rows: rows, groups: planted / clustered}
	if c.groups > 0 {
		c.every = rows / BatchRows / c.groups * BatchRows
	}
	if rows < 1 || rows > RowsMax || c.groups > 0 && c.every < BatchRows {
		return nil, fmt.Errorf("%d rows with %d differences: want 1 to %d rows, %d for each difference",
			rows, planted, RowsMax, BatchRows/clustered)
	}
	return c, nil
}

// Causes are what is planted, in turn.
func Causes() []recon.Cause { return recon.Causes()[:8] }

// Planted returns how many differences of each cause there are.
func (c *City) Planted() map[recon.Cause]int {
	n := map[recon.Cause]int{}
	for g := range c.groups {
		n[Causes()[g%8]] += clustered
	}
	return n
}

// causeAt is the cause that is planted at a row, "" for none, and the number in its group. A
// group takes the last rows of a batch, a missing batch is one of its own.
func (c *City) causeAt(i int) (recon.Cause, int) {
	if c.every == 0 {
		return "", 0
	}
	g, n := i/c.every, i%c.every
	if g >= c.groups || n >= clustered {
		return "", 0
	}
	return Causes()[g%8], n
}

// fill makes the row as both sides would have it.
func (c *City) fill(i int, r *recon.Row) {
	h := mix(uint64(i))
	terminal, n := i/BatchRows, i%BatchRows
	at := time.Date(2026, 11, 20, 6, 0, 0, 0, zone).Add(
		time.Duration(n) * 5 * time.Minute).Add(time.Duration(h%280) * time.Second)
	*r = recon.Row{Amount: int64(100 + h>>20%900), Currency: txn.CNY, Date: Day,
		At: txn.MillisOf(at), Received: txn.MillisOf(at) + 300}
	r.Text[recon.ID] = "r" + strconv.Itoa(i)
	r.Text[recon.Kind] = txn.BankPurchase.String()
	r.Text[recon.Status] = txn.Approved.String()
	r.Text[recon.Last4] = pad(int(h>>40%10_000), 4)
	r.Text[recon.Terminal] = "T" + pad(terminal, 7)
	r.Text[recon.Batch] = "000001"
	r.Text[recon.STAN] = pad(n+1, 6)
	r.Text[recon.RRN] = "R" + pad(i, 11)
	r.Text[recon.Merchant] = "M" + pad(terminal/10, 14)
	r.Text[recon.Operator] = "OP" + strconv.Itoa(terminal%7)
	r.Text[recon.Line] = strconv.Itoa(terminal % 40)
}

// mix spreads the bits of a number (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func pad(n, width int) string {
	b := make([]byte, width)
	for i := width - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b)
}

// side is one side of a city.
type side struct {
	*City
	of   recon.Side
	copy bool // the file that was sent twice
}

// Ours returns the ledger's side.
func (c *City) Ours() recon.Source { return &side{City: c, of: recon.Ours} }

// Theirs returns the counterparty's files: the day, and one that repeats a part of it.
func (c *City) Theirs() []recon.Source {
	sources := []recon.Source{&side{City: c, of: recon.Theirs}}
	if c.Planted()[recon.DuplicateFile] > 0 {
		sources = append(sources, &side{City: c, of: recon.Theirs, copy: true})
	}
	return sources
}

// Name implements recon.Source.
func (s *side) Name() string {
	switch {
	case s.of == recon.Ours:
		return "ledger"
	case s.copy:
		return "again.txt"
	default:
		return "clearing.txt"
	}
}

// Rows implements recon.Source.
func (s *side) Rows(ctx recon.Context, yield func(*recon.Row) error) error {
	var r recon.Row
	for i := range s.rows {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		cause, n := s.causeAt(i)
		if s.copy && cause != recon.DuplicateFile {
			continue
		}
		s.fill(i, &r)
		present := true
		if cause != "" {
			present = s.plant(cause, n, &r)
		}
		if !present {
			continue
		}
		if err := yield(&r); err != nil {
			return err
		}
	}
	return nil
}

// plant changes a row of one side, and reports whether the side has it. The rows of a group are
// the first of their terminal's day; a missing batch is a batch of its own.
func (s *side) plant(cause recon.Cause, n int, r *recon.Row) bool {
	ours, minute := s.of == recon.Ours, txn.Millis(60_000)
	switch cause {
	case recon.LateUpload: // the terminal came a day later; the file is without it
		r.Received = r.At + 26*60*minute
		r.Marks |= recon.Offline
		return ours
	case recon.ListLag: // served from an old list; the issuer refuses it
		if ours {
			r.Marks |= recon.Exposed | recon.Offline
			return true
		}
		r.Text[recon.Status] = txn.Declined.String()
	case recon.StanReuse: // the terminal began its numbers again; they took it for a repeat
		r.Text[recon.STAN] = pad(100+n, 6)
		return ours
	case recon.CutOffShift: // served as their day ended, booked to the next
		end := time.Date(2026, 11, 20, 23, 0, n+1, 0, zone)
		r.At, r.Received = txn.MillisOf(end), txn.MillisOf(end)+300
		if !ours {
			r.Date = Day.Next()
		}
	case recon.TariffVersion: // they still price by the tariff of before
		r.Amount = 400
		if !ours {
			r.Amount = 350
		}
	case recon.ClockSkew: // the terminal's clock is 47 minutes behind the host's
		if !ours {
			r.At += 47*minute + txn.Millis(n*1000)
		}
	case recon.MissingBatch: // one upload of the terminal never reached them
		r.Text[recon.Batch] = "000002"
		return ours
	}
	return true
}

// Plan reconciles the city.
func Plan() *recon.Plan {
	return &recon.Plan{Name: "city", Owner: "clearing", Zone: zone, CutOff: CutOff,
		Rules: []recon.Rule{
			{Name: "rrn", Key: []recon.Field{recon.RRN, recon.Terminal}, Time: 10 * time.Minute},
			{Name: "trace", Key: []recon.Field{recon.Terminal, recon.Batch, recon.STAN, recon.Last4},
				Time: 10 * time.Minute},
		},
		Identity: [][]recon.Field{{recon.RRN, recon.Terminal},
			{recon.Terminal, recon.STAN, recon.Last4}}}
}
