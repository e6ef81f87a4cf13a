package books

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"time"
)

const (
	// countMax is how long a page may take before a visitor gives up.
	countMax = 5 * time.Minute
	// countEvery is how often a visitor looks whether the day is counted.
	countEvery = 20 * time.Millisecond
)

// Pages are those of the console that tell of the day.
func Pages() []string {
	day := Day.String()
	return []string{"/console/today", "/console/days", "/console/days/" + day, "/console/settlement/" + day,
		"/console/settlement/" + day + "/M5", "/console/search", "/console/breaks", "/console/freezes",
		"/console/terminals", "/console/banks", "/console/downloads", "/console/audit", "/console/help",
		"/console/days/" + day + "/totals.csv"}
}

// Visitor is a person with a browser at a console.
type Visitor struct {
	base   string
	client *http.Client
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// NewVisitor signs in with an operator's token.
func NewVisitor(addr, secret string) (*Visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &Visitor{base: "http://" + addr, client: &http.Client{Jar: jar, Timeout: countMax}}
	const path = "/console/signin"
	form, err := v.Get(context.Background(), path)
	if err != nil {
		return nil, err
	}
	found := csrfField.FindSubmatch(form)
	if found == nil {
		return nil, fmt.Errorf("console: no form to sign in: %.300s", form)
	}
	answer, err := v.client.PostForm(v.base+path, url.Values{"csrf": {string(found[1])}, "token": {secret}})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	_, err = v.read(answer, path)
	return v, err
}

// Get returns a page; another status than 200 is an error.
func (v *Visitor) Get(ctx context.Context, path string) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := v.client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return v.read(answer, path)
}

func (v *Visitor) read(answer *http.Response, path string) ([]byte, error) {
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("console %s: %w", path, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("console %s: status %d: %.300s", path, answer.StatusCode, text)
	}
	return text, nil
}

// Asked are the times of a console's pages: Cold of the first one before anything was counted, and
// All of every page later in milliseconds; Counted is how many seconds the first count took, and
// Slowest names the page that took longest.
type Asked struct {
	Cold, Counted float64
	All           []float64
	Slowest       string
}

// AskAll waits until the day is counted, and then asks for each page so many times.
func (v *Visitor) AskAll(ctx context.Context, turns int) (a Asked, err error) {
	since := func(began time.Time) float64 { return float64(time.Since(began)) / float64(time.Millisecond) }
	first := time.Now()
	page, err := v.Get(ctx, Pages()[0])
	a.Cold = since(first)
	again := time.NewTicker(countEvery)
	defer again.Stop()
	for err == nil && bytes.Contains(page, []byte(`http-equiv="refresh"`)) {
		select {
		case <-again.C:
			page, err = v.Get(ctx, Pages()[0])
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return a, err
	}
	a.Counted = since(first) / 1000
	longest := 0.0
	for _, path := range Pages() {
		for range turns {
			began := time.Now()
			if _, err := v.Get(ctx, path); err != nil {
				return a, err
			}
			took := since(began)
			if a.All = append(a.All, took); took > longest {
				longest, a.Slowest = took, path
			}
		}
	}
	return a, nil
}
