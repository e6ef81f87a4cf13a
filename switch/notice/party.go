package notice

import (
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of a party.
const (
	NameMax    = 32   // bytes of a name
	TitleMax   = 128  // bytes of the name that people read
	AddressMax = 1024 // bytes of a URL
	TopicMax   = 249  // bytes of a Kafka topic, as Kafka has it
	KeysMax    = 2    // keys of a party: the one that signs, and the one before it
	KeyIDMax   = 32   // bytes of the id of a key
	SecretMin  = 32   // bytes of a secret
	SecretMax  = 64
)

// ErrParty reports a party that cannot be: a field is missing or out of range.
var ErrParty = errors.New("not a party")

// PartyKinds are what a party may be (HD7 names them).
func PartyKinds() []string {
	return []string{"department", "bank", "operator", "agency", "utility", "authority", "platform"}
}

// Party is one that has to act on freezes and releases, or has to know of them. It holds no
// secret: those stand in the registry, wrapped, and only Roster reads them.
type Party struct {
	// Name is 1 to NameMax of a-z 0-9 -, for ever: notices name it.
	Name  string `json:"name"`
	Title string `json:"title,omitempty"`
	// Kind is one of PartyKinds.
	Kind string `json:"kind"`
	// Scopes are the applications that concern it: names of txn.App, or "all".
	Scopes []string `json:"scopes"`
	// Channel is webhook, kafka, issuer_link or manual.
	Channel string `json:"channel"`
	// URL of a webhook: https, or http where the switch allows it.
	URL string `json:"url,omitempty"`
	// Topic of a Kafka party.
	Topic string `json:"topic,omitempty"`
	// Link of an issuer, by its name in the bank file.
	Link string `json:"link,omitempty"`
	// Contact is whom to call, for a manual party: an office, never a person's number.
	Contact string `json:"contact,omitempty"`
	// Answer is explicit, response or informed. A topic never proves receipt.
	Answer string `json:"answer"`
	// Clause of the contract or the rule that binds the party.
	Clause string `json:"clause,omitempty"`
	// ActiveFrom and ActiveTo bound when it is told: from, and before; 0 for no bound.
	ActiveFrom txn.Millis `json:"active_from,omitempty"`
	ActiveTo   txn.Millis `json:"active_to,omitempty"`
	// Keys are the ids of its keys, the one that signs first. Read only: see SetKey.
	Keys []string `json:"keys,omitempty"`
}

// Concerns reports whether the party is active at now and one of the applications of scope
// is its own.
func (p *Party) Concerns(scope txn.App, now txn.Millis) bool {
	return p.scope()&scope != 0 && now >= p.ActiveFrom && (p.ActiveTo == 0 || now < p.ActiveTo)
}

// scope returns the applications; names were checked when the party was stored.
func (p *Party) scope() txn.App {
	var all txn.App
	for _, name := range p.Scopes {
		if app, err := txn.ParseApp(name); err == nil {
			all |= app
		}
	}
	return all
}

func (p *Party) channel() Channel {
	return Channel(max(0, slices.Index(channelNames[:], p.Channel)))
}

func (p *Party) answer() Answer { return Answer(max(0, slices.Index(answerNames[:], p.Answer))) }

// check returns ErrParty with the first field that is wrong.
func (p *Party) check(plainHTTP bool) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %q: %s", ErrParty, p.Name, fmt.Sprintf(format, a...))
	}
	switch {
	case !validName(p.Name):
		return bad("name: want 1 to %d characters of a-z 0-9 -", NameMax)
	case !slices.Contains(PartyKinds(), p.Kind):
		return bad("kind %q: want one of %v", p.Kind, PartyKinds())
	case !validText(p.Title, TitleMax) || !validText(p.Contact, TitleMax):
		return bad("title or contact: want at most %d bytes of text", TitleMax)
	case !validText(p.Clause, ClauseMax):
		return bad("clause: want at most %d bytes of text", ClauseMax)
	case !slices.Contains(answerNames[:], p.Answer):
		return bad("answer %q: want one of %v", p.Answer, answerNames)
	case p.ActiveFrom < 0 || p.ActiveTo < 0 || p.ActiveTo != 0 && p.ActiveTo <= p.ActiveFrom:
		return bad("active from %d to %d", p.ActiveFrom, p.ActiveTo)
	case len(p.Scopes) == 0:
		return bad("no scope; \"all\" for every application")
	}
	for _, s := range p.Scopes {
		if _, err := txn.ParseApp(s); err != nil {
			return bad("scope: %v", err)
		}
	}
	return p.checkChannel(bad, plainHTTP)
}

// checkChannel wants what the channel needs, and nothing of another channel.
func (p *Party) checkChannel(bad func(string, ...any) error, plainHTTP bool) error {
	c := p.channel()
	switch {
	case c == ChannelNone:
		return bad("channel %q: want one of %v", p.Channel, channelNames[1:])
	case (c == Webhook) != (p.URL != "") || (c == Topic) != (p.Topic != "") ||
		(c == IssuerLink) != (p.Link != "") || (c == Manual) != (p.Contact != ""):
		return bad("a webhook has a URL, kafka a topic, an issuer link its name, " +
			"a manual party a contact, and none that of another")
	case len(p.Topic) > TopicMax || len(p.Link) > NameMax || len(p.URL) > AddressMax:
		return bad("topic, link or URL too long")
	case (c == Topic || c == Manual) && p.answer() == Response:
		return bad("a %s gives no answer that could prove receipt", p.Channel)
	case c != Webhook:
		return nil
	}
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return bad("URL: want https://host/path without user or fragment")
	}
	if u.Scheme != "https" && !(plainHTTP && u.Scheme == "http") {
		return bad("URL: scheme %q, want https", u.Scheme)
	}
	return nil
}

func validName(s string) bool {
	if len(s) == 0 || len(s) > NameMax {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' {
			return false
		}
	}
	return true
}
