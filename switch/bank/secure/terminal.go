package secure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/store"
)

const (
	// TerminalsMax is how many terminals' keys are kept in memory when the options do not
	// say; others are read again when they are needed. A terminal takes some 2 KB, the double after
	// it signed on again.
	TerminalsMax = 100_000
	// terminalIDMax bounds a terminal id; those of field 41 have 8 characters.
	terminalIDMax = 16
)

// TerminalOptions say where the keys of terminals come from.
type TerminalOptions struct {
	// Ring may be nil where no terminal has keys.
	Ring     *keyring.Ring
	Registry store.Registry
	// Overlap is how long the keys of the sign-on before still work, at most OverlapMax.
	Overlap time.Duration
	// CacheMax is how many terminals' keys are kept in memory, 0 for TerminalsMax.
	CacheMax int
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// Terminals has the working keys of POS terminals.
type Terminals struct {
	o     TerminalOptions
	cache cache
}

// NewTerminals returns the keys of all terminals, none of which is read yet.
func NewTerminals(o TerminalOptions) (*Terminals, error) {
	if o.Overlap < 0 || o.Overlap > OverlapMax {
		return nil, fmt.Errorf("%w: overlap %v of terminals is not in 0 to %v", ErrOptions, o.Overlap,
			OverlapMax)
	}
	if o.Ring != nil && o.Registry == nil {
		return nil, fmt.Errorf("%w: terminals' keys want a registry", ErrOptions)
	}
	if o.CacheMax < 0 {
		return nil, fmt.Errorf("%w: a cache of %d terminals", ErrOptions, o.CacheMax)
	}
	if o.CacheMax == 0 {
		o.CacheMax = TerminalsMax
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Terminals{o: o}
	t.cache.init(o.CacheMax)
	return t, nil
}

// TerminalKey is one set of working keys of a terminal: that under which a request came. The
// answer has its MAC under the same. The zero TerminalKey has no keys. It is safe for
// concurrent use and stays good when the terminal signs on again.
type TerminalKey struct {
	keys   *keyring.WorkingKeys
	scheme mac.Scheme
}

// Make appends the content of field 64 to dst, 8 characters. It allocates nothing when dst has
// room.
func (k TerminalKey) Make(dst, covered []byte) ([]byte, error) {
	if k.keys == nil {
		return dst, ErrNoKey
	}
	out, err := k.keys.MAC(k.scheme, dst, covered)
	if err != nil {
		return dst, fmt.Errorf("cannot make a MAC for a terminal: %w", err)
	}
	return out, nil
}

// PINKey returns the PIN key, for PINBlock. That of the zero TerminalKey is refused.
func (k TerminalKey) PINKey() keyring.PINKey { return keyring.PINKey{Working: k.keys} }

// KCVs returns the check values of the PIN and the MAC key, "" where there is none.
func (k TerminalKey) KCVs() (pin, auth keyring.KCV) {
	if k.keys == nil {
		return "", ""
	}
	pin, auth, _ = k.keys.KCVs()
	return pin, auth
}

// DecryptTrack deciphers track data that came under the terminal's track key.
func (k TerminalKey) DecryptTrack(dst, src []byte) error {
	if k.keys == nil {
		return ErrNoKey
	}
	return k.keys.DecryptTrack(dst, src)
}

// String shows nothing of the keys.
func (k TerminalKey) String() string { return "[terminal keys]" }

// GoString returns String.
func (k TerminalKey) GoString() string { return k.String() }

// Format writes String for every verb.
func (k TerminalKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// MarshalText returns String.
func (k TerminalKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (k TerminalKey) verify(covered, field []byte) (bool, error) {
	if k.keys == nil {
		return false, nil
	}
	return k.keys.VerifyMAC(k.scheme, covered, field)
}

// signedOn are the keys of a terminal in memory. It is not changed.
type signedOn struct {
	version uint64 // of the registry's value
	current TerminalKey
	former  TerminalKey
	until   time.Time // of former
}

// SignOn draws new working keys for a terminal and returns the field 62 that brings them to
// it, under the master key tmk, the scheme of a key_exchange key of the ring. They are in
// force, and durable, when it returns without error; those before work for the overlap. After
// an error the terminal must not get any keys.
func (t *Terminals) SignOn(ctx context.Context, terminal, tmk string, form keyring.WorkingForm,
) (field62 []byte, err error) {
	if err := checkTerminal(terminal); err != nil {
		return nil, err
	}
	if t.o.Ring == nil || tmk == "" {
		return nil, fmt.Errorf("terminal %s has %w to wrap others under", terminal, ErrNoKey)
	}
	for range triesMax {
		field62, err = t.signOn(ctx, terminal, tmk, form)
		if !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	if errors.Is(err, store.ErrConflict) {
		err = errBusy
	}
	if err != nil {
		return nil, fmt.Errorf("cannot sign on terminal %s: %w", terminal, err)
	}
	return field62, nil
}

func (t *Terminals) signOn(ctx context.Context, terminal, tmk string, form keyring.WorkingForm,
) ([]byte, error) {
	r, version, err := t.read(ctx, terminal)
	if err != nil {
		return nil, err
	}
	under, err := pin(t.o.Ring, keyring.Ref{Purpose: keyring.KeyExchange, Scheme: tmk})
	if err != nil {
		return nil, err
	}
	keys, field62, err := t.o.Ring.NewWorkingKeys(under, form)
	if err != nil {
		return nil, err
	}
	keys.Close() // they are opened again as a restart does
	now := t.o.Now()
	next := terminalRecord{Version: recordVersion, Current: stored{Under: under.String(),
		Wrapped: field62, Since: millis(now)}}
	if version > 0 && t.o.Overlap > 0 {
		next.Former, next.Until = &r.Current, millis(now.Add(t.o.Overlap))
	}
	s, err := t.open(&next, version+1)
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(&next)
	if err != nil {
		return nil, err
	}
	if err := t.o.Registry.Put(ctx, terminalKey(terminal), value, version); err != nil {
		return nil, err
	}
	t.cache.put(terminal, s)
	return field62, nil
}

func (t *Terminals) read(ctx context.Context, terminal string) (r terminalRecord, version uint64,
	err error) {
	at := terminalKey(terminal)
	value, version, err := t.o.Registry.Get(ctx, at)
	if err == nil {
		err = decode(value, at, &r, &r.Version)
	}
	if len(value) == 0 {
		version = 0
	}
	return r, version, err
}

// open opens the keys of a record. Former ones that cannot be opened are as good as expired.
func (t *Terminals) open(r *terminalRecord, version uint64) (*signedOn, error) {
	s := &signedOn{version: version}
	var err error
	if s.current, err = t.openKeys(&r.Current); err != nil {
		return nil, fmt.Errorf("%w that can be opened: %w", ErrNoKey, err)
	}
	if until := timeOf(r.Until); r.Former != nil && t.o.Now().Before(until) {
		if former, err := t.openKeys(r.Former); err == nil {
			s.former, s.until = former, until
		}
	}
	return s, nil
}

// openKeys opens a field 62 and finds out which MAC scheme goes with the length of the MAC
// key: single DES with 8 bytes, 3DES with 16.
func (t *Terminals) openKeys(from *stored) (k TerminalKey, err error) {
	under, err := keyring.ParseRef(from.Under)
	if err != nil {
		return k, err
	}
	if k.keys, err = t.o.Ring.OpenWorkingKeys(under, from.Wrapped); err != nil {
		return k, err
	}
	for _, k.scheme = range [...]mac.Scheme{mac.CUPDES, mac.CUPTDES} {
		if _, err = k.keys.MAC(k.scheme, nil, nil); err == nil {
			return k, nil
		}
	}
	return TerminalKey{}, err
}

// load reads the keys of a terminal; nil without error when they are of the version that is
// known. They are in the cache when it returns.
func (t *Terminals) load(ctx context.Context, terminal string, known uint64) (*signedOn, error) {
	if err := checkTerminal(terminal); err != nil {
		return nil, err
	}
	if t.o.Ring == nil {
		return nil, fmt.Errorf("terminal %s has %w", terminal, ErrNoKey)
	}
	r, version, err := t.read(ctx, terminal)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the keys of terminal %s: %w", terminal, err)
	case version == 0:
		return nil, fmt.Errorf("terminal %s has %w: it has to sign on", terminal, ErrNoKey)
	case version == known:
		return nil, nil
	}
	s, err := t.open(&r, version)
	if err != nil {
		return nil, fmt.Errorf("terminal %s: %w", terminal, err)
	}
	t.cache.put(terminal, s)
	return s, nil
}

// Key returns the keys in force of a terminal; ErrNoKey when it has to sign on.
func (t *Terminals) Key(ctx context.Context, terminal string) (TerminalKey, error) {
	if s := t.cache.get(terminal); s != nil {
		return s.current, nil
	}
	s, err := t.load(ctx, terminal, 0)
	if err != nil {
		return TerminalKey{}, err
	}
	return s.current, nil
}

// Check reports whether field is the content of field 64 for the bytes that it covers, and
// returns the keys under which it is: those in force, or those before while the overlap lasts.
// An error is message.ErrNoMAC for an empty field, message.ErrMAC for a wrong one, ErrNoKey for
// a terminal that has to sign on; another one says that it could not be looked at. It allocates
// nothing for a terminal whose keys are in memory, unless it refuses.
func (t *Terminals) Check(ctx context.Context, terminal string, covered, field []byte,
) (TerminalKey, error) {
	if len(field) == 0 {
		return TerminalKey{}, message.ErrNoMAC
	}
	if len(field) != fieldSize {
		return TerminalKey{}, message.ErrMAC
	}
	cached := t.cache.get(terminal)
	if cached == nil {
		s, err := t.load(ctx, terminal, 0)
		if err != nil {
			return TerminalKey{}, err
		}
		return t.match(s, covered, field)
	}
	k, err := t.match(cached, covered, field)
	if !errors.Is(err, message.ErrMAC) {
		return k, err
	}
	// The terminal may have signed on at another process meanwhile.
	s, err := t.load(ctx, terminal, cached.version)
	if s == nil || err != nil {
		return TerminalKey{}, message.ErrMAC
	}
	return t.match(s, covered, field)
}

func (t *Terminals) match(s *signedOn, covered, field []byte) (TerminalKey, error) {
	ok, err := s.current.verify(covered, field)
	if err != nil {
		return TerminalKey{}, fmt.Errorf("cannot check a MAC of a terminal: %w", err)
	}
	if ok {
		return s.current, nil
	}
	if s.former.keys != nil && t.o.Now().Before(s.until) {
		if ok, err := s.former.verify(covered, field); err == nil && ok {
			return s.former, nil
		}
	}
	return TerminalKey{}, message.ErrMAC
}

// checkTerminal refuses what cannot be part of a registry key. The refused id is not shown: it
// may be anything.
func checkTerminal(terminal string) error {
	for i := range len(terminal) {
		if c := terminal[i]; c < ' ' || c > '~' || c == '/' {
			return fmt.Errorf("%w: character %d", ErrTerminal, i+1)
		}
	}
	if len(terminal) == 0 || len(terminal) > terminalIDMax {
		return fmt.Errorf("%w: %d characters, want 1 to %d", ErrTerminal, len(terminal), terminalIDMax)
	}
	return nil
}
