package list

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of the handler.
const (
	// WaitMax is the longest that a poll may wait for news.
	WaitMax = 60 * time.Second
	// WaitersMax is the default of HandlerOptions.WaitersMax.
	WaitersMax = 20_000
	// ackMax bounds the body of an acknowledgement.
	ackMax = 1024
)

// EpochHeader names the epoch: in a request that the device holds, in an answer the current.
const EpochHeader = "X-List-Epoch"

// canonical spellings of headers, so that setting them costs no work.
const (
	headerEpoch     = "X-List-Epoch"
	headerConfirmed = "X-List-Confirmed"
	headerTag       = "Etag"
	headerType      = "Content-Type"
	headerCache     = "Cache-Control"
)

// HandlerOptions set up a handler. Publisher, Tracker and Device are needed.
type HandlerOptions struct {
	Publisher *Publisher
	Tracker   *Tracker
	// Device says which terminal a request comes from, however that is proven: by its
	// signature, its certificate or its line. ok is false when it is not, and the request is
	// refused. It is called from many goroutines.
	Device func(r *http.Request) (terminal string, ok bool)
	// WaitersMax bounds the polls that wait at the same time; the next is answered at once.
	// 0 for 20,000.
	WaitersMax int
	// Now is the clock; nil for the system's.
	Now func() time.Time
}

type handler struct {
	o       HandlerOptions
	scopes  map[string]txn.App
	waiters atomic.Int64
}

// NewHandler returns the handler of the paths below /v1/lists/, as the package comment
// describes them. A server's write timeout must be longer than WaitMax.
func NewHandler(o HandlerOptions) (http.Handler, error) {
	if o.Publisher == nil || o.Tracker == nil || o.Device == nil {
		return nil, errors.New("list: a handler needs a publisher, a tracker and a device check")
	}
	o.WaitersMax = cmp.Or(o.WaitersMax, WaitersMax)
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &handler{o: o, scopes: map[string]txn.App{}}
	for _, scope := range o.Publisher.o.Scopes {
		h.scopes[scopeName(scope)] = scope
	}
	return h, nil
}

// refusal is an answer other than the content.
type refusal struct {
	status     int
	code, text string
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := h.o.Device(r)
	terminal, err := txn.ParseTerminalID(name)
	if !ok || err != nil {
		refuse(w, refusal{http.StatusUnauthorized, "device_unknown", "the device is not known"})
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, pathPrefix)
	scopeText, what, deep := strings.Cut(path, "/")
	scope, known := h.scopes[scopeText]
	isRead := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case ok && path == "ack" && r.Method == http.MethodPost:
		h.ack(w, r, terminal)
	case !ok || !deep || !known:
		refuse(w, refusal{http.StatusNotFound, "no_such_list", "no list has this path"})
	case !isRead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, refusal{http.StatusMethodNotAllowed, "method", "lists are read with GET or HEAD"})
	case what == "current":
		h.current(w, r, scope, terminal)
	case what == "full":
		h.full(w, r, scope, terminal)
	case what == "delta":
		h.delta(w, r, scope, terminal)
	default:
		refuse(w, refusal{http.StatusNotFound, "no_such_list", "want current, full or delta"})
	}
}

func refuse(w http.ResponseWriter, f refusal) {
	header := w.Header()
	header.Set(headerType, "application/json")
	header.Set(headerCache, "no-store")
	if f.status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "1")
	}
	w.WriteHeader(f.status)
	type inner struct {
		Code string `json:"code"`
		Text string `json:"message"`
	}
	_ = json.NewEncoder(w).Encode(map[string]inner{"error": {f.code, f.text}})
}

