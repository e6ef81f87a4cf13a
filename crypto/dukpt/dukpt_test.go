package dukpt_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/dukpt"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func upper(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func ksn(t testing.TB, s string) dukpt.KSN {
	t.Helper()
	k, err := dukpt.ParseKSN(unhex(t, s))
	if err != nil {
		t.Fatal(s, err)
	}
	return k
}

func fromBDK(t testing.TB, bdk, serial string, kt dukpt.KeyType) *dukpt.Transaction {
	t.Helper()
	x, err := dukpt.FromBDK(unhex(t, bdk), ksn(t, serial), kt)
	if err != nil {
		t.Fatal(serial, err)
	}
	return x
}

const (
	tdesBDK  = "0123456789ABCDEFFEDCBA9876543210"
	tdesIKSN = "FFFF9876543210"
	tdesIK   = "6AC292FAA1315B4D858AB3A3D7D5933A"

	bdk128 = "FEDCBA9876543210F1F1F1F1F1F1F1F1"
	bdk192 = bdk128 + "FEDCBA9876543210"
	bdk256 = bdk128 + bdk128
	aesID  = "1234567890123456"
)

// tdesTable is ANSI X9.24-1:2009 A.4: counter, transaction key, PIN block of 1234 and
// 4012345678909, MACs of 4012345678909D987 request and response, data request.
var tdesTable = []struct{ counter, key, pin, request, response, data string }{
	{"E00002", "C46551CEF9FD24B0AA9AD834130D3BC7", "10A01C8D02C69107", "F608A9BC",
		"D1FCA6BE", "A2B4E70F846E63D68775B7215EB4563DFD3037244C61CC13"},
	{"E00003", "0DF3D9422ACA56E547676D07AD6BADFA", "18DC07B94797B466", "20B59A4F",
		"BAD4CC9C", "BD751E65F10E75B6C1D5B1D283496A36C2DE21D993C387A7"},
	{"E00004", "279C0F6AEED0BE652B2C733E1383AE91", "0BC79509D5645DF7", "C7BFA6CC",
		"1EB08AEE", "1118F50947441BBDA3C8C70220021A12EC31CC473F7215F4"},
	{"E00006", "5E415CB0BAF9F03CD0C14B63FB62FF43", "A16DF70AE36158D8", "CF6C72E6",
		"C60D38E8", "DC526613AD9095C1CEC60C41B7686ED606AC1AA2F4F54912"},
	{"E00007", "0C8F780B7C8B49D0AE84A9EB2A6CE660", "27711C16CB257F8E", "B11EB0D9",
		"053EFD39", "24700BD6F17751531F2A16CE2AF7731101E6F87839C67244"},
	{"E00008", "27F66D5244FF62E1AA6F6120EDEB4280", "50E55547A5027551", "3679055B",
		"7FACA91D", "5F6584DEAFC51B48A239B51C2DACA97176C01D9CA8EDC33C"},
	{"E0000B", "3E8260BA04B2D620C01482B3819A18B7", "2328981C57B4BDBA", "76D95CB4",
		"27C9FA5E", "98A271C13E4AEE80C6343867F2F0F6C55E8B7E5645866A0B"},
	{"E0000C", "B716E1E11CF53D80726CAEE75C3A624F", "038D03CC926CF286", "BAD9D84D",
		"6D2ECC6A", "273CBE2F275B1C29D53F3C01A24DEC73F92C3BE219FFCB91"},
	{"E0000E", "A80046087F5B8F245AAD95E18429084F", "F17C9E1D72CD4950", "4EC79532",
		"55233989", "48207931E5F6E5E3E02E7E1D7BED4E3232FCA67E66A31F61"},
	{"E0000F", "93DD5B956C4878472E453AAEFD32A5AA", "B170F6E7F7F2F64A", "82500D05",
		"AFE23CBA", "166246602B1255114A4012513B0DD4A9E19E82C945860C55"},
	{"E00012", "9CF640F279C2AEE615F725EEEAC2CBAF", "7A21BD10F36DC41D", "A819AF04",
		"E93F5E27", "270439430E60BFC600FE3DC7E7AD8C72D22D5284EC676EF2"},
	{"E00013", "C3DF489FDF1153B4F03DE97C27DC4C2F", "78649BD17D0DFA60", "79285A17",
		"FCE7A5A5", "2FEAE132FA0E46B4ABF55A87477AFA907E598868BCC236DA"},
	{"E00014", "658488507721B3F14737FA93F923CBD2", "7E7E16EA0C31AD56", "E2B2637F",
		"A10E94AA", "A16A61328E36A21858B5FBFBE7BAF7985F5C54F5B8C12298"},
	{"E00015", "E161D1956A61F6D2F37AFD7F9CC3699A", "72105C22EBC791E6", "B2033EBD",
		"BDA3AEE1", "42A9342FD5C1ACD20E137950A7368D2BBE884275B7906918"},
	{"EFF800", "F9CDFEBF4F5B1D9EB3EC12454527E176", "33365F5CC6F23C35", "23E3CB62",
		"5776C376", "5FF8C648565975E746C0CB7B1157DCB6EC3C5F25E82F8A62"},
	{"EFF801", "5BEE92627E97825C911BF619DF72CA3B", "3A86BF003F835C9D", "97623632",
		"69D1EF47", "55374FDBB3B2B4ED0751243FC0C54DB1F3F3CF76F0C0B3C4"},
	{"EFF802", "64CA2F8AB93F61B01620B00BF77C7301", "3DB977D05C36DF3F", "72608521",
		"BF7036B7", "74A1250E3234DEDEB422FA7F862C484BBA6924DF9BC32CE5"},
	{"EFF880", "CA8225C587124DFBB87F279C0BE29727", "22E340D6ABB40981", "95C43BC2",
		"73D03F0B", "9E9AA50594849DEB63BC3EF3BE63C5637F03D03B0DCFA973"},
	{"EFF900", "906AAC1751D4971A144D52C76C6E1F97", "1A4C10AFBA03A430", "D6BEAA71",
		"5D461B71", "C653AFCD3245ADB3B113FFC48B46BD0B6C5B3B5FB10044EE"},
	{"EFFC00", "F9430DF975082491C77BE4EF4FDB91EE", "DEFC6F09F8927B71", "2917C6EF",
		"AA8D2DA6", "A2C773BC45B277E3F100C37E30A6A6FB1865134815B05EBC"},
	{"F00000", "AA4D58DB653EC74A48C75F2F047DD2B5", "73EC88AD0AC5830E", "7DFA9315",
		"1444BEC3", "1E830E7F53FC171E35380145320233EF9C6F3B08CED984AB"},
}

