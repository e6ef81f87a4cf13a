// Package setup reads the bank file: listeners, links, routes, keys, and everything else that
// says who is connected to the bank edge and how. The comments of Config and its parts are the
// manual of the file.
//
// A file is read once, at the start; what is in it does not change. Unknown keys are refused,
// and every refusal (ErrConfig) names its entry. Values are for anybody's use, read only. It
// opens no connection and no key; Check reads the files that a bank file names.
package setup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/route"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrConfig is what every refusal of a bank file is; the error names the entry.
var ErrConfig = errors.New("bank configuration")

// nameMax is the longest name of a listener or link: it stands in card states.
const nameMax = card.BankLinkMax

// percentMax is the highest tip_percent and adjust_percent.
const percentMax = 1000

// inFlightPerConnectionMax is how many requests of one connection are worked on at once.
const inFlightPerConnectionMax = 1024

// configMax is the longest bank file in bytes.
const configMax = 4 << 20

// Config says who is connected. It is a YAML file of its own; docs of every key stand here.
// Everything is in one currency, that of the scheme (card.yaml, by default 156): a message in
// another one (field 49) is declined with code 12, reason currency_not_accepted, and goes to no
// bank; one without field 49 is in the scheme's.
type Config struct {
	// Acquirer is this switch's institution id, field 32 where a message has none.
	// At most 11 digits.
	Acquirer string `yaml:"acquirer"`
	// Forwarder is its id as forwarding institution, field 33. Empty leaves the field out.
	Forwarder string `yaml:"forwarder"`
	// PurseBINs begin the card numbers whose purse this switch keeps: a load through a bank
	// is booked here as well.
	PurseBINs []string `yaml:"purse_bins"`
	// ReversalAfter and ReversalMax are the pause before a bank is told again, and what it
	// grows to. Default 5s and 1m.
	ReversalAfter time.Duration `yaml:"reversal_after"`
	ReversalMax   time.Duration `yaml:"reversal_max"`

	// EMV names the files of what chip terminals download.
	EMV EMV `yaml:"emv"`

	Listeners []Listener `yaml:"listeners"`
	Links     []Link     `yaml:"links"`
	Routes    []Route    `yaml:"routes"`
}

// EMV names the files of what chip terminals download; see package emv for their form.
type EMV struct {
	// CAKeys are the public keys of the card schemes, AIDs the applications with their
	// parameters. Without a file its download is not supported (code 40).
	CAKeys string `yaml:"ca_keys"`
	AIDs   string `yaml:"aids"`
}

// Listener is an address that terminals or acquirers connect to.
type Listener struct {
	// Name is at most 16 characters, and part of what is stored: do not reuse one for
	// another purpose.
	Name string `yaml:"name"`
	// Address is host:port.
	Address string `yaml:"address"`
	// Spec is the message format: a built-in name (cup_pos, cups, iso87_ascii,
	// iso87_ascii_binary, iso87_bcd, iso87_bcd_hex) or a YAML file.
	Spec     string `yaml:"spec"`
	Envelope string `yaml:"envelope"` // instead of the spec's: none, tpdu, tpdu_header, cups
	Framing  `yaml:",inline"`
	// Terminals is a CSV file of the terminals: terminal,merchant,mcc,payee,master_key and,
	// where the first line has it, partial ("yes": this one takes partial approvals).
	// Without one the peers are acquirers, which answer for their terminals.
	Terminals string `yaml:"terminals"`
	// Acquirer is the institution behind a listener without terminals; its postings go to
	// Payee, by default "acquirer/ID".
	Acquirer string `yaml:"acquirer"`
	Payee    string `yaml:"payee"`
	// Peers are the addresses (prefixes such as 10.1.0.0/16) that may connect. Without any,
	// terminals may connect from everywhere and acquirers from loopback only.
	Peers []string `yaml:"peers"`
	TLS   *TLS     `yaml:"tls"`
	Keys  Keys     `yaml:"keys"`
	// Connections, InFlight and Idle bound the listener. Default 4096, 8192 and 5m. One connection
	// has at most half of InFlight, and 1024: then it is read no further until it got answers.
	Connections int           `yaml:"connections"`
	InFlight    int           `yaml:"in_flight"`
	Idle        time.Duration `yaml:"idle"`
	// Parameters go to terminals that ask for them: tag of two digits to value.
	Parameters map[string]string `yaml:"parameters"`
	// Partial says that the terminals or the acquirer take an approval of a lower amount
	// (code 10). For others a bank's is reversed and declined.
	Partial bool `yaml:"partial"`
	// TellLease adds field 62 to the approval of a load of a purse of this switch, where the scheme
	// has a freeze lease: "LEASE" and its end as YYYYMMDDhhmmss in UTC, or "LEASENONE" for a purse
	// that may not be served off line. The repeat of a load that a bank pays for has no field 62.
	// Default: no.
	TellLease bool `yaml:"tell_lease"`
	// TipPercent and AdjustPercent are how far a tip (60.1 34) and an adjustment (32) may go
	// above the amount that was approved. Default 15 and 100.
	TipPercent    int64 `yaml:"tip_percent"`
	AdjustPercent int64 `yaml:"adjust_percent"`
}

