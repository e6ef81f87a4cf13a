package link

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// stream frames messages, for seeds.
func stream(all ...message) (out []byte) {
	for _, m := range all {
		out, _ = lengthFraming{}.AppendFrame(out, m.bytes())
	}
	return out
}

func seeds(f *testing.F) {
	signOn := message{kind: 'M', key: Key{Class: 8, STAN: 1}, text: SignOn.String()}
	signOff := message{kind: 'M', key: Key{Class: 8, STAN: 2}, text: SignOff.String()}
	f.Add([]byte{})
	f.Add([]byte{0, 0})
	f.Add([]byte{0xFF, 0xFF, 1})
	f.Add(stream(request(1, "a"), request(1, "a"), request(2, "b")))
	f.Add(stream(signOn, request(1, "a"), signOff, request(2, "b")))
	f.Add(stream(request(1, "a").reply("ok"), signOn.reply("00"), message{kind: '?'}))
	f.Add(stream(request(1, "a"))[:20])
}

// FuzzServer sends any bytes to a server: nothing hangs, and everything ends.
func FuzzServer(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := NewServer(ServerConfig{Name: "fuzz", Framing: lengthFraming{},
			Protocol: &testProtocol{}, Handler: &echoHandler{},
			Limits: Limits{FrameMax: 256, InFlightPerConnMax: 2},
			Admit:  func(netip.AddrPort) (string, bool) { return "pos", true }})
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		s.take(far)
		play(near, data)
		finishFuzz(t, s.Shutdown)
	})
}

// FuzzLink sends any bytes to a link while it signs on and has a request in flight.
func FuzzLink(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg := baseConfig("fuzz", 1)
		cfg.Limits = Limits{FrameMax: 256, BackoffMin: time.Hour, BackoffMax: time.Hour,
			DrainTimeout: time.Millisecond, SignOffTimeout: time.Millisecond,
			AnswerTimeout: 5 * time.Millisecond}
		cfg.Protocol = &testProtocol{silent: [SignOff + 1]bool{SignOn: true}}
		played := make(chan struct{})
		cfg.Dial = func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer close(played)
				play(far, data)
			}()
			return near, nil
		}
		l, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, sent, err := send(l, request(1, "a"))
		if (sent == Answered) != (err == nil) {
			t.Errorf("%v with %v", sent, err)
		}
		<-played
		finishFuzz(t, l.Shutdown)
	})
}

// play writes data to one end of a pipe, throws away what comes back, and closes it.
func play(nc net.Conn, data []byte) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(io.Discard, nc)
	}()
	_ = nc.SetWriteDeadline(time.Now().Add(2 * time.Second))
	_, _ = nc.Write(data)
	_ = nc.Close()
	<-read
}

func finishFuzz(t *testing.T, shutdown func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := shutdown(ctx); err != nil {
		t.Error(err)
	}
}
