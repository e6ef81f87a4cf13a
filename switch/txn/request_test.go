package txn_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// notDigested are the fields that may differ between two copies of one request, and why.
var notDigested = map[string]string{
	"Last4":          "part of the card number, which the token stands for",
	"Place.MCC":      "the registry's, made from the terminal",
	"Place.Acquirer": "the registry's", "Place.Payee": "the registry's",
	"Place.Funding": "the registry's",
	"ListEpoch":     "what the terminal holds at the moment of the copy",
	"Code.Refused":  "the verdict of the moment: a copy that comes late is another",
	"TAC":           "the verdict of who looked, which a key that is loaded later changes",
	"ReceivedAt":    "each copy has its own", "Deadline": "each copy has its own",
	"Untimed":       "it only says that the service time is not digested",
	"Gate":          "the registry's: a security module moves, the record stays",
	"RepeatMax":     "what the switch allows, not what the sender asked",
	"Listing.Actor": "the desk's name for itself", "Listing.Note": "a remark",
	"Listing.From.Reason": "what the desk saw when it asked", "Listing.From.Scope": "the same",
}

// Everything else of a request makes another fingerprint, whatever field is added.
func TestFingerprintDigestsEveryField(t *testing.T) {
	for _, kind := range []txn.Kind{txn.Purchase, txn.Enrol, txn.Freeze} {
		base := txn.Request{Kind: kind, ID: txn.RequestID{Boot: 1}, Card: pan.Token{1}}
		eachField(reflect.TypeFor[txn.Request](), "", nil, func(name string, index []int) {
			if name == "Bank" || name == "Change" || name == "Move" || name == "Forgiven" {
				return // each has its own test
			}
			changed := base
			change(reflect.ValueOf(&changed).Elem().FieldByIndex(index))
			differs := changed.Fingerprint() != base.Fingerprint()
			why := notDigested[name]
			if strings.HasPrefix(name, "Enrolment.") && kind != txn.Enrol ||
				strings.HasPrefix(name, "Listing.") && kind != txn.Freeze ||
				name == "App" || name == "Liability" {
				why = "not asked by this kind"
			}
			if differs != (why == "") {
				t.Errorf("%s %s: fingerprint differs %v, reason not to: %q", kind, name, differs, why)
			}
		})
	}
}

// Of a bank transaction what the sender said is digested; what the switch and the bank add
// differs between the copies.
func TestFingerprintOfBankRequests(t *testing.T) {
	of := func(change func(*txn.Request, *txn.BankWork)) txn.Fingerprint {
		w := txn.BankWork{Type: "00000022", LocalAt: "093215"}
		r := txn.Request{Kind: txn.BankPurchase, Amount: 5, STAN: 7, Bank: &w, ServiceAt: 1}
		change(&r, &w)
		return r.Fingerprint()
	}
	base := of(func(*txn.Request, *txn.BankWork) {})
	for name, change := range map[string]func(*txn.Request, *txn.BankWork){
		"type":   func(_ *txn.Request, w *txn.BankWork) { w.Type = "20000023" },
		"time":   func(_ *txn.Request, w *txn.BankWork) { w.LocalAt = "093216" },
		"amount": func(r *txn.Request, _ *txn.BankWork) { r.Amount = 6 },
	} {
		if of(change) == base {
			t.Errorf("%s is not digested", name)
		}
	}
	if of(func(r *txn.Request, w *txn.BankWork) {
		r.ServiceAt, r.ReceivedAt = 2, 3
		w.STAN, w.Link, w.Due, w.Step, w.Sealed = 9, "icbc", 4, txn.BankApprove, []byte{1}
	}) != base {
		t.Error("what the switch adds is digested")
	}
}

// What the agency asks for is digested, each part of it.
func TestFingerprintOfTheAgency(t *testing.T) {
	seen := map[txn.Fingerprint]string{}
	add := func(name string, r txn.Request) {
		t.Helper()
		f := r.Fingerprint()
		if other, ok := seen[f]; ok {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[f] = name
	}
	for name, c := range map[string]txn.CardChange{
		"nothing": {}, "set": {Set: txn.ChangeApps}, "active": {Active: true},
		"apps": {Apps: 1}, "bank": {BankWaiting: true}, "rider": {Rider: 1},
		"until": {RiderUntil: 1}, "expiry": {ExpiresAt: 1}, "served": {ServedUntil: 1},
		"successor": {Successor: pan.Token{1}}, "account": {Account: pan.Token{1}},
		"predecessor": {Predecessor: pan.Token{1}},
	} {
		add("amend "+name, txn.Request{Kind: txn.Amend, Change: &c})
	}
	for name, m := range map[string]txn.Move{
		"nothing": {}, "seq": {Seq: 1}, "other": {Other: pan.Token{1}}, "arrived": {Arrived: true},
		"journey": {EnteredAt: 1},
	} {
		add("out "+name, txn.Request{Kind: txn.TransferOut, Move: &m})
		add("in "+name, txn.Request{Kind: txn.TransferIn, Move: &m})
	}
	for _, k := range []txn.Kind{txn.Liable, txn.Compensation} {
		add(k.String(), txn.Request{Kind: k})
		add(k.String()+" party", txn.Request{Kind: k, Liability: txn.LiabilityIssuer})
		add(k.String()+" payee", txn.Request{Kind: k, Place: txn.Place{Payee: "loss/a"}})
	}
	add("verify", txn.Request{Kind: txn.Verify})
	add("verify app", txn.Request{Kind: txn.Verify, App: txn.AppLibrary})
	add("payout", txn.Request{Kind: txn.Payout})
	add("payout payee", txn.Request{Kind: txn.Payout, Place: txn.Place{Payee: "cash/1"}})
	add("fee funding", txn.Request{Kind: txn.Fee, Place: txn.Place{Funding: "cash/1"}})
}

// eachField calls do for every leaf field of a struct.
func eachField(t reflect.Type, prefix string, index []int, do func(string, []int)) {
	for i := range t.NumField() {
		f, at := t.Field(i), append(append([]int(nil), index...), i)
		if f.Type.Kind() == reflect.Struct {
			eachField(f.Type, prefix+f.Name+".", at, do)
			continue
		}
		do(prefix+f.Name, at)
	}
}

func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Array:
		change(v.Index(v.Len() - 1))
	default:
		panic("no change for " + v.Kind().String())
	}
}

