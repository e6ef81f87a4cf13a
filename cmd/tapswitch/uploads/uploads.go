// Package uploads puts the uploads of off-line records together, and holds the commands about
// them, which are clients of a running gate. Open wires and decides nothing; Close waits for
// what works by itself. The commands print tokens and last digits, never a card number.
package uploads

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload/api"
	"github.com/tapswitch/tapswitch/switch/upload/book"
)

// retryEvery is how often records whose TAC key was unknown are looked at again.
const retryEvery = time.Minute

// Options of Open. All but TACFile and Ring are needed.
type Options struct {
	Cards     store.Cards
	Registry  store.Registry
	Engine    book.Engine
	Policy    engine.Policy
	Tokenizer *pan.Tokenizer
	// MasterKey seals held records, under a key of its own that is derived from it.
	MasterKey []byte
	// TACFile says which keys of Ring verify TACs; empty takes records without.
	TACFile string
	Ring    *keyring.Ring
	// HoldBroken holds records whose balance does not follow.
	HoldBroken bool
	Now        func() txn.Millis
	Log        *slog.Logger
}

// Uploads is the running part.
type Uploads struct {
	*api.Handler
	// Figures are for whoever asks for metrics.
	Figures prometheus.Collector
	stop    context.CancelFunc
	work    sync.WaitGroup
}

// errRing reports a file of TAC keys without a key ring.
var errRing = errors.New("uploads.tac_file names keys of a ring: set keys.ring_file")

// Open starts the part.
func Open(o Options) (*Uploads, error) {
	seal := hmac.New(sha256.New, o.MasterKey)
	_, _ = seal.Write([]byte("uploads/held"))
	b := book.Options{Cards: o.Cards, Registry: o.Registry, Engine: o.Engine, Tokenizer: o.Tokenizer,
		SealKey: seal.Sum(nil), Currency: o.Policy.Currency, Zone: o.Policy.ZoneOffset,
		FutureMax: o.Policy.FutureMax, AgeMax: o.Policy.OfflineAgeMax, HoldBroken: o.HoldBroken,
		Now: o.Now, Log: o.Log, Source: SourceOf(o.Registry)}
	if o.TACFile != "" {
		keys, err := readTACFile(o.TACFile, o.Ring)
		if err != nil {
			return nil, err
		}
		b.Verifier = purse.NewVerifier(keys, purse.Options{})
	}
	service, err := book.New(b)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	f := newFigures(o.Now)
	u := &Uploads{Handler: api.New(service, o.Log), Figures: f, stop: stop}
	u.Observe(f)
	u.work.Go(func() { retry(ctx, service, f, o.Log) })
	return u, nil
}

// retry asks again for TACs whose key was unknown, and counts what waits.
func retry(ctx context.Context, s *book.Service, f *figures, log *slog.Logger) {
	f.look(ctx, s, log)
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		n, err := s.Retry(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			log.Warn("records that wait for a key", "error", err)
		case n > 0:
			log.Info("records decided whose key was loaded", "count", n)
		}
		f.look(ctx, s, log)
	}
}

// Close ends what works by itself.
func (u *Uploads) Close(context.Context) error {
	u.stop()
	u.work.Wait()
	return nil
}

// SourceOf reads terminals as the gate registers them.
func SourceOf(registry store.Registry) func(context.Context, txn.TerminalID) (book.Source, error) {
	return func(ctx context.Context, id txn.TerminalID) (book.Source, error) {
		var s book.Source
		value, version, err := registry.Get(ctx, "terminal/"+id.String())
		if err != nil || version == 0 {
			return s, errors.Join(err, fmt.Errorf("terminal %s cannot be read", id))
		}
		var t gate.Terminal
		if err := json.Unmarshal(value, &t); err != nil {
			return s, fmt.Errorf("terminal %s cannot be read: %w", id, err)
		}
		s.Place = t.Place()
		for _, name := range t.Kinds {
			kind, err := txn.ParseKind(name)
			if err != nil {
				return s, fmt.Errorf("terminal %s: %w", id, err)
			}
			s.Kinds = append(s.Kinds, kind)
		}
		return s, nil
	}
}

// tacKeys is one entry of the file of TAC keys, JSON.
type tacKeys struct {
	// Issuer in hex, empty for all issuers that have no entry; Index as cards name it.
	Issuer string `json:"issuer"`
	Index  uint8  `json:"index"`
	// Keys is the ring's name of the keys, of purpose purse_tac.
	Keys     string           `json:"keys"`
	Versions map[uint8]uint32 `json:"versions"`
	// Cipher is tdes or sm4, Levels the factors of diversification.
	Cipher     string   `json:"cipher"`
	Levels     []string `json:"levels"`
	Truncation string   `json:"truncation"` // left4, the default, or xorfold4
	TACKey     string   `json:"tac_key"`    // fold, the default, or whole, or folded
}

func readTACFile(path string, ring *keyring.Ring) (purse.Keys, error) {
	if ring == nil {
		return nil, errRing
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("uploads.tac_file: %w", err)
	}
	var entries []tacKeys
	if err := json.Unmarshal(text, &entries); err != nil {
		return nil, fmt.Errorf("uploads.tac_file: %w", err)
	}
	list := make([]keyring.CardKeys, len(entries))
	for i := range entries {
		if list[i], err = entries[i].cardKeys(); err != nil {
			return nil, fmt.Errorf("uploads.tac_file: entry %d: %w", i+1, err)
		}
	}
	keys, err := ring.TACKeys(list)
	if err != nil {
		return nil, fmt.Errorf("uploads.tac_file: %w", err)
	}
	return keys, nil
}

// errTAC reports a word of the file that is unknown.
var errTAC = errors.New("unknown word in the file of TAC keys")

func (e *tacKeys) cardKeys() (k keyring.CardKeys, err error) {
	k = keyring.CardKeys{Index: e.Index, Keys: e.Keys, Versions: e.Versions}
	issuer, err := hex.DecodeString(e.Issuer)
	if err != nil || len(issuer) != 0 && len(issuer) != len(k.Issuer) {
		return k, fmt.Errorf("%w: issuer %q, want 16 hex digits", errTAC, e.Issuer)
	}
	copy(k.Issuer[:], issuer)
	if k.Cards.Cipher, err = block.ParseAlgorithm(e.Cipher); err != nil {
		return k, err
	}
	for _, level := range e.Levels {
		factor, err := purse.ParseFactor(level)
		if err != nil {
			return k, err
		}
		k.Cards.Levels = append(k.Cards.Levels, factor)
	}
	for _, t := range []purse.Truncation{purse.TruncLeft4, purse.TruncXorFold4} {
		if e.Truncation == t.String() {
			k.Cards.Truncation, e.Truncation = t, ""
		}
	}
	for _, t := range []purse.TACKey{purse.TACFold, purse.TACWhole, purse.TACFolded} {
		if e.TACKey == t.String() {
			k.Cards.TACKey, e.TACKey = t, ""
		}
	}
	if e.Truncation != "" || e.TACKey != "" {
		return k, fmt.Errorf("%w: %q %q", errTAC, e.Truncation, e.TACKey)
	}
	return k, nil
}
