package pos

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// The limits of a run.
const (
	// TerminalsMax is how many terminals a run has: each holds a connection.
	TerminalsMax = 4096
	// TransactionsMax is how many transactions a terminal makes: its day's trace numbers.
	TransactionsMax = 100_000
	// CardsMax is how many cards there are.
	CardsMax = 1 << 20
	// ContradictionsMax is how many contradictions are told in words; all are counted.
	ContradictionsMax = 100
)

// Kind is what a transaction is.
type Kind uint8

// The kinds.
const (
	Purchase Kind = iota
	Void
	Refund
	PreAuth
	PreAuthVoid
	Completion
	CompletionVoid
	CompletionAdvice
	OfflineSale
	Balance
	// Adjust and Tip give an earlier sale another amount.
	Adjust
	Tip
	// Load loads a purse from a bank card, CashLoad against cash.
	Load
	CashLoad
	kindEnd
)

var kindNames = [kindEnd]string{"purchase", "void", "refund", "pre_auth", "pre_auth_void",
	"completion", "completion_void", "completion_advice", "offline_sale", "balance", "adjust", "tip", "load",
	"cash_load"}

// String returns the name as in reports and mixes.
func (k Kind) String() string { return kindNames[min(k, kindEnd-1)] }

// MarshalText returns String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what String prints.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("kind of transaction %q: want one of %v", text, kindNames)
}

// Mix says how often each kind comes, as weights. A void, refund or completion for which the
// book has no original becomes a purchase or a pre-authorization.
type Mix map[Kind]int

// DefaultMix is a shop's day.
func DefaultMix() Mix {
	return Mix{Purchase: 55, Void: 8, Refund: 6, PreAuth: 10, PreAuthVoid: 3, Completion: 5,
		CompletionVoid: 1, CompletionAdvice: 2, OfflineSale: 4, Balance: 6}
}

// CityMix is the day of a shop that loads purses and whose guests tip. It needs Purses.
func CityMix() Mix {
	m := DefaultMix()
	m[Adjust], m[Tip], m[Load], m[CashLoad] = 3, 5, 6, 6
	return m
}

// Faults are what a terminal does wrong on purpose, in 1/10,000 of its sales.
type Faults struct {
	// DropConnection closes the connection behind the request.
	DropConnection int `json:"drop_connection,omitempty"`
	// Repeat sends a request that has been answered again; the answer must be the same.
	Repeat int `json:"repeat,omitempty"`
	// Duplicate sends a request two times at once.
	Duplicate int `json:"duplicate,omitempty"`
}

