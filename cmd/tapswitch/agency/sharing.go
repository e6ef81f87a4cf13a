package agency

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/finding"
	"github.com/tapswitch/tapswitch/switch/desk/share"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// shared is what the desk's HTTP side serves of data and evidence.
type shared struct {
	share    *share.Service
	findings *finding.Service
	days     share.Days
	platform *share.Platform // nil where no topic is registered
	topics   []string
}

// lags tells how late the topics are; none are without a platform.
func (s *shared) lags() []share.Lag {
	if s.platform == nil {
		return []share.Lag{}
	}
	return s.platform.Lags()
}

// ridesDayMax is how many rides at preference one person makes on a day before it is
// evidence; nothing follows from it by itself.
const ridesDayMax = 20

func (a *Agency) sharing(ctx context.Context, o *Options) (s shared, err error) {
	s.share, err = share.New(share.Options{Desk: a.Desk, Policy: a.Policy, Cards: o.Store, Registry: o.Store,
		Tokenizer: o.Tokenizer, Logger: o.Log})
	if err != nil {
		return s, err
	}
	calendar := a.Desk.Rules().Calendar
	s.findings, err = finding.New(finding.Options{Registry: o.Store, City: a.Policy.City, Now: a.Desk.Now,
		Signer: a.Signer, Logger: o.Log, About: a.about,
		Rules: finding.Rules{ConcessionDayMax: ridesDayMax, Day: calendar.Date}})
	if o.Warehouse != nil {
		s.days = ledgerDays{o.Warehouse}
	}
	if err != nil || len(o.Brokers) == 0 {
		return s, err
	}
	return s, s.openPlatform(ctx)
}

// openPlatform makes the adapter for the inbound topics that are registered. Records go out to
// units by exports; parties get their notices by topics of their own.
func (s *shared) openPlatform(ctx context.Context) error {
	e, err := s.share.Exchange(ctx)
	if err != nil || len(e.Inbound) == 0 {
		return err
	}
	for topic := range e.Inbound {
		s.topics = append(s.topics, topic)
	}
	slices.Sort(s.topics)
	s.platform, err = s.share.NewPlatform(share.Exchange{Inbound: e.Inbound}, nil)
	return err
}

// exchangeGroup is the group of all processes of a switch; exchangePause comes after a fault.
const (
	exchangeGroup = "tapswitch-exchange"
	exchangePause = 10 * time.Second
)

// exchange takes what suppliers send by the platform until ctx ends. After a fault it begins
// anew behind the last message that was done.
func (s *shared) exchange(ctx context.Context, o *Options) {
	for ctx.Err() == nil {
		in := platformMessages{feed.NewSubscriber(o.Brokers, exchangeGroup, s.topics), nil}
		err := errors.Join(s.platform.Run(ctx, &in), in.from.Close())
		if ctx.Err() != nil {
			return
		}
		o.Log.Warn("the exchange platform", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(exchangePause):
		}
	}
}

// platformMessages are the messages of the platform, one at a time.
type platformMessages struct {
	from *feed.Subscriber
	last *feed.Received
}

// Fetch implements share.Messages.
func (p *platformMessages) Fetch(ctx context.Context) (share.Message, error) {
	r, err := p.from.Fetch(ctx)
	if err != nil {
		return share.Message{}, err
	}
	p.last = &r
	return share.Message{Topic: r.Topic, Key: r.Key, Body: r.Body, Headers: r.Headers, At: txn.MillisOf(r.At)}, nil
}

// Done implements share.Messages.
func (p *platformMessages) Done(ctx context.Context, _ share.Message) error {
	return p.from.Done(ctx, p.last)
}

// about tells findings what is known of a card's holder. Whatever says that the card was
// lost or is dead counts: its entry on the list, which may be of an import and older than any
// account, the account's restrictions, and the losses that are still judged.
func (a *Agency) about(ctx context.Context, card pan.Token) (finding.Holder, error) {
	var h finding.Holder
	entry, listed, err := a.Desk.Entry(ctx, card)
	if err != nil {
		return h, err
	}
	if m := entry.Mark.Reason; listed && m != txn.Suspended && m != txn.Risk {
		h.Losses = append(h.Losses, finding.Span{From: entry.Since})
	}
	token, doc, err := a.Desk.Find(ctx, card)
	if errors.Is(err, desk.ErrNoAccount) {
		return h, nil
	}
	if err != nil {
		return h, err
	}
	if doc.Rider.Until != 0 {
		h.RiderUntil = a.Desk.Rules().Calendar.Start(doc.Rider.Until.Next()) - 1
	}
	for _, r := range doc.Restrictions {
		if r.Reason == txn.Lost || r.Reason == txn.PreReported {
			h.Losses = append(h.Losses, finding.Span{From: r.Received})
		}
	}
	losses, err := a.Desk.Losses(ctx, token)
	for _, l := range losses {
		h.Losses = append(h.Losses, finding.Span{From: l.Received, To: l.Ended})
	}
	return h, err
}

// ledgerDays reads the ledger by days.
type ledgerDays struct{ reader warehouse.Reader }

// Between implements share.Days and finding.Days.
func (l ledgerDays) Between(ctx context.Context, from, to txn.BusinessDate, yield func(*txn.Record) error) error {
	return l.reader.Records(ctx, warehouse.Filter{From: from, To: to}, yield)
}
