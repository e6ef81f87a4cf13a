package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// partSources are the parts behind the gate whose calls the API's description has, by the file
// with their routes and the value of its prefix.
var partSources = map[string]string{
	"../../switch/upload/api/api.go":             "/v1/uploads",
	"../../switch/qrtap/handler.go":              "/v1/qr-taps",
	"../../switch/ridedesk/ridedesk.go":          "/v1/rides/",
	"../../switch/disruption/redress/handler.go": "/v1/grace/",
	"../../switch/gate/provision/handler.go":     "",
	"../../switch/gate/provision/provision.go":   "",
}

// partRoute finds a method and path as the parts register them.
var partRoute = regexp.MustCompile(`"(GET|POST|PUT|DELETE) (/[^"]*)?"(?: ?\+ ?Prefix(?: ?\+ ?"([^"]*)")?)?`)

// partRoutes returns the calls that the sources of the parts register.
func partRoutes(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for name, prefix := range partSources {
		text, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range partRoute.FindAllStringSubmatch(string(text), -1) {
			if path := m[2]; path == "" {
				all[m[1]+" "+prefix+m[3]] = true
			} else {
				all[m[1]+" "+path] = true
			}
		}
	}
	return all
}

// TestE2EOpenAPIOfParts: each call that a part registers is in the description that a running
// switch shows, each that is there is served, and both refuse a stranger in the same form.
func TestE2EOpenAPIOfParts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, trust := e2eQRKit(t, dir)
	n := newE2ENode(t, filepath.Join(dir, "switch"), "--listen", "127.0.0.1:0", "--set", "qr.file="+trust,
		"--set", "desk.city="+deskPolicy(t, dir), "--set", "desk.plain_http=true")
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	_, text, err := e2eGet("http://" + n.gate() + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Part string `json:"x-part"`
		}
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, o := range operations {
			if o.Part != "" {
				described[strings.ToUpper(method)+" "+path] = true
				stranger(t, n, strings.ToUpper(method), path)
			}
		}
	}
	registered := partRoutes(t)
	for route := range registered {
		if !described[route] {
			t.Errorf("%s is served and not described", route)
		}
	}
	if len(registered) < 32 || len(described) < len(registered) {
		t.Errorf("%d calls registered, %d described", len(registered), len(described))
	}
}

// stranger makes a call without credentials: it must be there, and be refused.
func stranger(t *testing.T, n *e2eNode, method, path string) {
	t.Helper()
	path = regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "transit")
	var body io.Reader
	if method != http.MethodGet {
		body = strings.NewReader("{}")
	}
	q, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.gate()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var said struct {
		Error struct{ Code, Message string }
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&said)
	if resp.StatusCode != http.StatusUnauthorized || err != nil || said.Error.Code == "" || said.Error.Message == "" {
		t.Errorf("%s %s of a stranger: status %d, %+v %v", method, path, resp.StatusCode, said, err)
	}
}
