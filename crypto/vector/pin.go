package vector

import (
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/pinblock"
)

// format reads a PIN block format: a number of ISO 9564-1.
func (e *entry) format(name string) pinblock.Format {
	n := e.number(name)
	if e.ok() && (n < 0 || n > 4) {
		e.unsupported("unknown PIN block format")
	}
	return pinblock.Format(n)
}

// pan reads a card number where there is one.
func (e *entry) pan(name string) string {
	if !e.has(name) {
		return ""
	}
	return e.text(name)
}

// decodePIN reads the PIN out of "block".
func (e *entry) decodePIN(f pinblock.Format) ([]byte, error) {
	b := e.hex("block")
	if f != pinblock.Format4 {
		return pinblock.Decode(nil, f, b, e.pan("pan"))
	}
	c, err := block.New(block.AES, e.hex("key"))
	if err != nil {
		return nil, err
	}
	return pinblock.DecodeFormat4(nil, c, b, e.pan("pan"))
}

// checkPINBlock does area pin-block: with "block" it is read, without one made.
func checkPINBlock(e *entry) {
	f := e.format("format")
	if !e.ok() {
		return
	}
	if !e.has("block") {
		b, err := pinblock.Encode(f, []byte(e.text("pin")), e.pan("pan"), nil)
		if e.must("encoding", err) {
			e.expect("block", b[:])
		}
		return
	}
	pin, err := e.decodePIN(f)
	if !e.must("decoding", err) {
		return
	}
	if e.has("pin") && e.text("pin") != string(pin) {
		e.fail("the PIN differs")
	}
	e.expectText("pin", string(pin))
	e.expectText("decoded_pin", string(pin))
	e.expectNumber("length", int64(len(pin)))
	e.expectNumber("control", int64(f))
}

// checkPINBlockNegative does area pin-block-negative.
func checkPINBlockNegative(e *entry) {
	f := e.format("format")
	if !e.ok() {
		return
	}
	_, err := e.decodePIN(f)
	if e.ok() {
		e.expectError(err, []errorKind{
			{"numeric", pinblock.ErrDigit}, {"digit", pinblock.ErrDigit}, {"control", pinblock.ErrControl},
			{"fill", pinblock.ErrFill}, {"length", pinblock.ErrLength},
		})
	}
}

// checkPINTranslation does area pin-translation: a block under one key becomes one under
// another, or, where the new one has random fill, both are read.
func checkPINTranslation(e *entry) {
	t := pinblock.Translation{
		In: e.side("in_key", "in_format", "in_pan"), Out: e.side("out_key", "out_format", "out_pan"),
	}
	t.ChangePAN = t.In.PAN != t.Out.PAN
	in := e.hex("in_block")
	if !e.ok() {
		return
	}
	out, err := pinblock.Translate(nil, in, &t)
	if !e.must("translation", err) {
		return
	}
	if t.Out.Format == pinblock.Format0 {
		e.expect("out_block", out)
	}
	pin := e.readSide(&t.In, in)
	if string(e.readSide(&t.Out, out)) != string(pin) {
		e.fail("the translated block holds another PIN")
	}
	if e.wants("clear_block_inside_hsm") {
		clearBlock, err := pinblock.Encode(t.In.Format, pin, t.In.PAN, nil)
		if e.must("encoding", err) {
			e.expect("clear_block_inside_hsm", clearBlock[:])
		}
	}
	if e.has("verify_by_decoding") {
		e.sampleBlock(&t.Out, pin)
	}
	e.expectText("pin_after_decode_of_both", string(pin))
}

// sampleBlock checks that the block in the words of "verify_by_decoding" holds the PIN.
func (e *entry) sampleBlock(s *pinblock.Side, pin []byte) {
	words := strings.Fields(e.text("verify_by_decoding"))
	if len(words) == 0 || len(words[0]) != 2*s.Format.Size() {
		e.unsupported("no block in verify_by_decoding")
		return
	}
	sample := e.parse("verify_by_decoding", words[0])
	if e.ok() && string(e.readSide(s, sample)) != string(pin) {
		e.fail("the sample block holds another PIN")
	}
}