// Options say what a run is. Target and Cards are needed.
type Options struct {
	// Target is host:port of the switch.
	Target string
	// Spec and Framing are the link's, default cup_pos and two bytes of length. TPDU
	// defaults to 6000030000, Header to 603100311003.
	Spec    *message.Spec
	Framing message.Framing
	TPDU    message.TPDU
	Header  message.Header
	// Terminals is how many there are, numbered from FirstTerminal (default 1), Transactions
	// how many each makes.
	Terminals     int
	FirstTerminal int
	Transactions  int
	// Merchant is field 42, default 898310041110001; all terminals have one.
	Merchant string
	// Rate is how many transactions a second all terminals start together, whether answers
	// come or not; latency is counted from the time a transaction should have started. 0 is
	// one after the other without a pause.
	Rate float64
	Mix  Mix
	// Cards are the cards that come to the tills. AmountMin and AmountMax bound a sale,
	// default 1.00 and 500.00; Amounts, when there are any, are taken in turn instead.
	Cards                []pan.Number
	AmountMin, AmountMax int64
	Amounts              []int64
	// Purses are the purses that are loaded. LoadMax bounds a load, default 100.00.
	Purses  []pan.Number
	LoadMax int64
	// TipPercent is how far tips go, default 15.
	TipPercent int64
	// Downloads has each terminal get its parameters, the black list, the public keys and
	// the applications after its first sign-on; what the host does not offer is left out.
	Downloads bool
	Seed      uint64
	// MasterKey is the test key that working keys are opened with, 16 bytes; without one no
	// message has a MAC. Network is the kind of sign-on: 001, 003 (default) or 004.
	MasterKey []byte
	Network   string
	// PIN is the PIN of every card; with it and working keys sales carry a PIN block.
	PIN string
	// Batch is the batch number to begin with where the host gives none, default 1.
	Batch int
	// Timeout is how long a terminal waits for an answer, default 60 s; then a reversal or a
	// repeat goes out, every RetryDelay (default 1 s), at most RetriesMax times (default 60).
	Timeout    time.Duration
	RetryDelay time.Duration
	RetriesMax int
	Faults     Faults
	// Now is the clock of fields 12 and 13, default time.Now. Dial opens connections, default
	// net.Dialer.
	Now  func() time.Time
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// ErrOptions is what every refusal of Options is.
var ErrOptions = errors.New("terminals cannot be set up")

// complete checks o and fills the defaults in.
func (o *Options) complete() error {
	if o.Spec == nil {
		s, err := message.Named("cup_pos")
		if err != nil {
			return err
		}
		o.Spec = s
	}
	if o.Spec.Dialect() != message.POS {
		return fmt.Errorf("%w: spec %s is not one of terminals", ErrOptions, o.Spec.Name())
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.fillIn()
	return o.check()
}

func (o *Options) fillIn() {
	if o.TPDU == (message.TPDU{}) {
		o.TPDU = message.NewTPDU(3, 0)
	}
	if o.Header == (message.Header{}) {
		o.Header = message.Header{0x60, 0x31, 0x00, 0x31, 0x10, 0x03}
	}
	if o.Mix == nil {
		o.Mix = DefaultMix()
	}
	orElse(&o.FirstTerminal, 1)
	orElse(&o.Merchant, "898310041110001")
	orElse(&o.AmountMin, 100)
	orElse(&o.AmountMax, max(50_000, o.AmountMin))
	orElse(&o.Network, "003")
	orElse(&o.LoadMax, 10_000)
	orElse(&o.TipPercent, 15)
	orElse(&o.Batch, 1)
	orElse(&o.Timeout, time.Minute)
	orElse(&o.RetryDelay, time.Second)
	orElse(&o.RetriesMax, 60)
}

func orElse[T comparable](to *T, value T) {
	var zero T
	if *to == zero {
		*to = value
	}
}

func (o *Options) check() error {
	switch {
	case o.Target == "":
		return fmt.Errorf("%w: no target", ErrOptions)
	case o.Terminals < 1 || o.Terminals > TerminalsMax:
		return fmt.Errorf("%w: %d terminals, allowed are 1 to %d", ErrOptions, o.Terminals,
			TerminalsMax)
	case o.Transactions < 0 || o.Transactions > TransactionsMax:
		return fmt.Errorf("%w: %d transactions, allowed are 0 to %d", ErrOptions, o.Transactions,
			TransactionsMax)
	case len(o.Cards) == 0 || len(o.Cards) > CardsMax:
		return fmt.Errorf("%w: %d cards, allowed are 1 to %d", ErrOptions, len(o.Cards), CardsMax)
	case o.AmountMin < 1 || o.AmountMax < o.AmountMin || o.AmountMax > message.AmountMax:
		return fmt.Errorf("%w: amounts from %d to %d", ErrOptions, o.AmountMin, o.AmountMax)
	case o.Rate < 0:
		return fmt.Errorf("%w: rate %v", ErrOptions, o.Rate)
	}
	return errors.Join(o.checkIdentity(), o.checkMix())
}

// checkIdentity checks who the terminals are and how they sign on.
func (o *Options) checkIdentity() error {
	switch {
	case o.Batch < 1 || o.Batch > 999_999 || len(o.Merchant) > 15:
		return fmt.Errorf("%w: batch %d or merchant %q", ErrOptions, o.Batch, o.Merchant)
	case o.FirstTerminal < 0 || o.FirstTerminal+o.Terminals > 100_000_000:
		return fmt.Errorf("%w: first terminal %d", ErrOptions, o.FirstTerminal)
	case o.MasterKey != nil && len(o.MasterKey) != 16:
		return fmt.Errorf("%w: the master key has %d bytes, want 16", ErrOptions, len(o.MasterKey))
	case o.Network != "001" && o.Network != "003" && o.Network != "004":
		return fmt.Errorf("%w: sign-on %q, want 001, 003 or 004", ErrOptions, o.Network)
	}
	return nil
}

// checkMix checks that something can be drawn.
func (o *Options) checkMix() error {
	sum := 0
	for k, weight := range o.Mix {
		if weight < 0 || weight > 1_000_000 || k >= kindEnd {
			return fmt.Errorf("%w: weight %d of %v", ErrOptions, weight, k)
		}
		sum += weight
	}
	if sum == 0 {
		return fmt.Errorf("%w: the mix is empty", ErrOptions)
	}
	if o.Mix[Load]+o.Mix[CashLoad] > 0 && len(o.Purses) == 0 {
		return fmt.Errorf("%w: loads without purses", ErrOptions)
	}
	if o.LoadMax < 1 || o.LoadMax > message.AmountMax || o.TipPercent < 1 || o.TipPercent > 100 {
		return fmt.Errorf("%w: loads up to %d, tips up to %d %%", ErrOptions, o.LoadMax, o.TipPercent)
	}
	return nil
}

// terminalID returns field 41 of the terminal with an index.
func (o *Options) terminalID(index int) string {
	return fmt.Sprintf("%08d", o.FirstTerminal+index)
}

// Cards makes card numbers of 16 digits with a right check digit, each for every BIN in turn.
// The same seed makes the same numbers. They are made up; take BINs set aside for tests.
func Cards(bins []string, count int, seed uint64) ([]pan.Number, error) {
	if len(bins) == 0 || count < 1 || count > CardsMax {
		return nil, fmt.Errorf("%w: %d cards of %d BINs", ErrOptions, count, len(bins))
	}
	const digits = 16
	random := rand.New(rand.NewPCG(seed, 0xCA4D))
	out := make([]pan.Number, 0, count)
	for i := range count {
		bin := bins[i%len(bins)]
		if len(bin) < 4 || len(bin) > 12 {
			return nil, fmt.Errorf("%w: a BIN has 4 to 12 digits", ErrOptions)
		}
		number := []byte(bin)
		for len(number) < digits-1 {
			number = append(number, '0'+byte(random.IntN(10)))
		}
		for check := byte('0'); check <= '9'; check++ {
			n, err := pan.Parse(string(append(number, check)))
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrOptions, err)
			}
			if n.Luhn() {
				out = append(out, n)
			}
		}
	}
	return out, nil
}

// WriteTerminals writes the terminals of o as the CSV file that the switch reads: terminal,
// merchant, mcc, payee (empty: the merchant's own account), master_key. keyName is the name
// of the master key in the switch's key ring, "" for terminals without keys.
func WriteTerminals(w io.Writer, o Options, keyName string) error {
	o.fillIn()
	out := csv.NewWriter(w)
	rows := [][]string{{"terminal", "merchant", "mcc", "payee", "master_key"}}
	for i := range o.Terminals {
		rows = append(rows, []string{o.terminalID(i), o.Merchant, "5411", "", keyName})
	}
	return out.WriteAll(rows)
}
