package agency

import (
	"context"
	"errors"
	"slices"
	"sync"
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
	topics   []string        // of suppliers
	sends    bool            // topics of units are registered
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
	return s, s.openPlatform(ctx, o, a.publisher)
}

// openPlatform makes the adapter for the topics that are registered.
func (s *shared) openPlatform(ctx context.Context, o *Options, out *feed.Publisher) error {
	e, err := s.share.Exchange(ctx)
	if err != nil || len(e.Inbound)+len(e.Outbound) == 0 {
		return err
	}
	for topic := range e.Inbound {
		s.topics = append(s.topics, topic)
	}
	slices.Sort(s.topics)
	if len(e.Outbound) > 0 && o.RecordsTopic == "" {
		return errors.New("topics for units are registered, and there is no topic of records to fill them from")
	}
	s.sends = len(e.Outbound) > 0
	s.platform, err = s.share.NewPlatform(e, unitTopics{out})
	return err
}

// unitTopics hands records to the topics of units.
type unitTopics struct{ p *feed.Publisher }

// Publish implements share.Publisher.
func (u unitTopics) Publish(ctx context.Context, m share.Message) error {
	return u.p.Publish(ctx, m.Topic, feed.Message{Key: m.Key, Body: m.Body})
}

// The groups of all processes of a switch: one takes from suppliers, one gives to units.
const (
	exchangeGroup = "tapswitch-exchange"
	unitsGroup    = "tapswitch-units"
	// exchangePause comes after a fault.
	exchangePause = 10 * time.Second
)

// run works until ctx ends.
func (s *shared) run(ctx context.Context, o *Options, work *sync.WaitGroup) {
	if len(s.topics) > 0 {
		work.Go(func() { again(ctx, o, s.take) })
	}
	if s.sends {
		work.Go(func() { again(ctx, o, s.give) })
	}
}

// again runs f until ctx ends, anew after each fault: it begins behind the last message that
// was done.
func again(ctx context.Context, o *Options, f func(context.Context, *Options) error) {
	for ctx.Err() == nil {
		err := f(ctx, o)
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

// take takes what suppliers send.
func (s *shared) take(ctx context.Context, o *Options) error {
	in := platformMessages{feed.NewSubscriber(o.Brokers, exchangeGroup, s.topics), nil}
	return errors.Join(s.platform.Run(ctx, &in), in.from.Close())
}

// give sends settled records to the topics of units. What cannot be read is the ledger's to
// report.
func (s *shared) give(ctx context.Context, o *Options) error {
	in := feed.NewSubscriber(o.Brokers, unitsGroup, []string{o.RecordsTopic})
	for {
		m, err := in.Fetch(ctx)
		if err == nil {
			if r, bad := m.Record(); bad == nil && !r.Kind.IsMarker() && r.Kind != txn.Desk {
				err = s.platform.Send(ctx, &r)
			}
		}
		if err == nil {
			err = in.Done(ctx, &m)
		}
		if err != nil {
			return errors.Join(err, in.Close())
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
