package gate

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/switch/gate/fields"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// call is one request at work. Calls are reused; nothing of a request outlives it.
type call struct {
	http     *fasthttp.RequestCtx
	route    *route
	param    []byte // parameter of the path
	received txn.Millis
	ctx      context.Context
	body     []byte
	object   fields.Object
	request  txn.Request
	id       txn.RequestID // once it is known, for errors
	actor    *operator     // on operator routes
	claim    claim         // on terminal routes
	out      []byte        // the answer
	status   int

	sampleEvery int // 0: no stages are timed
	timed       bool
	last        time.Time
	stages      Stages
}

// reset prepares x for the next request.
func (x *call) reset(http *fasthttp.RequestCtx) {
	x.http, x.route, x.param, x.ctx, x.actor = http, nil, nil, nil, nil
	x.id, x.claim, x.status = txn.RequestID{}, claim{}, fasthttp.StatusOK
	x.out = x.out[:0]
	// Chosen at random, so that traffic with a rhythm is sampled fairly.
	x.timed = x.sampleEvery > 0 && rand.IntN(x.sampleEvery) == 0
	if x.timed {
		x.last, x.stages = time.Now(), Stages{}
	}
}

// wipe clears what held card numbers and lets go of the request.
func (x *call) wipe() {
	clear(x.body)
	x.object.Wipe()
	x.http, x.ctx, x.actor, x.claim = nil, nil, nil, claim{}
	if cap(x.body) > bodyMax {
		x.body = nil
	}
}

// mark ends a stage.
func (x *call) mark(stage Stage) {
	if x.timed {
		now := time.Now()
		x.stages[stage] += now.Sub(x.last)
		x.last = now
	}
}

// handle answers one request.
func (s *Server) handle(http *fasthttp.RequestCtx) {
	x := s.calls.Get().(*call)
	x.reset(http)
	r, answered := s.serve(x)
	if r.IsSet() {
		s.answerRefusal(x, r)
	}
	if !answered || r.IsSet() {
		s.send(x)
	}
	if x.route != nil && x.route.number != noRoute && x.timed {
		s.observer.Staged(x.route.number, x.stages)
	}
	x.wipe()
	s.calls.Put(x)
}

// chunked is what fasthttp tells as the length of a chunked body. No terminal needs one,
// and two ways to say where a body ends are how requests are smuggled.
const chunked = -1

// serve does everything up to the answer; a mounted handler has answered itself.
func (s *Server) serve(x *call) (r refusal.Value, answered bool) {
	x.received = s.now()
	header := &x.http.Request.Header
	if header.ContentLength() == chunked {
		s.closeAfter(x)
		return refusal.For(refusal.LengthRequired), false
	}
	// The gate's own calls come first: a tap pays nothing for what is mounted.
	if x.route, x.param, r = s.routes.find(header.Method(), header.RequestURI()); !r.IsSet() {
		return s.serveRoute(x), false
	}
	if m := s.mountOf(header.RequestURI()); m != nil && r.Code == refusal.NotFound {
		return s.passOn(x, m), true
	}
	s.discard(x)
	return r, false
}

// serveRoute serves a call of the gate's own.
func (s *Server) serveRoute(x *call) refusal.Value {
	if !s.admission.enter(x.route.lane) {
		s.discard(x)
		return refusal.For(refusal.Overloaded)
	}
	defer s.admission.leave(x.route.lane)
	x.ctx = s.deadlines.within(x.route.lane, s.budgetOf(x.route.lane))
	if r := s.admit(x); r.IsSet() {
		return r
	}
	return x.route.serve(s, x)
}

// admit takes the body and checks who asks. The cheap half of the check comes before a
// large body is read, the signature after it.
func (s *Server) admit(x *call) refusal.Value {
	var r refusal.Value
	switch x.route.guard {
	case guardTerminal:
		x.claim, r = s.identify(x.ctx, x)
	case guardOperator:
		x.actor, r = s.recognize(x)
	}
	x.mark(StageAuthenticate)
	if r.IsSet() {
		s.discard(x)
		return r
	}
	if r := s.takeBody(x); r.IsSet() {
		return r
	}
	x.mark(StageRead)
	if x.route.guard == guardTerminal {
		r = s.verify(x.ctx, x, &x.claim)
		x.mark(StageAuthenticate)
		if r.IsSet() {
			return r
		}
	}
	return s.checkMedia(x)
}

