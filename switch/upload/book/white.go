package book

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// The white list of security modules (DOMAIN.md 1.7, rule 7). It binds records that were served
// from an instant on, which an operator sets when the list is complete; before that, and while it
// is not set, every module is taken. What a module made that was not listed then is held: the card
// has paid, and the list may be late.

const (
	whitePrefix = "uploads/white/"
	whiteFrom   = "uploads/white-from"
)

// ErrWhite reports windows that contradict themselves, or a module that is none.
var ErrWhite = errors.New("want a security module of 12 hex digits, and at most 16 windows, each with an end " +
	"after its beginning")

// begin is from when on the white list binds; 0 for never.
type begin struct {
	From txn.Millis `json:"from_ms"`
	By   string     `json:"by"`
}

// readValue reads a value of the registry into v; version 0 is that there is none.
func (s *Service) readValue(ctx context.Context, key string, v any) (uint64, error) {
	value, version, err := s.o.Registry.Get(ctx, key)
	if err == nil && version > 0 {
		err = json.Unmarshal(value, v)
	}
	if err != nil {
		return 0, fmt.Errorf("white list of security modules: %w", err)
	}
	return version, nil
}

func (s *Service) writeValue(ctx context.Context, key string, v any, version uint64) error {
	value, err := json.Marshal(v)
	if err == nil {
		err = s.o.Registry.Put(ctx, key, value, version)
	}
	if errors.Is(err, store.ErrConflict) {
		return ErrBusy
	}
	if err != nil {
		return fmt.Errorf("white list of security modules: %w", err)
	}
	return nil
}

// White returns what the white list has of a security module.
func (s *Service) White(ctx context.Context, psam string) (w upload.White, err error) {
	if b, err := hex.DecodeString(psam); err != nil || len(b) != 6 {
		return w, ErrWhite
	}
	_, err = s.readValue(ctx, whitePrefix+psam, &w)
	return w, err
}

// SetWhite replaces what the white list has of a security module. Records that are held for want
// of it are taken by the next Retry.
func (s *Service) SetWhite(ctx context.Context, psam string, w upload.White) error {
	b, err := hex.DecodeString(psam)
	if err != nil || len(b) != 6 || hex.EncodeToString(b) != psam || !w.Check() {
		return ErrWhite
	}
	w.At = s.o.Now()
	version, err := s.readValue(ctx, whitePrefix+psam, new(upload.White))
	if err != nil {
		return err
	}
	return s.writeValue(ctx, whitePrefix+psam, &w, version)
}

// WhiteFrom returns from when on the white list binds; 0 for never.
func (s *Service) WhiteFrom(ctx context.Context) (txn.Millis, error) {
	var b begin
	_, err := s.readValue(ctx, whiteFrom, &b)
	return b.From, err
}

// SetWhiteFrom says from when on the white list binds; 0 for never.
func (s *Service) SetWhiteFrom(ctx context.Context, from txn.Millis, actor string) error {
	version, err := s.readValue(ctx, whiteFrom, new(begin))
	if err != nil {
		return err
	}
	return s.writeValue(ctx, whiteFrom, begin{max(from, 0), actor}, version)
}

// listed reports whether a module was on the white list when a record was served, or whether the
// list did not bind then.
func (s *Service) listed(ctx context.Context, psam [6]byte, terminal string, at txn.Millis) (bool, error) {
	from, err := s.WhiteFrom(ctx)
	if err != nil || from == 0 || at < from {
		return true, err
	}
	white, err := s.White(ctx, hex.EncodeToString(psam[:]))
	return white.Lists(terminal, at), err
}
