package vector

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/crypto/tlv"
)

// checkPurse does area epurse: session keys (SES…), TAC keys, MACs over given data, and
// the commands of a load.
func checkPurse(e *entry) {
	switch {
	case e.has("init_for_load_apdu"):
		e.loadCommands()
	case e.wants("tac_key"):
		key, err := purse.Fold(e.hex("DTK"))
		if e.must("TAC key", err) {
			e.expect("tac_key", key)
		}
	case e.has("rand"):
		e.sessionKey()
	default:
		e.purseMAC()
	}
}

// purseScheme is 3DES unless "algorithm" names SM4; of that it may name the truncation.
func (e *entry) purseScheme() purse.Scheme {
	words := ""
	if e.has("algorithm") {
		words = strings.ToLower(e.text("algorithm"))
	}
	switch {
	case !strings.Contains(words, "sm4"):
		return purse.TDES()
	case strings.Contains(words, "fold") || strings.Contains(words, "xor"):
		return purse.SM4(purse.TruncXorFold4)
	default:
		return purse.SM4(purse.TruncLeft4)
	}
}

// sessionKey makes the session key of the key whose name ends in K: online ones of the
// card's random number, online counter and suffix, offline ones of the lower bytes of the
// terminal's sequence number.
func (e *entry) sessionKey() {
	input := e.hex("rand")
	if e.has("online_seq") {
		input = append(input, e.hex("online_seq")...)
		suffix := []byte{0x80, 0}
		if e.has("suffix") {
			suffix = e.hex("suffix")
		}
		input = append(input, suffix...)
	} else {
		input = append(input, e.hex("offline_seq")...)
		seq := e.hex("terminal_seq")
		input = append(input, seq[max(0, len(seq)-2):]...)
	}
	key := e.hex(e.cardKeyName())
	if !e.ok() {
		return
	}
	if len(input) != 8 {
		e.fail("random number and counters are not 8 bytes")
		return
	}
	session, err := purse.SessionKey(e.purseScheme().Cipher, key, [8]byte(input))
	if !e.must("session key", err) {
		return
	}
	for name := range e.Expected {
		if strings.HasPrefix(name, "SES") {
			e.expect(name, session)
		}
	}
}

// cardKeyName finds the card's key among the inputs.
func (e *entry) cardKeyName() string {
	for _, name := range []string{"DLK", "DPK", "DULK", "DUK", "DK"} {
		if e.has(name) {
			return name
		}
	}
	return "DLK"
}

// purseMAC makes MAC1, MAC2, MAC3 or TAC of "data", which must be what the fields beside
// it make.
func (e *entry) purseMAC() {
	s, data := e.purseScheme(), e.hex("data")
	e.checkFields(data)
	key := e.macKey(s)
	if !e.ok() {
		return
	}
	k, err := purse.NewMACKey(s, key)
	if !e.must("key", err) {
		return
	}
	defer k.Clear()
	sum := k.Sum(data)
	for _, name := range []string{"MAC1", "MAC2", "MAC3", "TAC"} {
		e.expect(name, sum[:])
	}
	e.expect("full_block", k.Full(nil, data))
}

// macKey reads the session key, the TAC key, or the card's key that the TAC key is made of.
func (e *entry) macKey(s purse.Scheme) []byte {
	switch {
	case e.has("key"):
		return e.hex("key")
	case e.has("tac_key"):
		return e.hex("tac_key")
	case s.Cipher == block.SM4:
		return e.hex("DTK")
	}
	key, err := purse.Fold(e.hex("DTK"))
	e.must("TAC key", err)
	return key
}

// checkFields compares data with the fields where they are given: in the order of load and
// purchase.
func (e *entry) checkFields(data []byte) {
	var made []byte
	for _, name := range []string{"balance_before", "amount", "type", "terminal", "date", "time"} {
		if e.has(name) {
			made = append(made, e.hex(name)...)
		}
	}
	if e.ok() && made != nil && !bytes.Equal(made, data) {
		e.fail("data is not made of the fields beside it")
	}
}