func TestTDESPublished(t *testing.T) {
	message := []byte("4012345678909D987")
	plain := append(message, make([]byte, 7)...)
	message = message[:17:17]
	pin, pan := unhex(t, "041234FFFFFFFFFF"), unhex(t, "0000401234567890")
	for _, c := range tdesTable {
		x := fromBDK(t, tdesBDK, tdesIKSN+c.counter, dukpt.Same)
		if got := upper(x.Key()); got != c.key {
			t.Errorf("%s: transaction key %s, want %s", c.counter, got, c.key)
		}
		enc, err := x.EncryptPIN(pin, pan)
		if err != nil || upper(enc) != c.pin {
			t.Errorf("%s: PIN block %X %v, want %s", c.counter, enc, err, c.pin)
		}
		if back, err := x.DecryptPIN(enc, pan); err != nil || !bytes.Equal(back, pin) {
			t.Errorf("%s: PIN field back: %v", c.counter, err)
		}
		checkSum(t, c.counter+" request", c.request, message)(x.RequestMAC())
		checkSum(t, c.counter+" response", c.response, message)(x.ResponseMAC())
		data, err := x.EncryptData(dukpt.UsageDataRequest, nil, plain)
		if err != nil || upper(data) != c.data {
			t.Errorf("%s: data %X %v, want %s", c.counter, data, err, c.data)
		}
		if back, err := x.DecryptData(dukpt.UsageDataRequest, nil, data); err != nil || !bytes.Equal(back, plain) {
			t.Errorf("%s: data back: %v", c.counter, err)
		}
	}
}

func checkSum(t *testing.T, name, want string, data []byte) func(*mac.MAC, error) {
	return func(m *mac.MAC, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if got := m.Sum(nil, data); upper(got) != want || !m.Verify(data, got) {
			t.Errorf("%s: MAC %X, want %s", name, got, want)
		}
	}
}

