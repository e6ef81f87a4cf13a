package recordpb

import (
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func drawMinor(t *rapid.T, name string) txn.Minor {
	return txn.Minor(rapid.Int64Range(-int64(txn.MinorMax), int64(txn.MinorMax)).Draw(t, name))
}

func drawInstant(t *rapid.T, name string) txn.Millis {
	return txn.Millis(rapid.Int64Range(0, 1<<62).Draw(t, name))
}

func drawText(t *rapid.T, name string) string { return rapid.StringN(0, 12, 40).Draw(t, name) }

func drawRequest(t *rapid.T, name string) txn.RequestID {
	id, err := txn.ParseTerminalID(rapid.StringMatching(`[0-9A-Za-z_.]{1,12}`).Draw(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return txn.RequestID{Terminal: id, Boot: rapid.Uint32().Draw(t, "boot"),
		Counter: rapid.Uint32().Draw(t, "counter")}
}

// drawRecord draws any record that the codec carries. A marker carries what other kinds
// do not.
func drawRecord(t *rapid.T) txn.Record {
	reasons := append(txn.Reasons(), txn.ReasonNone)
	r := txn.Record{
		Version: txn.RecordVersion,
		Position: txn.Position{Bucket: txn.Bucket(rapid.IntRange(0, txn.BucketCount-1).Draw(t,
			"bucket")),
			Epoch: txn.Epoch(rapid.Uint64().Draw(t, "epoch")),
			Seq:   txn.Seq(rapid.Uint64().Draw(t, "seq"))},
		BusinessDate: txn.BusinessDate(rapid.Uint32().Draw(t, "date")),
		Kind:         rapid.SampledFrom(txn.Kinds()).Draw(t, "kind"),
		Outcome: rapid.SampledFrom([]txn.Outcome{txn.Approved, txn.Declined}).Draw(t,
			"outcome"),
		Reason:      rapid.SampledFrom(reasons).Draw(t, "reason"),
		CardVersion: rapid.Uint64().Draw(t, "version"),
		Application: txn.App(rapid.Uint16().Draw(t, "app")),
		Rider:       txn.RiderCategory(rapid.IntRange(0, int(txn.RiderVeteran)).Draw(t, "rider")),
		Place: txn.Place{Operator: drawText(t, "operator"), Line: drawText(t, "line"),
			Station: drawText(t, "station"), Merchant: drawText(t, "merchant"), MCC: drawText(t,
				"mcc"),
			Acquirer: drawText(t, "acquirer")},
		Issuer: drawText(t, "issuer"), STAN: rapid.Uint32().Draw(t, "stan"), RRN: drawText(t,
			"rrn"),
		FullFare: drawMinor(t, "full"), Charged: drawMinor(t, "charged"),
		Currency:       txn.Currency(rapid.Uint16().Draw(t, "currency")),
		BalanceAfter:   drawMinor(t, "balance"),
		OfflineCounter: rapid.Uint32().Draw(t, "counter"), Offline: rapid.Bool().Draw(t, "offline"),
		TAC:       txn.TACVerdict(rapid.IntRange(0, int(txn.TACUnchecked)).Draw(t, "tac")),
		ListEpoch: rapid.Uint64().Draw(t, "list epoch"),
		ServiceAt: drawInstant(t, "service"), ReceivedAt: drawInstant(t, "received"),
		Liability: txn.Liability(rapid.IntRange(0, int(txn.LiabilityAgency)).Draw(t,
			"liability")),
		Ride: txn.Ride{Mode: txn.Mode(rapid.IntRange(0, int(txn.ModeFerry)).Draw(t, "mode")),
			Business: rapid.Bool().Draw(t, "business"), Degraded: rapid.Uint8().Draw(t, "degraded"),
			Metres: rapid.Int64Range(0, 1<<62).Draw(t, "metres")},
		EntryStation: drawText(t, "entry"), EntryAt: drawInstant(t, "entry at"),
		Listing: txn.Listing{Actor: drawText(t, "actor"), Note: drawText(t, "note"), Mark: txn.Mark{
			Reason: txn.FreezeReason(rapid.IntRange(0, int(txn.Cancelled)).Draw(t, "list reason")),
			Scope:  txn.App(rapid.Uint16().Draw(t, "scope"))}},
		ClosedDate: txn.BusinessDate(rapid.Uint32().Draw(t, "closed")),
	}
	drawLists(t, &r)
	if rapid.Bool().Draw(t, "card") {
		copy(r.Card[:], rapid.SliceOfN(rapid.Byte(), pan.TokenSize, pan.TokenSize).Draw(t, "token"))
		copy(r.Last4[:], rapid.StringMatching(`[0-9]{4}`).Draw(t, "last4"))
		copy(r.Auth[:], rapid.StringMatching(`[0-9A-Z]{6}`).Draw(t, "auth"))
		copy(r.Response[:], rapid.StringMatching(`[0-9A-Z]{2}`).Draw(t, "response"))
		copy(r.Settled[:], rapid.StringMatching(`[0-9]{4}`).Draw(t, "settled"))
		r.Request, r.Original = drawRequest(t, "request"), drawRequest(t, "original")
	}
	if r.Kind == txn.EpochMarker {
		r.Previous = txn.Position{Bucket: r.Position.Bucket,
			Epoch: txn.Epoch(rapid.Uint64().Draw(t, "previous epoch")),
			Seq:   txn.Seq(rapid.Uint64().Draw(t, "previous seq"))}
	}
	return r
}

func drawLists(t *rapid.T, r *txn.Record) {
	for range rapid.IntRange(0, 4).Draw(t, "discounts") {
		r.Discounts = append(r.Discounts,
			txn.Discount{Cause: drawText(t, "cause"), Amount: drawMinor(t, "discount")})
	}
	for range rapid.IntRange(0, 6).Draw(t, "postings") {
		r.Postings = append(r.Postings,
			txn.Posting{Account: txn.Account(drawText(t, "account")), Amount: drawMinor(t,
				"amount")})
	}
}

// messageOf lays a record out as the generated message, field by field, without the
// codec of txn.
func messageOf(r *txn.Record) *Record {
	m := &Record{
		Version: r.Version, Bucket: uint32(r.Position.Bucket), Epoch: uint64(r.Position.Epoch),
		Seq: uint64(r.Position.Seq), BusinessDate: uint32(r.BusinessDate),
		Terminal: r.Request.Terminal.String(), Boot: r.Request.Boot, Counter: r.Request.Counter,
		Kind: uint32(r.Kind), Outcome: uint32(r.Outcome), Reason: uint32(r.Reason),
		CardVersion: r.CardVersion, Application: uint32(r.Application), Rider: uint32(r.Rider),
		Operator: r.Place.Operator, Line: r.Place.Line, Station: r.Place.Station,
		Merchant: r.Place.Merchant, Mcc: r.Place.MCC, Acquirer: r.Place.Acquirer, Issuer: r.Issuer,
		Stan: r.STAN, Rrn: r.RRN, FullFare: int64(r.FullFare), Charged: int64(r.Charged),
		Currency: uint32(r.Currency), BalanceAfter: int64(r.BalanceAfter),
		OfflineCounter: r.OfflineCounter, Offline: r.Offline, Tac: uint32(r.TAC),
		ListEpoch: r.ListEpoch, ServiceAt: int64(r.ServiceAt), ReceivedAt: int64(r.ReceivedAt),
		Liability: uint32(r.Liability), Original: r.Original.String(),
		Mode: uint32(r.Mode), Business: r.Business, Metres: r.Metres,
		Degraded: uint32(r.Degraded), EntryStation: r.EntryStation, EntryAt: int64(r.EntryAt),
		ListReason: uint32(r.Listing.Mark.Reason), ListScope: uint32(r.Listing.Mark.Scope),
		ListActor: r.Listing.Actor, ListNote: r.Listing.Note,
		PreviousEpoch: uint64(r.Previous.Epoch), PreviousSeq: uint64(r.Previous.Seq),
		ClosedDate: uint32(r.ClosedDate),
	}
	if !r.Card.IsZero() {
		m.Card = r.Card[:]
	}
	if r.Last4[0] != 0 {
		m.Last4 = r.Last4[:]
	}
	if r.Auth[0] != 0 {
		m.Auth = r.Auth[:]
	}
	if r.Response[0] != 0 {
		m.Response, m.SettlementDate = r.Response[:], r.Settled[:]
	}
	for _, d := range r.Discounts {
		m.DiscountCauses = append(m.DiscountCauses, d.Cause)
		m.DiscountAmounts = append(m.DiscountAmounts, int64(d.Amount))
	}
	for _, p := range r.Postings {
		m.Accounts = append(m.Accounts, string(p.Account))
		m.Amounts = append(m.Amounts, int64(p.Amount))
	}
	return m
}

// TestAgainstGenerated holds the codec written by hand and the generated one against
// each other, both ways.
func TestAgainstGenerated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		want := messageOf(&r)
		var got Record
		if err := proto.Unmarshal(txn.AppendRecord(nil, &r), &got); err != nil {
			t.Fatalf("generated code refuses the record: %v", err)
		}
		if !proto.Equal(&got, want) {
			t.Fatalf("generated code reads\n%v\nwant\n%v", &got, want)
		}
		if len(got.ProtoReflect().GetUnknown()) > 0 {
			t.Fatalf("generated code does not know some fields")
		}
		encoded, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		back, err := txn.DecodeRecord(encoded)
		if err != nil {
			t.Fatalf("txn refuses the generated encoding: %v", err)
		}
		if !reflect.DeepEqual(back, r) {
			t.Fatalf("txn reads\n%+v\nwant\n%+v", back, r)
		}
	})
}