// loadCommands reads the commands and the reply of a load.
func (e *entry) loadCommands() {
	init, err := purse.ParseInit(e.hex("init_for_load_apdu"))
	if !e.must("init_for_load_apdu", err) {
		return
	}
	reply, err := purse.ParseInitReply(init.Operation, e.hex("init_response"))
	if !e.must("init_response", err) {
		return
	}
	credit, err := purse.ParseCommit(e.hex("credit_for_load_apdu"))
	if !e.must("credit_for_load_apdu", err) {
		return
	}
	names := map[purse.Purse]string{purse.ED: "01 (ED)", purse.EP: "02 (EP)"}
	e.expectText("p2_purse", names[init.Purse])
	e.expect("key_index", []byte{init.KeyIndex})
	e.expect("amount", binary.BigEndian.AppendUint32(nil, init.Amount))
	e.expect("terminal", init.Terminal[:])
	e.expect("balance", binary.BigEndian.AppendUint32(nil, reply.Balance))
	e.expect("online_seq", binary.BigEndian.AppendUint16(nil, reply.Counter))
	e.expect("key_version", []byte{reply.KeyVersion})
	e.expect("alg_id", []byte{reply.Algorithm})
	e.expect("rand", reply.Random[:])
	e.expect("card_MAC1", reply.MAC1[:])
	e.expect("txn_date", credit.Date[:])
	e.expect("txn_time", credit.Time[:])
	e.expect("host_MAC2", credit.MAC[:])
}

// checkCardData does area card-data: a record of the card's files, or check digits.
func checkCardData(e *entry) {
	switch {
	case e.has("pans"):
		e.checkDigits()
	case len(e.hex("record")) == purse.TripSize:
		e.trip()
	default:
		e.detail()
	}
}

func (e *entry) detail() {
	d, err := purse.ParseDetail(e.hex("record"))
	if !e.must("record", err) {
		return
	}
	e.expectNumber("card_seq", int64(d.Counter))
	e.expectNumber("overdraft", int64(d.Overdraft))
	e.expectNumber("amount_fen", int64(d.Amount))
	e.expect("type", []byte{byte(d.Type)})
	e.expect("terminal", d.Terminal[:])
	e.expect("date", d.Date[:])
	e.expect("time", d.Time[:])
}

func (e *entry) trip() {
	t, err := purse.ParseTrip(e.hex("record"))
	if !e.must("record", err) {
		return
	}
	e.expect("type", []byte{byte(t.Type)})
	e.expect("terminal", t.Terminal[:])
	e.expect("mode", []byte{byte(t.Mode)})
	for _, name := range []string{"line", "station", "line_station", "line_or_station", "place"} {
		e.expect(name, t.Line[:])
	}
	for _, name := range []string{"amount_fen", "amount"} {
		e.expectNumber(name, int64(t.Amount))
	}
	for _, name := range []string{"balance_fen", "balance"} {
		e.expectNumber(name, int64(t.Balance))
	}
	e.expect("datetime", append(t.Date[:], t.Time[:]...))
	e.expect("date", t.Date[:])
	e.expect("time", t.Time[:])
	e.expect("city", t.City[:])
	e.expect("acquirer", t.Acquirer[:])
}

// checkDigits compares the check digits of card numbers.
func (e *entry) checkDigits() {
	var numbers []string
	if json.Unmarshal(e.Inputs["pans"], &numbers) != nil {
		e.fail("input %q is not a list of texts", "pans")
		return
	}
	got := make([]bool, len(numbers))
	for i, s := range numbers {
		n, err := pan.Parse(s)
		if !e.must("number "+strconv.Itoa(i+1), err) {
			return
		}
		got[i] = n.Luhn()
	}
	raw, ok := e.Expected["luhn_valid"]
	if !ok {
		return
	}
	e.compared["luhn_valid"] = true
	text, _ := json.Marshal(got)
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil || compact.String() != string(text) {
		e.fail("luhn_valid differs")
	}
}

// checkTLV does area emv-tlv: every tag of field 55.
func checkTLV(e *entry) {
	elements, err := tlv.Parse(nil, e.hex("F55"))
	if !e.must("field 55", err) {
		return
	}
	for _, el := range elements {
		if !e.wants(el.Tag.String()) {
			e.fail("tag %v is not expected", el.Tag)
			return
		}
		e.expect(el.Tag.String(), el.Value)
	}
	for name := range e.Expected {
		if !e.compared[name] {
			e.fail("tag %.8q is missing", name)
		}
	}
}
