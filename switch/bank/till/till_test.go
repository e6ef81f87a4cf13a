package till

import (
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	l, err := read(strings.NewReader("terminal,merchant,mcc,payee,master_key\n" +
		"# a comment\nT1,M1,5411,,tmk1\nT2,M2,,operator/bus,\n"))
	if err != nil {
		t.Fatal(err)
	}
	one, two := l.Find([8]byte([]byte("T1      "))), l.Find([8]byte([]byte("T2      ")))
	if l.Len() != 2 || one == nil || two == nil || l.Find([8]byte{}) != nil {
		t.Fatalf("%+v %+v", one, two)
	}
	if one.Place.Payee != "merchant/M1" || one.Place.MCC != "5411" || one.MasterKey != "tmk1" ||
		two.Place.Payee != "operator/bus" || two.Partial || l.WithKey() != "T1" {
		t.Errorf("%+v %+v", one, two)
	}
	l, err = read(strings.NewReader("terminal,merchant,mcc,payee,master_key,partial\n" +
		"T1,M1,,,,yes\nT2,M1,,,,no\nT3,M1,,,,\n"))
	if err != nil || !l.Find([8]byte([]byte("T1      "))).Partial ||
		l.Find([8]byte([]byte("T2      "))).Partial || l.Find([8]byte([]byte("T3      "))).Partial ||
		l.WithKey() != "" {
		t.Errorf("%v", err)
	}
}

func TestReadRefuses(t *testing.T) {
	const head, six = "terminal,merchant,mcc,payee,master_key\n", "terminal,merchant,mcc,payee,master_key,partial\n"
	for _, text := range []string{"", "terminal\n", "terminal,merchant,mcc,payee,master_key,other\n",
		head + "T1,M1\n", head + ",M1,,,\n", head + "T12345678,M1,,,\n", head + "T\x01,M1,,,\n",
		head + "T1,,,,\n", head + "T1,M234567890123456,,,\n", head + "T1,M1,54,,\n",
		head + "T1,M1,541a,,\n", head + "T1,M1,,,\nT1,M2,,,\n", six + "T1,M1,,,,maybe\n",
		head + "T1,M1,,,,yes\n"} {
		if l, err := read(strings.NewReader(text)); err == nil {
			t.Errorf("%q is read: %d rows", text, l.Len())
		}
	}
	if _, err := Load(t.TempDir() + "/none.csv"); err == nil {
		t.Error("a file that is not there is read")
	}
}