// InFlightPerConnection is how many requests of one connection are worked on at once: a peer
// whose bank is silent leaves room for the others.
func (l *Listener) InFlightPerConnection() int {
	return min(inFlightPerConnectionMax, max(1, l.InFlight/2))
}

// Framing is how frames follow each other.
type Framing struct {
	// Length is binary2 (two bytes) or ascii4 (four digits). Default: that of the spec's
	// usual network.
	Length    string `yaml:"length"`
	Inclusive bool   `yaml:"inclusive"` // the length counts itself
}

// Link is a bank or network that this switch connects to.
type Link struct {
	Name      string   `yaml:"name"`
	Addresses []string `yaml:"addresses"`
	// Balance is round_robin or primary. Default round_robin.
	Balance  string `yaml:"balance"`
	Spec     string `yaml:"spec"`
	Envelope string `yaml:"envelope"`
	Framing  `yaml:",inline"`
	// Station and Home are the ids in the header of UnionPay's interbank network: the other
	// side's and this one's.
	Station string `yaml:"station"`
	Home    string `yaml:"home"`
	// SignOn is connection (each signs on), link (one for all) or none. Default connection. A
	// bank that speaks as terminals do (cup_pos) is not signed on to, and is told no totals: it
	// gets what package guise says.
	SignOn string `yaml:"sign_on"`
	TLS    *TLS   `yaml:"tls"`
	Keys   Keys   `yaml:"keys"`
	// Timeout is how long an answer may take. Default 25s.
	Timeout time.Duration `yaml:"timeout"`
	// Echo is the silence after which an echo is sent. Default 30s.
	Echo time.Duration `yaml:"echo"`
	// InFlight bounds the unanswered requests. Default 4096.
	InFlight int `yaml:"in_flight"`
	// WriteTimeout is how long a write may take: a bank that reads nothing for so long loses
	// its connection, and what it was asked is in doubt. Default 5s.
	WriteTimeout time.Duration `yaml:"write_timeout"`
	// Backlog is how many reversals and advices may wait for the bank before it gets no new
	// transactions, and how many notices before no more are taken for it. Default 10000.
	// Tellers is how many are told at once. Default 8.
	Backlog int `yaml:"backlog"`
	Tellers int `yaml:"tellers"`
	// Notices is forward for a bank that wants the notices (0620: results of its scripts on a
	// card's chip) of terminals and acquirers about its cards: each is repeated until it is
	// answered. Without it they are kept here only.
	//
	// A link that a party of the scheme names as its own (channel issuer_link) also gets
	// freezes and releases of the scheme's cards, whatever stands here: an advice (0620,
	// repeats 0621) until it is answered with 0630 and an approval, which counts as receipt.
	// The switch keeps no card numbers, so the advice has no field 2. Field 48 says what
	// became of which card: names and values divided by semicolons, of which more may come,
	// "card=TOKEN;last4=1234;kind=freeze;scope=transit+purse;reason=lost;accepted=…;notice=…".
	// TOKEN is the first 16 bytes of HMAC-SHA256 over the card number under the scheme's
	// token key, in hexadecimal, which the bank gets with the card at its issue. The spec
	// needs field 48.
	Notices string `yaml:"notices"`
	// Reconcile has the bank told its totals (0500) and its answer compared with ours. The
	// spec needs fields 66, 74 to 77 and 86 to 89. Without it, only on command.
	Reconcile Reconcile `yaml:"reconcile"`
	// Originals is the private field, such as 63, in which the bank gets how a terminal names
	// the original of a refund that this switch does not remember: the terminal's field 37 (12
	// characters, blanks for none) and then the digits of its field 61 (batch, trace number,
	// day). Default none: a bank that speaks as terminals do has fields 37 and 61 for it, and
	// field 90 of an acquirer is handed on in any case.
	Originals int `yaml:"originals"`
}

