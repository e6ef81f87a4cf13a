package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// TLS of the real switch and the real bank-sim, with certificates in files on both sides.

// authority signs certificates of a test.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	path string // of its certificate
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.path = filepath.Join(a.dir, name+".pem")
	var der []byte
	der, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write(a.path, "CERTIFICATE", der)
	return a
}

// sign makes a key and a certificate for it, signed by the authority or, for its own, by itself.
func (a *authority) sign(c *x509.Certificate, by *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	c.NotBefore = c.NotAfter.Add(-24 * time.Hour)
	signer := a.key
	if by == nil {
		by, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return der, key
}

func (a *authority) write(path, kind string, der []byte) {
	a.t.Helper()
	err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	if err != nil {
		a.t.Fatal(err)
	}
}

// issue writes a certificate for a name with its key, as file.pem and file.key.
func (a *authority) issue(file, name string) (cert, key string) {
	a.t.Helper()
	return a.issueUntil(file, name, time.Time{})
}

// issueUntil is issue with the end of the certificate's time; zero for an hour from now.
func (a *authority) issueUntil(file, name string, end time.Time) (cert, key string) {
	a.t.Helper()
	der, private := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, NotAfter: end,
		DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a.cert)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(a.dir, file+".pem"), filepath.Join(a.dir, file+".key")
	a.write(cert, "CERTIFICATE", der)
	a.write(key, "PRIVATE KEY", secret)
	return cert, key
}

// bankSimTLS starts a bank-sim that speaks TLS, and returns its address.
func bankSimTLS(t testing.TB, cert, key, ca string) string {
	t.Helper()
	c := exec.Command(e2eBinary(t), "bank-sim", "--listen", "127.0.0.1:0", "--spec", "cups",
		"--tls-cert", cert, "--tls-key", key, "--tls-ca", ca)
	c.Env = e2eEnv()
	out, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	text, err := r.ReadString('\n')
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, r)
		_ = c.Wait()
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-ended
	})
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(text)
	if address == "" {
		t.Fatalf("bank-sim says %q: %v", text, err)
	}
	return address
}

