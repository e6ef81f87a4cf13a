// Package agency puts the card agency's part of a switch together: the desk, the notices to
// the parties, and the lists for gates, under one city's policy. It wires and decides
// nothing; Open returns what the gate mounts, and Close ends everything in order.
package agency

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/api"
	"github.com/tapswitch/tapswitch/switch/desk/drill"
	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/desk/intake"
	"github.com/tapswitch/tapswitch/switch/desk/page"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Options of Open. City, Store, Engine, Tokenizer and the keys are needed.
type Options struct {
	// City is a built-in scheme's name, or a policy file's path.
	City      string
	Store     store.Store
	Engine    *engine.Engine
	Works     *engine.Clockwork
	Tokenizer *pan.Tokenizer
	// NoticeKey wraps the secrets of parties, SigningKey (32 bytes) is the seed of the Ed25519
	// key that signs lists and receipts.
	NoticeKey, SigningKey []byte
	// Warehouse is the ledger that liability is judged by; nil where it is another process's.
	Warehouse warehouse.Reader
	// Brokers are where parties with a topic are told; none without them.
	Brokers []string
	// RecordsTopic is the topic of settled records, from which units' topics are filled.
	RecordsTopic string
	// Links tells banks over their links; nil where there is no bank edge.
	Links notice.LinkNotifier
	// PlainHTTP allows webhooks without TLS.
	PlainHTTP bool
	// JudgeEvery is how often the ledger is looked through for what lost cards were used for.
	JudgeEvery time.Duration
	// DataDir is the node's directory. The history of the lists is kept below it, so that gates
	// go on with deltas after a restart.
	DataDir string
	Now     func() txn.Millis
	Log     *slog.Logger
}

// Agency is the running part.
type Agency struct {
	Desk    *desk.Service
	Notices *notice.Service
	Lists   *list.Publisher
	Tracker *list.Tracker
	Policy  *scheme.Policy
	// Signer's public key verifies lists and receipts.
	Signer receipt.Signer

	handler   http.Handler
	lists     http.Handler
	page      http.Handler
	acks      http.Handler
	foreign   *foreign.Service
	drills    *drill.Service
	scan      *nightly
	now       func() txn.Millis
	figures   figures
	watch     watch
	log       *slog.Logger
	publisher *feed.Publisher
	stop      context.CancelFunc
	work      sync.WaitGroup
}

// SigningKeyID names the key of lists and receipts.
const SigningKeyID = "agency-1"

// Open starts the part. What it has due comes by the clockwork, whose ticks must not have
// begun.
func Open(ctx context.Context, o Options) (*Agency, error) {
	policy, err := readPolicy(o.City)
	if err != nil {
		return nil, err
	}
	calendar, err := scheme.BuiltInCalendar()
	if err != nil {
		return nil, err
	}
	a := &Agency{Policy: policy, now: o.Now, log: o.Log}
	if a.Signer, err = receipt.NewEd25519Signer(SigningKeyID, ed25519.NewKeyFromSeed(o.SigningKey)); err != nil {
		return nil, err
	}
	if err := a.startNotices(ctx, &o); err != nil {
		return nil, err
	}
	if err := a.startLists(ctx, &o); err != nil {
		return nil, errors.Join(err, a.Notices.Close(ctx))
	}
	a.Desk, err = desk.New(desk.Options{Cards: o.Store, List: o.Store, Registry: o.Store, Engine: o.Engine,
		Tokenizer: o.Tokenizer, Scheme: desk.City(policy, calendar), Currency: o.Engine.Policy().Currency,
		Notices: a.Notices, History: historyOf(o.Warehouse), TrustMax: trustMax(o.Engine), Now: o.Now, Logger: o.Log})
	if err != nil {
		return nil, errors.Join(err, a.Notices.Close(ctx))
	}
	shared, err := a.sharing(ctx, &o)
	if err != nil {
		return nil, errors.Join(err, a.Notices.Close(ctx))
	}
	if err := a.openOffice(&o); err != nil {
		return nil, errors.Join(err, a.Notices.Close(ctx))
	}
	a.handler = api.New(api.Options{Foreign: a.foreign, Drills: a.drills, Desk: a.Desk, Policy: policy, Tokenizer: o.Tokenizer, Engine: o.Engine,
		Notices: a.Notices, Lists: a.Lists, Tracker: a.Tracker, Signer: a.Signer, Logger: o.Log,
		Share: shared.share, Findings: shared.findings, Days: shared.days, Lags: shared.lags,
		Importer: intake.New(intake.Options{Engine: a.Watched(o.Engine), Registry: o.Store, Tokenizer: o.Tokenizer,
			Currency: o.Engine.Policy().Currency, Now: o.Now})})
	if a.page, err = newPage(a.handler, policy); err != nil {
		return nil, errors.Join(err, a.Notices.Close(ctx))
	}
	if err := a.planScan(ctx, &o, &shared); err != nil {
		return nil, errors.Join(err, a.Notices.Close(ctx))
	}
	o.Works.OnDue(engine.DueDocument, a.due)
	o.Works.OnDue(engine.DueMove, a.Desk.DueMoves)
	o.Works.OnDue(engine.DueNotice, func(due []store.Due) { a.Notices.Due(context.Background(), due) })
	a.run(&o, &shared)
	return a, nil
}

