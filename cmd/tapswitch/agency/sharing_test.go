package agency

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/share"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// listed is the engine's blacklist in front of the store's.
type listed struct{ set *blacklist.Set }

func (m listed) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m listed) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

// newAgency is a desk with what is shared, on the memory store and a broker.
func newAgency(t *testing.T, broker string) (*Agency, *Options) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	now := func() txn.Millis { return txn.MillisOf(time.Now()) }
	memory := storetest.NewMemory(storetest.MemoryOptions{Now: now})
	must(memory.OpenEpoch(t.Context(), now()))
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200},
		Metro: fare.MetroFares{Default: 500}})
	must(err)
	e, err := engine.New(engine.Options{Cards: memory, Blacklist: listed{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: now})
	must(err)
	policy, err := scheme.Load("shiyan")
	must(err)
	calendar, err := scheme.BuiltInCalendar()
	must(err)
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	must(err)
	d, err := desk.New(desk.Options{Cards: memory, List: memory, Registry: memory, Engine: e, Tokenizer: tokenizer,
		Scheme: desk.City(policy, calendar), Now: now})
	must(err)
	t.Cleanup(d.Close)
	o := &Options{Store: memory, Tokenizer: tokenizer, Brokers: []string{broker}, RecordsTopic: "records",
		Now: now, Log: slog.New(slog.DiscardHandler)}
	a := &Agency{Desk: d, Policy: policy, publisher: feed.NewPublisher(o.Brokers)}
	t.Cleanup(func() { _ = a.publisher.Close() })
	return a, o
}

// SY8, ZZ11, WZ5: on a real platform a supplier's batch takes effect, and a unit gets settled
// records as its agreement says, both with their lag.
func TestDuty_SY8_OnARealPlatform(t *testing.T) {
	stack.Require(t, stack.Kafka)
	server, err := stack.StartKafka(context.Background(), stack.KafkaOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	client := &kafka.Client{Addr: kafka.TCP(server.Addr())}
	for _, topic := range []string{"records", "city.civil", "city.transport"} {
		made, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
			Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
		if err != nil || made.Errors[topic] != nil {
			t.Fatal(err, made)
		}
	}
	a, o := newAgency(t, server.Addr())
	token := a.open(t)
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	s := a.register(t, o, key)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	s.run(ctx, o, &work)
	a.publish(t, key)
	a.wait(t, "the batch is in force", func() bool {
		doc, _, err := a.Desk.Load(t.Context(), token)
		return err == nil && doc.Rider.Category == txn.RiderSenior
	})
	a.wait(t, "both topics were used", func() bool { return len(s.lags()) == 2 })
	stop()
	work.Wait()
	unit := feed.NewSubscriber(o.Brokers, "unit", []string{"city.transport"})
	defer func() { _ = unit.Close() }()
	m, err := unit.Fetch(t.Context())
	for tries := 0; err != nil && tries < 60; tries++ {
		m, err = unit.Fetch(t.Context())
	}
	if err != nil || string(m.Body) != `{"kind":"bus_boarding","station":"east"}` {
		t.Errorf("%s, %v", m.Body, err)
	}
	if strings.Contains(string(m.Key), (pan.Token{1, 2}).String()) {
		t.Error("a token of the switch leaves it")
	}
}

// open opens the account of a holder.
func (a *Agency) open(t *testing.T) pan.Token {
	t.Helper()
	holder := a.Desk.HolderToken("110101199001011234")
	token, _, err := a.Desk.AccountOf(t.Context(), holder)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Desk.Do(t.Context(), token, account.Command{ID: account.CommandID{1}, Made: a.Desk.Now(),
		By: account.Staff{ID: "li.lei", Role: "desk", Outlet: "d1"},
		Step: account.OpenAccount{Holder: holder, Checked: true,
			Who:     account.Who{Actor: account.Holder, Channel: account.AtAgency, ID: account.ResidentID},
			Carrier: account.NewCarrier{Token: pan.Token{1, 2}, Kind: account.Chip, Family: "t_union", Ready: true}}})
	if err != nil || got.Outcome.Refusal != account.RefusalNone {
		t.Fatal(got.Outcome.Refusal, err)
	}
	return token
}

// register registers a supplier, a unit and their topics, and returns what works by them.
func (a *Agency) register(t *testing.T, o *Options, key ed25519.PrivateKey) *shared {
	t.Helper()
	first, err := a.sharing(t.Context(), o)
	if err != nil || first.platform != nil {
		t.Fatal(first.platform, err)
	}
	today := a.Desk.Today()
	for _, err := range []error{
		first.share.PutSupplier(t.Context(), share.Supplier{Name: "civil_affairs", Kinds: share.Kinds(),
			Algorithm: share.Ed25519, PublicKey: hex.EncodeToString(key.Public().(ed25519.PublicKey))}),
		first.share.PutConsumer(t.Context(), share.Consumer{Name: "transport_office", Approval: "1", Agreement: "2",
			From: today, Until: today.Next(), Role: "authority", Purposes: []string{"dispute"},
			Fields: []string{"kind", "station"}}),
		first.share.PutExchange(t.Context(), share.Exchange{
			Inbound:  map[string]share.Inbound{"city.civil": {Supplier: "civil_affairs", Format: share.JSON}},
			Outbound: map[string]share.Outbound{"city.transport": {Consumer: "transport_office", Purpose: "dispute"}}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := a.sharing(t.Context(), o)
	if err != nil || s.platform == nil {
		t.Fatal(err)
	}
	return &s
}

// publish sends a signed batch, and a settled record.
func (a *Agency) publish(t *testing.T, key ed25519.PrivateKey) {
	t.Helper()
	now := a.Desk.Now()
	body := fmt.Appendf(nil, `{"supplier":"civil_affairs","seq":1,"kind":"eligibility","made":%q,"total":1,
	 "lines":[{"no":1,"id":"110101199001011234","on":"2026-01-02","value":"senior"}]}`,
		now.Time().UTC().Format(time.RFC3339))
	signature := hex.EncodeToString(ed25519.Sign(key, body))
	record := txn.Record{Version: txn.RecordVersion, Position: txn.Position{Epoch: 1, Seq: 1},
		BusinessDate: a.Desk.Today(), Kind: txn.BusBoarding, Outcome: txn.Approved, Card: pan.Token{1, 2},
		CardVersion: 1, Currency: txn.CNY, ServiceAt: now, ReceivedAt: now, Place: txn.Place{Station: "east"}}
	for topic, m := range map[string]feed.Message{
		"city.civil": {Body: body, Headers: map[string]string{share.SignatureHeader: signature}},
		"records":    {Body: txn.AppendRecord(nil, &record)},
	} {
		if err := a.publisher.Publish(t.Context(), topic, m); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *Agency) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not after two minutes: %s", what)
		}
	}
}