// TestFieldsCovered fails when the message has a field that messageOf does not set from
// a record with everything in it.
func TestFieldsCovered(t *testing.T) {
	full := warehousetest.Full()
	marker := txn.Record{Kind: txn.EpochMarker, Previous: txn.Position{Epoch: 1, Seq: 2},
		ClosedDate: 5}
	a, b := messageOf(&full).ProtoReflect(), messageOf(&marker).ProtoReflect()
	fields := a.Descriptor().Fields()
	if fields.Len() != 57 {
		t.Errorf("the message has %d fields, the codec 57", fields.Len())
	}
	for i := range fields.Len() {
		f := fields.Get(i)
		if !a.Has(f) && !b.Has(f) {
			t.Errorf("field %s is never set", f.Name())
		}
		if f.IsList() && f.Kind() == protoreflect.Sint64Kind && !f.IsPacked() {
			t.Errorf("field %s is not packed", f.Name())
		}
	}
}

// TestPositionWins: the store appends the position to the encoded record; both readers
// take the later value.
func TestPositionWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		encoded := txn.AppendRecord(nil, &r)
		r.Position = txn.Position{Bucket: 63, Epoch: 9, Seq: 77}
		r.BusinessDate = 20260302
		encoded = txn.AppendPosition(encoded, r.Position, r.BusinessDate)
		r.Previous.Bucket = 63
		if r.Kind != txn.EpochMarker {
			r.Previous = txn.Position{}
		}
		back, err := txn.DecodeRecord(encoded)
		if err != nil || !reflect.DeepEqual(back, r) {
			t.Fatalf("txn reads\n%+v, %v\nwant\n%+v", back, err, r)
		}
		var m Record
		if err := proto.Unmarshal(encoded, &m); err != nil || !proto.Equal(&m, messageOf(&r)) {
			t.Fatalf("generated code reads\n%v, %v\nwant\n%v", &m, err, messageOf(&r))
		}
	})
}

