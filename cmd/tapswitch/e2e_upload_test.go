package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
	"github.com/tapswitch/tapswitch/switch/upload/api"
)

const (
	e2eUploadGate  = "GATE77"
	e2eUploadCards = 60
	e2eUploadTaps  = 40 // of each card
	e2eUploadFare  = 190
	e2eUploadMoney = 20_000
	e2eUploadFrame = 400 // records
	e2eUploadAway  = 31 * 24 * time.Hour
	e2eUploadAhead = 2 * time.Hour // the gate's clock
	e2eUploadKey   = "0123456789ABCDEFFEDCBA9876543210"
)

// e2eUpload is a gate that was away, and the switch that it comes back to.
type e2eUpload struct {
	t       *testing.T
	name    string
	node    *e2eNode
	clock   string // file of the switch's clock
	signer  *gate.Signer
	counter atomic.Uint64
	master  *purse.Master

	taps    []frame.Tap      // of its life, in the order of its numbers
	balance map[string]int64 // of each card's purse
	records uint64
	sum     uint64
}

// e2eRing makes a key ring with the TAC key of a city, and the file that names it.
func e2eRing(t *testing.T, dir string) (flags []string) {
	t.Helper()
	var parts [2]*keyring.Component
	var files []string
	for i := range parts {
		var err error
		if parts[i], _, err = keyring.NewComponent(nil); err != nil {
			t.Fatal(err)
		}
		files = append(files, filepath.Join(dir, fmt.Sprintf("component%d", i+1)))
		if err := parts[i].WriteFile(files[i]); err != nil {
			t.Fatal(err)
		}
	}
	path, tac := filepath.Join(dir, "ring"), filepath.Join(dir, "tac.json")
	two := keyring.Actor{Name: "wang", Second: "chen"}
	ring, err := keyring.CreateStore(path, parts[0], parts[1], keyring.Options{Actor: two})
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	keyringtest.Import(t, ring, "purse_tac/city", keyring.TDES2, e2eUploadKey)
	text := `[{"index":1,"keys":"city","cipher":"tdes","levels":["serial"],"truncation":"left4","tac_key":"fold"}]`
	if err := os.WriteFile(tac, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--set", "keys.ring_file=" + path, "--set", "keys.ring_components=" + strings.Join(files, ","),
		"--set", "uploads.tac_file=" + tac}
}

// newE2EUpload starts a switch a month ago, with a gate and cards that have money.
func newE2EUpload(t *testing.T) *e2eUpload {
	t.Helper()
	dir := t.TempDir()
	key, err := hex.DecodeString(e2eUploadKey)
	if err != nil {
		t.Fatal(err)
	}
	u := &e2eUpload{t: t, name: e2eUploadGate, clock: filepath.Join(dir, "clock"), balance: map[string]int64{}}
	if u.master, err = purse.NewMaster(purse.TDES(purse.SerialFactor()), key); err != nil {
		t.Fatal(err)
	}
	flags := append([]string{"--listen", "127.0.0.1:0", "--set", "feed.flush_every=50ms",
		"--set", "scheme.offline_age_max=1080h"}, e2eRing(t, dir)...)
	u.node = newE2ENode(t, filepath.Join(dir, "switch"), flags...)
	u.shift(-e2eUploadAway)
	if err := u.start(); err != nil {
		t.Fatal(err)
	}
	var answer struct{ Key string }
	u.operate("PUT", "/v1/terminals/"+e2eUploadGate,
		`{"operator":"BUS1","kinds":["bus_boarding","load"],"acquirer":"ACQ1"}`, &answer)
	secret, err := hex.DecodeString(answer.Key)
	if err != nil {
		t.Fatal(err)
	}
	u.signer = gate.NewSigner(e2eUploadGate, secret)
	for i := range e2eUploadCards {
		card := e2eUploadCard(i)
		u.operate("POST", "/v1/cards", `{"card":"`+card+`","apps":["transit","purse"],"rider":"ordinary"}`, nil)
		at := u.now().UTC().Format("2006-01-02T15:04:05.000Z")
		body := fmt.Sprintf(`{"id":"%s-1-%d","card":"%s","amount":%d,"service_time":"%s"}`, e2eUploadGate, i+1,
			card, e2eUploadMoney, at)
		status, text, err := u.send(t.Context(), "/v1/loads", "application/json", []byte(body))
		if err != nil || status != http.StatusOK {
			t.Fatalf("load: %d %s %v", status, text, err)
		}
		u.balance[card] = e2eUploadMoney
	}
	return u
}

