package console

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console/figures"
	"github.com/tapswitch/tapswitch/ledger/console/lookup"
	"github.com/tapswitch/tapswitch/ledger/console/session"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Name is a name in both languages.
type Name struct{ Chinese, English string }

// Options of New. Operators, Trail, Today and Begin are needed; what else is nil is not there.
type Options struct {
	Operators Operators
	Trail     Trail
	// Today is the present business date, Begin the instant at which one begins.
	Today func() txn.BusinessDate
	Begin func(txn.BusinessDate) txn.Millis

	Ledger      Ledger
	Live        Live
	Freezes     Freezes
	Banks       Banks
	Days        Days
	Settlements Settlements
	Breaks      Breaks

	// City is what the scheme is called; empty shows the product's name alone.
	City Name
	// Parties are names of parties by their ids.
	Parties map[string]Name
	// Zone is the scheme's time; nil for UTC+8.
	Zone *time.Location
	// Now is the clock; nil for the system's.
	Now func() time.Time
	// Secure marks cookies for TLS although this process sees none, behind a proxy that ends
	// it. A request that came with TLS gets such cookies anyhow.
	Secure bool
	// Idle and Absolute end sessions; zero takes the defaults of package session.
	Idle, Absolute time.Duration
	// Dir keeps the figures of complete dates; empty keeps them in memory only.
	Dir string
	Log *slog.Logger
}

// The roles of operators, as the gate knows them.
const (
	roleDesk       = "desk"
	roleConfirm    = "desk_confirm"
	roleFinance    = "finance"
	roleAdmin      = "admin"
	roleViewer     = "viewer"
	roleSupervisor = "supervisor"
)

// Who may see and do what.
var (
	everyone = []string{roleFinance, roleDesk, roleConfirm, roleSupervisor, roleAdmin, roleViewer}
	books    = []string{roleFinance, roleSupervisor, roleAdmin, roleViewer}
	// holders may look at holders' records, with a purpose. A viewer and an admin may not.
	holders  = []string{roleFinance, roleDesk, roleConfirm, roleSupervisor}
	filing   = []string{roleFinance, roleSupervisor}
	auditing = []string{roleSupervisor, roleAdmin}
	// working is who changes something; a supervisor never does.
	working = []string{roleFinance}
)

//go:embed assets
var assets embed.FS

// Server is made by New.
type Server struct {
	o        Options
	pages    *template.Template
	words    map[string]map[string]string
	sessions *session.Store
	throttle *session.Throttle
	formKey  session.Sum // authenticates forms that come before a session
	figures  *figures.Cache
	finder   *lookup.Finder
	origin   *http.CrossOriginProtection
	mux      *http.ServeMux
	routes   []route
}

// route is one call with who may make it.
type route struct {
	pattern string
	// page is the page in whose menu entry the call stands.
	page  string
	roles []string
	serve func(*visit) error
}

// New returns the console. Close it.
func New(o Options) (*Server, error) {
	if o.Operators == nil || o.Trail == nil || o.Today == nil || o.Begin == nil {
		return nil, errors.New("console: Operators, Trail, Today and Begin are needed")
	}
	if o.Zone == nil {
		o.Zone = time.FixedZone("UTC+8", 8*3600)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	words, err := readWords()
	if err != nil {
		return nil, err
	}
	pages, err := template.ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	s := &Server{o: o, pages: pages, words: words, throttle: session.NewThrottle(o.Now),
		sessions: session.New(session.Options{Idle: o.Idle, Absolute: o.Absolute, Now: o.Now}),
		formKey:  session.SumOf(session.Secret()), origin: http.NewCrossOriginProtection()}
	if o.Ledger != nil {
		s.figures = figures.New(figures.Options{Source: o.Ledger, Begin: o.Begin, Dir: o.Dir, Now: o.Now,
			Report: func(err error) { o.Log.Warn("console figures", "error", err) }})
		s.finder = lookup.New(o.Ledger, o.Now)
	}
	s.mount()
	return s, nil
}

// Close ends what counts and searches in the background.
func (s *Server) Close() {
	if s.o.Ledger != nil {
		s.figures.Close()
		s.finder.Close()
	}
}

// mount names every call.
func (s *Server) mount() {
	s.routes = []route{
		{"GET /console/{$}", pageToday, everyone, s.home},
		{"GET /console/today", pageToday, everyone, s.today},
		{"GET /console/live", pageToday, everyone, s.live},
		{"GET /console/days", pageDays, books, s.days},
		{"GET /console/days/{date}", pageDays, books, s.day},
		{"GET /console/days/{date}/{file}", pageDays, filing, s.dayFile},
		{"GET /console/settlement", pageSettlement, books, s.settlement},
		{"GET /console/settlement/{date}", pageSettlement, books, s.settlementDay},
		{"GET /console/settlement/{date}/{operator}", pageSettlement, books, s.operator},
		{"POST /console/settlement/{date}/{operator}", pageSettlement, holders, s.operatorRecords},
		{"GET /console/search", pageSearch, holders, s.search},
		{"POST /console/search", pageSearch, holders, s.searchNow},
		{"GET /console/search/{job}", pageSearch, holders, s.result},
		{"GET /console/search/{job}/{record}", pageSearch, holders, s.record},
		{"GET /console/breaks", pageBreaks, books, s.breaks},
		{"GET /console/breaks/{id}", pageBreaks, books, s.showBreak},
		{"POST /console/breaks/{id}", pageBreaks, working, s.actBreak},
		{"GET /console/freezes", pageFreezes, everyone, s.freezes},
		{"GET /console/terminals", pageTerminals, everyone, s.terminals},
		{"GET /console/banks", pageBanks, everyone, s.banks},
		{"GET /console/downloads", pageDownloads, filing, s.downloads},
		{"GET /console/downloads/{run}/{file}", pageDownloads, filing, s.download},
		{"GET /console/audit", pageAudit, auditing, s.audit},
		{"GET /console/help", pageHelp, everyone, s.help},
		{"POST /console/signout", "", everyone, s.signOut},
	}
	s.mux = http.NewServeMux()
	for _, r := range s.routes {
		s.mux.HandleFunc(r.pattern, s.guarded(r))
	}
	s.mux.HandleFunc("GET /console", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/console/", http.StatusSeeOther)
	})
	s.mux.HandleFunc("GET /console/signin", s.open(s.signInForm))
	s.mux.HandleFunc("POST /console/signin", s.open(s.signIn))
	s.mux.HandleFunc("GET /console/assets/{file}", s.serveAsset)
	s.mux.HandleFunc("/console/", s.open(func(*visit) error { return notFound() }))
}

// policy is what a page may load and do: its own style, its own script, its own forms.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	s.mux.ServeHTTP(w, r)
}

// serveAsset serves style and script.
func (s *Server) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	if !slices.Contains([]string{"style.css", "console.js", "icon.svg"}, name) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, assets, "assets/"+name)
}

// The languages.
const (
	chinese = "zh"
	english = "en"
)

// readWords reads the catalogue of each language.
func readWords() (map[string]map[string]string, error) {
	all := map[string]map[string]string{}
	for _, lang := range []string{chinese, english} {
		text, err := fs.ReadFile(assets, "assets/"+lang+".json")
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		words := map[string]string{}
		if err := json.Unmarshal(text, &words); err != nil {
			return nil, fmt.Errorf("console: texts of %s: %w", lang, err)
		}
		all[lang] = words
	}
	return all, nil
}

// readMax bounds the readings of other parts that a page waits for.
const readMax = 3 * time.Second

// bounded is the context of such a reading.
func (x *visit) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(x.r.Context(), readMax)
}
