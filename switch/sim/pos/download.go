package pos

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/tlv"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// pagesMax bounds the pages of a list: a host that never ends it is not believed.
const pagesMax = 1000

// download gets what a chip terminal needs before its day. It returns false when the day
// cannot begin.
func (t *terminal) download(ctx context.Context) bool {
	d := &Downloads{}
	t.report.Downloads = d
	if a := t.get(ctx, message.NetworkRequest, "360", nil); a != nil {
		text, _ := a.Bytes(62)
		d.Parameters = len(text)
	}
	t.blacklist(ctx, d)
	d.Keys = t.chip(ctx, [3]string{"372", "370", "371"}, checkKey)
	d.Applications = t.chip(ctx, [3]string{"382", "380", "381"}, func([]tlv.Element) error { return nil })
	return t.report.Failed == "" && ctx.Err() == nil
}

// get asks for one thing; nil when the host does not offer it, or the day ends.
func (t *terminal) get(ctx context.Context, mti message.MTI, network string, field62 []byte) *message.Message {
	if t.report.Failed != "" {
		return nil
	}
	a := t.insist(ctx, func(stan uint32) (*message.Message, error) {
		m, err := t.message(mti, stan, message.Private{Type: "00", Network: network})
		if len(field62) > 0 {
			err = errors.Join(err, m.SetBytes(62, field62))
		}
		return m, err
	})
	switch {
	case a == nil:
		t.report.Failed = "download " + network + " was not answered"
	case a.ResponseCode() == "40":
		t.report.Downloads.NotOffered = append(t.report.Downloads.NotOffered, network)
	case a.ResponseCode() != "00":
		t.report.Failed = fmt.Sprintf("download %s was answered with %s", network, a.ResponseCode())
	default:
		return a
	}
	return nil
}

// blacklist gets the frozen cards page by page: "1" and where to go on, or "0", then a count of
// two digits and the cards in 16 bytes each.
func (t *terminal) blacklist(ctx context.Context, d *Downloads) {
	const head, token = 11, 16
	var from []byte
	for range pagesMax {
		a := t.get(ctx, message.NetworkRequest, "390", from)
		if a == nil {
			return
		}
		page, _ := a.Bytes(62)
		if len(page) < head || (len(page)-head)%token != 0 {
			t.contradict("a page of the black list has %d bytes", len(page))
			return
		}
		d.Listed += (len(page) - head) / token
		if page[0] == '0' {
			t.get(ctx, message.NetworkRequest, "391", nil)
			return
		}
		from = slices.Clone(page[1:9])
	}
	t.contradict("the black list does not end after %d pages", pagesMax)
}

// chip gets a list (codes[0]) and then each entry of it (codes[1]), and says that it has them
// (codes[2]). It returns how many.
func (t *terminal) chip(ctx context.Context, codes [3]string, check func([]tlv.Element) error) (n int) {
	names := t.list(ctx, codes[0])
	for _, name := range names {
		a := t.get(ctx, message.NetworkRequest, codes[1], name)
		if a == nil {
			return n
		}
		full, _ := a.Bytes(62)
		elements, err := tlv.Parse(nil, full[min(1, len(full)):])
		if err == nil {
			err = check(elements)
		}
		if err != nil || !bytes.HasPrefix(full, append([]byte{'1'}, name...)) {
			t.contradict("download %s of %x: %v", codes[1], name, err)
			return n
		}
		n++
	}
	if len(names) > 0 {
		t.get(ctx, message.NetworkRequest, codes[2], nil)
	}
	return n
}

// list gets the names of a list's entries: the elements 9F06 and, for keys, 9F22.
func (t *terminal) list(ctx context.Context, code string) (names [][]byte) {
	for range pagesMax {
		a := t.get(ctx, message.NetworkAdvice, code, fmt.Appendf(nil, "1%02d", len(names)%100))
		if a == nil {
			return nil
		}
		page, _ := a.Bytes(62)
		if len(page) == 0 || page[0] == '0' {
			return names
		}
		for _, e := range split(page[1:]) {
			names = append(names, e)
		}
		if page[0] != '2' {
			return names
		}
	}
	t.contradict("list %s does not end after %d pages", code, pagesMax)
	return nil
}

// split takes a list apart at its names. What comes behind a name is for people.
func split(data []byte) (names [][]byte) {
	const aid, index, other = "\x9f\x06", "\x9f\x22", 2
	for len(data) > other {
		size := other + 1 + int(data[other])
		if size > len(data) {
			return names
		}
		switch string(data[:other]) {
		case aid:
			names = append(names, slices.Clone(data[:size]))
		case index:
			if len(names) > 0 {
				names[len(names)-1] = append(names[len(names)-1], data[:size]...)
			}
		}
		data = data[size:]
	}
	return names
}

// checkKey computes the check value of a public key: SHA-1 over RID, index, modulus and
// exponent.
func checkKey(e []tlv.Element) error {
	h := sha1.New()
	for _, tag := range []tlv.Tag{0x9F06, 0x9F22, 0xDF02, 0xDF04} {
		value, _ := tlv.Find(e, tag)
		h.Write(value)
	}
	if want, _ := tlv.Find(e, 0xDF03); !bytes.Equal(h.Sum(nil), want) {
		return errors.New("a public key with a wrong check value")
	}
	return nil
}

// runScript tells the host the result of an issuer's script that came with an answer: the card
// in this terminal carries out all of them.
func (t *terminal) runScript(ctx context.Context, r *Row, f *form, a *message.Message) {
	chip, _ := a.Bytes(55)
	elements, err := tlv.Parse(nil, chip)
	if err != nil {
		t.contradict("the answer to number %d: field 55: %v", r.STAN, err)
		return
	}
	_, before := tlv.Find(elements, 0x71)
	_, after := tlv.Find(elements, 0x72)
	if !before && !after {
		return
	}
	t.report.Scripts++
	told := t.insist(ctx, func(stan uint32) (*message.Message, error) {
		m, err := t.message(message.AdministrativeAdvice, stan,
			message.Private{Type: f.kind, Network: "951"})
		if err != nil {
			return nil, err
		}
		digits, err := message.Original{Batch: r.Batch, STAN: stanDigits(r.STAN), Date: r.Date}.Digits()
		result := []byte("\xdf\x31\x05\x20\x00\x00\x00\x00") // script successful
		return m, errors.Join(err, m.SetPAN(r.Card), m.SetDigits(3, f.processing),
			m.SetAmount(r.Minor), m.SetText(37, r.RRN), m.SetBytes(55, result), m.SetDigits(61, digits))
	})
	if told == nil || told.ResponseCode() != "00" {
		t.contradict("the script's result of number %d is not taken", r.STAN)
	}
}
