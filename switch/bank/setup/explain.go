package setup

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/route"
	"github.com/tapswitch/tapswitch/switch/bank/till"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Explain says for people how a configuration routes a card number.
func (c *Config) Explain(zone *time.Location, number pan.Number, class string, amount int64,
	at time.Time) (string, error) {
	t, err := c.Table(zone)
	if err != nil {
		return "", err
	}
	return explain(t, number, class, amount, at)
}

func explain(t *route.Table, number pan.Number, class string, amount int64, at time.Time) (string, error) {
	q := route.Query{PAN: number, Amount: txn.Minor(amount), At: at}
	var err error
	if class != "" {
		if q.Class, err = route.ParseClass(class); err != nil {
			return "", err
		}
	}
	return t.Explain(q), nil
}

// Check opens nothing and refuses what Open would: routes, and the files that the
// configuration names.
func (c *Config) Check(zone *time.Location) error {
	if _, err := c.Table(zone); err != nil {
		return err
	}
	if _, err := c.EMV.Load(); err != nil {
		return err
	}
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if _, err := OpenSpec(l.Spec, l.Envelope); err != nil {
			return err
		}
		if l.Terminals != "" {
			if _, err := till.Load(l.Terminals); err != nil {
				return fmt.Errorf("%w: %w", ErrConfig, err)
			}
		}
		if _, err := l.TLS.Server(slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
	}
	for i := range c.Links {
		l := &c.Links[i]
		if _, err := OpenSpec(l.Spec, l.Envelope); err != nil {
			return err
		}
		if _, err := l.TLS.Client(slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
	}
	return nil
}