// trustMax is what a trust flag may add: nothing where nobody rides first and pays later.
func trustMax(e *engine.Engine) txn.Minor {
	p := e.Policy().PostPaid
	if p.Limit == 0 {
		return 0
	}
	return p.WidenMax
}

// readPolicy reads a built-in city or a file.
func readPolicy(city string) (*scheme.Policy, error) {
	if !strings.ContainsAny(city, "/.") {
		return scheme.Load(city)
	}
	text, err := os.ReadFile(city)
	if err != nil {
		return nil, fmt.Errorf("desk.city: %w", err)
	}
	return scheme.Read(city, text)
}

func (a *Agency) startNotices(ctx context.Context, o *Options) error {
	n := notice.Options{Cards: o.Store, Registry: o.Store, Key: o.NoticeKey, Now: o.Now, Logger: o.Log,
		PlainHTTP: o.PlainHTTP, Links: o.Links,
		OnAlarm: func(al notice.Alarm) { o.Log.Warn("a party has not acted", "alarm", al) }}
	if len(o.Brokers) > 0 {
		a.publisher = feed.NewPublisher(o.Brokers)
		n.Publisher = topics{a.publisher}
	}
	var err error
	if a.Notices, err = notice.New(n); err != nil {
		return err
	}
	a.acks = a.Notices.AckHandler()
	if err := a.Notices.Start(ctx); err != nil {
		return err
	}
	return a.enrolParties(ctx, o.Log)
}

// topics hands notices to Kafka.
type topics struct{ p *feed.Publisher }

// Publish implements notice.Publisher.
func (t topics) Publish(ctx context.Context, topic string, m notice.Message) error {
	headers := map[string]string{"id": m.ID}
	if m.Signature != "" {
		headers[notice.SignatureHeader] = m.Signature
	}
	return t.p.Publish(ctx, topic, feed.Message{Key: m.Card[:], Body: m.Body, Headers: headers})
}

// historyDir is where the history of the lists is kept; none without a directory of the node.
func (o *Options) historyDir() string {
	if o.DataDir == "" {
		return ""
	}
	return filepath.Join(o.DataDir, "lists")
}

func (a *Agency) startLists(ctx context.Context, o *Options) error {
	report := func(err error) { o.Log.Warn("lists for gates", "error", err) }
	now := func() time.Time { return o.Now().Time() }
	a.Tracker = list.NewTracker(list.TrackerOptions{Directory: &terminals{registry: o.Store}, Registry: o.Store, Node: "gate",
		Claimed: func(e list.Epoch) { a.Lists.Claimed(e) }, Now: now, Report: report})
	var err error
	a.Lists, err = list.NewPublisher(list.Options{Source: o.Store, Registry: o.Store, Scheme: a.Policy.City,
		KeyID: "token-1", Scopes: []txn.App{txn.AppTransit, txn.AppPurse}, Signer: a.Signer, // in memory: sent without a copy
		HistoryDir: o.historyDir(), Published: a.Tracker.Published, Now: now, Report: report})
	if err != nil {
		return err
	}
	if err := a.Tracker.Load(ctx); err != nil {
		return fmt.Errorf("what gates hold: %w", err)
	}
	if err := a.Tracker.Refresh(ctx); err != nil {
		return fmt.Errorf("registered gates: %w", err)
	}
	a.lists, err = list.NewHandler(list.HandlerOptions{Publisher: a.Lists, Tracker: a.Tracker, Now: now,
		Device: func(r *http.Request) (string, bool) {
			id := r.Header.Get(api.HeaderDevice)
			return id, id != ""
		}})
	return err
}