// TestE2EBankTLS: a sale goes from a client with a certificate over a listener that wants one,
// and over a link with certificates of both sides to bank-sim. A client without one, or with a
// foreign one, and banks of another name or authority, get nothing, and that is told. Renewed
// files are in use without a restart.
func TestE2EBankTLS(t *testing.T) {
	t.Parallel()
	own, foreign := newAuthority(t, "city"), newAuthority(t, "stranger")
	listenCert, listenKey := own.issue("listen", "switch.test")
	linkCert, linkKey := own.issue("link", "switch.test")
	tillCert, tillKey := own.issue("till", "till.test")
	strangeCert, strangeKey := foreign.issue("till", "till.test")
	bankCert, bankKey := own.issue("bank", "bank.test")
	otherCert, otherKey := own.issue("other", "other.test")
	fakeCert, fakeKey := foreign.issue("bank", "bank.test")
	oldCert, oldKey := own.issueUntil("old", "bank.test", time.Now().Add(-time.Minute))
	oldTillCert, oldTillKey := own.issueUntil("oldtill", "till.test", time.Now().Add(-time.Minute))
	good := bankSimTLS(t, bankCert, bankKey, own.path)
	// What the link shows is wanted by the bank as well.
	suspicious := bankSimTLS(t, bankCert, bankKey, foreign.path)
	secured := bankDoc{"cert": linkCert, "key": linkKey, "ca": own.path, "server_name": "bank.test"}
	w := prepareBankTown(t, bankPlan{file: func(f *bankFile) {
		f.listeners[0]["tls"] = bankDoc{"cert": listenCert, "key": listenKey, "ca": own.path}
		f.links[0]["addresses"], f.links[0]["tls"] = []string{good}, secured
		for name, address := range map[string]string{
			"name": bankSimTLS(t, otherCert, otherKey, own.path),
			"old":  bankSimTLS(t, oldCert, oldKey, own.path),
			"ca":   bankSimTLS(t, fakeCert, fakeKey, own.path), "client": suspicious} {
			f.links = append(f.links, bankDoc{"name": "bad-" + name, "addresses": []string{address},
				"spec": "cups", "tls": secured})
		}
	}})
	if err := w.node.start(); err != nil {
		t.Fatal(err)
	}
	w.eventually("the link to the bank", func() bool { return w.link("b0").Up })
	version := uint16(0) // the highest there is
	dial := func(cert, key string) (*tls.Conn, error) {
		t.Helper()
		pool := x509.NewCertPool()
		pool.AddCert(own.cert)
		c := &tls.Config{RootCAs: pool, ServerName: "switch.test", MinVersion: version,
			MaxVersion: version}
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			c.Certificates = []tls.Certificate{pair}
		}
		address, err := w.address("pos")
		if err != nil {
			t.Fatal(err)
		}
		nc, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		secured := tls.Client(nc, c)
		_ = secured.SetDeadline(time.Now().Add(tillMax))
		return secured, secured.Handshake()
	}
	l := w.till(1)
	nc, err := dial(tillCert, tillKey)
	if err != nil {
		t.Fatal(err)
	}
	l.nc, l.r = nc, message.NewReader(nc, message.Framing{})
	l.want(l.sale(pos.Purchase, 1, 1_000, nil), "00")
	if v := nc.ConnectionState().Version; v != tls.VersionTLS13 {
		t.Errorf("TLS version %x", v)
	}
	version = tls.VersionTLS12
	older, err := dial(tillCert, tillKey)
	if err != nil {
		t.Fatalf("TLS 1.2: %v", err)
	}
	l2 := w.till(2)
	l2.nc, l2.r = older, message.NewReader(older, message.Framing{})
	l2.want(l2.sale(pos.Purchase, 5, 5_000, nil), "00")
	version = tls.VersionTLS11
	if _, err := dial(tillCert, tillKey); err == nil {
		t.Error("TLS 1.1 is taken")
	}
	version = 0
	// Refused at the listener. The client may hear of it with its first read only (TLS 1.3).
	for what, c := range map[string][2]string{"no certificate": {}, "a foreign one": {strangeCert, strangeKey},
		"one that ended": {oldTillCert, oldTillKey}} {
		nc, err := dial(c[0], c[1])
		if err == nil {
			_, _ = nc.Write([]byte("\x00\x01x"))
			_, err = nc.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("%s: %v", what, err)
		}
	}
	address, _ := w.address("pos")
	plain, err := net.Dial("tcp", address) // no TLS at all
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	_, _ = plain.Write(wire(t, message.Framing{}, l.frame(l.request(l.sale(pos.Purchase, 2, 2_000, nil)))))
	w.eventually("the refusals", func() bool {
		return w.metric(`tapswitch_bank_listener_refused_total{cause="tls",listener="pos"}`) == "5"
	})
	text, err := os.ReadFile(w.node.logPath())
	if err != nil || !strings.Contains(string(text), "TLS handshake failed") ||
		!strings.Contains(string(text), "certificate") {
		t.Errorf("the log does not say it: %v", err)
	}
	for name, want := range map[string]string{"bad-name": "other.test", "bad-ca": "unknown authority",
		"bad-old":    "expired",
		"bad-client": "certificate"} {
		w.eventually(name+" to be refused", func() bool {
			s := w.link(name)
			return !s.Up && strings.Contains(s.Connections[0].Cause, want)
		})
	}
	for _, name := range []string{"bad-name", "bad-ca"} {
		if v := w.metric(`tapswitch_bank_link_connect_failures_total{cause="tls",link="` + name + `"}`); v == "0" {
			t.Errorf("%s: the metric is %q", name, v)
		}
	}
	// The listener's certificate is renewed under another authority, with its clients'.
	renewed := newAuthority(t, "renewed")
	newCert, newKey := renewed.issue("listen", "switch.test")
	copyFile(t, newCert, listenCert)
	copyFile(t, newKey, listenKey)
	own.cert = renewed.cert // whom the clients of this test believe
	w.eventually("the new certificate", func() bool {
		_, err := dial(tillCert, tillKey)
		return err == nil
	})
	l.want(l.sale(pos.Purchase, 3, 3_000, nil), "00") // over the connection of before
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