// TestTDESInitialKey is ANSI X9.24-1 A.4, and the same transaction from the initial key.
func TestTDESInitialKey(t *testing.T) {
	k := ksn(t, tdesIKSN+"E00001")
	ik, err := dukpt.InitialKey(unhex(t, tdesBDK), k)
	if err != nil || upper(ik) != tdesIK {
		t.Fatalf("initial key is wrong: %v", err)
	}
	x, err := dukpt.FromInitialKey(ik, k, dukpt.TDES2)
	if err != nil || upper(x.Key()) != "042666B49184CFA368DE9628D0397BC9" {
		t.Errorf("transaction key is wrong: %v", err)
	}
	if x.KSN() != k {
		t.Errorf("KSN %v, want %v", x.KSN(), k)
	}
}

// TestTDESVariants: working keys by the definition of X9.24-1 A.4.1.
func TestTDESVariants(t *testing.T) {
	x := fromBDK(t, tdesBDK, tdesIKSN+"E00001", dukpt.Same)
	for u, at := range map[dukpt.Usage]int{dukpt.UsagePIN: 7, dukpt.UsageMACRequest: 6,
		dukpt.UsageMACResponse: 4, dukpt.UsageDataRequest: 5, dukpt.UsageDataResponse: 3} {
		want := x.Key()
		want[at] = ^want[at]
		want[at+8] = ^want[at+8]
		if u == dukpt.UsageDataRequest || u == dukpt.UsageDataResponse {
			c, err := block.New(block.TDES, want)
			if err != nil {
				t.Fatal(err)
			}
			c.Encrypt(want[:8], want[:8])
			c.Encrypt(want[8:], want[8:])
		}
		if got, err := x.WorkingKey(u); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v: wrong key, %v", u, err)
		}
	}
	for _, u := range []dukpt.Usage{0, dukpt.UsageKEK, dukpt.UsageMACBoth, dukpt.UsageDataBoth, 0x8000} {
		if _, err := x.WorkingKey(u); !errors.Is(err, dukpt.ErrUsage) {
			t.Errorf("%v: %v", u, err)
		}
	}
}

// TestTDESDirections: a request's MAC and data are not those of a response.
func TestTDESDirections(t *testing.T) {
	x := fromBDK(t, tdesBDK, tdesIKSN+"E00001", dukpt.Same)
	request, err1 := x.RequestMAC()
	response, err2 := x.ResponseMAC()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if response.Verify([]byte("x"), request.Sum(nil, []byte("x"))) {
		t.Error("a request passes as a response")
	}
	data := make([]byte, 16)
	a, err1 := x.EncryptData(dukpt.UsageDataRequest, nil, data)
	b, err2 := x.EncryptData(dukpt.UsageDataResponse, make([]byte, 8), data)
	if err1 != nil || err2 != nil || bytes.Equal(a, b) {
		t.Error("data of both directions is the same", err1, err2)
	}
}