// run starts what works by itself.
func (a *Agency) run(o *Options, shared *shared) {
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.work.Go(func() { a.Lists.Run(ctx) })
	a.work.Go(func() { a.Tracker.Run(ctx) })
	a.work.Go(func() { a.sample(ctx) })
	if a.scan != nil {
		a.work.Go(func() { a.scan.run(ctx) })
	}
	shared.run(ctx, o, &a.work)
	if o.Warehouse == nil {
		return
	}
	every := o.JudgeEvery
	if every <= 0 {
		every = time.Minute
	}
	a.work.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if made, err := a.Desk.JudgeAll(ctx); err != nil && ctx.Err() == nil {
				o.Log.Warn("liability was not judged", "error", err)
			} else if made > 0 {
				o.Log.Info("liability booked", "entries", made)
			}
		}
	})
}

// ServeHTTP serves every path of Prefixes.
func (a *Agency) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	watched := &watchedWriter{w, http.StatusOK}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v1/lists/"); ok {
		a.lists.ServeHTTP(watched, r)
		_, what, _ := strings.Cut(rest, "/")
		if watched.status == http.StatusNotFound || what == "" {
			what = "ack_or_other"
		}
		a.figures.count(&a.figures.polls, what, watched.status)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v1/notices/") {
		a.acks.ServeHTTP(watched, r)
	} else {
		a.handler.ServeHTTP(watched, r)
	}
	// The pattern, unlike the path, holds nobody's token.
	a.figures.count(&a.figures.requests, r.Pattern, watched.status)
}

// Pages adds the city's page to the admin server: GET /freezes and what is below it.
func (a *Agency) Pages(mux *http.ServeMux) {
	mux.Handle("GET /freezes", a.page)
	mux.Handle("GET /freezes/", a.page)
	mux.HandleFunc("GET "+partiesPath, a.serveParties)
	mux.HandleFunc("GET "+standingPath, a.serveStanding)
}

// newPage makes the city's page out of the desk's API.
func newPage(desk http.Handler, policy *scheme.Policy) (http.Handler, error) {
	parties := map[string]page.Name{}
	for i := range policy.Parties {
		p := &policy.Parties[i]
		parties[p.ID] = page.Name{Chinese: p.Name.ZH, English: p.Name.EN}
	}
	return page.New(page.Options{API: desk, Parties: parties,
		City: page.Name{Chinese: policy.Name.ZH, English: policy.Name.EN}})
}

// Prefixes are the paths that ServeHTTP serves.
func Prefixes() []string {
	return []string{"/v1/desk/", "/v1/lists/", "/v1/notices/", "/v1/verifications", "/public/"}
}

// Close ends the part; what is due stays due.
func (a *Agency) Close(ctx context.Context) error {
	a.stop()
	a.work.Wait()
	a.Desk.Close()
	errs := []error{a.Notices.Close(ctx), a.Tracker.Save(ctx)}
	if a.publisher != nil {
		errs = append(errs, a.publisher.Close())
	}
	return errors.Join(errs...)
}

// ledgerHistory reads a card's records from the warehouse.
type ledgerHistory struct{ reader warehouse.Reader }

func historyOf(r warehouse.Reader) desk.History {
	if r == nil {
		return nil
	}
	return ledgerHistory{r}
}

// Records implements desk.History.
func (h ledgerHistory) Records(ctx context.Context, card pan.Token, from txn.BusinessDate,
	yield func(*txn.Record) error) error {
	return h.reader.Records(ctx, warehouse.Filter{Card: card, From: from}, yield)
}
