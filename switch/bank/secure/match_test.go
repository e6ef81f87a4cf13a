package secure

import (
	"bytes"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// The answer to a request under the former key has its MAC under the former key; everything
// else is made under the one in force.
func TestMatchAnswersUnderTheKeyOfTheRequest(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	w.no(l.Change(w.ctx, transfer(t, MACKey, thirdHex)))
	for _, c := range []struct {
		under, answer string
		err           error
	}{{thirdHex, thirdHex, nil}, {baseHex, baseHex, nil}, {otherHex, thirdHex, message.ErrMAC}} {
		made, err := l.Match(text, sum(t, l.o.Scheme, keyringtest.Bytes(t, c.under), text))
		if c.err == nil {
			w.no(err)
		} else {
			w.want(err, c.err)
		}
		got, err := made(nil, text)
		w.no(err)
		if want := sum(t, l.o.Scheme, keyringtest.Bytes(t, c.answer), text); !bytes.Equal(got, want) {
			t.Errorf("a request under %.4s… is answered with %x, want %x", c.under, got, want)
		}
	}
	w.clock.Add(2 * overlap)
	_, err := l.Match(text, sum(t, l.o.Scheme, keyringtest.Bytes(t, baseHex), text))
	w.want(err, message.ErrMAC)
}

// A request that was taken up before a change is answered under the key that it came under,
// whoever changes the key, of the ring or not, and though the overlap is over by then.
func TestMatchKeepsToItsKeyThroughAChange(t *testing.T) {
	change := map[string]func(*world, *LinkKeys){
		"the peer's": func(w *world, l *LinkKeys) {
			w.no(l.Change(w.ctx, transfer(t, MACKey, zmkHex)))
		},
		"ours": func(w *world, l *LinkKeys) {
			p, err := l.New(MACKey)
			w.no(err)
			w.no(p.Commit(w.ctx))
		},
		"the ring's": func(w *world, _ *LinkKeys) {
			keyringtest.Import(t, w.ring, "mac/bank", keyring.TDES2, otherHex)
		},
	}
	for name, next := range change {
		for _, key := range []string{baseHex, thirdHex} {
			if name == "the ring's" && key == thirdHex {
				continue // the link has a key of its own then
			}
			w := newWorld(t)
			l := w.link(nil)
			if key == thirdHex {
				w.no(l.Change(w.ctx, transfer(t, MACKey, key)))
			}
			made, err := l.Match(text, under(t, key))
			w.no(err)
			next(w, l)
			for _, wait := range []time.Duration{0, 2 * overlap} {
				w.clock.Add(wait)
				got, err := made(nil, text)
				w.no(err)
				if !bytes.Equal(got, under(t, key)) {
					t.Errorf("%s change: a request under %.4s… is answered under another key after %v",
						name, key, wait)
				}
			}
		}
	}
}

// A version of the ring's key that makes nothing any more is followed by the active one: no
// answer is lost to it.
func TestMatchOfARetiredKey(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	made, err := l.Match(text, under(t, baseHex))
	w.no(err)
	first := keyringtest.Import(t, w.ring, "mac/bank", keyring.TDES2, otherHex).Ref
	first.Version = 1
	w.no(w.ring.Retire(first, time.Minute, keyringtest.Two))
	got, err := made(nil, text)
	w.no(err)
	if !bytes.Equal(got, under(t, otherHex)) {
		t.Error("the answer is under neither key that makes MACs")
	}
}

// A peer that asks again for a key is given the one that it was given; that of the ring never
// travels.
func TestIssuedIsWhatTravelled(t *testing.T) {
	w := newWorld(t)
	l := w.link(nil)
	if _, _, ok := l.Issued(MACKey); ok {
		t.Error("the key of the ring was given out")
	}
	p, err := l.New(MACKey)
	w.no(err)
	if _, _, ok := l.Issued(MACKey); ok {
		t.Error("a key that is not in force was given out")
	}
	w.no(p.Commit(w.ctx))
	again, since, ok := l.Issued(MACKey)
	if !ok || !bytes.Equal(again.Wrapped, p.Wrapped()) || !bytes.Equal(again.KCV, p.KCV()) ||
		again.Algorithm != p.Algorithm() || !since.Equal(w.clock.Now()) {
		t.Errorf("%v %v %v", again.Algorithm, since, ok)
	}
	if _, _, ok := l.Issued(kindEnd); ok || !l.Changeable(PINKey) || !l.Changeable(MACKey) {
		t.Error("kinds are mixed up")
	}
	plain, err := OpenLink(w.ctx, LinkOptions{Link: "plain"})
	w.no(err)
	if plain.Changeable(MACKey) || plain.Changeable(PINKey) {
		t.Error("keys of a link without an exchange key can change")
	}
}
