package txn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// drawRecord makes a record as the switch may write one.
func drawRecord(t *rapid.T) txn.Record {
	text := rapid.StringN(0, 20, 60)
	minor := rapid.Custom(func(t *rapid.T) txn.Minor {
		return txn.Minor(rapid.Int64Range(-int64(txn.MinorMax), int64(txn.MinorMax)).Draw(t, "minor"))
	})
	millis := rapid.Custom(func(t *rapid.T) txn.Millis {
		return txn.Millis(rapid.Int64Range(0, math.MaxInt64).Draw(t, "millis"))
	})
	id := rapid.Custom(drawID)
	r := txn.Record{
		Version: txn.RecordVersion,
		Position: txn.Position{Bucket: txn.Bucket(rapid.IntRange(0, 63).Draw(t, "bucket")),
			Epoch: txn.Epoch(rapid.Uint64().Draw(t, "epoch")),
			Seq:   txn.Seq(rapid.Uint64().Draw(t, "seq"))},
		BusinessDate: txn.BusinessDate(rapid.Uint32().Draw(t, "date")),
		Kind:         rapid.SampledFrom(txn.Kinds()).Draw(t, "kind"),
		Outcome:      txn.Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")),
		Reason:       rapid.SampledFrom(append(txn.Reasons(), 0)).Draw(t, "reason"),
		CardVersion:  rapid.Uint64().Draw(t, "version"),
		Application:  txn.App(rapid.Uint16().Draw(t, "app")),
		Rider:        txn.RiderCategory(rapid.IntRange(0, 4).Draw(t, "rider")),
		Place: txn.Place{Operator: text.Draw(t, "operator"), Line: text.Draw(t, "line"),
			Station: text.Draw(t, "station"), Merchant: text.Draw(t, "merchant"),
			MCC: text.Draw(t, "mcc"), Acquirer: text.Draw(t, "acquirer")},
		Issuer: text.Draw(t, "issuer"), STAN: rapid.Uint32().Draw(t, "stan"), RRN: text.Draw(t, "rrn"),
		FullFare: minor.Draw(t, "full"), Charged: minor.Draw(t, "charged"),
		Currency:     txn.Currency(rapid.Uint16().Draw(t, "currency")),
		BalanceAfter: minor.Draw(t, "after"), OfflineCounter: rapid.Uint32().Draw(t, "counter"),
		Offline:   rapid.Bool().Draw(t, "offline"),
		TAC:       txn.TACVerdict(rapid.IntRange(0, 4).Draw(t, "tac")),
		ListEpoch: rapid.Uint64().Draw(t, "list"), ServiceAt: millis.Draw(t, "service"),
		ReceivedAt:   millis.Draw(t, "received"),
		Liability:    txn.Liability(rapid.IntRange(0, 5).Draw(t, "liability")),
		EntryStation: text.Draw(t, "entry"), EntryAt: millis.Draw(t, "entry at"),
		Listing: txn.Listing{Mark: txn.Mark{
			Reason: txn.FreezeReason(rapid.IntRange(0, 6).Draw(t, "freeze")),
			Scope:  txn.App(rapid.Uint16().Draw(t, "scope"))},
			Actor: text.Draw(t, "actor"), Note: text.Draw(t, "note")},
		ClosedDate: txn.BusinessDate(rapid.Uint32().Draw(t, "closed")),
	}
	if rapid.Bool().Draw(t, "card") {
		copy(r.Card[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "token"))
		r.Last4 = pan.Last4{'0', '1', '9', '5'}
		r.Auth = txn.AuthCode{'A', '0', 'Z', '9', '1', '2'}
		r.Response, r.Settled = txn.ResponseCode{'5', '1'}, txn.SettlementDay{'1', '1', '2', '2'}
		r.Request, r.Original = id.Draw(t, "id"), id.Draw(t, "original")
	}
	if r.Kind == txn.EpochMarker {
		r.Previous = txn.Position{Bucket: r.Position.Bucket, Epoch: 7, Seq: 9}
	}
	for range rapid.IntRange(0, 4).Draw(t, "postings") {
		r.Postings = append(r.Postings, txn.Posting{Account: txn.Account(text.Draw(t, "account")),
			Amount: minor.Draw(t, "amount")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "discounts") {
		r.Discounts = append(r.Discounts, txn.Discount{Cause: text.Draw(t, "cause"),
			Amount: minor.Draw(t, "part")})
	}
	return r
}

func drawID(t *rapid.T) txn.RequestID {
	id := txn.RequestID{Boot: rapid.Uint32().Draw(t, "boot"),
		Counter: rapid.Uint32().Draw(t, "counter")}
	copy(id.Terminal[:], rapid.StringMatching(`[0-9A-Za-z_.]{1,12}`).Draw(t, "terminal"))
	return id
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		encoded := txn.AppendRecord([]byte("before"), &r)
		if string(encoded[:6]) != "before" {
			t.Fatal("AppendRecord did not append")
		}
		got, err := txn.DecodeRecord(encoded[6:])
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%v\n got %+v\nwant %+v", err, got, r)
		}
		clear(encoded)
		if !reflect.DeepEqual(got, r) {
			t.Fatal("the record keeps the bytes that it was read from")
		}
	})
}

