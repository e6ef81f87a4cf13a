package bankhost

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// ConnectionsMax is how many connections a host takes at once; one more is closed at once.
const ConnectionsMax = 1024

// Options are what a Host is made of. Spec is needed, and Listener or Address.
type Options struct {
	// Spec and Framing are the link's. The POS dialect makes the host an acquirer of
	// terminals, every other one a bank.
	Spec    *message.Spec
	Framing message.Framing
	// Listener is where it listens; without one it listens on Address (":0" is any port).
	Listener net.Listener
	Address  string
	// TLS, where there is one, is spoken on every connection.
	TLS *tls.Config
	// Seed decides everything that is not decided by a request.
	Seed uint64
	// MAC, on a bank's link, is the MAC of both directions; nil for none. With one every
	// financial message without its MAC is answered A0 and not carried out.
	MAC *mac.MAC
	// MasterKey is a test key of 16 bytes that working keys go out under: the zone key of a
	// bank's link, the master key of every terminal. nil for none. With it terminals have to
	// sign on first and to send MACs.
	MasterKey []byte
	// MACScheme is what terminals compute with the key of their sign-on, default CUPTDES for
	// double and CUPDES for single keys.
	MACScheme mac.Scheme
	// PIN, when not empty, is the PIN of every card; another one is answered 55. PINKey is
	// the key of the PIN blocks on a bank's link (8, 16 or 24 bytes of DES), terminals use
	// the key of their sign-on.
	PIN    string
	PINKey []byte
	// TokenKey makes the card tokens of the Book, at least 32 bytes; give the switch's to
	// compare its ledger by card. Default: made from the seed.
	TokenKey []byte
	// Funds is what every card can spend, 0 without limit.
	Funds int64
	// EntriesMax is how many requests the Book keeps, default EntriesMax.
	EntriesMax int
	// WriteTimeout closes the connection of a peer that takes no answers, default 10 s.
	WriteTimeout time.Duration
	// Now is the clock, default time.Now. Delays run on timers.
	Now func() time.Time
	// Behaviour is how it behaves, default: approves everything at once.
	Behaviour Behaviour
}

// Host is a running bank. Its mu comes first where two locks are held: then that of the book,
// the vault or a connection, of which none is held when another is taken.
type Host struct {
	o         Options
	plan      *plan
	book      *book
	tokenizer *pan.Tokenizer
	vault     *vault
	listener  net.Listener
	done      chan struct{}
	work      sync.WaitGroup
	signOns   atomic.Uint64
	keyOrders atomic.Uint64

	mu    sync.Mutex
	conns map[*conn]struct{} // guarded by mu
}

// ErrOptions is what every refusal of Options is.
var ErrOptions = errors.New("bank host cannot be set up")

// Start makes a Host and listens. Close ends it.
func Start(o Options) (*Host, error) {
	if o.Spec == nil {
		return nil, fmt.Errorf("%w: no message spec", ErrOptions)
	}
	h := &Host{o: o, done: make(chan struct{}), conns: map[*conn]struct{}{}}
	h.defaults()
	var err error
	if h.plan, err = o.Behaviour.compile(); err != nil {
		return nil, err
	}
	if h.tokenizer, err = pan.NewTokenizer(h.o.TokenKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOptions, err)
	}
	if h.vault, err = newVault(&h.o); err != nil {
		return nil, err
	}
	h.book = newBook(&h.o)
	if h.listener = o.Listener; h.listener == nil {
		if h.listener, err = net.Listen("tcp", o.Address); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOptions, err)
		}
	}
	if o.TLS != nil {
		h.listener = tls.NewListener(h.listener, o.TLS)
	}
	h.work.Go(h.accept)
	return h, nil
}

func (h *Host) defaults() {
	if h.o.Now == nil {
		h.o.Now = time.Now
	}
	if h.o.EntriesMax <= 0 {
		h.o.EntriesMax = EntriesMax
	}
	if h.o.WriteTimeout <= 0 {
		h.o.WriteTimeout = 10 * time.Second
	}
	if h.o.TokenKey == nil {
		key := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("bankhost"), h.o.Seed))
		h.o.TokenKey = key[:]
	}
}

// Address returns where the host listens.
func (h *Host) Address() string { return h.listener.Addr().String() }

// Book returns what the host remembers, now.
func (h *Host) Book() *Book { return h.book.snapshot() }

// Summary returns the Book without entries and cards, which costs little.
func (h *Host) Summary() Summary { return h.book.summary() }

// Token returns the card token that stands in the Book for a number.
func (h *Host) Token(n pan.Number) pan.Token { return h.tokenizer.Token(n) }

// Close stops listening, closes the connections and waits. Answers that are still due are
// lost. The Book stays.
func (h *Host) Close() error {
	h.mu.Lock()
	select {
	case <-h.done:
	default:
		close(h.done)
	}
	for c := range h.conns {
		c.close()
	}
	h.mu.Unlock()
	err := h.listener.Close()
	h.work.Wait()
	return err
}

// Disconnect closes all connections, as a broken line does, and goes on listening.
func (h *Host) Disconnect() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		c.close()
	}
}

func (h *Host) accept() {
	for {
		nc, err := h.listener.Accept()
		if err != nil {
			select {
			case <-h.done:
				return
			default:
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if !h.pause(10 * time.Millisecond) { // out of descriptors, say
				return
			}
			continue
		}
		h.admit(nc)
	}
}

// admit starts a connection.
func (h *Host) admit(nc net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.done:
		_ = nc.Close()
		return
	default:
	}
	if len(h.conns) >= ConnectionsMax {
		_ = nc.Close()
		return
	}
	c := newConn(h, nc)
	h.conns[c] = struct{}{}
	h.count(func(n *Counts) { n.Connections++ })
	h.work.Go(c.write)
	h.work.Go(func() {
		c.read()
		c.close()
		h.mu.Lock()
		delete(h.conns, c)
		h.mu.Unlock()
	})
}

func (h *Host) count(f func(*Counts)) {
	h.book.mu.Lock()
	defer h.book.mu.Unlock()
	f(&h.book.counts)
}

// pause waits and reports whether the host goes on.
func (h *Host) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-h.done:
		return false
	case <-timer.C:
		return true
	}
}

// ChangeKey makes a new MAC key and sends it over one connection: 0800 with network code 101.
// Answers carry the old key's MAC until the peer has answered; requests may carry either until
// the next change. It reports whether there was a connection, and is false without a master
// key or with terminals, which get keys at sign-on.
func (h *Host) ChangeKey() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		if c.offerKey() {
			return true
		}
	}
	return false
}
