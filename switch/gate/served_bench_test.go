package gate

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"
)

// BenchmarkServed sends signed taps over 64 connections to the gate, with an engine that
// approves at once, and the same bytes to a fasthttp server that does nothing. The ratio of
// the two is what the gate leaves of the machine; clients share it.
func BenchmarkServed(b *testing.B) {
	const connections = 64
	answer := []byte(`{"id":"GATE01-3-42","outcome":"approved","field39":"00","message":"Approved",` +
		`"message_zh":"交易成功","full_fare":500,"charged":475,"balance":12345,"auth_code":"7KQ2M9",` +
		`"card":"****0001","record":"b017-3-42","business_date":"2026-11-21"}`)
	noop := &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) {
		c.SetContentType("application/json")
		c.SetBody(answer)
	}, NoDefaultServerHeader: true}
	s, _ := bareGate(b, &approver{}, nil)
	signers := make([]*Signer, connections)
	for i := range signers {
		id := fmt.Sprintf("G%d", i)
		key, err := CreateTerminal(b.Context(), s.registry, testMasterKey(),
			Terminal{ID: id, Kinds: allKinds()})
		if err != nil {
			b.Fatal(err)
		}
		signers[i] = NewSigner(id, key)
	}
	for _, c := range []struct {
		name  string
		serve func(net.Listener) error
		stop  func()
	}{
		{"noop", noop.Serve, func() { _ = noop.Shutdown() }},
		{"gate", s.Serve, func() { _ = s.Shutdown(context.Background()) }},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- c.serve(ln) }()
		var counter uint64
		b.Run(c.name, func(b *testing.B) {
			requests := signedTaps(signers, b.N, &counter)
			b.ReportAllocs()
			b.ResetTimer()
			sendAll(b, ln.Addr().String(), requests)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "taps/s")
		})
		c.stop()
		if err := <-served; err != nil {
			b.Fatal(err)
		}
	}
}

// signedTaps prepares n requests as bytes, dealt out to the terminals.
func signedTaps(signers []*Signer, n int, counter *uint64) [][][]byte {
	tap := newTapper(nil, nil).body
	requests := make([][][]byte, len(signers))
	for i := range n {
		*counter++
		signer := signers[i%len(signers)]
		body := bytes.Replace(tap, []byte("GATE01"), []byte(signer.Terminal()), 1)
		at := Stamp{At: wallClock(), Counter: *counter}
		requests[i%len(signers)] = append(requests[i%len(signers)],
			fmt.Appendf(nil, "POST /v1/taps HTTP/1.1\r\nHost: g\r\n"+
				"Content-Type: application/json\r\n%s: %s\r\n%s: %d\r\n%s: %d\r\n%s: %s\r\n"+
				"Content-Length: %d\r\n\r\n%s", HeaderTerminal, signer.Terminal(),
				HeaderTimestamp, at.At, HeaderCounter, at.Counter, HeaderSignature,
				signer.Sign("POST", "/v1/taps", body, at), len(body), body))
	}
	return requests
}

// sendAll sends the requests, each terminal's over a connection of its own.
func sendAll(b *testing.B, address string, requests [][][]byte) {
	var wg sync.WaitGroup
	for _, own := range requests {
		wg.Go(func() {
			c, err := net.Dial("tcp", address)
			if err != nil {
				b.Error(err)
				return
			}
			defer c.Close()
			r := bufio.NewReader(c)
			var response fasthttp.Response
			for _, request := range own {
				if _, err := c.Write(request); err != nil {
					b.Error(err)
					return
				}
				if err := response.Read(r); err != nil || response.StatusCode() != 200 {
					b.Errorf("%v %s", err, response.Body())
					return
				}
			}
		})
	}
	wg.Wait()
}
