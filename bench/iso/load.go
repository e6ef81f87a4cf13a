package iso

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Bounds of Load.
const (
	// ConnectionsMax is more than one thread serves well.
	ConnectionsMax = 4 << 10
	// InFlightMax bounds the unanswered requests of an open loop: what is due then waits,
	// and the wait counts. Trace numbers in flight stay unique below it.
	InFlightMax = 64 << 10
	// drainDefault is how long answers are waited for by default.
	drainDefault = 10 * time.Second
)

// Request numbers one request of a load.
type Request struct {
	// N counts from 0, STAN from 1 to 999999 and again; Connection from 0.
	N          uint64
	STAN       uint32
	Connection int
	// Sent is field 7, MMDDhhmmss, RRN field 37.
	Sent [10]byte
	RRN  [12]byte
	// MAC makes the message's; nil for none.
	MAC *mac.MAC
}

// finish ends a message, with its MAC where there is one.
func (r *Request) finish(w *message.Writer) ([]byte, error) {
	if r.MAC != nil {
		return w.FinishMAC(r.MAC)
	}
	return w.Finish()
}

// Load says what is sent how. Addr, Format, Connections and Duration are needed.
type Load struct {
	Addr        string
	Format      Format
	Connections int
	// InFlight is how many requests are unanswered at a time in all, Connections by default.
	// It is shared out evenly; a load of fewer than Connections leaves connections idle. An
	// open loop does not look at it.
	InFlight int
	// Rate is how many requests are due a second; 0 sends when an answer has come.
	Rate float64
	// Duration is how long requests are sent, Warmup how much of that is not measured.
	Duration, Warmup time.Duration
	// Drain is how long answers are waited for in the end, 10 s by default.
	Drain time.Duration
	// Slice is the grid of Result.Slices; 0 for none.
	Slice time.Duration
	// Begin is field 7 of the first request, by default the present.
	Begin time.Time
	// MAC is made for every request, and every answer must have its own; nil for neither.
	MAC *mac.MAC
	// Make writes the request, Purchase by default: into dst, without the length. An error
	// ends the load. It must put r.STAN into field 11; an answer is also held against
	// r.Sent when it has field 7.
	Make func(w *message.Writer, dst []byte, s *message.Spec, r *Request) ([]byte, error)
}

// Result is what a load measured. Good are answers with response code 00, of the type of
// the request; Refused those with another code; Failed those that never came.
type Result struct {
	load.Result
	// Stray counts answers that fit no request in flight on their connection.
	Stray int64
}

// AllGood returns an error when any answer was not good or fitted no request.
func (r *Result) AllGood() error {
	if r.Stray > 0 {
		return fmt.Errorf("iso load: %d answers fit no request", r.Stray)
	}
	return r.Result.AllGood()
}

// ErrLoad reports a load that makes no sense.
var ErrLoad = errors.New("iso load")

// RunLoad sends requests and waits for their answers. One thread with one epoll drives
// all connections, any number of requests is in flight on each, and answers are matched by
// trace number and transmission time on the connection that they come on. In an open loop
// latency counts from when a request was due. An error says that it could not measure.
func RunLoad(ctx context.Context, o Load) (*Result, error) {
	if o.InFlight == 0 {
		o.InFlight = o.Connections
	}
	switch {
	case o.Connections < 1 || o.Connections > ConnectionsMax:
		return nil, fmt.Errorf("%w: %d connections: want 1 to %d", ErrLoad, o.Connections,
			ConnectionsMax)
	case o.InFlight < 0 || o.InFlight > InFlightMax:
		return nil, fmt.Errorf("%w: %d in flight: want 1 to %d", ErrLoad, o.InFlight,
			InFlightMax)
	case o.Rate < 0 || o.Duration <= 0 || o.Warmup < 0 || o.Warmup >= o.Duration:
		return nil, fmt.Errorf("%w: rate %g for %s with %s of warm-up makes no sense", ErrLoad,
			o.Rate, o.Duration, o.Warmup)
	}
	spec, err := o.Format.spec()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLoad, err)
	}
	if o.Drain == 0 {
		o.Drain = drainDefault
	}
	if o.Begin.IsZero() {
		o.Begin = time.Now()
	}
	if o.Make == nil {
		o.Make = Purchase
	}
	return runLoad(ctx, &o, spec)
}