// checkMedia refuses bodies that are not plain JSON.
func (s *Server) checkMedia(x *call) refusal.Value {
	if !x.route.takesBody() {
		return refusal.Value{}
	}
	h := &x.http.Request.Header
	own := x.route.media != "" && string(h.ContentType()) == x.route.media
	if len(h.ContentEncoding()) > 0 || !own && !isJSON(h.ContentType()) {
		return refusal.For(refusal.UnsupportedMediaType)
	}
	return refusal.Value{}
}

// isJSON reports whether a Content-Type is application/json, in UTF-8 if it says so.
func isJSON(contentType []byte) bool {
	const plain = "application/json"
	if string(contentType) == plain {
		return true
	}
	kind, rest, _ := bytes.Cut(contentType, []byte(";"))
	rest = bytes.TrimSpace(rest)
	return bytes.EqualFold(bytes.TrimSpace(kind), []byte(plain)) &&
		(len(rest) == 0 || bytes.EqualFold(rest, []byte("charset=utf-8")))
}

// takeBody reads the body, in step with what arrives and not with what was declared.
func (s *Server) takeBody(x *call) refusal.Value {
	declared := x.http.Request.Header.ContentLength()
	switch taken := x.route.takesBody(); {
	case declared > 0 && !taken:
		s.discard(x)
		return refusal.For(refusal.BodyNotTaken)
	case declared > x.route.bodyMax:
		s.discard(x)
		return refusal.For(refusal.BodyTooLarge)
	}
	x.body = x.body[:0]
	stream := x.http.RequestBodyStream()
	for declared > 0 && len(x.body) < declared {
		if len(x.body) == cap(x.body) {
			grown := make([]byte, len(x.body), min(declared, max(1<<10, 2*cap(x.body))))
			copy(grown, x.body)
			clear(x.body)
			x.body = grown
		}
		n, err := stream.Read(x.body[len(x.body):min(cap(x.body), declared)])
		x.body = x.body[:len(x.body)+n]
		if err != nil && len(x.body) < declared {
			s.closeAfter(x)
			return refusal.For(readFault(err))
		}
	}
	return refusal.Value{}
}

// discard reads a bounded part of a body that nobody wants, so that the client sees the
// answer, and closes the connection when more is left.
func (s *Server) discard(x *call) {
	declared := x.http.Request.Header.ContentLength()
	if declared <= 0 {
		return
	}
	if stream := x.http.RequestBodyStream(); stream != nil {
		n, err := io.CopyN(io.Discard, stream, int64(min(declared, discardMax)))
		if err == nil && n == int64(declared) {
			return
		}
	}
	s.closeAfter(x)
}

// closeAfter ends the connection after the answer: what is left of the body must never be
// taken for a request.
func (s *Server) closeAfter(x *call) { x.http.SetConnectionClose() }

// readFault tells a client that is too slow from one that sends nonsense.
func readFault(err error) refusal.Code {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return refusal.RequestTimeout
	}
	return refusal.MalformedHTTP
}

// headerReceived gives batches more time to arrive than single calls.
func (s *Server) headerReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	var c fasthttp.RequestConfig
	if bytes.HasSuffix(h.RequestURI(), []byte(":batch")) {
		c.ReadTimeout = s.limits.BatchReadTimeout
	}
	return c
}

// brokenRequest answers what is not HTTP, or came too slowly. The connection is closed.
func (s *Server) brokenRequest(http *fasthttp.RequestCtx, err error) {
	code := readFault(err)
	var small *fasthttp.ErrSmallBuffer
	if errors.As(err, &small) {
		code = refusal.HeadersTooLarge
	}
	x := s.calls.Get().(*call)
	x.reset(http)
	s.answerRefusal(x, refusal.For(code))
	s.send(x)
	x.wipe()
	s.calls.Put(x)
}

// send hands the answer to the connection.
func (s *Server) send(x *call) {
	response := &x.http.Response
	response.SetStatusCode(x.status)
	response.Header.SetContentType("application/json")
	if len(x.out) > maxPooledAnswer {
		response.SetBodyRaw(x.out) // its bytes leave after this returns
		x.out = nil
	} else {
		response.SetBody(x.out)
	}
	x.mark(StageReply)
}

// maxPooledAnswer is the size up to which the memory of an answer is used again.
const maxPooledAnswer = 16 << 10