// side reads one side of a translation. Without a format of its own it has that of
// "format", which begins with its digits ("0 to 3, same PAN").
func (e *entry) side(key, format, pan string) pinblock.Side {
	var s pinblock.Side
	switch {
	case e.has(format):
		s.Format = e.format(format)
	default:
		s.Format = e.formatIn(key == "out_key")
	}
	if s.PAN = e.pan(pan); s.PAN == "" {
		s.PAN = e.pan("pan")
	}
	b := e.hex(key)
	if !e.ok() {
		return s
	}
	algorithm := block.TDES
	switch {
	case s.Format == pinblock.Format4:
		algorithm = block.AES
	case len(b) == 8:
		algorithm = block.DES
	}
	c, err := block.New(algorithm, b)
	e.must("key", err)
	s.Cipher = c
	return s
}

// formatIn reads the first or, for the outgoing side, the second format of "format".
func (e *entry) formatIn(second bool) pinblock.Format {
	words := e.text("format")
	var digits []byte
	for i := range len(words) {
		if c := words[i]; c >= '0' && c <= '4' && len(digits) < 2 {
			digits = append(digits, c)
		}
	}
	switch {
	case len(digits) == 0:
		e.unsupported("no PIN block format in format")
		return 0
	case second:
		return pinblock.Format(digits[len(digits)-1] - '0')
	default:
		return pinblock.Format(digits[0] - '0')
	}
}

// readSide deciphers a block and reads its PIN.
func (e *entry) readSide(s *pinblock.Side, enciphered []byte) []byte {
	var pin []byte
	var err error
	if s.Format == pinblock.Format4 {
		pin, err = pinblock.DecodeFormat4(nil, s.Cipher, enciphered, s.PAN)
	} else {
		b := make([]byte, len(enciphered))
		if err = block.DecryptECB(s.Cipher, b, enciphered); err == nil {
			pin, err = pinblock.Decode(nil, s.Format, b, s.PAN)
		}
	}
	e.must("decoding", err)
	return pin
}

// checkCardVerification does area card-verification: CVV, PVV and IBM 3624 PINs.
func checkCardVerification(e *entry) {
	switch {
	case e.wants("cvv"):
		cvv, err := pinblock.CVV(e.hex("CVK"), e.text("pan"), e.text("expiry"), e.text("service_code"))
		if e.must("CVV", err) {
			e.expectText("cvv", string(cvv[:]))
		}
	case e.wants("pvv"):
		pvv, err := pinblock.PVV(e.hex("PVK"), int(e.number("pvki")), []byte(e.text("pin")), e.text("pan"))
		if e.must("PVV", err) {
			e.expectText("pvv", string(pvv[:]))
		}
	case e.has("table"):
		e.ibm3624()
	default:
		e.unsupported("neither cvv, pvv nor an IBM 3624 table")
	}
}

func (e *entry) ibm3624() {
	pad := e.text("pad")
	p := pinblock.IBM3624{Table: e.text("table"), Start: int(e.number("start")), Length: int(e.number("len"))}
	if len(pad) != 1 {
		e.unsupported("pad is not one character")
	}
	pvk, pan := e.hex("PVK"), e.text("pan")
	if !e.ok() {
		return
	}
	p.Pad = strings.ToUpper(pad)[0]
	if e.wants("offset") {
		offset, err := p.Offset(nil, pvk, pan, []byte(e.text("pin")))
		if e.must("offset", err) {
			e.expectText("offset", string(offset))
		}
		return
	}
	pin, err := p.PIN(nil, pvk, pan, e.text("offset"))
	if e.must("PIN", err) {
		e.expectText("pin", string(pin))
	}
}