// refuseErr answers an error of the publisher.
func refuseErr(w http.ResponseWriter, err error, scope txn.App) {
	full := "take " + pathPrefix + scopeName(scope) + "/full"
	for _, c := range []struct {
		err error
		refusal
	}{
		{ErrNotReady, refusal{http.StatusServiceUnavailable, "not_ready", "no epoch yet: try again"}},
		{ErrTooOld, refusal{http.StatusGone, "epoch_too_old", full}},
		{ErrUnknownEpoch, refusal{http.StatusNotFound, "epoch_unknown", full}},
		{ErrFormat, refusal{http.StatusBadRequest, "format", err.Error()}},
	} {
		if errors.Is(err, c.err) {
			refuse(w, c.refusal)
			return
		}
	}
	refuse(w, refusal{http.StatusServiceUnavailable, "unavailable", "the list cannot be made now"})
}

// parameter returns a value of the query as it stands; all that are known need no escapes.
func parameter(query, name string) string {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return value
		}
	}
	return ""
}

// epochOf reads an epoch; an empty text is 0.
func epochOf(text string) (Epoch, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > uint64(txn.MinorMax) {
		return 0, fmt.Errorf("epoch %.24q is no number below 2^53", text)
	}
	return Epoch(n), nil
}

// held reads the epoch that the device says it holds, and tells the tracker.
func (h *handler) held(w http.ResponseWriter, r *http.Request, terminal txn.TerminalID) bool {
	text := ""
	if v := r.Header[headerEpoch]; len(v) > 0 {
		text = v[0]
	} else {
		text = parameter(r.URL.RawQuery, "from")
	}
	e, err := epochOf(text)
	if err != nil {
		refuse(w, refusal{http.StatusBadRequest, "epoch", err.Error()})
		return false
	}
	if text != "" {
		h.o.Tracker.Polled(terminal, e, txn.MillisOf(h.o.Now()))
	}
	return true
}

// begin sets what every answer about the current epoch has.
func (h *handler) begin(w http.ResponseWriter, e Epoch, contentType string) {
	header := w.Header()
	header[headerEpoch] = []string{strconv.FormatUint(uint64(e), 10)}
	header[headerConfirmed] = []string{strconv.FormatInt(int64(h.o.Publisher.Confirmed()), 10)}
	header[headerCache] = []string{"no-cache"}
	if contentType != "" {
		header[headerType] = []string{contentType}
	}
}

const listType = "application/vnd.tapswitch.list"

// wait holds a poll back until there is news after the epoch, as long as it asks for.
func (h *handler) wait(r *http.Request, after Epoch) error {
	text := parameter(r.URL.RawQuery, "wait")
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("wait %.24q is no duration such as 30s", text)
	}
	if now, _ := h.o.Publisher.Current(); now != after {
		return nil
	}
	defer h.waiters.Add(-1)
	if h.waiters.Add(1) > int64(h.o.WaitersMax) {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(d, WaitMax))
	defer cancel()
	h.o.Publisher.Wait(ctx, after)
	return nil
}

func (h *handler) current(w http.ResponseWriter, r *http.Request, scope txn.App,
	terminal txn.TerminalID) {
	if !h.held(w, r, terminal) {
		return
	}
	v := h.o.Publisher.view.Load()
	if v == nil {
		refuseErr(w, ErrNotReady, scope)
		return
	}
	c, err := h.o.Publisher.current(v, scope)
	if err != nil {
		refuseErr(w, err, scope)
		return
	}
	h.begin(w, v.epoch, "application/json")
	serve(w, r, c.tag, bytes.NewReader(c.body))
}

// serve answers with content: ETag, If-None-Match, ranges and length are net/http's.
func serve(w http.ResponseWriter, r *http.Request, tag string, content io.ReadSeeker) {
	w.Header()[headerTag] = []string{tag}
	http.ServeContent(w, r, "", time.Time{}, content)
}

