package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
)

// drainNode starts a node in this process on free ports.
func drainNode(t *testing.T) *node {
	t.Helper()
	c := config.Default()
	c.DataDir = filepath.Join(t.TempDir(), "data")
	c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	n, err := newNode(t.Context(), nodeOptions{Config: &c, Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAdminStopsLast: from the first step of a stop to the last one the admin server says
// that the switch is not ready, and shows its metrics, even of a store that is closed.
func TestAdminStopsLast(t *testing.T) {
	n := drainNode(t)
	base := "http://" + n.admin.addr()
	if status, body, err := e2eGet(base + "/readyz"); err != nil || status != http.StatusOK {
		t.Fatalf("before the stop: %d %q %v", status, body, err)
	}
	look := func(when string) func(context.Context) error {
		return func(context.Context) error {
			status, body, err := e2eGet(base + "/readyz")
			if err != nil || status != http.StatusServiceUnavailable ||
				!strings.Contains(body, "stopping") {
				t.Errorf("%s: readyz %d %q %v", when, status, body, err)
			}
			for _, page := range []string{"/livez", "/metrics"} {
				if status, _, err := e2eGet(base + page); err != nil || status != http.StatusOK {
					t.Errorf("%s: %s %d %v", when, page, status, err)
				}
			}
			return nil
		}
	}
	first, last := stopStep{"first look", look("first")}, stopStep{"last look", look("last")}
	n.stops = append([]stopStep{n.stops[0], last}, append(n.stops[1:], first)...)
	if n.stops[2].name != "store" {
		t.Fatalf("the store does not stop before the last look: %q", n.stops[2].name)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e2eGet(base + "/livez"); err == nil {
		t.Error("the admin server outlives the node")
	}
}

// TestAdminStopIsShort: a page that takes long does not hold the stop, nor makes it fail.
func TestAdminStopIsShort(t *testing.T) {
	n := drainNode(t)
	asked := make(chan error, 1)
	c, err := net.Dial("tcp", n.admin.addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		// The head of the answer comes once the trace runs.
		_, err := fmt.Fprintf(c, "GET /debug/pprof/trace?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n")
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 12))
		}
		asked <- err
	}()
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > n.config.Gate.DrainTimeout/2 {
		t.Errorf("the stop took %s", took)
	}
}

const (
	// drainTestDelay leaves the looks of the test time on a machine that is busy.
	drainTestDelay = 2 * time.Second
	drainTestLate  = time.Second
)

// TestE2EDrain: SIGTERM turns readyz to 503 at once on both addresses, new connections are
// served for the drain delay, and only then refused; the admin server ends last.
func TestE2EDrain(t *testing.T) {
	n := newE2ENode(t, filepath.Join(t.TempDir(), "switch"), "--listen", "127.0.0.1:0",
		"--set", "gate.drain_delay="+drainTestDelay.String())
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true},
		Timeout: 5 * time.Second}
	began := time.Now()
	if err := n.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for name, addr := range map[string]string{"gate": n.gate(), "admin": n.admin()} {
		e2eUntil(t, drainTestDelay, "readyz of "+name, func() (bool, error) {
			status, err := drainStatus(client, "http://"+addr+"/readyz")
			return status == http.StatusServiceUnavailable, err
		})
	}
	if late := time.Since(began); late > drainTestLate {
		t.Errorf("readyz turned after %s", late)
	}
	served := 0
	e2eUntil(t, drainTestDelay+e2eStopMax, "the gate refuses connections", func() (bool, error) {
		status, err := drainStatus(client, "http://"+n.gate()+"/v1/errors")
		if err == nil && status != http.StatusOK {
			t.Errorf("while draining: %d", status)
		}
		if err == nil {
			served++
		}
		return err != nil, nil
	})
	if took := time.Since(began); served == 0 || took < drainTestDelay {
		t.Errorf("%d requests served in the %s after SIGTERM", served, took)
	}
	if err := n.stop(); err != nil {
		t.Errorf("the end: %v", err)
	}
	log := n.logTail()
	part := func(name string) int { return strings.Index(log, `"stopped","part":"`+name+`"`) }
	if gate, store, admin := part("gate"), part("store"), part("admin"); gate < 0 ||
		store < gate || admin < store {
		t.Errorf("want gate, store, admin in this order:\n%s", log)
	}
}

// drainStatus asks over a connection of its own.
func drainStatus(client *http.Client, url string) (int, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