// The store appends where it put the record; the last value of a field wins.
func TestAppendPositionOverrides(t *testing.T) {
	r := txn.Record{Version: 1, Kind: txn.Purchase, Charged: 5,
		Position: txn.Position{Bucket: 3}, BusinessDate: 20260101}
	at := txn.Position{Bucket: 3, Epoch: 4, Seq: 5}
	got, err := txn.DecodeRecord(txn.AppendPosition(txn.AppendRecord(nil, &r), at, 20261121))
	if err != nil || got.Position != at || got.BusinessDate != 20261121 || got.Charged != 5 {
		t.Fatalf("%+v, %v", got, err)
	}
}

// A reader passes over fields that a later writer of the same version added, and refuses a
// later version.
func TestRecordsOfTheFuture(t *testing.T) {
	r := txn.Record{Version: 1, Kind: txn.Purchase}
	encoded := txn.AppendRecord(nil, &r)
	tag := func(field, wire int) []byte { return binary.AppendUvarint(nil, uint64(field<<3|wire)) }
	for _, extra := range [][]byte{
		append(tag(90, 0), 7), append(tag(91, 2), 2, 'h', 'i'),
		append(tag(92, 1), make([]byte, 8)...), append(tag(93, 5), make([]byte, 4)...),
	} {
		got, err := txn.DecodeRecord(append(bytes.Clone(encoded), extra...))
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("field %x: %+v, %v", extra, got, err)
		}
	}
	later := r
	later.Version = txn.RecordVersion + 1
	if _, err := txn.DecodeRecord(txn.AppendRecord(nil, &later)); !errors.Is(err,
		txn.ErrRecordVersion) || errors.Is(err, txn.ErrRecord) {
		t.Errorf("a later version: %v", err)
	}
}

func TestMalformedRecords(t *testing.T) {
	good := txn.AppendRecord(nil, &txn.Record{Version: 1, Kind: txn.Purchase, Charged: 12_345,
		RRN: "0042", Postings: []txn.Posting{{Account: "a", Amount: 1}, {Account: "b", Amount: -1}}})
	field := func(n, wire int, value ...byte) []byte {
		return append(binary.AppendUvarint(bytes.Clone(good), uint64(n<<3|wire)), value...)
	}
	for name, b := range map[string][]byte{
		"empty":                 nil,
		"cut short":             good[:len(good)-1],
		"bucket 64":             field(2, 0, 64),
		"kind 200":              field(9, 0, 200, 1),
		"outcome 3":             field(10, 0, 3),
		"reason in a gap":       field(11, 0, 9),
		"wrong wire type":       field(9, 2, 1, 'x'),
		"text as number":        field(25, 0, 1),
		"fixed in known field":  field(9, 5, 0, 0, 0, 0),
		"fixed cut short":       field(99, 1, 0, 0),
		"group":                 field(99, 3),
		"field 0":               field(0, 0, 1),
		"length beyond the end": field(25, 2, 200, 1, 'x'),
		"length near 2^64": field(25, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0x01),
		"varint too long":    field(9, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1),
		"card of 15 bytes":   field(12, 2, append([]byte{15}, make([]byte, 15)...)...),
		"last four":          field(13, 2, 4, '1', '2', 'x', '4'),
		"terminal":           field(6, 2, 3, 'a', ' ', 'b'),
		"original":           field(42, 2, 1, 'x'),
		"account alone":      field(40, 2, 1, 'x'),
		"amount cut short":   field(41, 2, 1, 0x80),
		"negative instant":   field(37, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
		"authorization":      field(26, 2, 6, 0, 'B', 'C', 'D', 'E', 'F'),
		"authorization sign": field(26, 2, 6, 'A', 'B', 'C', 'D', 'E', 7),
	} {
		if r, err := txn.DecodeRecord(b); !errors.Is(err, txn.ErrRecord) {
			t.Errorf("%s: %+v, %v", name, r, err)
		} else if !reflect.DeepEqual(r, txn.Record{}) {
			t.Errorf("%s: a record beside the error", name)
		}
	}
}

// Nothing panics, and what is read is written and read the same again.
func FuzzDecodeRecord(f *testing.F) {
	r := txn.Record{Version: 1, Kind: txn.MetroExit, Outcome: txn.Approved, Charged: 475,
		FullFare: 500, Discounts: []txn.Discount{{Cause: "rider", Amount: 25}}, BalanceAfter: -3,
		Card: pan.Token{1}, Last4: pan.Last4{'1', '2', '3', '4'}, EntryAt: 5,
		Auth: txn.AuthCode{'A', 'B', 'C', '1', '2', '3'}, Place: txn.Place{Operator: "metro"},
		Postings: []txn.Posting{{Account: "purse", Amount: -475}, {Account: "x", Amount: 475}}}
	r.Request, _ = txn.ParseRequestID("GATE01-3-42")
	r.Original = r.Request
	f.Add(txn.AppendRecord(nil, &r))
	f.Add(txn.AppendRecord(nil, &txn.Record{Version: 1, Kind: txn.EpochMarker,
		Position: txn.Position{Bucket: 9, Epoch: 2}, Previous: txn.Position{Epoch: 1, Seq: 99}}))
	f.Add([]byte{8, 1, 56, 5})
	f.Add([]byte{8, 1, 0xd2, 1, 6, 0, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := txn.DecodeRecord(b)
		if err != nil {
			if !errors.Is(err, txn.ErrRecord) && !errors.Is(err, txn.ErrRecordVersion) {
				t.Fatal(err)
			}
			return
		}
		again, err := txn.DecodeRecord(txn.AppendRecord(nil, &got))
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%v\nfirst %+v\nagain %+v", err, got, again)
		}
	})
}

