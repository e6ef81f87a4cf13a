package bench

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	tapsPath    = "/v1/taps"
	batchPath   = "/v1/taps:batch"
	loadsPath   = "/v1/loads"
	callMax     = 60 * time.Second
	enrolMax    = gate.BatchMax
	purse       = 200_000 // fen that each card is given
	fullFare    = 200
	charged     = 190
	requestSize = 640 // room for one tap as it goes on the wire
)

// approved is what the body of an approval contains.
const approved = `"outcome":"approved"`

// terminal makes signed requests. It is for one goroutine.
type terminal struct {
	id      string
	signer  *gate.Signer
	boot    uint32
	request uint32 // number of the last request
	counter uint64 // of the last signature
	// ahead is how far its clock is before the machine's.
	ahead time.Duration
}

// fleet is the terminals and cards of a run. It is for one goroutine.
type fleet struct {
	terminals []*terminal
	cards     int
	numbers   []string // given card numbers; empty counts them up
	next      uint64   // tap
	served    time.Time
	live      bool // service times are the clock's own
	// ahead is how far its clock is before the machine's; see setAhead.
	ahead     time.Duration
	free      bool // rides cost nothing: cards without money in the purse
	body, out []byte
	zone      *time.Location
}

// cardNumber returns the i-th card number of the benchmark.
func cardNumber(i int) string { return fmt.Sprintf("3104%012d", i) }

// card returns the number of card i of the fleet.
func (f *fleet) card(i int) string {
	if len(f.numbers) > 0 {
		return f.numbers[i%len(f.numbers)]
	}
	return cardNumber(i)
}

// nextCard takes the cards in an order without neighbours; each comes once in a turn.
func (f *fleet) nextCard() int {
	const stride = 7919
	i := f.next
	f.next++
	if f.cards%stride == 0 {
		return int(i % uint64(f.cards))
	}
	return int(i * stride % uint64(f.cards))
}

// tick returns the next service time. The cards' memory orders requests by it, so it
// grows; it runs ahead of the clock by less than a minute in a run.
func (f *fleet) tick() time.Time {
	if f.live {
		return time.Now().Add(f.ahead)
	}
	if now := time.Now().Add(f.ahead); f.served.Before(now.Add(-time.Second)) {
		f.served = now
	}
	f.served = f.served.Add(20 * time.Microsecond)
	return f.served
}

// appendTap appends the body of the next tap of terminal t.
func (f *fleet) appendTap(dst []byte, t *terminal, card string) []byte {
	t.request++
	dst = append(dst, `{"id":"`...)
	dst = append(append(dst, t.id...), '-')
	dst = append(strconv.AppendUint(dst, uint64(t.boot), 10), '-')
	dst = strconv.AppendUint(dst, uint64(t.request), 10)
	dst = append(dst, `","kind":"bus_boarding","card":"`...)
	dst = append(dst, card...)
	dst = append(dst, `","service_time":"`...)
	dst = f.tick().In(f.zone).AppendFormat(dst, "2006-01-02T15:04:05.000-07:00")
	dst = append(dst, `","line":"M100","full_fare":`...)
	dst = strconv.AppendInt(dst, fullFare, 10)
	dst = append(dst, `,"charged":`...)
	if f.free {
		dst = append(dst, '0')
	} else {
		dst = strconv.AppendInt(dst, charged, 10)
	}
	return append(dst, `,"list_epoch":1234,"vehicle":"B-10234","station":"Civic Centre North"}`...)
}

// appendLoad appends the body of a purse load.
func (f *fleet) appendLoad(dst []byte, t *terminal, card string) []byte {
	t.request++
	return fmt.Appendf(dst, `{"id":"%s-%d-%d","card":"%s","amount":%d,"service_time":"%s"}`,
		t.id, t.boot, t.request, card, purse,
		f.tick().In(f.zone).Format("2006-01-02T15:04:05.000-07:00"))
}

// sign appends a whole POST of t with body.
func (t *terminal) sign(dst []byte, path string, body []byte) []byte {
	return t.signed(dst, "POST", path, body)
}

