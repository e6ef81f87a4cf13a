package gate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// credentials are the signature headers of one request, pointing into it.
type credentials struct {
	terminal, timestamp, counter, signature []byte
	doubled                                 bool
}

// readCredentials collects the signature headers in one pass.
func readCredentials(h *fasthttp.RequestHeader) (c credentials) {
	for name, value := range h.All() {
		if len(name) < len(HeaderCounter) || name[0] != 'X' {
			continue
		}
		var slot *[]byte
		switch string(name) {
		case HeaderTerminal:
			slot = &c.terminal
		case HeaderTimestamp:
			slot = &c.timestamp
		case HeaderCounter:
			slot = &c.counter
		case HeaderSignature:
			slot = &c.signature
		default:
			continue
		}
		if *slot != nil {
			c.doubled = true
		}
		*slot = value
	}
	return c
}

// claim is who a request says it is from, before the signature is checked.
type claim struct {
	credentials
	from    *terminal
	setup   *setup
	stamped txn.Millis
	number  uint64
}

// identify reads the claim and refuses what needs no look at the body: unknown and
// revoked terminals, and a timestamp out of the window.
func (s *Server) identify(ctx context.Context, x *call) (c claim, r refusal.Value) {
	c.credentials = readCredentials(&x.http.Request.Header)
	switch {
	case c.terminal == nil || c.timestamp == nil || c.counter == nil || c.signature == nil:
		return c, refusal.For(refusal.SignatureMissing)
	case c.doubled || !wellFormed(c.signature):
		return c, refusal.For(refusal.SignatureMalformed)
	}
	stamped, ok1 := parseUint(c.timestamp)
	number, ok2 := parseUint(c.counter)
	id, err := txn.ParseTerminalID(string(c.terminal))
	if !ok1 || !ok2 || number == 0 || err != nil {
		return c, refusal.For(refusal.SignatureMalformed)
	}
	c.stamped, c.number = txn.Millis(stamped), number
	skew := txn.Millis(s.limits.ClockSkew.Milliseconds())
	if c.stamped < x.received-skew || c.stamped > x.received+skew {
		return c, refusal.For(refusal.ClockSkew)
	}
	c.from, c.setup, err = s.directory.find(ctx, id)
	switch {
	case errors.Is(err, errUnknownTerminal):
		return c, refusal.For(refusal.TerminalUnknown)
	case err != nil:
		return c, s.registryFault(err)
	case c.setup.revoked:
		return c, refusal.For(refusal.TerminalRevoked)
	}
	return c, refusal.Value{}
}

// verify checks the signature over the body and then uses its counter up: only the holder
// of the key can do that.
func (s *Server) verify(ctx context.Context, x *call, c *claim) refusal.Value {
	m := signed{method: x.http.Method(), path: x.http.Request.Header.RequestURI(), body: x.body,
		terminal: c.terminal, timestamp: c.timestamp, counter: c.counter}
	if !c.setup.verify(&m, c.signature, x.received) {
		return refusal.For(refusal.SignatureInvalid)
	}
	return s.useCounter(ctx, c.from, c.number)
}

// verify tries the keys that are valid at now.
func (s *setup) verify(m *signed, signature []byte, now txn.Millis) bool {
	for _, k := range s.keys {
		if (k.until == 0 || now < k.until) && k.verify(m, signature) {
			return true
		}
	}
	return false
}

// useCounter marks counter n of t as used, reserving a block first where n is beyond what
// is reserved, and takes a token of the terminal's rate.
func (s *Server) useCounter(ctx context.Context, t *terminal, n uint64) refusal.Value {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n > t.window.Ceiling() {
		if err := s.reserveLocked(ctx, t, n); err != nil {
			return s.registryFault(err)
		}
	}
	switch {
	case t.window.TooLow(n):
		return refusal.Value{Code: refusal.CounterTooLow, Next: t.window.Next()}
	case !t.window.Use(n):
		return refusal.For(refusal.SignatureReplayed)
	case s.rateEvery != 0 && !t.rate.Take(time.Now().UnixNano(), s.rateEvery,
		s.limits.TerminalBurst):
		return refusal.For(refusal.RateLimited)
	}
	return refusal.Value{}
}

// reserveLocked makes counters up to at least n this process's own. What is found in the
// registry and was not written here may have been used elsewhere or before a restart, and
// becomes the floor.
func (s *Server) reserveLocked(ctx context.Context, t *terminal, n uint64) error {
	key := counterPrefix + t.id.String()
	for range putTriesMax {
		if t.counterVersion == 0 {
			value, version, err := s.registry.Get(ctx, key)
			if err != nil {
				return fmt.Errorf("counters of terminal %s: %w", t.id, err)
			}
			floor, ok := decodeCounter(value)
			if !ok {
				return fmt.Errorf("counters of terminal %s: registry value cannot be read", t.id)
			}
			t.counterVersion = version
			t.window.Reserve(floor, floor)
			if n <= floor {
				return nil // too low: nothing to reserve
			}
		}
		ceiling := min(max(n, t.window.Ceiling())+counterBlock, uint64(txn.MinorMax))
		err := s.registry.Put(ctx, key, encodeCounter(ceiling), t.counterVersion)
		if err == nil {
			t.counterVersion++
			t.window.Reserve(t.window.Floor(), ceiling)
			return nil
		}
		// In doubt or taken by another process: look again before anything is accepted.
		t.counterVersion = 0
		if !errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("counters of terminal %s: %w", t.id, err)
		}
	}
	return fmt.Errorf("counters of terminal %s: %w", t.id, store.ErrConflict)
}

// registryFault turns a fault of the registry into a refusal; nothing was executed.
func (s *Server) registryFault(err error) refusal.Value {
	if errors.Is(err, errSealed) {
		s.log.Error("a terminal cannot be used", "error", err)
		return refusal.For(refusal.Internal)
	}
	s.log.Warn("registry does not answer", "error", err)
	return refusal.For(refusal.RegistryUnavailable)
}

// counterBlock is how many counters are reserved in the registry at once. A restart skips
// what is left of the block; 2^53 counters last for ever all the same.
const counterBlock = 1 << 16

// encodeCounter and decodeCounter are the registry's form of a ceiling.
func encodeCounter(n uint64) []byte { return strconv.AppendUint(nil, n, 10) }

func decodeCounter(value []byte) (uint64, bool) {
	if len(value) == 0 {
		return 0, true
	}
	return parseUint(value)
}
