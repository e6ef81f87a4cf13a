package console

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console/session"
	"github.com/tapswitch/tapswitch/ledger/console/trail"
)

// Names of cookies and of the field that every form brings.
const (
	cookieSession = "tapswitch_console"
	cookieForm    = "tapswitch_console_form" // before a session
	cookieLang    = "tapswitch_console_lang"
	fieldCSRF     = "csrf"
)

// bodyMax bounds a form.
const bodyMax = 64 << 10

// visit is one request.
type visit struct {
	*frame
	s   *Server
	w   http.ResponseWriter
	r   *http.Request
	who session.Session
}

// refusal is a page that says why the one that was asked for is not shown.
type refusal struct {
	status int
	key    string // of the text
	detail string
}

func (r *refusal) Error() string { return r.key + " " + r.detail }

func refuse(status int, key string) error { return &refusal{status: status, key: key} }

func notFound() error { return refuse(http.StatusNotFound, "error.not_found") }

// guarded serves a call for who is signed in and has one of its roles.
func (s *Server) guarded(c route) http.HandlerFunc {
	return s.open(func(x *visit) error {
		ok, err := s.resume(x)
		if err != nil {
			return err
		}
		if !ok {
			return s.askSignIn(x)
		}
		x.enter(c.page)
		if !x.who.Person.HasAny(c.roles) {
			s.o.Log.Warn("console refused", "actor", x.who.Person.Name, "call", c.pattern)
			return errors.Join(refuse(http.StatusForbidden, "error.role"),
				x.note(trail.Line{Action: "refused", Subject: c.pattern}))
		}
		if x.r.Method == http.MethodPost && !x.who.Permits(x.r.PostFormValue(fieldCSRF)) {
			return refuse(http.StatusForbidden, "error.form")
		}
		return c.serve(x)
	})
}

// open serves a call of anybody.
func (s *Server) open(serve func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := &visit{frame: s.frame(w, r), s: s, w: w, r: r}
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		err := s.origin.Check(r)
		if err != nil {
			err = refuse(http.StatusForbidden, "error.form")
		}
		if err == nil && r.Method == http.MethodPost && r.ParseForm() != nil {
			err = refuse(http.StatusBadRequest, "error.body")
		}
		if err == nil {
			err = serve(x)
		}
		if err != nil {
			x.fail(err)
		}
	}
}

// resume finds the session of the request. A session whose operator is gone ends.
func (s *Server) resume(x *visit) (bool, error) {
	cookie, err := x.r.Cookie(cookieSession)
	if err != nil {
		return false, nil
	}
	who, ok := s.sessions.Use(cookie.Value)
	if !ok {
		return false, nil
	}
	if s.sessions.Stale(&who) {
		p, known, err := s.o.Operators.Find(x.r.Context(), who.Token)
		switch {
		case err != nil:
			s.o.Log.Warn("console cannot look up an operator", "error", err)
			return false, refuse(http.StatusServiceUnavailable, "error.unavailable")
		case !known || p.Name != who.Person.Name:
			s.sessions.End(&who)
			return false, nil
		}
		s.sessions.Renew(&who, p)
	}
	x.who = who
	return true, nil
}

// askSignIn leads to the form; what was to be changed is not remembered.
func (s *Server) askSignIn(x *visit) error {
	to := "/console/signin"
	if x.r.Method == http.MethodGet && x.r.URL.Path != "/console/" && x.r.URL.Path != "/console/live" {
		to += "?next=" + url.QueryEscape(x.Path)
	}
	if x.r.URL.Path == "/console/live" {
		return refuse(http.StatusUnauthorized, "error.signin")
	}
	http.Redirect(x.w, x.r, to, http.StatusSeeOther)
	return nil
}

// signInPage is the form.
type signInPage struct {
	*frame
	Form, Next, Problem string
}

// signInForm serves GET /console/signin.
func (s *Server) signInForm(x *visit) error {
	return s.showSignIn(x, http.StatusOK, "", x.r.URL.Query().Get("next"))
}

func (s *Server) showSignIn(x *visit, status int, problem, next string) error {
	secret := session.Secret()
	if c, err := x.r.Cookie(cookieForm); err == nil && len(c.Value) == len(secret) {
		secret = c.Value
	}
	s.setCookie(x, cookieForm, secret, 0)
	x.Page = "signin"
	return x.render(status, "signin.html", &signInPage{frame: x.frame, Form: s.seal(secret),
		Next: ownPath(next), Problem: problem})
}

// seal proves that a form is ours: it goes with the cookie of the same browser.
func (s *Server) seal(secret string) string {
	m := hmac.New(sha256.New, s.formKey[:])
	m.Write([]byte(secret))
	return hex.EncodeToString(m.Sum(nil))
}

// ownPath keeps a way back only into the console.
func ownPath(path string) string {
	if !strings.HasPrefix(path, "/console/") || strings.ContainsAny(path, "\\\r\n") || strings.Contains(path, "//") {
		return ""
	}
	return path
}

// tokenMax bounds a token as sent.
const tokenMax = 128

