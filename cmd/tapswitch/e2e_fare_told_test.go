package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/ledger/settle/day"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload/api"
)

// Ends of journeys that gates of two operators upload a day late, against the books.

const (
	toldSouth = "GATE78" // where riders enter
	toldCards = 5
	toldMoney = 5000
	toldBegan = 110 * time.Hour // ago
)

// The riders of a toldHall, by what is told late of their rides.
const (
	toldBinary    = iota // the exit, in binary frames
	toldJSON             // the exit, as JSON
	toldEntry            // the entry, after the exit was charged without one
	toldTooLate          // the exit, later than the tariff gives anything back
	toldExitFirst        // both, the exit first
)

// toldHall is a switch of days ago with two gates.
type toldHall struct {
	*e2eUpload // the exits
	south      *e2eUpload
	began      time.Time
	seq        uint32
	late       txn.RequestID // that was told too late
}

func newToldHall(t *testing.T) *toldHall {
	t.Helper()
	dir := t.TempDir()
	text, err := fs.ReadFile(deploy.Tariffs(), "example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tariff := filepath.Join(dir, "2026.yaml")
	if err := os.WriteFile(tariff, text, 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(e2eUploadKey)
	if err != nil {
		t.Fatal(err)
	}
	master, err := purse.NewMaster(purse.TDES(purse.SerialFactor()), key)
	if err != nil {
		t.Fatal(err)
	}
	node := newE2ENode(t, filepath.Join(dir, "switch"), append([]string{"--listen", "127.0.0.1:0", "--set",
		"feed.flush_every=50ms", "--set", "scheme.tariff_file=" + tariff, "--set", "scheme.offline_age_max=1080h"},
		e2eRing(t, dir)...)...)
	one := func(name string) *e2eUpload {
		return &e2eUpload{t: t, name: name, clock: filepath.Join(dir, "clock"), master: master, node: node,
			balance: map[string]int64{}}
	}
	h := &toldHall{e2eUpload: one(e2eUploadGate), south: one(toldSouth)}
	h.shift(-toldBegan)
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	h.register(h.e2eUpload, `"operator":"north","station":"Lake"`)
	h.register(h.south, `"operator":"south","station":"North Gate"`)
	for i := range toldCards {
		h.operate("POST", "/v1/cards", `{"card":"`+e2eUploadCard(i)+`","apps":["transit","purse"],"rider":"ordinary"}`, nil)
		h.tapNow(h.e2eUpload, i, "/v1/loads", fmt.Sprintf(`"amount":%d`, toldMoney))
	}
	h.began = h.now()
	return h
}

func (h *toldHall) register(u *e2eUpload, place string) {
	h.t.Helper()
	var answer struct{ Key string }
	h.operate("PUT", "/v1/terminals/"+u.name, `{`+place+`,"line":"M1","kinds":["metro_entry","metro_exit","load"],`+
		`"acquirer":"ACQ1"}`, &answer)
	secret, err := hex.DecodeString(answer.Key)
	if err != nil {
		h.t.Fatal(err)
	}
	u.signer = gate.NewSigner(u.name, secret)
}

// tapNow makes a request of a gate on line.
func (h *toldHall) tapNow(u *e2eUpload, card int, path, more string) {
	h.t.Helper()
	h.seq++
	status, text, err := u.send(h.t.Context(), path, "application/json", fmt.Appendf(nil,
		`{"id":"%s-1-%d","card":%q,"service_time":%q,%s}`, u.name, h.seq, e2eUploadCard(card),
		u.now().UTC().Format("2006-01-02T15:04:05.000Z"), more))
	if err != nil || status != http.StatusOK || !strings.Contains(string(text), `"approved"`) {
		h.t.Fatalf("%s %s: %d %s %v", path, more, status, text, err)
	}
}

// record is an end of a ride that a gate took without a network, some minutes after all began.
func (h *toldHall) record(u *e2eUpload, card int, minute time.Duration) frame.Tap {
	h.seq++
	counter := uint16(0)
	if card == toldExitFirst && u != h.south {
		counter = 1 // the entry was the card's first
	}
	x := h.tap(e2eUploadCard(card), h.seq, counter, h.began.Add(minute*time.Minute))
	x.Kind, x.Line, x.Station, x.Before, x.Amount, x.Fare = "metro_exit", "M1", "Lake", toldMoney, 300, 300
	if u == h.south {
		x.Kind, x.Station, x.Amount, x.Fare, x.PSAM = "metro_entry", "North Gate", 0, 0, "000000000078"
	}
	h.sign(&x)
	return x
}

// twice sends one record in a batch of its own over two connections at once, and once more.
func (h *toldHall) twice(u *e2eUpload, batch uint32, x frame.Tap, asJSON bool) {
	h.t.Helper()
	body, media := u.batch(1, batch, []frame.Tap{x})[0], api.Media
	if asJSON {
		f, err := frame.Parse(body)
		if err != nil {
			h.t.Fatal(err)
		}
		media = "application/json"
		if body, err = json.Marshal(f.Upload()); err != nil {
			h.t.Fatal(err)
		}
	}
	accepted, repeated := 0, 0
	var mu sync.Mutex
	send := func() {
		var a struct{ Accepted, Duplicate, Again int }
		err := e2eAwait(60*time.Second, func() (bool, error) {
			status, text, err := u.send(h.t.Context(), api.Prefix, media, body)
			if err != nil || status != http.StatusOK {
				return false, fmt.Errorf("%d %s %w", status, text, err)
			}
			return json.Unmarshal(text, &a) == nil && a.Again == 0, fmt.Errorf("answer %s", text)
		})
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			h.t.Errorf("%s of %s: %v", x.Kind, u.name, err)
		}
		accepted, repeated = accepted+a.Accepted, repeated+a.Duplicate
	}
	var links sync.WaitGroup
	links.Go(send)
	links.Go(send)
	links.Wait()
	send()
	if accepted+repeated != 3 || accepted < 1 {
		h.t.Errorf("%s of %s, sent three times: %d accepted, %d repeated", x.Kind, u.name, accepted, repeated)
	}
}

// has waits until cards have what they should.
func (h *toldHall) has(want map[int]int64) {
	h.t.Helper()
	for card, want := range want {
		e2eUntil(h.t, 60*time.Second, fmt.Sprintf("the money of rider %d", card), func() (bool, error) {
			var is struct{ Balance int64 }
			h.operate("POST", "/v1/cards:lookup", `{"card":"`+e2eUploadCard(card)+`"}`, &is)
			return is.Balance == want, fmt.Errorf("has %d, want %d", is.Balance, want)
		})
	}
}

// TestE2EFaresToldLate: ends of journeys are uploaded a day after the rest was charged as
// incomplete. Each rider has paid his ride once, both operators have what is theirs, and cards,
// ledger, settlement and what the gates account for agree to the fen.
func TestE2EFaresToldLate(t *testing.T) {
	t.Parallel()
	h := newToldHall(t)
	for _, card := range []int{toldBinary, toldJSON, toldTooLate} {
		h.tapNow(h.south, card, "/v1/taps", `"kind":"metro_entry"`)
	}
	h.tapNow(h.e2eUpload, toldEntry, "/v1/taps", `"kind":"metro_exit"`)
	h.shift(6*time.Hour - toldBegan)
	h.has(map[int]int64{toldBinary: 4300, toldJSON: 4300, toldTooLate: 4300, toldEntry: 4300, toldExitFirst: 5000})
	h.shift(25*time.Hour - toldBegan)
	h.twice(h.e2eUpload, 1, h.record(h.e2eUpload, toldBinary, 25), false)
	h.twice(h.e2eUpload, 2, h.record(h.e2eUpload, toldJSON, 26), true)
	h.twice(h.south, 1, h.record(h.south, toldEntry, -20), false)
	h.twice(h.e2eUpload, 3, h.record(h.e2eUpload, toldExitFirst, 27), false)
	h.twice(h.south, 2, h.record(h.south, toldExitFirst, 5), true)
	h.shift(80*time.Hour - toldBegan)
	h.twice(h.e2eUpload, 4, h.record(h.e2eUpload, toldTooLate, 28), false)
	want := map[int]int64{toldBinary: 4700, toldJSON: 4700, toldEntry: 4700, toldTooLate: 4000, toldExitFirst: 4700}
	h.has(want)
	e2eUntil(t, e2eDrainMax, "drain", h.node.drained)
	first, last := h.books(map[txn.Account]int64{"operator/north": 1500, "operator/south": 700})
	h.shown(want)
	h.found()
	h.settlement(first, last, map[string]int64{"operator/north": 1500, "operator/south": 700})
}

// books holds the ledger against what each party should have, and returns its first and last day.
func (h *toldHall) books(want map[txn.Account]int64) (first, last txn.BusinessDate) {
	h.t.Helper()
	got, told := map[txn.Account]int64{}, 0
	first = txn.BusinessDate(99991231)
	late := map[string]bool{}
	for _, r := range h.node.parquet() {
		first, last = min(first, max(r.BusinessDate, 1)), max(last, r.BusinessDate)
		for _, p := range r.Postings {
			got[p.Account] += int64(p.Amount)
		}
		for _, d := range r.Discounts {
			switch {
			case d.Cause == "told_late":
				late[r.Last4.String()], h.late = true, r.Request
			case d.Cause == "incomplete" && d.Amount > 0 && !r.Original.IsZero():
				told++
			}
		}
	}
	number := e2eUploadCard(toldTooLate)
	if told != 3 || len(late) != 1 || !late[number[len(number)-4:]] {
		h.t.Errorf("%d told ends gave something back, want 3; too late were %v", told, late)
	}
	for account, sum := range want {
		if got[account] != sum {
			h.t.Errorf("%s has %d, want %d; all: %v", account, got[account], sum, got)
		}
	}
	return first, last
}

// shown looks at what the commands tell of cards, gates and days.
func (h *toldHall) shown(want map[int]int64) {
	h.t.Helper()
	at := []string{"--url", "http://" + h.node.gate(), "--token-file", filepath.Join(h.node.dir, adminTokenFile), "-o", "json"}
	for card, sum := range want {
		r := e2eCommand(h.t, nil, e2eUploadCard(card)+"\n", append([]string{"card", "status", "-"}, at...)...)
		if r.code != 0 || !strings.Contains(strings.ReplaceAll(r.stdout, " ", ""), fmt.Sprintf(`"balance":%d`, sum)) {
			h.t.Errorf("card status of rider %d: %s", card, r.short())
		}
	}
	for _, u := range []*e2eUpload{h.e2eUpload, h.south} {
		r := e2eCommand(h.t, nil, "", append([]string{"uploads", "show", u.name}, at...)...)
		var g struct {
			Accepted struct {
				Records uint64
				Sum     uint64
			}
			MissingRecords int64 `json:"missing_records"`
		}
		if err := json.Unmarshal([]byte(r.stdout), &g); err != nil || g.Accepted.Records != u.records ||
			g.Accepted.Sum != u.sum || g.MissingRecords != 0 {
			h.t.Errorf("uploads show %s: %+v, the gate has %d of %d fen; %v", u.name, g, u.records, u.sum, err)
		}
	}
}

// found looks at the record that was told too late, as a person at the console does.
func (h *toldHall) found() {
	h.t.Helper()
	v := newConsoleVisitor(h.t, h.node)
	if status, at := v.signIn(h.node.secret(adminTokenFile)); status != http.StatusOK || at != "/console/today" {
		h.t.Fatalf("sign in: %d %s", status, at)
	}
	_, job, _ := v.send(http.MethodPost, "/console/search", url.Values{"what": {h.late.String()}, "purpose": {"complaint"},
		"details": {"case 7"}, "from": {h.began.AddDate(0, 0, -1).Format(time.DateOnly)},
		"to": {h.began.AddDate(0, 0, 6).Format(time.DateOnly)}})
	v.page(job, "Found: 1")
	v.page(job+"/1", "told_late")
}

// settlement closes and settles each day and adds up what operators get.
func (h *toldHall) settlement(first, last txn.BusinessDate, want map[string]int64) {
	h.t.Helper()
	h.shift(0)
	f := &e2eFinance{t: h.t, dir: h.node.dir}
	l := &lateDay{e2eUpload: h.e2eUpload, finance: f}
	got := map[string]int64{}
	for date := first; date <= last; date = date.Next() {
		f.run(0, nil, "day", "close", "--day", date.String(), "--wait", "50s").expect(h.t, "closed")
		var run day.Run
		f.into(f.run(0, nil, "settle", "run", "--day", date.String(), "-o", "json"), &run)
		for account := range want {
			sum, _ := l.column(&run, "gross.csv", "amount", "account", account)
			got[account] += sum
		}
		if c := run.Manifest.Control[0]; c.Debit != c.Credit || run.Manifest.Breaks != 0 {
			h.t.Errorf("%s: %+v", date, run.Manifest)
		}
	}
	for account, sum := range want {
		if got[account] != sum {
			h.t.Errorf("settlement gives %s %d, want %d", account, got[account], sum)
		}
	}
}