// Reconcile says when a bank is told its totals, and which ones.
type Reconcile struct {
	// At is the local time of every day, such as 23:00; empty leaves it to
	// `tapswitch bank reconcile LINK`.
	At string `yaml:"at"`
	// Issuers are those whose totals the link has. Default: the issuers of the routes that
	// name the link first. The ledger knows issuers, not links: what failed over to another
	// link counts here as well.
	Issuers []string `yaml:"issuers"`
}

// Keys are names in the key ring.
type Keys struct {
	// MAC is the scheme: x9.9, x9.19, cup-ecb, cup-ecb-3des, cup-ecb-sm4, cmac-aes, none.
	// Default none. Terminals have theirs from their sign-on.
	MAC string `yaml:"mac"`
	// MACKey, PINKey and Zone are key names: mac/NAME, pin/NAME, key_exchange/NAME.
	MACKey string `yaml:"mac_key"`
	PINKey string `yaml:"pin_key"`
	Zone   string `yaml:"zone"`
	// Overlap is how long a former key is still taken. Default 2m.
	Overlap time.Duration `yaml:"overlap"`
	// ChangeEvery is how often a link orders new keys of its bank (0800, code 101); the time
	// survives a restart, and what fails is tried again as reversals are. Default never:
	// `tapswitch bank keys LINK` orders them, and the bank may send them. Needs zone. On a
	// listener of acquirers zone alone has them given new keys when they ask.
	ChangeEvery time.Duration `yaml:"change_every"`
	// ChangeAfterBadMACs orders new keys after so many messages in a row with a wrong MAC or
	// the answer A0. Default 0: never.
	ChangeAfterBadMACs int `yaml:"change_after_bad_macs"`
}

// TLS names files in PEM. They are read again when they change; connections that are open keep
// what they have.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// CA verifies the other side: clients of a listener (mandatory for them when set), the
	// server of a link (instead of the system's authorities).
	CA         string `yaml:"ca"`
	ServerName string `yaml:"server_name"`
}

// Route is a rule of routing; see package route.
type Route struct {
	Name       string        `yaml:"name"`
	BINs       []string      `yaml:"bins"`
	PANLengths []int         `yaml:"pan_lengths"`
	Family     string        `yaml:"family"`
	Classes    []route.Class `yaml:"classes"`
	AmountMin  int64         `yaml:"amount_min"`
	AmountMax  int64         `yaml:"amount_max"`
	From       string        `yaml:"from"` // 22:00
	To         string        `yaml:"to"`
	Weekdays   []string      `yaml:"weekdays"` // mon … sun
	Issuer     string        `yaml:"issuer"`
	Links      []string      `yaml:"links"`
	StandIn    *StandIn      `yaml:"stand_in"`
}

// StandIn is what may be approved while no link is up.
type StandIn struct {
	Classes   []route.Class `yaml:"classes"`
	AmountMax int64         `yaml:"amount_max"`
	CountMax  int           `yaml:"count_max"`
	TotalMax  int64         `yaml:"total_max"`
}

// LoadConfig reads a bank file. Paths in it are relative to it.
func LoadConfig(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	defer f.Close()
	c, err := ParseConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.relativeTo(filepath.Dir(path))
	return c, nil
}

// ParseConfig reads a bank file; it opens no other file.
func ParseConfig(r io.Reader) (*Config, error) {
	text, err := io.ReadAll(io.LimitReader(r, configMax+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if len(text) > configMax {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrConfig, configMax)
	}
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one document", ErrConfig)
	}
	c.fill()
	return &c, c.check()
}

// relativeTo makes the paths of the file absolute.
func (c *Config) relativeTo(dir string) {
	place := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	secure := func(t *TLS) {
		if t != nil {
			place(&t.Cert)
			place(&t.Key)
			place(&t.CA)
		}
	}
	spec := func(s *string) {
		if strings.ContainsAny(*s, "./") {
			place(s)
		}
	}
	place(&c.EMV.CAKeys)
	place(&c.EMV.AIDs)
	for i := range c.Listeners {
		l := &c.Listeners[i]
		place(&l.Terminals)
		spec(&l.Spec)
		secure(l.TLS)
	}
	for i := range c.Links {
		spec(&c.Links[i].Spec)
		secure(c.Links[i].TLS)
	}
}

