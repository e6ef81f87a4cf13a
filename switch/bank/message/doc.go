// Package message reads and writes ISO 8583 messages: UnionPay POS, UnionPay interbank
// (CUPS) and ISO 8583:1987 in ASCII and BCD, and what a link has announced in a file of its
// own.
//
// A message format is data (a Spec, see specs/ and Load), not code: the encoding, the length
// prefix, the side of alignment and the filler nibble stand beside every field. Framing is
// apart from it: a Framing says how the length in front of a frame is written, a Spec says
// what is in the frame, from the TPDU on.
//
// Peek reads what routing and matching need (type, card number, amount, trace number,
// terminal, times, MAC) without unpacking and without allocation; Parse unpacks everything.
// Both accept exactly the same frames and see the same values; a fuzz test holds them to it.
// A View reads single fields of a frame and a Writer writes a frame field by field, both
// without allocation: the forwarding path. They agree with Parse and Message.Append too.
// Verify checks the MAC over the raw bytes: call it before any field is believed.
//
// The full unpack and pack run on github.com/moov-io/iso8583, which walks MTI, bitmap and
// fields. Its field codecs are not used: they take signs in amounts and lengths, any text
// anywhere, copy the rest of the message for every binary field, overwrite the caller's
// slice, ignore bytes after the last field, and put card data into errors. Ours are strict,
// and no error of the library is passed on. Should it panic, the frame is refused.
//
// Lengths are in bytes, or in digits where a format says n or z; amounts are minor units.
// Specs and framings do not change and are safe for concurrent use; a Message and a Reader
// belong to one goroutine. Errors name the field and the offset and never show content.
//
// The package holds no connection, key or state, does not look into BER-TLV (field 55 stays
// raw) and does not judge whether a message makes sense for its sender. It refuses third
// bitmaps, fields its spec does not have, and bytes after the last field.
package message
