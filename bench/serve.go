package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/valyala/fasthttp"
)

// ServeNoop serves HTTP on a free loopback port and answers every request with a body of
// size bytes, without looking at it: what the network and fasthttp alone can do. It prints
// its address to out and ends with ctx or when in ends.
func ServeNoop(ctx context.Context, in io.Reader, out io.Writer, size int) error {
	const head, foot = `{` + approved + `,"pad":"`, `"}`
	body := []byte(head + strings.Repeat("x", max(0, size-len(head)-len(foot))) + foot)
	server := &fasthttp.Server{
		NoDefaultServerHeader: true,
		Handler: func(c *fasthttp.RequestCtx) {
			c.SetContentType("application/json")
			c.SetBody(body)
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("no-op server: %w", err)
	}
	if _, err := fmt.Fprintln(out, ln.Addr()); err != nil {
		return fmt.Errorf("no-op server: %w", err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	<-ended(ctx, in)
	_ = ln.Close() // connections end with the process
	<-served
	return nil
}

// WithInput returns a context that ends with ctx or when in ends: a server that was started for
// a benchmark does not outlive the process that holds the other end.
func WithInput(ctx context.Context, in io.Reader) (context.Context, context.CancelFunc) {
	both, cancel := context.WithCancel(ctx)
	over := ended(both, in)
	go func() {
		<-over
		cancel()
	}()
	return both, cancel
}

// ended returns a channel that is closed when ctx ends or nothing more can be read: the
// parent is gone.
func ended(ctx context.Context, in io.Reader) <-chan struct{} {
	both := make(chan struct{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, in)
	}()
	go func() {
		defer close(both)
		select {
		case <-ctx.Done():
		case <-gone:
		}
	}()
	return both
}