// signed appends a whole signed request of t.
func (t *terminal) signed(dst []byte, method, path string, body []byte) []byte {
	t.counter++
	at := gate.Stamp{At: txn.MillisOf(time.Now().Add(t.ahead)), Counter: t.counter}
	dst = append(append(append(dst, method...), ' '), path...)
	dst = append(dst, " HTTP/1.1\r\nHost: tapswitch\r\nContent-Type: application/json\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(append(dst, "\r\n"+gate.HeaderTerminal+": "...), t.id...)
	dst = append(dst, "\r\n"+gate.HeaderTimestamp+": "...)
	dst = strconv.AppendInt(dst, int64(at.At), 10)
	dst = append(dst, "\r\n"+gate.HeaderCounter+": "...)
	dst = strconv.AppendUint(dst, at.Counter, 10)
	dst = append(dst, "\r\n"+gate.HeaderSignature+": "...)
	dst = append(dst, t.signer.Sign(method, path, body, at)...)
	return append(append(dst, "\r\n\r\n"...), body...)
}

// setAhead puts the clocks of the fleet and its terminals before the machine's.
func (f *fleet) setAhead(d time.Duration) {
	f.ahead = d
	for _, t := range f.terminals {
		t.ahead = d
	}
}

// taps returns n signed taps, over all terminals in turn.
func (f *fleet) taps(n int) *load.Requests {
	all := load.NewRequests(n, requestSize)
	for i := range n {
		t := f.terminals[i%len(f.terminals)]
		all.Add(f.tap(t, f.card(f.nextCard())))
	}
	return all
}

// tap returns one signed tap, valid until the next call.
func (f *fleet) tap(t *terminal, card string) []byte {
	f.body = f.appendTap(f.body[:0], t, card)
	f.out = t.sign(f.out[:0], tapsPath, f.body)
	return f.out
}

// loads returns a signed purse load for every card.
func (f *fleet) loads() *load.Requests {
	all := load.NewRequests(f.cards, requestSize)
	for i := range f.cards {
		t := f.terminals[i%len(f.terminals)]
		f.body = f.appendLoad(f.body[:0], t, f.card(i))
		f.out = t.sign(f.out[:0], loadsPath, f.body)
		all.Add(f.out)
	}
	return all
}

// batches returns n signed batches of size taps each.
func (f *fleet) batches(n, size int) *load.Requests {
	all := load.NewRequests(n, size*240)
	for i := range n {
		t := f.terminals[i%len(f.terminals)]
		f.body = append(f.body[:0], `{"taps":[`...)
		for k := range size {
			if k > 0 {
				f.body = append(f.body, ',')
			}
			f.body = f.appendTap(f.body, t, f.card(f.nextCard()))
		}
		f.body = append(f.body, "]}"...)
		f.out = t.sign(f.out[:0], batchPath, f.body)
		all.Add(f.out)
	}
	return all
}

// desk makes operator calls over one connection. It is for one goroutine.
type desk struct {
	conn  *load.Conn
	token string
}

var errDesk = errors.New("operator call")

func openDesk(ctx context.Context, addr, token string) (*desk, error) {
	c, err := load.Dial(ctx, addr, load.HTTP(""), callMax)
	if err != nil {
		return nil, err
	}
	return &desk{conn: c, token: token}, nil
}

func (d *desk) close() { _ = d.conn.Close() }

// request returns a whole operator call.
func (d *desk) request(method, path string, body []byte) []byte {
	return append(fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: tapswitch\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		method, path, d.token, len(body)), body...)
}

// call makes a call and returns the body of its answer, valid until the next call.
func (d *desk) call(method, path string, body []byte) ([]byte, error) {
	answer, err := d.conn.Do(d.request(method, path, body))
	if err != nil {
		return nil, fmt.Errorf("%w %s %s: %w", errDesk, method, path, err)
	}
	if s := load.Status(answer); s < 200 || s > 299 {
		return nil, fmt.Errorf("%w %s %s: status %d: %.300s", errDesk, method, path, s,
			load.Body(answer))
	}
	return load.Body(answer), nil
}

// register makes a terminal and returns it.
func (d *desk) register(id string) (*terminal, error) {
	body, err := d.call("PUT", "/v1/terminals/"+id, []byte(`{"operator":"BENCH","line":"M100",`+
		`"acquirer":"ACQ1","kinds":["bus_boarding","load","balance"]}`))
	if err != nil {
		return nil, err
	}
	var answer struct{ Key string }
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%w: terminal %s: %w", errDesk, id, err)
	}
	key, err := hex.DecodeString(answer.Key)
	if err != nil || len(key) == 0 {
		return nil, fmt.Errorf("%w: terminal %s exists already and its key was not told", errDesk, id)
	}
	return &terminal{id: id, signer: gate.NewSigner(id, key), boot: boot()}, nil
}

// boot is a boot number that no earlier run of a terminal had.
func boot() uint32 { return uint32(time.Now().Unix()) }

// enrol opens the cards from first up to, not including, end for riders.
func (d *desk) enrol(f *fleet, first, end int, rider string) error {
	for ; first < end; first += enrolMax {
		var b strings.Builder
		b.WriteString(`{"cards":[`)
		for i := first; i < min(end, first+enrolMax); i++ {
			if i > first {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"card":"%s","apps":["transit","purse"],"rider":"%s"}`, f.card(i), rider)
		}
		b.WriteString("]}")
		answer, err := d.call("POST", "/v1/cards:batch", []byte(b.String()))
		if err != nil {
			return err
		}
		if !strings.Contains(string(answer), `"failed":0`) {
			return fmt.Errorf("%w: some cards could not be enrolled: %.300s", errDesk, answer)
		}
	}
	return nil
}

// fleetOptions say how a fleet is set up.
type fleetOptions struct {
	addr, token      string
	terminals, cards int
}

// newFleet registers terminals, enrols cards and fills their purses.
func newFleet(ctx context.Context, o fleetOptions) (*fleet, error) {
	d, err := openDesk(ctx, o.addr, o.token)
	if err != nil {
		return nil, err
	}
	defer d.close()
	f := &fleet{cards: o.cards, zone: time.FixedZone("", 8*60*60)}
	prefix := "B" + strconv.FormatInt(int64(boot()), 36)
	for i := range o.terminals {
		t, err := d.register(fmt.Sprintf("%s_%03d", prefix, i))
		if err != nil {
			return nil, err
		}
		f.terminals = append(f.terminals, t)
	}
	if err := d.enrol(f, 0, o.cards, "ordinary"); err != nil {
		return nil, err
	}
	return f, f.fill(ctx, o.addr)
}

// fill loads the purse of every card.
func (f *fleet) fill(ctx context.Context, addr string) error {
	result, err := load.Run(ctx, load.Options{Addr: addr, Connections: len(f.terminals),
		Duration: 5 * time.Minute, Requests: f.loads(), Wire: load.HTTP(approved)})
	if err != nil {
		return fmt.Errorf("filling purses: %w", err)
	}
	if err := result.AllGood(); err != nil {
		return fmt.Errorf("filling purses: %w", err)
	}
	return nil
}
