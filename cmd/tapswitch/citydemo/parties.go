package citydemo

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
)

// parties are the bodies that have to act on notices, on a server of their own; the bank gets
// its notices over its link. They prove receipt at once, with a signed call-back or the answer
// on the link, and effect when the story has them act.
type parties struct {
	clock  *clock
	server *http.Server
	addr   string
	gate   atomic.Pointer[string]
	work   sync.WaitGroup // the server and its call-backs

	mu       sync.Mutex
	secrets  map[string][]byte // by party
	received []wire
	acted    map[string]bool // by where it is said
	bank     *bankhost.Host
}

// wire is a notice as a party gets it.
type wire struct {
	Notice      string    `json:"notice"`
	Kind        string    `json:"kind"`
	Party       string    `json:"party"`
	Card        string    `json:"card"`
	Acknowledge string    `json:"acknowledge"`
	at          time.Time // received
}

const keyID = "k1"

func newParties(c *clock, bank *bankhost.Host) (*parties, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("parties: %w", err)
	}
	p := &parties{clock: c, addr: ln.Addr().String(), secrets: map[string][]byte{},
		acted: map[string]bool{}, bank: bank}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: time.Second}
	p.work.Go(func() { _ = p.server.Serve(ln) }) // until close
	return p, nil
}

func (p *parties) close() error {
	err := p.server.Close()
	p.work.Wait()
	return err
}

// member is a party as it is registered.
type member struct{ name, kind, title, clause string }

// add registers a party and takes its key over.
func (p *parties) add(ctx context.Context, t *town, m member) error {
	name := m.name
	body := doc{"title": m.title, "kind": m.kind, "scopes": []string{"all"}, "channel": "webhook",
		"url": "http://" + p.addr + "/" + name, "answer": "explicit", "clause": m.clause}
	if name == "bank" {
		delete(body, "url")
		body["channel"], body["link"], body["answer"] = "issuer_link", bankLink, "response"
	}
	if err := t.call(ctx, request{t.admin, http.MethodPut, "/v1/desk/parties/" + name, body},
		nil); err != nil {
		return err
	}
	var key struct{ Secret string }
	err := t.call(ctx, request{t.admin, http.MethodPost,
		"/v1/desk/parties/" + name + "/keys/" + keyID, nil}, &key)
	if err != nil {
		return err
	}
	secret, err := hex.DecodeString(key.Secret)
	p.mu.Lock()
	p.secrets[name] = secret
	p.mu.Unlock()
	return err
}

// serve takes a notice and calls back that it was received.
func (p *parties) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	var n wire
	if err != nil || json.Unmarshal(body, &n) != nil || n.Party != strings.Trim(r.URL.Path, "/") ||
		!p.genuine(&n, r.Header.Get(notice.SignatureHeader), body) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n.at = p.clock.now()
	p.mu.Lock()
	p.received = append(p.received, n)
	p.mu.Unlock()
	w.WriteHeader(http.StatusOK)
	// The proof of receipt; should it be lost, the one of effect brings it again.
	p.work.Go(func() { _ = p.answer(context.Background(), &n, doc{"received_at": n.at}) })
}

// genuine holds the signature of a notice against the party's key.
func (p *parties) genuine(n *wire, header string, body []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	stamp, _, _ := strings.Cut(strings.TrimPrefix(header, "t="), ",")
	seconds, err := time.ParseDuration(stamp + "s")
	at := time.Unix(int64(seconds/time.Second), 0)
	return err == nil && header == notice.Sign(keyID, p.secrets[n.Party], at, "", body)
}

// answer posts a signed call-back.
func (p *parties) answer(ctx context.Context, n *wire, what doc) error {
	what["card"], what["by"] = n.Card, n.Party
	body, err := json.Marshal(what)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://"+*p.gate.Load()+n.Acknowledge,
		bytes.NewReader(body))
	if err != nil {
		return err
	}
	p.mu.Lock()
	secret := p.secrets[n.Party]
	p.mu.Unlock()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(notice.SignatureHeader, notice.Sign(keyID, secret, p.clock.now(), n.Acknowledge,
		body))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return fmt.Errorf("acknowledgement of %s: %d: %s", n.Party, resp.StatusCode, text)
	}
	return nil
}

// act lets a party do what its notices ask for, now, and say so; it returns how many there
// were. What could not be said is left for the next try.
func (p *parties) act(ctx context.Context, party string) (int, error) {
	done := 0
	var errs []error
	now := p.clock.now()
	for _, n := range p.pending(party) {
		what := doc{"effective_at": now}
		if !n.at.IsZero() {
			what["received_at"] = n.at
		}
		if err := p.answer(ctx, &n, what); err != nil {
			errs = append(errs, err)
			continue
		}
		done++
		p.mu.Lock()
		p.acted[n.Acknowledge] = true
		p.mu.Unlock()
	}
	return done, errors.Join(errs...)
}

// pending are the notices that a party has and has not acted on. Those of the bank stand in its
// own book, as they came over its link; its answer there was the proof of receipt.
func (p *parties) pending(party string) (all []wire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	notices := p.received
	if party == "bank" {
		notices = nil
		for _, e := range p.bank.Book().Entries {
			said := map[string]string{}
			for part := range strings.SplitSeq(e.Text, ";") {
				name, value, _ := strings.Cut(part, "=")
				said[name] = value
			}
			if e.Kind == bankhost.Notice && said["notice"] != "" {
				notices = append(notices, wire{Notice: said["notice"], Kind: said["kind"], Party: party,
					Card: said["card"], Acknowledge: "/v1/notices/" + said["notice"] + "/parties/bank/ack"})
			}
		}
	}
	for _, n := range notices {
		if n.Party == party && !p.acted[n.Acknowledge] {
			all = append(all, n)
		}
	}
	return all
}