// aesTable is the supplement of ANSI X9.24-3:2017: base key, counter, transaction key and
// the PIN, MAC generation and data encryption keys of the base key's length.
var aesTable = []struct {
	bdk, counter, key string
	working           []string
}{
	{bdk128, "00000003", "031504E530365CF81264238540518318", []string{
		"7D69F01F3B45449F62C7816ECE723268",
		"A5DF7D9D800CA769766F0C77CA4E6E6C",
		"EF17F6AB45B4820C93A3DCB21BC491AD",
	}},
	{bdk128, "00000004", "0EEFC7ADA628BA68878DA9165A8A1887", []string{
		"91A0588318EC2673214271F70137896E",
		"E6E4679647D8A9057C1FC15537CB4C4E",
		"B3BD44C08BB6BA27C3BB4711D7D70387",
	}},
	{bdk128, "00000006", "D30F7D9351DA58448A2F5E92B4EE3B7D", []string{
		"02DCC6CD1201A3A2CA7099559C862123",
		"7B60F72A5639C0EE7EB2100FA80BB793",
		"C9B8A7C4E486180B2229115164F0B293",
	}},
	{bdk128, "00000008", "718EE6CF0B27E53D5F7AF99C4D8146A2", []string{
		"4D9DF3FBEE3448FC3E676D04320A90F5",
		"6FD572E5D59E618875F193484F9178FB",
		"650F34204ABD4E57764D61AC3D266FB1",
	}},
	{bdk128, "00020001", "692C8EA4013645135B36497131DF9D2C", nil},
	{bdk128, "FFFE2000", "48E585B694EB0B18D5C35443E163C0BA", nil},
	{bdk128, "FFFE4000", "396C2C7CA1EA701C03B86B7D41F0C562", nil},
	{bdk128, "FFFE8000", "0387625F189B58AE03EF0E8CCA41105E", nil},
	{bdk256, "00000001", "54AC2B32B145EA4A554CB8BC44B17467063A799856B1CCC2A138D36E8DBF78B3", []string{
		"8C1AB7BEE973829E30242E0BBBDD4946D540C98FC1B5BDCF94790001A23FD502",
		"61DABDF4B340CF461EE860B1D1AB55357142BD2D6977306859CF49AEFE8F1549",
		"71EB36C9A6B7F801D1D1700C29741FC5A5C4E9B45D742DA7AF6992B8AA29AF58",
	}},
	{bdk256, "00000005", "6B3C3C93307151C25DC2309456F01C5C3108DAD571C321899A9B7E0C009FD2EB", []string{
		"B1E9E3D918952E6E5F67917F0FE77060F865AE27DCAD5742DDF90F61453B98BA",
		"8B047E32C476C0A0AF90A9B8D1C247C433E3D4C1DF1C7FC52E8CB1DC4C8FB275",
		"813D156C142E5BB8F136427EBD0A1AC4DC9B2B5963C481F5E0A58F4BF33BD185",
	}},
	{bdk256, "00000006", "B8BB61AE3E2D5CD8C699E0C578FB2C7B89B0C0CF02DBAB60864D8049C986C844", []string{
		"8714EB94E3BFD3018EC99D0434D9C94F071AF2EEBF4332FB14F5179793AA582C",
		"A2FF6FFB37CB8042B8C9B2F94C90C83D94DD5BECCD9951CFAB0BE7BD865CA403",
		"F1FB0591AA2E45E1CE4C5D970C7396C4A87E53E5900C4A6D95C174140CC0AC9C",
	}},
	{bdk256, "00000008", "20A796D5077D51B8E7613893A4F095B134E02917DC84BD391F3661D0873FF308", []string{
		"173A45284262A3E292D86D08FD6DE9167963214450D1D48F6103BD2EB08E61B5",
		"949A3FEF12DBD273DD25BB60E29BBE313C872A9DE3BE03A7E29626ACA0A42880",
		"0BF8789A21D068410A16C9F7FCBF65A7B4FF73203ADC0F1B4B5E5BF8050E4284",
	}},
	{bdk256, "0001FFFE", "A289508CBF1228452CD86AB77B15CB35577AC828C18BB66681E5A16D6C9CCED3", nil},
	{bdk256, "00020000", "D62DDA94A47D7DA5D763443B4ECB15EA8DD62E0E4F915958BA459591F8312E37", nil},
	{bdk256, "00020001", "44110A1102748D4A3AC326F53D8CAC650212590CA7126D54546DDE0F20E89CEE", nil},
	{bdk256, "FFFE2000", "4625EB06E4886D4AFCC9AE37ED4F4E4E1653C9E60E3F24742A87A26AA96AB7A6", nil},
	{bdk256, "FFFE4000", "FF20E1BB575539ACCB44E3111BE8757F83AE8549A2DD71B441A4A424F7FFD4B1", nil},
}

func TestAESPublished(t *testing.T) {
	usages := []dukpt.Usage{dukpt.UsagePIN, dukpt.UsageMACRequest, dukpt.UsageDataRequest}
	for _, c := range aesTable {
		x := fromBDK(t, c.bdk, aesID+c.counter, dukpt.Same)
		if got := upper(x.Key()); got != c.key {
			t.Errorf("%s: transaction key %s, want %s", c.counter, got, c.key)
		}
		for i, want := range c.working {
			if got, err := x.WorkingKey(usages[i]); err != nil || upper(got) != want {
				t.Errorf("%s: key %v %X %v, want %s", c.counter, usages[i], []byte(got), err, want)
			}
		}
	}
}