// signIn serves POST /console/signin: the token once, a session from then on.
func (s *Server) signIn(x *visit) error {
	next := x.r.PostFormValue("next")
	c, err := x.r.Cookie(cookieForm)
	if err != nil || !hmac.Equal([]byte(s.seal(c.Value)), []byte(x.r.PostFormValue(fieldCSRF))) {
		return s.showSignIn(x, http.StatusForbidden, x.T("error.form"), next)
	}
	from := address(x.r)
	if ok, wait := s.throttle.Allows(from); !ok {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
		return s.showSignIn(x, http.StatusTooManyRequests, x.F("signin.wait", x.Long(wait)), next)
	}
	token := strings.TrimSpace(x.r.PostFormValue("token"))
	if token == "" || len(token) > tokenMax {
		return s.denied(x, from, next)
	}
	sum := session.SumOf(token)
	who, known, err := s.o.Operators.Find(x.r.Context(), sum)
	if err != nil {
		s.o.Log.Warn("console cannot look up an operator", "error", err)
		return s.showSignIn(x, http.StatusServiceUnavailable, x.T("error.unavailable"), next)
	}
	if !known {
		return s.denied(x, from, next)
	}
	return s.admit(x, who, sum, next)
}

// denied counts and notes a failure.
func (s *Server) denied(x *visit, from, next string) error {
	s.throttle.Failed(from)
	s.o.Log.Warn("console sign-in refused", "from", from)
	if err := x.note(trail.Line{Actor: "-", Action: "sign_in_failed"}); err != nil {
		return err
	}
	return s.showSignIn(x, http.StatusUnauthorized, x.T("signin.unknown"), next)
}

// admit begins the session of a person with a role that the console has pages for.
func (s *Server) admit(x *visit, who session.Person, token session.Sum, next string) error {
	if !who.HasAny(everyone) {
		if err := x.note(trail.Line{Actor: who.Name, Action: "sign_in_refused"}); err != nil {
			return err
		}
		return s.showSignIn(x, http.StatusForbidden, x.T("signin.no_role"), next)
	}
	if c, err := x.r.Cookie(cookieSession); err == nil {
		if old, ok := s.sessions.Use(c.Value); ok {
			s.sessions.End(&old)
		}
	}
	if err := x.note(trail.Line{Actor: who.Name, Role: strings.Join(who.Roles, ","), Action: "sign_in"}); err != nil {
		return err
	}
	secret, err := s.sessions.Begin(who, token)
	if err != nil {
		return s.showSignIn(x, http.StatusServiceUnavailable, x.T("signin.full"), next)
	}
	s.setCookie(x, cookieSession, secret, 0)
	s.setCookie(x, cookieForm, "", -1)
	if next = ownPath(next); next == "" {
		next = "/console/"
	}
	http.Redirect(x.w, x.r, next, http.StatusSeeOther)
	return nil
}

// signOut serves POST /console/signout.
func (s *Server) signOut(x *visit) error {
	err := x.note(trail.Line{Action: "sign_out"})
	s.sessions.End(&x.who)
	s.setCookie(x, cookieSession, "", -1)
	if err != nil {
		return err
	}
	http.Redirect(x.w, x.r, "/console/signin", http.StatusSeeOther)
	return nil
}

// setCookie sets a cookie that no script and no other site can use.
func (s *Server) setCookie(x *visit, name, value string, maxAge int) {
	http.SetCookie(x.w, &http.Cookie{Name: name, Value: value, Path: "/console", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.o.Secure || x.r.TLS != nil})
}

// address is whom the throttle counts against.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// note writes a line of the trail in the name of the visitor. Without it nothing is done.
func (x *visit) note(l trail.Line) error {
	l.At, l.From = x.s.o.Now(), address(x.r)
	if l.Actor == "" {
		l.Actor, l.Role = x.who.Person.Name, strings.Join(x.who.Person.Roles, ",")
	}
	if err := x.s.o.Trail.Write(l); err != nil {
		x.s.o.Log.Error("console audit", "error", err)
		return refuse(http.StatusServiceUnavailable, "error.trail")
	}
	x.s.o.Log.Info("console", "actor", l.Actor, "action", l.Action, "subject", l.Subject)
	return nil
}

// errorPage says why a page is not shown.
type errorPage struct {
	*frame
	Text, Detail string
	Status       int
}

// fail shows what went wrong.
func (x *visit) fail(err error) {
	var no *refusal
	var told *Refusal
	p := &errorPage{frame: x.frame, Text: x.T("error.unavailable"), Status: http.StatusServiceUnavailable}
	switch {
	case errors.As(err, &no):
		p.Text, p.Detail, p.Status = x.T(no.key), no.detail, no.status
	case errors.As(err, &told):
		p.Text, p.Status = told.English, http.StatusConflict
		if x.Lang == chinese {
			p.Text = told.Chinese
		}
	case errors.Is(err, ErrNone):
		p.Text, p.Status = x.T("error.not_found"), http.StatusNotFound
	default:
		x.s.o.Log.Warn("console page", "path", x.r.URL.Path, "error", err)
	}
	if x.Page == "" {
		x.Page = "error"
	}
	if bad := x.render(p.Status, "error.html", p); bad != nil {
		http.Error(x.w, "console: "+bad.Error(), http.StatusInternalServerError)
	}
}

// render writes a page that is whole, or an error.
func (x *visit) render(status int, name string, data any) error {
	var b bytes.Buffer
	if err := x.s.pages.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", x.HTMLLang())
	x.w.WriteHeader(status)
	_, _ = x.w.Write(b.Bytes()) // the reader has gone
	return nil
}

// langKeep is how long a chosen language is remembered.
const langKeep = 365 * 24 * time.Hour