func TestVersions(t *testing.T) {
	full := warehousetest.Full()
	later := txn.AppendRecord(nil, &full)
	later = protowire.AppendVarint(protowire.AppendTag(later, 1, protowire.VarintType),
		txn.RecordVersion+1)
	if _, err := txn.DecodeRecord(later); !errors.Is(err, txn.ErrRecordVersion) {
		t.Errorf("a later version: %v, want ErrRecordVersion", err)
	}
	// A field that is new within the version is passed over.
	extended := txn.AppendRecord(nil, &full)
	extended = protowire.AppendString(protowire.AppendTag(extended, 90, protowire.BytesType), "new")
	if back, err := txn.DecodeRecord(extended); err != nil || !reflect.DeepEqual(back, full) {
		t.Errorf("an added field: %+v, %v", back, err)
	}
}

// golden are the records of version 1 as they were written to disk and Kafka. The files
// never change: what is stored must be readable for years.
func golden() map[string]txn.Record {
	told := warehousetest.Full()
	bank := told // from before what a terminal told of a ride was kept
	bank.Ride = txn.Ride{}
	full := bank // from before what a bank answered was kept
	full.Response, full.Settled = txn.ResponseCode{}, txn.SettlementDay{}
	chain := warehousetest.NewChain(1)
	epoch := chain.Epoch(17)
	ride := chain.Next(17)
	for ride.Kind != txn.MetroExit {
		ride = chain.Next(17)
	}
	freeze := txn.Record{Version: 1, Kind: txn.Freeze, Outcome: txn.Approved, Card: full.Card,
		Position: txn.Position{Bucket: 63, Epoch: 2, Seq: 8}, BusinessDate: 20260301,
		Listing: full.Listing, Request: full.Request, ReceivedAt: 1772323200000}
	return map[string]txn.Record{"full": full, "bank": bank, "told": told,
		"epoch-marker": epoch, "ride": ride,
		"day-marker": chain.CutOver(17), "freeze": freeze}
}

func TestGolden(t *testing.T) {
	for name, want := range golden() {
		path := filepath.Join("testdata", "v1-"+name+".hex")
		if *rewrite {
			text := hex.EncodeToString(txn.AppendRecord(nil, &want)) + "\n"
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := txn.DecodeRecord(encoded)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", name, got, err, want)
		}
		if again := txn.AppendRecord(nil, &want); string(again) != string(encoded) {
			t.Errorf("%s: encoding changed:\n got %x\nwant %x", name, again, encoded)
		}
	}
}