// TestAESPIN: ISO 9564 format 4 under the PIN keys of X9.24-3.
func TestAESPIN(t *testing.T) {
	pin := unhex(t, "441234AAAAAAAAAA2F69ADDE2E9E7ACE")
	pan := unhex(t, "44111111111111111000000000000000")
	for counter, want := range map[string]string{
		"00000003": "A5A27E82B43A9A866A93D7ABE89CEF93",
		"00000004": "71B3D0528669498777555A8BE6698E44",
		"00000006": "BDC1C3871AFB0B340AA5B5CEFD08695E",
		"00000008": "8308BB857C17F390369F761F8EB358FA",
	} {
		x := fromBDK(t, bdk128, aesID+counter, dukpt.AES128)
		enc, err := x.EncryptPIN(pin, pan)
		if err != nil || upper(enc) != want {
			t.Errorf("%s: %X %v, want %s", counter, enc, err, want)
		}
		if back, err := x.DecryptPIN(enc, pan); err != nil || !bytes.Equal(back, pin) {
			t.Errorf("%s: back: %v", counter, err)
		}
	}
}

// TestAESInitialKey checks X9.24-3 B.1 and its supplement for AES-256.
func TestAESInitialKey(t *testing.T) {
	for bdk, want := range map[string]string{
		bdk128: "1273671EA26AC29AFA4D1084127652A1",
		bdk256: "CE9CE0C101D1138F97FB6CAD4DF045A7083D4EAE2D35A31789D01CCF0949550F",
	} {
		ik, err := dukpt.InitialKeyOf(unhex(t, bdk), unhex(t, aesID))
		if err != nil || upper(ik) != want {
			t.Errorf("%d bytes: wrong key, %v", len(bdk)/2, err)
		}
		again, err := dukpt.InitialKey(unhex(t, bdk), ksn(t, aesID+"00000001"))
		if err != nil || !bytes.Equal(ik, again) {
			t.Errorf("%d bytes: by KSN: %v", len(bdk)/2, err)
		}
	}
	for n := range 20 {
		if _, err := dukpt.InitialKeyOf(unhex(t, bdk128), make([]byte, n)); (err == nil) != (n == 8) {
			t.Errorf("id of %d bytes: %v", n, err)
		}
	}
}

