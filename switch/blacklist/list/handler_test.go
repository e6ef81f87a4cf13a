package list_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// desk is a city with a tracker and a handler.
type desk struct {
	*city
	tracker *list.Tracker
	handler http.Handler
}

func newDesk(t testing.TB, o list.Options) *desk {
	t.Helper()
	d := &desk{}
	d.tracker = list.NewTracker(list.TrackerOptions{})
	o.Published = d.tracker.Published
	d.city = newCity(t, storetest.MemoryOptions{}, o)
	d.serve(list.HandlerOptions{})
	return d
}

func (d *desk) serve(o list.HandlerOptions) {
	d.t.Helper()
	o.Publisher, o.Tracker, o.Now = d.pub, d.tracker, d.clock.Now
	o.Device = func(r *http.Request) (string, bool) {
		id := r.Header.Get("Terminal")
		return id, id != ""
	}
	h, err := list.NewHandler(o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.handler = h
}

// ask sends a request as a gate and returns the answer; headers are names and values.
func (d *desk) ask(method, target string, headers ...string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Terminal", "GATE000001")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w
}

func (d *desk) get(target string, headers ...string) *httptest.ResponseRecorder {
	return d.ask(http.MethodGet, "/v1/lists/"+target, headers...)
}

// want checks status and, of a refusal, the code.
func want(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if w.Code != status || code != "" && !strings.Contains(w.Body.String(), `"code":"`+code+`"`) {
		t.Errorf("status %d, body %.200s, want %d %s", w.Code, w.Body.String(), status, code)
	}
}

// A gate's whole way: it asks what is there, takes the full file, follows by deltas, says
// what it holds, and the switch knows at each step.
func TestGateFollowsOverHTTP(t *testing.T) {
	signer, keys := testSigner(t)
	for _, dir := range []string{"", t.TempDir()} {
		d := newDesk(t, list.Options{Signer: signer, Dir: dir})
		d.set(spread(1), lost(txn.AppAll))
		first := d.step()
		var doc struct {
			Epoch list.Epoch
			Count int
			Delta struct{ URL string }
			Full  []struct {
				Format, URL, SHA256 string
				Size                int
			}
		}
		full := d.get("transit/full?format=filter16")
		current := d.get("transit/current")
		if err := json.Unmarshal(current.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(full.Body.Bytes())
		if doc.Epoch != first || doc.Count != 1 || len(doc.Full) != 4 ||
			doc.Full[3].Size != full.Body.Len() || doc.Full[3].SHA256 != hex.EncodeToString(sum[:]) {
			t.Fatalf("current %s", current.Body)
		}
		l, err := list.Open(full.Body.Bytes(), keys)
		if err != nil {
			t.Fatal(err)
		}
		d.set(spread(2), lost(txn.AppTransit))
		now := d.step()
		w := d.ask(http.MethodGet, doc.Delta.URL+fmt.Sprint(l.Epoch())+"&width=8")
		want(t, w, http.StatusOK, "")
		if l, err = l.Apply(w.Body.Bytes(), keys); err != nil || !l.Contains(spread(2)) {
			t.Fatalf("after the delta: %v", err)
		}
		if w.Header().Get(list.EpochHeader) != fmt.Sprint(now) || w.Header().Get("Etag") == "" ||
			w.Header().Get("X-List-Confirmed") != fmt.Sprint(int64(d.clock.Millis())) {
			t.Errorf("headers %v", w.Header())
		}
		want(t, d.get(fmt.Sprintf("transit/delta?from=%d", l.Epoch())), http.StatusNoContent, "")
	}
}

// What a poll says is what the tracker holds.
func TestPollsTellTheTracker(t *testing.T) {
	d := newDesk(t, list.Options{})
	d.tracker = list.NewTracker(list.TrackerOptions{
		Directory: directory{{Terminal: terminal(t, 1), Active: true}}, Now: d.clock.Now})
	d.restart(list.Options{Published: d.tracker.Published})
	d.serve(list.HandlerOptions{})
	if err := d.tracker.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	covered := func(e list.Epoch) bool { return d.tracker.Coverage(e, d.clock.Millis()).Covered == 1 }
	d.set(spread(1), lost(txn.AppAll))
	first := d.step()
	d.set(spread(2), lost(txn.AppAll))
	second := d.step()
	d.get(fmt.Sprintf("transit/delta?from=%d", first))
	if !covered(first) || covered(second) {
		t.Error("the poll was not noted")
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/lists/ack",
		strings.NewReader(fmt.Sprintf(`{"epoch":%d}`, second)))
	r.Header.Set("Terminal", "GATE000001")
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent || !covered(second) {
		t.Errorf("the acknowledgement was not noted: %d", w.Code)
	}
	d.get("transit/current", list.EpochHeader, fmt.Sprint(first)) // the device was restored
	if covered(second) {
		t.Error("an earlier epoch of a poll was not believed")
	}
	d.get("transit/current", list.EpochHeader, fmt.Sprint(second))
	if !covered(second) {
		t.Error("the header of a poll was not noted")
	}
	d.get("transit/current", list.EpochHeader, "0")
	if covered(first) {
		t.Error("a device that holds nothing is covered")
	}
}

func TestConditionsAndRanges(t *testing.T) {
	d := newDesk(t, list.Options{})
	for i := range uint64(500) {
		d.set(spread(i), lost(txn.AppAll))
	}
	first := d.step()
	d.set(spread(1000), lost(txn.AppAll))
	now := d.step()
	for _, target := range []string{"transit/current", "transit/full?format=exact&width=8",
		fmt.Sprintf("transit/delta?from=%d", first)} {
		whole := d.get(target)
		tag := whole.Header().Get("Etag")
		if whole.Code != 200 || !strings.HasPrefix(tag, `"`) ||
			whole.Header().Get("Content-Length") != fmt.Sprint(whole.Body.Len()) {
			t.Fatalf("%s: %d %v", target, whole.Code, whole.Header())
		}
		same := d.get(target, "If-None-Match", tag)
		if same.Code != http.StatusNotModified || same.Body.Len() > 0 {
			t.Errorf("%s: %d with %d bytes to who has it", target, same.Code, same.Body.Len())
		}
		want(t, d.get(target, "If-None-Match", `"other"`), 200, "")
		var parts []byte
		for at := 0; at < whole.Body.Len(); at += 100 {
			part := d.get(target, "Range", fmt.Sprintf("bytes=%d-%d", at, at+99), "If-Range", tag)
			want(t, part, http.StatusPartialContent, "")
			parts = append(parts, part.Body.Bytes()...)
		}
		if !bytes.Equal(parts, whole.Body.Bytes()) {
			t.Errorf("%s: the parts are not the whole", target)
		}
		again := d.get(target, "Range", "bytes=10-", "If-Range", `"an old one"`)
		if again.Code != 200 || again.Body.Len() != whole.Body.Len() {
			t.Errorf("%s: a part of another file was given: %d", target, again.Code)
		}
		head := d.ask(http.MethodHead, "/v1/lists/"+target)
		if head.Code != 200 || head.Body.Len() > 0 || head.Header().Get("Etag") != tag {
			t.Errorf("%s: HEAD %d %v", target, head.Code, head.Header())
		}
	}
	target := fmt.Sprintf("transit/delta?from=%d", now)
	none := d.get(target)
	want(t, none, http.StatusNoContent, "")
	want(t, d.get(target, "If-None-Match", none.Header().Get("Etag")), http.StatusNotModified, "")
}

func TestHandlerRefuses(t *testing.T) {
	d := newDesk(t, list.Options{HistoryEpochs: 3})
	want(t, d.get("transit/current"), http.StatusServiceUnavailable, "not_ready")
	want(t, d.get("transit/delta?from=7"), http.StatusServiceUnavailable, "not_ready")
	first := d.step()
	for i := range uint64(5) {
		d.set(spread(i), lost(txn.AppAll))
		d.step()
	}
	now, _ := d.pub.Current()
	old, unknown := fmt.Sprintf("transit/delta?from=%d", first), fmt.Sprintf("transit/delta?from=%d", now+5)
	want(t, d.get(old), http.StatusGone, "epoch_too_old")
	want(t, d.get(unknown), http.StatusNotFound, "epoch_unknown")
	if !strings.Contains(d.get(old).Body.String(), "take /v1/lists/transit/full") {
		t.Error("no advice to take the full file")
	}
	for target, code := range map[string]string{
		"transit/delta":                                  "epoch",
		"transit/delta?from=x":                           "epoch",
		"transit/delta?from=-1":                          "epoch",
		"transit/delta?from=99999999999999999":           "epoch",
		fmt.Sprintf("transit/delta?from=%d&width=9", 7):  "format",
		fmt.Sprintf("transit/delta?from=%d&width=x", 7):  "format",
		fmt.Sprintf("transit/delta?from=%d&wait=x", now): "wait",
		"transit/full":                                   "format",
		"transit/full?format=zip":                        "format",
		"transit/full?format=delta":                      "format",
		"transit/full?format=exact&width=99":             "format",
		"transit/full?format=numbers":                    "format",
	} {
		want(t, d.get(target), http.StatusBadRequest, code)
	}
	for _, target := range []string{"", "transit", "purse/current", "transit/other", "transit/current/x"} {
		want(t, d.get(target), http.StatusNotFound, "no_such_list")
	}
	want(t, d.get("transit/current", list.EpochHeader, "many"), http.StatusBadRequest, "epoch")
	want(t, d.ask(http.MethodGet, "/elsewhere"), http.StatusNotFound, "")
	want(t, d.ask(http.MethodPut, "/v1/lists/transit/current"), http.StatusMethodNotAllowed, "method")
	want(t, d.ask(http.MethodGet, "/v1/lists/ack"), http.StatusNotFound, "")
	want(t, d.get("transit/current", "Terminal", "no terminal!"), http.StatusUnauthorized, "device_unknown")
	r := httptest.NewRequest(http.MethodGet, "/v1/lists/transit/current", nil)
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	want(t, w, http.StatusUnauthorized, "device_unknown")
	for _, body := range []string{"", "{}", `{"epoch":-1}`, `{"epoch":9007199254740993}`,
		`{"epoch":` + strings.Repeat(" ", 2000) + `1}`} {
		r := httptest.NewRequest(http.MethodPost, "/v1/lists/ack", strings.NewReader(body))
		r.Header.Set("Terminal", "GATE000001")
		w := httptest.NewRecorder()
		d.handler.ServeHTTP(w, r)
		want(t, w, http.StatusBadRequest, "epoch")
	}
	if _, err := list.NewHandler(list.HandlerOptions{}); err == nil {
		t.Error("a handler of nothing")
	}
}

// A poll that waits is answered by the next epoch, by the end of its time, or by the end of
// its line, and never more wait than may.
func TestLongPoll(t *testing.T) {
	d := newDesk(t, list.Options{})
	now := d.step()
	d.serve(list.HandlerOptions{WaitersMax: 1})
	target := fmt.Sprintf("/v1/lists/transit/delta?from=%d&wait=", now)
	want(t, d.ask(http.MethodGet, target+"1ms"), http.StatusNoContent, "")

	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	polled := make(chan struct{})
	first := httptest.NewRecorder()
	waiting.Go(func() {
		r := httptest.NewRequest(http.MethodGet, target+"60s", nil).WithContext(ctx)
		r.Header.Set("Terminal", "GATE000001")
		close(polled)
		d.handler.ServeHTTP(first, r)
	})
	<-polled
	cancel()
	waiting.Wait()
	want(t, first, http.StatusNoContent, "")

	// One waits, through a server; every other is answered at once.
	server := httptest.NewServer(d.handler)
	defer server.Close()
	answers := make(chan *http.Response, 2)
	for range 2 {
		waiting.Go(func() {
			r, err := http.NewRequest(http.MethodGet, server.URL+target+"60s", nil)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Terminal", "GATE000002")
			w, err := server.Client().Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			answers <- w
		})
	}
	refused := <-answers
	if refused.StatusCode != http.StatusNoContent {
		t.Errorf("the second waiter got %d", refused.StatusCode)
	}
	d.set(spread(1), lost(txn.AppAll))
	next := d.step()
	waiting.Wait()
	news := <-answers
	body, err := io.ReadAll(news.Body)
	if err != nil || news.StatusCode != http.StatusOK ||
		news.Header.Get(list.EpochHeader) != fmt.Sprint(next) || len(body) < list.HeaderSize {
		t.Errorf("the waiter got %d, %d bytes, %v", news.StatusCode, len(body), err)
	}
}

// Many gates at once, while epochs come: each ends with the list of the current epoch.
func TestManyGates(t *testing.T) {
	d := newDesk(t, list.Options{Interval: list.IntervalMin})
	d.step()
	full := d.get("transit/full?format=exact").Body.Bytes()
	stop := make(chan struct{})
	var gates sync.WaitGroup
	held := make([]*list.List, 8)
	for i := range held {
		held[i] = open(t, full)
		gates.Go(func() {
			for last := false; ; {
				select {
				case <-stop:
					last = true
				default:
				}
				w := d.get(fmt.Sprintf("transit/delta?from=%d", held[i].Epoch()))
				if w.Code == http.StatusOK {
					next, err := held[i].Apply(w.Body.Bytes(), nil)
					if err != nil {
						t.Error(err)
						return
					}
					held[i] = next
				} else if last {
					return
				}
			}
		})
	}
	for i := range uint64(100) {
		d.set(spread(i), lost(txn.AppAll))
		if i > 10 {
			d.set(spread(i-10), lost(txn.AppSocial))
		}
		d.step()
	}
	close(stop)
	gates.Wait()
	now, _ := d.pub.Current()
	for i, l := range held {
		if l.Epoch() != now || l.Header().Count != uint64(len(d.frozen(txn.AppTransit))) {
			t.Errorf("gate %d is at %d with %d cards", i, l.Epoch(), l.Header().Count)
		}
	}
	if len(d.frozen(txn.AppTransit)) != 11 {
		t.Errorf("%d cards", len(d.frozen(txn.AppTransit)))
	}
}