func (h *handler) delta(w http.ResponseWriter, r *http.Request, scope txn.App,
	terminal txn.TerminalID) {
	from, err := epochOf(parameter(r.URL.RawQuery, "from"))
	if err != nil || from == 0 {
		refuse(w, refusal{http.StatusBadRequest, "epoch", "want from=EPOCH, the epoch that is held"})
		return
	}
	width, err := widthOf(r.URL.RawQuery, Wide)
	if err != nil {
		refuseErr(w, err, scope)
		return
	}
	if !h.held(w, r, terminal) {
		return
	}
	if err := h.wait(r, from); err != nil {
		refuse(w, refusal{http.StatusBadRequest, "wait", err.Error()})
		return
	}
	d, epoch, err := h.o.Publisher.deltaFile(scope, width, from)
	switch {
	case err != nil:
		refuseErr(w, err, scope)
	case d == nil:
		h.unchanged(w, r, epoch)
	default:
		h.begin(w, epoch, listType)
		serve(w, r, d.tag, bytes.NewReader(d.data))
	}
}

// unchanged answers a poll for which there is nothing new: 204, or 304 to who asks so.
func (h *handler) unchanged(w http.ResponseWriter, r *http.Request, epoch Epoch) {
	h.begin(w, epoch, "")
	tag := `"` + strconv.FormatUint(uint64(epoch), 10) + `"`
	w.Header()[headerTag] = []string{tag}
	if slices.Contains(r.Header["If-None-Match"], tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// widthOf reads the width of keys; 0 stands for the format's own.
func widthOf(query string, otherwise int) (int, error) {
	text := parameter(query, "width")
	if text == "" {
		return otherwise, nil
	}
	width, err := strconv.Atoi(text)
	if err != nil || width < 1 || width > Wide {
		return 0, fmt.Errorf("%w: keys of %.12q bytes", ErrFormat, text)
	}
	return width, nil
}

// formatOf reads the format of a full file.
func formatOf(query string) (Format, error) {
	text := parameter(query, "format")
	for f := Exact; f < Delta; f++ {
		if f.String() == text {
			return f, nil
		}
	}
	return 0, fmt.Errorf("%w: want format=exact, filter8 or filter16, not %.24q", ErrFormat, text)
}

func (h *handler) full(w http.ResponseWriter, r *http.Request, scope txn.App,
	terminal txn.TerminalID) {
	format, err := formatOf(r.URL.RawQuery)
	width := 0
	if err == nil {
		width, err = widthOf(r.URL.RawQuery, 0)
	}
	if err != nil {
		refuseErr(w, err, scope)
		return
	}
	if !h.held(w, r, terminal) {
		return
	}
	f, content, err := h.open(r.Context(), scope, Kind{format, width})
	if err != nil {
		refuseErr(w, err, scope)
		return
	}
	defer func() { _ = content.Close() }() // it was only read
	h.begin(w, f.Epoch, listType)
	serve(w, r, f.ETag, content)
}

// open takes the full file, once more when a later one took its place in between.
func (h *handler) open(ctx context.Context, scope txn.App, k Kind) (*Full, io.ReadSeekCloser, error) {
	for try := 0; ; try++ {
		f, err := h.o.Publisher.Full(ctx, scope, k)
		if err != nil {
			return nil, nil, err
		}
		content, err := f.Open()
		if err == nil || try > 0 || !errors.Is(err, fs.ErrNotExist) {
			return f, content, err
		}
	}
}

// ack takes {"epoch":N}: the device holds it now.
func (h *handler) ack(w http.ResponseWriter, r *http.Request, terminal txn.TerminalID) {
	var body struct {
		Epoch Epoch `json:"epoch"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, ackMax))
	if err := d.Decode(&body); err != nil || body.Epoch == 0 || body.Epoch > Epoch(txn.MinorMax) {
		refuse(w, refusal{http.StatusBadRequest, "epoch", `want {"epoch":N}`})
		return
	}
	h.o.Tracker.Polled(terminal, body.Epoch, txn.MillisOf(h.o.Now()))
	w.WriteHeader(http.StatusNoContent)
}
