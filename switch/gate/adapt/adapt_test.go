package adapt_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/tapswitch/tapswitch/switch/gate/adapt"
)

// serve returns a client of h behind fasthttp.
func serve(t *testing.T, h http.Handler) *http.Client {
	t.Helper()
	ln := fasthttputil.NewInmemoryListener()
	server := &fasthttp.Server{Handler: adapt.Handler(h)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableCompression: true,
		Dial: func(string, string) (net.Conn, error) { return ln.Dial() }}}
}

func ask(t *testing.T, c *http.Client, method, path, body string, header ...string) (*http.Response, []byte) {
	t.Helper()
	q, err := http.NewRequest(method, "http://gate"+path, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	r, err := c.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, b
}

func TestAnswersAsTheHandlerGaveThem(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-One", "1")
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		switch r.URL.Path {
		case "/nothing":
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK) // too late
			fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RequestURI(), body)
		}
	}))
	r, body := ask(t, c, "POST", "/x?a=1", "hello")
	if r.StatusCode != http.StatusTeapot || string(body) != "POST /x?a=1 hello" || r.Header.Get("X-One") != "1" ||
		len(r.Header.Values("X-Two")) != 2 {
		t.Errorf("%d %q %v", r.StatusCode, body, r.Header)
	}
	if r, body := ask(t, c, "GET", "/nothing", ""); r.StatusCode != http.StatusOK || len(body) != 0 || r.Header.Get("X-One") == "" {
		t.Errorf("%d %q %v", r.StatusCode, body, r.Header)
	}
	if r, _ := ask(t, c, "GET", "/empty", ""); r.StatusCode != http.StatusNoContent {
		t.Errorf("%d", r.StatusCode)
	}
}

// Content comes whole and in ranges, from memory without a copy and from a file, small and
// large, and HEAD tells its length.
func TestContentFromMemoryAndFromFiles(t *testing.T) {
	for _, size := range []int{0, 1, 1000, 64<<10 - 1, 64 << 10, 3 << 20} {
		content := bytes.Repeat([]byte{7, 1, 9}, size/3+1)[:size]
		path := filepath.Join(t.TempDir(), "content")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"x"`)
			if r.URL.Path == "/memory" {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
				return
			}
			f, err := os.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			http.ServeContent(w, r, "", time.Time{}, f)
		}))
		for _, from := range []string{"/memory", "/file"} {
			if r, body := ask(t, c, "GET", from, ""); r.StatusCode != http.StatusOK || !bytes.Equal(body, content) {
				t.Errorf("%s, %d bytes: %d with %d bytes", from, size, r.StatusCode, len(body))
			}
			if r, _ := ask(t, c, "HEAD", from, ""); r.StatusCode != http.StatusOK || r.ContentLength != int64(size) {
				t.Errorf("%s, %d bytes: HEAD %d with length %d", from, size, r.StatusCode, r.ContentLength)
			}
			if r, _ := ask(t, c, "GET", from, "", "If-None-Match", `"x"`); r.StatusCode != http.StatusNotModified {
				t.Errorf("%s, %d bytes: unchanged: %d", from, size, r.StatusCode)
			}
			if size < 100 {
				continue
			}
			r, body := ask(t, c, "GET", from, "", "Range", fmt.Sprintf("bytes=10-%d", size-5))
			if r.StatusCode != http.StatusPartialContent || !bytes.Equal(body, content[10:size-4]) {
				t.Errorf("%s, %d bytes: a range: %d with %d bytes", from, size, r.StatusCode, len(body))
			}
		}
	}
}

// What a handler keeps of a request stays what it was when others come after it.
func TestKeptTextStays(t *testing.T) {
	var kept []*http.Request
	c := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { kept = append(kept, r) }))
	for i := range 20 {
		name := fmt.Sprintf("%c%02d", 'a'+i, i)
		ask(t, c, "PUT", "/v1/"+name+"?q="+name, "", "X-Actor", name)
	}
	for i, r := range kept {
		name := fmt.Sprintf("%c%02d", 'a'+i, i)
		if got := r.Header.Get("X-Actor"); got != name || r.URL.Path != "/v1/"+name || r.URL.Query().Get("q") != name ||
			r.RequestURI != "/v1/"+name+"?q="+name || r.Method != "PUT" || r.Host != "gate" {
			t.Fatalf("request %d became %s %s of %s for %s", i, r.Method, r.RequestURI, got, r.Host)
		}
	}
}