func fill[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

func (c *Config) fill() {
	fill(&c.ReversalAfter, 5*time.Second)
	fill(&c.ReversalMax, time.Minute)
	for i := range c.Listeners {
		l := &c.Listeners[i]
		fill(&l.Connections, 4096)
		fill(&l.InFlight, 8192)
		fill(&l.Idle, 5*time.Minute)
		fill(&l.TipPercent, 15)
		fill(&l.AdjustPercent, 100)
		fill(&l.Keys.MAC, "none")
		fill(&l.Keys.Overlap, 2*time.Minute)
		fill(&l.Length, usualLength(l.Spec))
		if l.Payee == "" && l.Acquirer != "" {
			l.Payee = "acquirer/" + l.Acquirer
		}
	}
	for i := range c.Links {
		l := &c.Links[i]
		fill(&l.Balance, "round_robin")
		fill(&l.SignOn, "connection")
		fill(&l.Timeout, 25*time.Second)
		fill(&l.Echo, 30*time.Second)
		fill(&l.InFlight, 4096)
		fill(&l.WriteTimeout, 5*time.Second)
		fill(&l.Backlog, 10_000)
		fill(&l.Tellers, 8)
		fill(&l.Keys.MAC, "none")
		fill(&l.Keys.Overlap, 2*time.Minute)
		fill(&l.Length, usualLength(l.Spec))
	}
}

// usualLength is the length form of the network that a spec belongs to.
func usualLength(spec string) string {
	if strings.HasPrefix(spec, "cups") || strings.HasPrefix(spec, "iso87_ascii") {
		return "ascii4"
	}
	return "binary2"
}

// check returns everything that makes no sense, each with its entry.
func (c *Config) check() error {
	var bad []error
	say := func(format string, args ...any) {
		bad = append(bad, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if !isInstitution(c.Acquirer) || !isInstitution(c.Forwarder) {
		say("acquirer and forwarder must be at most 11 digits")
	}
	if c.ReversalAfter < 0 || c.ReversalMax < c.ReversalAfter {
		say("reversal_max %s is below reversal_after %s", c.ReversalMax, c.ReversalAfter)
	}
	names := map[string]bool{}
	name := func(what, n string) {
		if n == "" || len(n) > nameMax || !isName(n) {
			say("%s %q: a name has 1 to %d characters of a-z 0-9 - _", what, n, nameMax)
		}
		if names[what+n] {
			say("%s %q stands twice", what, n)
		}
		names[what+n] = true
	}
	for i := range c.Listeners {
		name("listener", c.Listeners[i].Name)
		c.Listeners[i].check(say)
	}
	for i := range c.Links {
		name("link", c.Links[i].Name)
		c.Links[i].check(say)
	}
	if len(c.Listeners) == 0 && len(c.Links) == 0 {
		say("neither listeners nor links")
	}
	return errors.Join(bad...)
}

func (l *Listener) check(say func(string, ...any)) {
	if l.Address == "" || l.Spec == "" {
		say("listener %q: address and spec must be set", l.Name)
	}
	if (l.Terminals == "") == (l.Acquirer == "") {
		say("listener %q: set either terminals or acquirer", l.Name)
	}
	if !isInstitution(l.Acquirer) {
		say("listener %q: acquirer must be at most 11 digits", l.Name)
	}
	for _, p := range l.Peers {
		if _, err := netip.ParsePrefix(p); err != nil {
			say("listener %q: peer %q is no address prefix such as 10.1.0.0/16", l.Name, p)
		}
	}
	if l.Connections < 0 || l.InFlight < 0 || l.Idle < 0 {
		say("listener %q: connections, in_flight and idle must be above zero", l.Name)
	}
	if l.TipPercent < 0 || l.TipPercent > percentMax || l.AdjustPercent < 0 ||
		l.AdjustPercent > percentMax {
		say("listener %q: tip_percent and adjust_percent go from 0 to %d", l.Name, percentMax)
	}
	for tag := range l.Parameters {
		if len(tag) != 2 || tag < "00" || tag > "99" {
			say("listener %q: parameter %q: a tag has two digits", l.Name, tag)
		}
	}
	l.Framing.check("listener", l.Name, say)
	l.Keys.check("listener", l.Name, say)
}

func (l *Link) check(say func(string, ...any)) {
	if len(l.Addresses) == 0 || l.Spec == "" {
		say("link %q: addresses and spec must be set", l.Name)
	}
	if l.Balance != "round_robin" && l.Balance != "primary" {
		say("link %q: balance %q is neither round_robin nor primary", l.Name, l.Balance)
	}
	if l.SignOn != "connection" && l.SignOn != "link" && l.SignOn != "none" {
		say("link %q: sign_on %q is none of connection, link, none", l.Name, l.SignOn)
	}
	if l.Timeout < 0 || l.Echo < 0 || l.InFlight < 0 || l.Backlog < 0 || l.Tellers < 0 ||
		l.WriteTimeout < 0 {
		say("link %q: timeout, echo, in_flight, write_timeout, backlog and tellers must be above zero",
			l.Name)
	}
	if l.Notices != "" && l.Notices != "forward" {
		say("link %q: notices %q is not forward", l.Name, l.Notices)
	}
	if _, err := l.Reconcile.Time(); err != nil {
		say("link %q: reconcile: %v", l.Name, err)
	}
	l.Framing.check("link", l.Name, say)
	l.Keys.check("link", l.Name, say)
}

func (f *Framing) check(what, name string, say func(string, ...any)) {
	if _, err := message.ParseLengthForm(f.Length); err != nil {
		say("%s %q: length %q is neither binary2 nor ascii4", what, name, f.Length)
	}
}

// Frames returns the framing of frames.
func (f *Framing) Frames() link.Framing {
	form, _ := message.ParseLengthForm(f.Length) // checked
	return framing{message.Framing{Form: form, Inclusive: f.Inclusive, Max: FrameMax}}
}

// Table returns the rules as package route has them.
func (c *Config) Table(zone *time.Location) (*route.Table, error) {
	o := route.Options{Zone: zone}
	for i := range c.Links {
		o.Links = append(o.Links, c.Links[i].Name)
	}
	rules := make([]route.Rule, 0, len(c.Routes))
	for i := range c.Routes {
		r, err := c.Routes[i].rule()
		if err != nil {
			return nil, fmt.Errorf("%w: route %q: %w", ErrConfig, c.Routes[i].Name, err)
		}
		rules = append(rules, r)
	}
	t, err := route.New(rules, o)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return t, nil
}

func (r *Route) rule() (route.Rule, error) {
	out := route.Rule{Name: r.Name, BINs: r.BINs, PANLengths: r.PANLengths, Family: r.Family,
		Classes: r.Classes, AmountMin: txn.Minor(r.AmountMin), AmountMax: txn.Minor(r.AmountMax),
		Issuer: r.Issuer, Links: r.Links}
	if len(r.Issuer) > card.BankIssuerMax {
		return out, fmt.Errorf("issuer %q is longer than %d bytes", r.Issuer, card.BankIssuerMax)
	}
	for _, t := range []struct {
		text string
		to   *time.Duration
	}{{r.From, &out.From}, {r.To, &out.To}} {
		if t.text == "" {
			continue
		}
		var err error
		if *t.to, err = timeOfDay(t.text); err != nil {
			return out, err
		}
	}
	for _, w := range r.Weekdays {
		i := strings.Index("sunmontuewedthufrisat", strings.ToLower(w))
		if len(w) != 3 || i < 0 || i%3 != 0 {
			return out, fmt.Errorf("weekday %q is none of mon, tue, wed, thu, fri, sat, sun", w)
		}
		out.Weekdays = append(out.Weekdays, time.Weekday(i/3))
	}
	if s := r.StandIn; s != nil {
		out.StandIn = &route.StandIn{Classes: s.Classes, AmountMax: txn.Minor(s.AmountMax),
			CountMax: s.CountMax, TotalMax: txn.Minor(s.TotalMax)}
	}
	return out, nil
}

// timeOfDay reads 22:30 as the time since midnight.
func timeOfDay(text string) (time.Duration, error) {
	hour, minute := 0, 0
	if n, err := fmt.Sscanf(text, "%2d:%2d", &hour, &minute); err != nil || n != 2 ||
		len(text) != 5 || hour < 0 || hour > 24 || minute < 0 || minute > 59 {
		return 0, fmt.Errorf("%q is no time of day such as 22:30", text)
	}
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute, nil
}

// Time is the time of day of a reconciliation, -1 for none.
func (r *Reconcile) Time() (time.Duration, error) {
	if r.At == "" {
		return -1, nil
	}
	return timeOfDay(r.At)
}

func isInstitution(s string) bool {
	return len(s) <= 11 && strings.Trim(s, "0123456789") == ""
}

func isName(s string) bool {
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// Spread is the configured way to spread requests.
func (l *Link) Spread() link.Balance {
	if l.Balance == "primary" {
		return link.Primary
	}
	return link.RoundRobin
}

// LeaseText returns field 62 of the approval of a load, nil where the listener tells none.
func (l *Listener) LeaseText(d *txn.Decision) []byte {
	if !l.TellLease {
		return nil
	}
	return lease.AppendText(nil, d)
}