func e2eUploadCard(i int) string { return fmt.Sprintf("3104580000077%06d", i) }

func (u *e2eUpload) start() error { return u.node.start(clockFileEnv + "=" + u.clock) }

func (u *e2eUpload) shift(d time.Duration) {
	u.t.Helper()
	temp := u.clock + ".new" // replaced in one step: the switch reads it at every look
	err := os.WriteFile(temp, []byte(d.String()), 0o600)
	if err == nil {
		err = os.Rename(temp, u.clock)
	}
	if err != nil {
		u.t.Fatal(err)
	}
}

// now is the switch's clock.
func (u *e2eUpload) now() time.Time {
	text, err := os.ReadFile(u.clock)
	if err != nil {
		u.t.Error(err)
	}
	d, err := time.ParseDuration(string(text))
	if err != nil {
		u.t.Error(err)
	}
	return time.Now().Add(d)
}

// operate makes an operator's call that must succeed.
func (u *e2eUpload) operate(method, path, body string, v any) {
	u.t.Helper()
	q, err := http.NewRequestWithContext(u.t.Context(), method, "http://"+u.node.gate()+path, strings.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+u.node.secret(adminTokenFile))
	status, text, err := e2eUploadDo(q)
	if err != nil || status >= http.StatusBadRequest {
		u.t.Fatalf("%s %s: %d %s %v", method, path, status, text, err)
	}
	if v != nil {
		if err := json.Unmarshal(text, v); err != nil {
			u.t.Fatal(err)
		}
	}
}