// Copies of a request whose sender gave no time are one request.
func TestFingerprintOfUntimedRequests(t *testing.T) {
	a := txn.Request{Kind: txn.Load, Untimed: true, ServiceAt: 1, Amount: 5}
	b := a
	b.ServiceAt = 2
	if a.Fingerprint() != b.Fingerprint() {
		t.Error("the time of receipt is digested")
	}
	if b.Amount++; a.Fingerprint() == b.Fingerprint() {
		t.Error("the amount is not digested")
	}
}

// Two texts side by side are not one longer text.
func TestFingerprintKeepsFieldsApart(t *testing.T) {
	a := txn.Request{Place: txn.Place{Operator: "ab", Line: "c"}}
	b := txn.Request{Place: txn.Place{Operator: "a", Line: "bc"}}
	if a.Fingerprint() == b.Fingerprint() {
		t.Error("the same fingerprint")
	}
}

// The fingerprint stands in card states: it must not change from version to version.
func TestFingerprintIsStable(t *testing.T) {
	id, err := txn.ParseRequestID("GATE01-3-42")
	if err != nil {
		t.Fatal(err)
	}
	r := txn.Request{ID: id, Kind: txn.Purchase, Card: pan.Token{1, 2, 3}, Currency: txn.CNY,
		Amount: 1234, ServiceAt: 1795219200000, STAN: 77, RRN: "000000000042",
		Place: txn.Place{Operator: "metro", Line: "L1", Station: "Futian", Merchant: "M1"}}
	f := r.Fingerprint()
	const want = "fd4775093f741eed"
	if got := txn.AuthCodeOf(f).String(); len(got) != 6 {
		t.Errorf("authorization code %q", got)
	}
	if got := hexOf(f[:]); got != want {
		t.Errorf("%s, was %s", got, want)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestAuthCodes(t *testing.T) {
	if (txn.AuthCode{}).String() != "" {
		t.Error("the code of a decline")
	}
	seen := map[txn.AuthCode]bool{}
	for i := range 1000 {
		r := txn.Request{Amount: txn.Minor(i)}
		code := txn.AuthCodeOf(r.Fingerprint())
		for _, c := range code {
			if !strings.ContainsRune("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ", rune(c)) {
				t.Fatalf("%q has %q", code, c)
			}
		}
		seen[code] = true
	}
	if len(seen) < 999 {
		t.Errorf("%d codes of 1000 requests", len(seen))
	}
}

func TestFingerprintAllocates(t *testing.T) {
	r := txn.Request{Place: txn.Place{Operator: "metro", Station: "Futian"}}
	if n := testing.AllocsPerRun(100, func() { r.Fingerprint() }); n != 0 {
		t.Errorf("%.0f allocations, want none", n)
	}
}

// What a ride's price depends on is part of what is asked, and a request without any of it has
// the fingerprint that it always had.
func TestFingerprintOfRides(t *testing.T) {
	plain := txn.Request{Kind: txn.MetroExit}
	seen := map[txn.Fingerprint]string{plain.Fingerprint(): "plain"}
	for name, r := range map[string]txn.Request{
		"business": {Kind: txn.MetroExit, Ride: txn.Ride{Business: true}},
		"metres":   {Kind: txn.MetroExit, Ride: txn.Ride{Metres: 1}},
		"mode":     {Kind: txn.MetroExit, Ride: txn.Ride{Mode: txn.ModeRail}},
		"degraded": {Kind: txn.MetroExit, Ride: txn.Ride{Degraded: 1}},
		"pass":     {Kind: txn.PassSale, Pass: "day"}, "other pass": {Kind: txn.PassSale, Pass: "week"},
	} {
		if other, twice := seen[r.Fingerprint()]; twice {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[r.Fingerprint()] = name
	}
}
