package fund

import (
	"reflect"
	"strings"
	"testing"
)

// A bank that books a batch in one entry, with entries that are not booked, in both versions of
// the message.
func TestBatchesOfCAMT(t *testing.T) {
	const plain = `<Ntry><NtryRef>other</NtryRef><Amt Ccy="CNY">0.50</Amt><CdtDbtInd>DBIT</CdtDbtInd>
<NtryDtls><TxDtls><Refs><EndToEndId>20260228-001-0001</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>`
	detail := func(ref, amount string) string {
		return "<TxDtls><Refs><EndToEndId>" + ref + "</EndToEndId></Refs>" + amount + "</TxDtls>"
	}
	batch := func(status string, details ...string) string {
		return `<Ntry><NtryRef>batch</NtryRef><Amt Ccy="CNY">0.50</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts>` +
			status + `</Sts><NtryDtls>` + strings.Join(details, "") + `</NtryDtls></Ntry>`
	}
	const v8, v2 = "<Cd>BOOK</Cd>", "BOOK"
	load := Entry{"funds/A1", 2050, "load"}
	for name, tt := range map[string]struct {
		entry string
		want  []Entry
	}{
		"taken apart": {batch(v8, detail("a", `<Amt Ccy="CNY">0.20</Amt>`), detail("b", `<Amt Ccy="CNY">0.30</Amt>`)),
			[]Entry{load, {"a", -20, ""}, {"b", -30, ""}}},
		"version 2": {batch(v2, detail("a", `<AmtDtls><TxAmt><Amt Ccy="CNY">0.10</Amt></TxAmt></AmtDtls>`),
			detail("b", `<AmtDtls><TxAmt><Amt Ccy="CNY">0.40</Amt></TxAmt></AmtDtls>`)),
			[]Entry{load, {"a", -10, ""}, {"b", -40, ""}}},
		"one given back": {batch(v8, detail("a", `<Amt Ccy="CNY">0.70</Amt>`),
			detail("b", `<Amt Ccy="CNY">0.20</Amt><CdtDbtInd>CRDT</CdtDbtInd>`)),
			[]Entry{load, {"a", -70, ""}, {"b", 20, ""}}},
		"does not add up": {batch(v8, detail("a", `<Amt Ccy="CNY">0.20</Amt>`), detail("b", `<Amt Ccy="CNY">0.20</Amt>`)),
			[]Entry{load, {"batch", -50, ""}}},
		"no amounts": {batch(v8, detail("a", ""), detail("b", "")), []Entry{load, {"batch", -50, ""}}},
		"pending beside": {plain + strings.Replace(batch("<Cd>PDNG</Cd>", detail("a", "")), "0.50", "9.99", 1),
			[]Entry{load, {"20260228-001-0001", -50, ""}}},
		"pending of version 2": {plain + strings.Replace(batch("PDNG"), "0.50", "9.99", 1),
			[]Entry{load, {"20260228-001-0001", -50, ""}}},
	} {
		text := strings.Replace(goodCAMT, plain, tt.entry, 1)
		if tt.entry != plain && text == goodCAMT {
			t.Fatal("nothing replaced")
		}
		s, err := Parse([]byte(text))
		if err != nil || !reflect.DeepEqual(s.Entries, tt.want) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	instant := strings.ReplaceAll(goodCAMT, "<Dt>2026-03-01</Dt>", "<DtTm>2026-03-01T23:59:59+08:00</DtTm>")
	if s, err := Parse([]byte(instant)); err != nil || s.Date != 20260301 {
		t.Errorf("a balance with an instant: %+v, %v", s, err)
	}
}