// cards is how many card numbers a load uses in turn.
const cards = 1_000_000

// Purchase writes a purchase of ISO 8583:1987 as an acquirer sends it, with the fields of the
// format that the switch forwards. Card numbers are made up by counting and begin with 622260.
func Purchase(w *message.Writer, dst []byte, s *message.Spec, r *Request) ([]byte, error) {
	return acquired(w, dst, s, r, "000000")
}

// Inquiry writes a balance inquiry in the same form.
func Inquiry(w *message.Writer, dst []byte, s *message.Spec, r *Request) ([]byte, error) {
	return acquired(w, dst, s, r, "310000")
}

func acquired(w *message.Writer, dst []byte, s *message.Spec, r *Request, code string,
) ([]byte, error) {
	var card [16]byte
	w.TPDU = message.NewTPDU(1, uint16(r.Connection))
	if s.Envelope() == message.CUPSHead && w.CUPS == (message.CUPSHeader{}) {
		var err error
		if w.CUPS, err = message.NewCUPSHeader("00010000", "10000001"); err != nil {
			return dst, err
		}
	}
	w.Begin(dst, s, message.FinancialRequest)
	w.Put(2, cardNumber(&card, r.N%cards))
	w.Put(3, []byte(code))
	w.PutNumber(4, int64(100+r.N%5000))
	w.Put(7, r.Sent[:])
	w.PutNumber(11, int64(r.STAN))
	w.Put(12, r.Sent[4:])
	w.Put(13, r.Sent[:4])
	w.Put(14, []byte("3012"))
	w.Put(18, []byte("4111"))
	w.Put(22, []byte("071"))
	w.Put(25, []byte("00"))
	w.Put(32, []byte("10000001"))
	w.Put(37, r.RRN[:])
	w.Put(41, terminalID(r.Connection))
	w.Put(42, []byte("898000000000001"))
	w.Put(49, []byte("156"))
	return r.finish(w)
}

// TerminalPurchase writes a purchase as a UnionPay terminal sends it, without a MAC: format
// cup_pos. Batch 000001.
func TerminalPurchase(w *message.Writer, dst []byte, s *message.Spec, r *Request,
) ([]byte, error) {
	var card [16]byte
	w.TPDU = message.NewTPDU(1, uint16(r.Connection))
	w.Header = message.Header{0x60, 0x31, 0x00, 0x31, 0x10, 0x03}
	w.Begin(dst, s, message.FinancialRequest)
	w.Put(2, cardNumber(&card, r.N%cards))
	w.Put(3, []byte("000000"))
	w.PutNumber(4, int64(100+r.N%5000))
	w.PutNumber(11, int64(r.STAN))
	w.Put(14, []byte("3012"))
	w.Put(22, []byte("071"))
	w.Put(25, []byte("00"))
	w.Put(41, terminalID(r.Connection))
	w.Put(42, []byte("898000000000001"))
	w.Put(49, []byte("156"))
	w.Put(60, []byte("22000001"))
	return w.Finish()
}

// terminalID returns the terminal of a connection.
func terminalID(connection int) []byte {
	id := []byte("T0000000")
	putDigits(id[1:], uint64(connection))
	return id
}

// cardNumber writes made-up card number n with its check digit (ISO/IEC 7812-1).
func cardNumber(to *[16]byte, n uint64) []byte {
	copy(to[:], "622260")
	putDigits(to[6:15], n)
	sum := 0
	for i, c := range to[:15] {
		d := int(c - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	to[15] = '0' + byte((10-sum%10)%10)
	return to[:]
}

// putDigits fills b with the last digits of n.
func putDigits(b []byte, n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = '0' + byte(n%10)
		n /= 10
	}
}