// TestAESKeyTypes derives every type of working key by the definition, with the derivation
// data of X9.24-3 6.3.3 written out, and refuses those stronger than the base key.
func TestAESKeyTypes(t *testing.T) {
	for _, c := range []struct {
		kt        dukpt.KeyType
		indicator string // algorithm and length in bits
		size      int
	}{
		{dukpt.TDES2, "00000080", 16}, {dukpt.TDES3, "000100c0", 24}, {dukpt.AES128, "00020080", 16},
		{dukpt.AES192, "000300c0", 24}, {dukpt.AES256, "00040100", 32}, {dukpt.HMAC128, "00050080", 16},
		{dukpt.HMAC192, "000500c0", 24}, {dukpt.HMAC256, "00050100", 32},
	} {
		for _, bdk := range []string{bdk128, bdk192, bdk256} {
			k := ksn(t, aesID+"00000003")
			x, err := dukpt.FromBDK(unhex(t, bdk), k, c.kt)
			if tooStrong := c.kt >= dukpt.AES128 && c.size > len(bdk)/2; tooStrong {
				if !errors.Is(err, dukpt.ErrUsage) {
					t.Errorf("%v under %d bytes: %v", c.kt, len(bdk)/2, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(c.kt, err)
			}
			for _, u := range []dukpt.Usage{dukpt.UsageKEK, dukpt.UsagePIN, dukpt.UsageMACRequest,
				dukpt.UsageMACResponse, dukpt.UsageMACBoth, dukpt.UsageDataRequest, dukpt.UsageDataResponse,
				dukpt.UsageDataBoth} {
				cipher, err := block.New(block.AES, x.Key())
				if err != nil {
					t.Fatal(err)
				}
				var want [32]byte
				for i := range 2 {
					in := unhex(t, fmt.Sprintf("01%02x%v%s9012345600000003", i+1, u, c.indicator))
					cipher.Encrypt(want[16*i:], in)
				}
				if got, err := x.WorkingKey(u); err != nil || !bytes.Equal(got, want[:c.size]) || c.kt.Size() != c.size {
					t.Errorf("%v %v: wrong key, %v", c.kt, u, err)
				}
			}
		}
	}
	if _, err := dukpt.FromBDK(unhex(t, bdk256), ksn(t, aesID+"00000003"), 77); !errors.Is(err, dukpt.ErrUsage) {
		t.Errorf("an unknown type: %v", err)
	}
	x := fromBDK(t, bdk128, aesID+"00000003", dukpt.Same)
	for _, u := range []dukpt.Usage{0, 0x8000, 0x8001, 0x1001} {
		if _, err := x.WorkingKey(u); !errors.Is(err, dukpt.ErrUsage) {
			t.Errorf("%v: %v", u, err)
		}
	}
}

// TestAESOperations uses each type of working key for all it can do.
func TestAESOperations(t *testing.T) {
	for kt := dukpt.TDES2; kt <= dukpt.HMAC256; kt++ {
		x := fromBDK(t, bdk256, aesID+"0000000A", kt)
		size := map[bool]int{true: 8, false: 16}[kt <= dukpt.TDES3]
		encrypts := kt < dukpt.HMAC128
		field := bytes.Repeat([]byte{0x12}, size)
		enc, err := x.EncryptPIN(field, field)
		if encrypts != (err == nil) || encrypts && len(enc) != size {
			t.Errorf("%v: PIN: %v", kt, err)
		}
		data, err := x.EncryptData(dukpt.UsageDataBoth, field, append(field, field...))
		if encrypts != (err == nil) || encrypts && len(data) != 2*size {
			t.Errorf("%v: data: %v", kt, err)
		}
		m, err := x.RequestMAC()
		if encrypts != (err == nil) || encrypts && m.Size() != size {
			t.Errorf("%v: MAC: %v", kt, err)
		}
		h, err := x.HMAC(dukpt.UsageMACRequest)
		if encrypts == (err == nil) {
			t.Errorf("%v: HMAC: %v", kt, err)
		}
		if err == nil {
			key, _ := x.WorkingKey(dukpt.UsageMACRequest)
			want := hmac.New(sha256.New, key)
			want.Write([]byte("data"))
			h.Write([]byte("data"))
			if !hmac.Equal(h.Sum(nil), want.Sum(nil)) {
				t.Errorf("%v: HMAC is another", kt)
			}
		}
	}
}

func TestKSN(t *testing.T) {
	for _, c := range []struct {
		ksn     string
		device  dukpt.DeviceID
		counter uint32
	}{
		{"FFFF9876543210E00001", "FFFF9876543210E00000", 1},
		{"FFFF9876543210F00000", "FFFF9876543210E00000", 0x100000},
		{"FFFF9876543210FFC000", "FFFF9876543210E00000", 0x1fc000},
		{"000000000000001FE003", "00000000000000000000", 0x1fe003},
		{"123456789012345600000001", "1234567890123456", 1},
		{"1234567890123456FFFF0000", "1234567890123456", 0xffff0000},
		{"00000000000000000001FFFE", "0000000000000000", 0x1fffe},
	} {
		k := ksn(t, c.ksn)
		if k.Device() != c.device || k.Counter() != c.counter || k.String() != c.ksn ||
			k.AES() != (len(c.ksn) == 24) || upper(k.Append([]byte{1})) != "01"+c.ksn {
			t.Errorf("%s: %v of %v, %x", c.ksn, k, k.Device(), k.Counter())
		}
	}
	for n := range 30 {
		_, err := dukpt.ParseKSN(bytes.Repeat([]byte{0, 1}, 15)[:n])
		if ok := n == 10 || n == 12; ok != (err == nil) || (!ok && !errors.Is(err, dukpt.ErrKSN)) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestCounters: the standard's limit of one bits is the last one taken.
func TestCounters(t *testing.T) {
	for _, c := range []struct {
		ksn string
		ok  bool
	}{
		{"FFFF9876543210E00000", false}, {"FFFF9876543210E003FF", true}, {"FFFF9876543210E007FF", false},
		{"FFFF9876543210FFC003", true}, {"FFFF9876543210FFE003", true}, {"FFFF9876543210FFE007", false},
		{"FFFF9876543210FFFFFF", false}, {"FFFF9876543210FFF800", true},
		{"123456789012345600000000", false}, {"12345678901234560000FFFF", true},
		{"12345678901234560001FFFF", false}, {"1234567890123456FFFF0001", false},
		{"1234567890123456FFFFFFFF", false},
	} {
		if _, err := dukpt.ParseKSN(unhex(t, c.ksn)); c.ok != (err == nil) ||
			!c.ok && !errors.Is(err, dukpt.ErrCounter) {
			t.Errorf("%s: %v", c.ksn, err)
		}
	}
}

// TestLengths runs every operation with keys, PIN fields and data of every length.
func TestLengths(t *testing.T) {
	tdes, aes := ksn(t, tdesIKSN+"E00001"), ksn(t, aesID+"00000001")
	for n := range 40 {
		key := make([]byte, n)
		for _, c := range []struct {
			k  dukpt.KSN
			ok bool
		}{{tdes, n == 16}, {aes, n == 16 || n == 24 || n == 32}} {
			for name, f := range map[string]func([]byte, dukpt.KSN, dukpt.KeyType) (*dukpt.Transaction, error){
				"base": dukpt.FromBDK, "initial": dukpt.FromInitialKey,
			} {
				if _, err := f(key, c.k, dukpt.Same); c.ok != (err == nil) ||
					!c.ok && !errors.Is(err, dukpt.ErrKeyLength) {
					t.Errorf("%s key of %d bytes for %v: %v", name, n, c.k, err)
				}
			}
		}
	}
	for _, c := range []struct {
		x    *dukpt.Transaction
		size int
	}{{fromBDK(t, tdesBDK, tdes.String(), 0), 8}, {fromBDK(t, bdk128, aes.String(), 0), 16}} {
		for n := range 40 {
			field, whole := make([]byte, n), make([]byte, c.size)
			for _, f := range []func(a, b []byte) ([]byte, error){c.x.EncryptPIN, c.x.DecryptPIN} {
				if _, err := f(field, whole); (err == nil) != (n == c.size) || n != c.size && !errors.Is(err, dukpt.ErrLength) {
					t.Errorf("PIN field of %d bytes: %v", n, err)
				}
				if _, err := f(whole, field); (err == nil) != (n == c.size) {
					t.Errorf("PAN field of %d bytes: %v", n, err)
				}
			}
			if _, err := c.x.EncryptData(dukpt.UsageDataRequest, nil, field); (err == nil) != (n%c.size == 0) ||
				n%c.size != 0 && !errors.Is(err, dukpt.ErrLength) {
				t.Errorf("data of %d bytes: %v", n, err)
			}
			if _, err := c.x.DecryptData(dukpt.UsageDataRequest, field, whole); (err == nil) != (n == c.size) {
				t.Errorf("IV of %d bytes: %v", n, err)
			}
		}
		_, err := c.x.EncryptPIN(make([]byte, c.size), nil)
		if (err == nil) != (c.size == 8) {
			t.Errorf("no PAN field with blocks of %d: %v", c.size, err)
		}
	}
}

func TestRefusedUse(t *testing.T) {
	x := fromBDK(t, tdesBDK, tdesIKSN+"E00001", 0)
	y := fromBDK(t, bdk128, aesID+"00000001", dukpt.AES128)
	z := fromBDK(t, bdk128, aesID+"00000001", dukpt.HMAC128)
	_, e1 := x.MAC(dukpt.UsagePIN, mac.CMAC, 8)
	_, e2 := x.MAC(dukpt.UsageMACRequest, mac.CBC, 8)
	_, e3 := y.MAC(dukpt.UsageMACRequest, mac.Retail, 8)
	_, e4 := z.MAC(dukpt.UsageMACRequest, mac.CMAC, 8)
	_, e5 := y.EncryptData(dukpt.UsagePIN, nil, make([]byte, 16))
	_, e6 := z.Cipher(dukpt.UsagePIN)
	_, e7 := x.MAC(dukpt.UsageMACBoth, mac.CMAC, 8)
	_, e8 := z.HMAC(dukpt.UsagePIN)
	_, e9 := x.Cipher(dukpt.UsageKEK)
	_, e10 := dukpt.FromBDK(unhex(t, tdesBDK), x.KSN(), dukpt.AES128)
	for i, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8, e9, e10} {
		if !errors.Is(err, dukpt.ErrUsage) {
			t.Errorf("%d: %v", i+1, err)
		}
	}
	if _, err := x.MAC(dukpt.UsageMACRequest, mac.CMAC, 9); !errors.Is(err, mac.ErrScheme) {
		t.Errorf("9 of 8 bytes: %v", err)
	}
	if _, err := dukpt.FromInitialKey(unhex(t, tdesIK), dukpt.KSN{}, 0); !errors.Is(err, dukpt.ErrKSN) {
		t.Errorf("a KSN of nothing: %v", err)
	}
}

func TestClear(t *testing.T) {
	x := fromBDK(t, tdesBDK, tdesIKSN+"E00001", 0)
	key := x.Key()
	x.Clear()
	if !bytes.Equal(x.Key(), make([]byte, 16)) || bytes.Equal(key, make([]byte, 16)) {
		t.Error("the transaction key was not cleared, or its copy was")
	}
}

// TestSilence runs every error and prints every value with keys, PINs and data that are easy
// to find, and looks for them.
func TestSilence(t *testing.T) {
	secret := []byte("\xca\xfeKEY5\xbe\xef")
	var out []string
	add := func(v ...any) {
		for _, v := range v {
			js, _ := json.Marshal(v)
			out = append(out, fmt.Sprintf("%v %+v %#v %x %d %s %q %s", v, v, v, v, v, v, v, js))
		}
	}
	for n := range 40 {
		s := bytes.Repeat(secret, 5)[:n]
		for _, k := range []dukpt.KSN{{}, ksn(t, tdesIKSN+"E00001"), ksn(t, aesID+"00000001")} {
			ik, err := dukpt.InitialKey(s, k)
			add(ik, err, dukpt.Key(s), []dukpt.Key{s})
			for kt := dukpt.Same; kt <= dukpt.HMAC256; kt++ {
				_, err1 := dukpt.FromBDK(s, k, kt)
				x, err2 := dukpt.FromInitialKey(s, k, kt)
				add(err1, err2)
				if err2 != nil {
					continue
				}
				_, err1 = x.EncryptPIN(s, s)
				_, err2 = x.DecryptPIN(s, nil)
				_, err3 := x.EncryptData(dukpt.UsageDataRequest, s, s)
				_, err4 := x.DecryptData(dukpt.UsageDataRequest, nil, s)
				m, err5 := x.RequestMAC()
				w, err6 := x.WorkingKey(dukpt.UsagePIN)
				add(err1, err2, err3, err4, m, err5, w, err6)
			}
		}
		_, err := dukpt.InitialKeyOf(s, s)
		add(err)
	}
	x, err := dukpt.FromInitialKey(bytes.Repeat(secret, 2), ksn(t, tdesIKSN+"E00001"), 0)
	if err != nil {
		t.Fatal(err)
	}
	add(x, *x)
	text := strings.Join(out, "\n") + fmt.Sprintf("%x %X", []byte(x.Key())[:0], "")
	for _, s := range []string{string(secret[:4]), "cafe4b", "CAFE4B", "202 254", "KEY5", "4b4559",
		"0xca, 0xfe", hex.EncodeToString(x.Key()[:4]), fmt.Sprint([]byte(x.Key()[:4]))[1:10]} {
		if strings.Contains(text, s) {
			t.Errorf("%q is printed", s)
		}
	}
}

func TestNames(t *testing.T) {
	if dukpt.AES128.String() != "aes128" || dukpt.KeyType(99).String() != "unknown" ||
		dukpt.KeyType(99).Size() != 0 || dukpt.Same.Size() != 0 || dukpt.UsageKEK.String() != "0002" {
		t.Error("a name or size is wrong")
	}
}

// FuzzKSN: what parses comes back to the byte, with a counter the standard allows, and
// derives.
func FuzzKSN(f *testing.F) {
	for _, s := range []string{"", tdesIKSN + "E00001", tdesIKSN + "EFFFFF", aesID + "FFFF0000", aesID + "00000000"} {
		f.Add(unhex(f, s))
	}
	key := unhex(f, bdk128)
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := dukpt.ParseKSN(b)
		if err != nil {
			return
		}
		most := 10
		if k.AES() {
			most = 16
		}
		if n := bits.OnesCount32(k.Counter()); n == 0 || n > most || !bytes.Equal(k.Append(nil), b) {
			t.Fatalf("%x: %v, counter %x", b, k, k.Counter())
		}
		if _, err := dukpt.FromBDK(key, k, dukpt.Same); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

func BenchmarkRequestMAC(b *testing.B) {
	for name, c := range map[string][2]string{
		"tdes": {tdesBDK, tdesIKSN + "EFF800"}, "aes128": {bdk128, aesID + "FFFF0000"},
	} {
		b.Run(name, func(b *testing.B) {
			bdk, k, data := unhex(b, c[0]), ksn(b, c[1]), make([]byte, 128)
			b.ReportAllocs()
			for b.Loop() {
				x, err := dukpt.FromBDK(bdk, k, dukpt.Same)
				if err != nil {
					b.Fatal(err)
				}
				m, err := x.RequestMAC()
				if err != nil || m.Verify(data, data[:4]) {
					b.Fatal(err)
				}
			}
		})
	}
}
