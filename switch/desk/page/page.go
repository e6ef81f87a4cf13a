// Package page shows a city its freezes: which gates hold the present list, whose clock runs
// and who is late, and for one card what is in force, who was told, where it is effective and
// who bears what.
//
// It owns how that looks, in Chinese and English, and no fact: everything is read from the
// desk's API as it answers a viewer, so the page and the API never differ. New returns a
// handler for GET below /freezes; it changes nothing. Instants are shown in the city's time,
// amounts in yuan. One reading of the city is shared by all who look within freshFor, so that
// many screens cost as much as one. Safe for concurrent use; it starts no goroutine.
//
// It has no authentication: mount it where only the city's staff can reach it. It shows
// tokens and last digits, never a card number, and no account. Nothing is loaded from
// elsewhere: styles and the one script are the package's own, and without script the page
// refreshes itself all the same.
package page

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options of New. API and City are needed.
type Options struct {
	// API is the desk's handler; it is asked as a viewer.
	API http.Handler
	// City is what the scheme's card is called, in Chinese and English.
	City Name
	// Parties are the names of parties by their ids; others are shown by their id.
	Parties map[string]Name
	// Zone is the city's time; nil for UTC+8.
	Zone *time.Location
	// Now is the clock; nil for the system's.
	Now func() time.Time
}

// Name is a name in both languages.
type Name struct {
	Chinese string `json:"zh"`
	English string `json:"en"`
}

// Limits of a page.
const (
	// NoticesMax is how many open notices the city's page shows, the most urgent first.
	NoticesMax = 100
	// gatesMax is for how many of them it also looks up the gates.
	gatesMax = 20
	// behindMax is how many gates that are behind it names.
	behindMax = 50
	// lateDays is how far back late parties are listed, lateMax how many.
	lateDays, lateMax = 30, 50
	// freshFor is how long a reading of the city is shown; readMax bounds one.
	freshFor = 2 * time.Second
	readMax  = 10 * time.Second
	// refreshSeconds is how often a page that is looked at refreshes itself.
	refreshSeconds = 5
)

// The headers by which the API knows who asks, as the gate sets them.
const (
	headerActor = "Tapswitch-Actor"
	headerRoles = "Tapswitch-Roles"
)

//go:embed assets
var assets embed.FS

type server struct {
	o     Options
	pages *template.Template
	words map[string]Name

	mu   sync.Mutex // guards the reading of the city, and is held while it is made
	city *cityView
	err  error
	read time.Time
}

// New returns the handler of GET /freezes, /freezes/{token} and /freezes/assets/{file}.
func New(o Options) (http.Handler, error) {
	if o.API == nil || o.City == (Name{}) {
		return nil, errors.New("page: an API and the name of the city are needed")
	}
	if o.Zone == nil {
		o.Zone = time.FixedZone("UTC+8", 8*3600)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	pages, err := template.ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	words, err := readWords()
	if err != nil {
		return nil, err
	}
	s := &server{o: o, pages: pages, words: words}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /freezes", s.serveCity)
	mux.HandleFunc("GET /freezes/{token}", s.serveCard)
	mux.HandleFunc("GET /freezes/assets/{file}", s.serveAsset)
	return mux, nil
}

// serveAsset serves style and script.
func (s *server) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if !slices.Contains([]string{"style.css", "refresh.js"}, name) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, assets, "assets/"+name)
}

// serveCity serves the city's page; with ?card=TOKEN it leads to that card's.
func (s *server) serveCity(w http.ResponseWriter, r *http.Request) {
	f := s.frame(r)
	if token := strings.ToLower(strings.TrimSpace(r.URL.Query().Get("card"))); token != "" {
		http.Redirect(w, r, "/freezes/"+url.PathEscape(token)+f.query(f.Lang, f.Refresh), http.StatusSeeOther)
		return
	}
	city, err := s.cityNow(r.Context())
	if err != nil {
		s.fail(w, f, err)
		return
	}
	s.render(w, http.StatusOK, "city.html", &cityPage{frame: f, City: city})
}

// serveCard serves the page of a card.
func (s *server) serveCard(w http.ResponseWriter, r *http.Request) {
	f := s.frame(r)
	ctx, cancel := context.WithTimeout(r.Context(), readMax)
	defer cancel()
	card, err := s.readCard(ctx, r.PathValue("token"))
	if err != nil {
		s.fail(w, f, err)
		return
	}
	s.render(w, http.StatusOK, "card.html", &cardPage{frame: f, Card: card})
}

// fail shows what could not be read: the API's own words where it refused.
func (s *server) fail(w http.ResponseWriter, f *frame, err error) {
	var no *refusal
	status := http.StatusServiceUnavailable
	p := &errorPage{frame: f, Code: "unavailable", Text: f.T("unavailable")}
	if errors.As(err, &no) {
		status, p.Code, p.Text = no.status, no.Code, no.English
		if f.Lang == chinese {
			p.Text = cmp.Or(no.Chinese, no.English)
		}
	}
	s.render(w, status, "error.html", p)
}

// render writes a page that is whole, or says that it cannot be made.
func (s *server) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := s.pages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; "+
		"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader has gone
}

// refusal is an answer of the API that is not the content.
type refusal struct {
	status  int
	Code    string `json:"code"`
	English string `json:"message"`
	Chinese string `json:"message_zh"`
}

func (r *refusal) Error() string { return r.Code + ": " + r.English }

// reply is an answer of the API in memory.
type reply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (r *reply) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *reply) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *reply) Write(b []byte) (int, error) { return r.body.Write(b) }

// get asks the API and reads its answer into v.
func (s *server) get(ctx context.Context, path string, v any) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	if err != nil {
		return fmt.Errorf("page: %s: %w", path, err)
	}
	q.Header.Set(headerActor, "page")
	q.Header.Set(headerRoles, "viewer")
	a := &reply{header: http.Header{}, status: http.StatusOK}
	s.o.API.ServeHTTP(a, q)
	if a.status != http.StatusOK {
		var no struct {
			Error refusal `json:"error"`
		}
		_ = json.Unmarshal(a.body.Bytes(), &no) // what is no JSON has no words of its own
		no.Error.status = a.status
		return &no.Error
	}
	if err := json.Unmarshal(a.body.Bytes(), v); err != nil {
		return fmt.Errorf("page: answer of %s: %w", path, err)
	}
	return nil
}

// optional is get for what a process may not have: a 404 leaves v as it is.
func (s *server) optional(ctx context.Context, path string, v any) (bool, error) {
	err := s.get(ctx, path, v)
	var no *refusal
	if errors.As(err, &no) && no.status == http.StatusNotFound {
		return false, nil
	}
	return err == nil, err
}