func TestCheckPostings(t *testing.T) {
	for _, tt := range []struct {
		amounts []txn.Minor
		want    string
	}{
		{nil, ""}, {[]txn.Minor{5, -5}, ""}, {[]txn.Minor{5, -3, -2}, ""},
		{[]txn.Minor{5, -4}, "sum to 1"}, {[]txn.Minor{txn.MinorMax, 1, -1}, "out of range"},
		{[]txn.Minor{math.MaxInt64, 1, math.MaxInt64, 1}, "out of range"},
	} {
		r := txn.Record{}
		for _, a := range tt.amounts {
			r.Postings = append(r.Postings, txn.Posting{Account: "a", Amount: a})
		}
		err := r.CheckPostings()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.amounts, err, tt.want)
		}
	}
}

// A RecordReader reads what DecodeRecord reads, whatever it has read before, and what it
// returned stays as it is.
func TestRecordReaderReadsTheSame(t *testing.T) {
	r := txn.NewRecordReader()
	var got, want []txn.Record
	for i := range 40 {
		rec := txn.Record{Version: txn.RecordVersion, Kind: txn.Purchase, Outcome: txn.Approved,
			Request: txn.RequestID{Terminal: txn.TerminalID{'T', byte('0' + i%3)}, Counter: uint32(i)},
			Place:   txn.Place{Operator: "op", Merchant: strings.Repeat("m", i%5)},
			RRN:     strings.Repeat("7", i%13), Issuer: "ICBC"}
		for j := range i % 4 {
			rec.Postings = append(rec.Postings, txn.Posting{Account: "purse", Amount: txn.Minor(j)})
		}
		if i%7 == 0 {
			rec.Discounts = []txn.Discount{{Cause: "rider", Amount: 5}}
		}
		encoded := txn.AppendRecord(nil, &rec)
		a, err := r.Read(encoded)
		b, err2 := txn.DecodeRecord(encoded)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		clear(encoded)
		got, want = append(got, a), append(want, b)
		if _, err := r.Read([]byte{0xff}); err == nil {
			t.Fatal("nonsense was read")
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("records differ")
	}
}

// Names that a RecordReader remembers in one place are not taken for each other.
func TestRecordReaderTellsLikeNamesApart(t *testing.T) {
	r := txn.NewRecordReader()
	for range 3 {
		for _, name := range []string{"A1Z", "A2Z", "A2Z", "AZ", "A1Z"} {
			rec := txn.Record{Version: txn.RecordVersion, Place: txn.Place{Station: name, Operator: "A3Z"}}
			got, err := r.Read(txn.AppendRecord(nil, &rec))
			if err != nil || got.Place.Station != name || got.Place.Operator != "A3Z" {
				t.Fatalf("%q of %q was read as %q of %q, %v", name, "A3Z", got.Place.Station, got.Place.Operator, err)
			}
		}
	}
}
