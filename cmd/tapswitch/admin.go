package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// check is one condition of readiness.
type check struct {
	name string
	// err returns nil when the condition holds.
	err func(ctx context.Context) error
}

// adminStopMax bounds the wait for pages under way when the process stops: a profile of
// half a minute is no reason to stay.
const adminStopMax = time.Second

// adminServer serves metrics, health and profiles on its own address with net/http, apart
// from the gate, so that it answers when the gate is drowned and while the rest stops.
type adminServer struct {
	server   *http.Server
	listener net.Listener
	done     chan struct{}
	draining atomic.Bool
}

func newAdminServer(addr string, registry *prometheus.Registry, checks []check,
	more func(*http.ServeMux)) (*adminServer, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin_listen: %w", err)
	}
	a := &adminServer{listener: ln, done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		a.serveReadiness(w, r, checks)
	})
	more(mux)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(a.done)
		_ = a.server.Serve(ln) // ends with http.ErrServerClosed
	}()
	return a, nil
}

// drain turns readyz to 503 for good. The checks are not asked any more: what they ask
// is being closed.
func (a *adminServer) drain() { a.draining.Store(true) }

func (a *adminServer) serveReadiness(w http.ResponseWriter, r *http.Request, checks []check) {
	if a.draining.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "[-] stopping: no more requests, please")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	lines, ready := readiness(ctx, checks)
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if !ready || r.URL.Query().Has("verbose") {
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
		return
	}
	fmt.Fprintln(w, "ok")
}

// readiness runs all checks and returns a line for each.
func readiness(ctx context.Context, checks []check) (lines []string, ready bool) {
	ready = true
	for _, c := range checks {
		if err := c.err(ctx); err != nil {
			ready = false
			lines = append(lines, fmt.Sprintf("[-] %s: %v", c.name, err))
			continue
		}
		lines = append(lines, "[+] "+c.name+": ok")
	}
	return slices.Clip(lines), ready
}

func (a *adminServer) addr() string { return a.listener.Addr().String() }

// close ends the server. Pages that take longer than adminStopMax are cut off, which is no
// error: nothing is lost with them.
func (a *adminServer) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminStopMax)
	defer cancel()
	err := a.server.Shutdown(ctx)
	if ctx.Err() != nil {
		err = a.server.Close()
	}
	<-a.done
	return err
}