func e2eUploadDo(q *http.Request) (int, []byte, error) {
	if q.Header.Get("Content-Type") == "" {
		q.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// send signs and sends one request of the gate.
func (u *e2eUpload) send(ctx context.Context, path, media string, body []byte) (int, []byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+u.node.gate()+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	at := gate.Stamp{At: txn.MillisOf(u.now()), Counter: u.counter.Add(1)}
	q.Header.Set("Content-Type", media)
	q.Header.Set(gate.HeaderTerminal, u.name)
	q.Header.Set(gate.HeaderTimestamp, strconv.FormatInt(int64(at.At), 10))
	q.Header.Set(gate.HeaderCounter, strconv.FormatUint(at.Counter, 10))
	q.Header.Set(gate.HeaderSignature, u.signer.Sign(http.MethodPost, path, body, at))
	status, text, err := e2eUploadDo(q)
	var fault struct {
		Error struct {
			Next uint64 `json:"next_counter"`
		}
	}
	if err == nil && json.Unmarshal(text, &fault) == nil {
		for { // after a restart the gate may have to begin above
			old := u.counter.Load()
			if old >= fault.Error.Next || u.counter.CompareAndSwap(old, fault.Error.Next) {
				break
			}
		}
	}
	return status, text, err
}

// live makes the records of the month: each card boards a bus forty times.
func (u *e2eUpload) live(from time.Time) {
	n := e2eUploadCards * e2eUploadTaps
	step := 30 * 24 * time.Hour / time.Duration(n)
	for i := range n {
		card := e2eUploadCard(i % e2eUploadCards)
		at := from.Add(time.Duration(i) * step)
		u.taps = append(u.taps, u.tap(card, uint32(i+1), uint16(i/e2eUploadCards), at))
		u.balance[card] -= e2eUploadFare
	}
}

// tap makes one record with its TAC, by a clock that is ahead.
func (u *e2eUpload) tap(card string, seq uint32, counter uint16, at time.Time) frame.Tap {
	local := at.Add(8*time.Hour + e2eUploadAhead).UTC()
	x := frame.Tap{Kind: "bus_boarding", TTI: 9, Card: frame.Digits(card), PSAM: "000000000077", TermSeq: seq,
		Counter: counter, Amount: e2eUploadFare, Fare: e2eUploadFare + 10, Before: uint32(u.balance[card]),
		At: local.Format("20060102150405"), KeyVersion: 1, KeyIndex: 1, Line: "M7", Station: "B-1"}
	u.sign(&x)
	return x
}

func (u *e2eUpload) sign(x *frame.Tap) {
	b, err := x.Append(nil)
	if err != nil {
		u.t.Fatal(err)
	}
	r := frame.Record(b)
	card := purse.Card{Issuer: r.Issuer(), Region: r.Region(), Serial: r.Serial()}
	key, err := u.master.Card(&card)
	if err != nil {
		u.t.Fatal(err)
	}
	mac := key.TAC().MAC(purse.PurchaseTAC, &purse.Values{Type: purse.Type(r.TTI()), Amount: r.Amount(),
		TermSeq: r.TermSeq(), Terminal: r.PSAM(), Date: r.Date(), Time: r.Time()})
	x.TAC = hex.EncodeToString(mac[:])
}

// batch makes the frames of one batch.
func (u *e2eUpload) batch(boot, number uint32, taps []frame.Tap) (frames [][]byte) {
	u.t.Helper()
	for offset := 0; offset < len(taps); offset += e2eUploadFrame {
		part := taps[offset:min(len(taps), offset+e2eUploadFrame)]
		up := frame.Upload{Taps: part, Header: frame.Header{Terminal: u.name, Boot: boot, Batch: number,
			BatchRecords: uint32(len(taps)), Offset: uint32(offset), First: u.records + 1,
			SentAt: u.now().Add(e2eUploadAhead).UnixMilli()}}
		for _, x := range part {
			u.records++
			u.sum += uint64(x.Amount)
		}
		up.TotalRecords, up.TotalSum = u.records, u.sum
		b, err := up.Frame()
		if err != nil {
			u.t.Fatal(err)
		}
		frames = append(frames, b)
	}
	return frames
}

// deliver sends frames until each is answered without a record to be sent again.
func (u *e2eUpload) deliver(ctx context.Context, frames [][]byte, sent *atomic.Int64) error {
	for _, b := range frames {
		err := e2eAwait(60*time.Second, func() (bool, error) {
			status, text, err := u.send(ctx, api.Prefix, api.Media, b)
			if err != nil || status != http.StatusOK {
				return false, fmt.Errorf("%d %s %w", status, text, errors.Join(err))
			}
			var answer struct{ Again int }
			if err := json.Unmarshal(text, &answer); err != nil {
				return false, err
			}
			return answer.Again == 0, nil
		})
		if err != nil {
			return err
		}
		sent.Add(1)
	}
	return nil
}

// flood sends a batch five times over two links at once, and kills the switch in the middle.
func (u *e2eUpload) flood(frames [][]byte) {
	u.t.Helper()
	ctx, cancel := context.WithCancel(u.t.Context())
	defer cancel()
	var sent atomic.Int64
	var group sync.WaitGroup
	faults := make(chan error, 2)
	for _, times := range []int{3, 2} {
		group.Go(func() {
			for range times {
				if err := u.deliver(ctx, frames, &sent); err != nil {
					faults <- err
					return
				}
			}
		})
	}
	var stuck error
	for life := range int64(2) {
		e2eUntil(u.t, 120*time.Second, "frames before the kill", func() (bool, error) {
			select {
			case stuck = <-faults:
			default:
			}
			return sent.Load() >= 1+2*life || stuck != nil, nil
		})
		if stuck != nil {
			u.t.Fatal(stuck)
		}
		u.node.kill()
		if err := u.start(); err != nil {
			u.t.Fatal(err)
		}
	}
	group.Wait()
	close(faults)
	for err := range faults {
		u.t.Fatal(err)
	}
}

// TestE2EUploadAfterAMonth: a gate was away for thirty days, its clock two hours ahead. It sends
// its batch five times over two links at once, with holes, a wrong TAC, numbers that went back
// and an unknown card, while the switch is killed twice. Every record ends in one state, all
// sums are the gate's own, and every purse has what it paid.
func TestE2EUploadAfterAMonth(t *testing.T) {
	t.Parallel()
	u := newE2EUpload(t)
	month := u.now().Add(time.Hour)
	u.live(month)
	u.shift(0)
	now := u.now()

	var sent, late []frame.Tap
	for i, x := range u.taps {
		if i%100 == 37 { // a hole, told in a later batch
			late = append(late, x)
			continue
		}
		sent = append(sent, x)
	}
	wrong := &sent[1000]
	wrong.TAC = "00000000"
	u.balance[string(wrong.Card)] += e2eUploadFare // it has paid, and is not charged on this evidence
	next := uint32(len(u.taps) + 1)
	stranger := u.tap("3104580000099000001", next, 0, now.Add(-20*time.Minute))
	again := u.tap(e2eUploadCard(3), next+1, 5, now.Add(-19*time.Minute)) // a counter that it used
	sent = append(sent, stranger, again)
	u.flood(u.batch(1, 1, sent))

	// After a restart of the gate its module begins anew: numbers that others have.
	var back []frame.Tap
	for i := range uint32(3) {
		card := e2eUploadCard(int(10 + i))
		back = append(back, u.tap(card, 5+i, 40, now.Add(-10*time.Minute)))
	}
	u.flood(u.batch(2, 1, append(slices.Clone(late), back...)))
	u.verify(len(u.taps)-1, 4)
}

// verify holds the switch's account against the gate's and the cards'.
func (u *e2eUpload) verify(accepted, held int) {
	t := u.t
	t.Helper()
	var g struct {
		upload.Gate
		MissingRecords int64 `json:"missing_records"`
		MissingSum     int64 `json:"missing_sum"`
	}
	u.operate("GET", api.Prefix+"/gates/"+e2eUploadGate, "", &g)
	if g.Accepted.Records != uint64(accepted) || g.Rejected.Records != 2 || g.Held.Records != uint64(held) {
		t.Errorf("accepted %d of %d, rejected %d of 2, held %d of %d", g.Accepted.Records, accepted,
			g.Rejected.Records, g.Held.Records, held)
	}
	if g.Own.Records != u.records || g.MissingRecords != 0 || g.MissingSum != 0 ||
		uint64(g.Arrived().Sum) != u.sum {
		t.Errorf("the gate has %d records and %d fen, the switch %+v", u.records, u.sum, g.Gate)
	}
	var list struct{ Held []struct{ Reason string } }
	u.operate("GET", api.Prefix+"/held", "", &list)
	reasons := map[string]int{}
	for _, h := range list.Held {
		reasons[h.Reason]++
	}
	if len(list.Held) != held || reasons["dispute"] != 3 || reasons["counter_used"] != 1 {
		t.Errorf("held for %v", reasons)
	}
	var m struct{ Missing int }
	u.operate("GET", api.Prefix+"/modules/000000000077", "", &m)
	if m.Missing != 0 {
		t.Errorf("%d numbers of the module are missing", m.Missing)
	}
	var said struct{ Cards []map[string]any }
	u.operate("GET", api.Prefix+"/cards?suspicious=1", "", &said)
	if len(said.Cards) != 0 {
		t.Errorf("%d honest cards are suspicious: %v", len(said.Cards), said.Cards)
	}
	for card, want := range u.balance {
		var is struct{ Balance int64 }
		u.operate("POST", "/v1/cards:lookup", `{"card":"`+card+`"}`, &is)
		if is.Balance != want {
			t.Errorf("card ...%s has %d, want %d", card[15:], is.Balance, want)
		}
	}
	e2eUntil(t, e2eDrainMax, "drain", u.node.drained)
	booked, sum, ids := 0, txn.Minor(0), map[txn.RequestID]bool{}
	for _, r := range u.node.parquet() {
		if r.Offline && r.Outcome == txn.Approved {
			booked, sum, ids[r.Request] = booked+1, sum+r.Charged, true
		}
	}
	if booked != accepted || len(ids) != accepted || sum != g.Accepted.Sum {
		t.Errorf("the ledger has %d records, %d ids and %d fen, want %d and %d", booked, len(ids), sum,
			accepted, g.Accepted.Sum)
	}
	if err := u.node.stop(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
}
