package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certify writes a self-signed certificate and its key, and returns their paths.
func certify(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der},
		key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// Both sides of a connection know each other by the files that the configuration names, and
// a stranger is turned away.
func TestTLSOfListenersAndLinks(t *testing.T) {
	bankCert, bankKey := certify(t, "bank.test")
	ownCert, ownKey := certify(t, "switch.test")
	strangeCert, strangeKey := certify(t, "stranger.test")
	for _, c := range []struct {
		name           string
		server, client Files
		good           bool
	}{
		{"both verified", Files{Cert: bankCert, Key: bankKey, CA: ownCert},
			Files{Cert: ownCert, Key: ownKey, CA: bankCert, ServerName: "bank.test"}, true},
		{"no client certificate wanted", Files{Cert: bankCert, Key: bankKey},
			Files{CA: bankCert, ServerName: "bank.test"}, true},
		{"client without certificate", Files{Cert: bankCert, Key: bankKey, CA: ownCert},
			Files{CA: bankCert, ServerName: "bank.test"}, false},
		{"client of another authority", Files{Cert: bankCert, Key: bankKey, CA: ownCert},
			Files{Cert: strangeCert, Key: strangeKey, CA: bankCert, ServerName: "bank.test"}, false},
		{"server of another authority", Files{Cert: strangeCert, Key: strangeKey},
			Files{CA: bankCert, ServerName: "bank.test"}, false},
		{"server of another name", Files{Cert: bankCert, Key: bankKey},
			Files{CA: bankCert, ServerName: "other.test"}, false},
	} {
		server, err := c.server.Server(quiet)
		if err != nil {
			t.Fatal(err)
		}
		next, err := c.client.Client(quiet)
		if err != nil {
			t.Fatal(err)
		}
		client, err := next()
		if err != nil {
			t.Fatal(err)
		}
		if err := shake(t, server, client); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := (Files{Cert: "missing", Key: "missing"}).Server(quiet); err == nil {
		t.Error("missing files were read")
	}
	if _, err := (Files{CA: bankKey}).Client(quiet); err == nil {
		t.Error("a key was taken for an authority")
	}
}

var quiet = slog.New(slog.DiscardHandler)

// replace writes a file anew, with another time than before.
func replace(t *testing.T, path, from string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err == nil {
		later := time.Now().Add(time.Hour)
		err = os.Chtimes(path, later, later)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Renewed files are in use without a restart; files that do not fit leave those before.
func TestFilesAreReadAgain(t *testing.T) {
	ownCert, ownKey := certify(t, "switch.test")
	newCert, newKey := certify(t, "renewed.test")
	clientCert, clientKey := certify(t, "client.test")
	files := Files{Cert: ownCert, Key: ownKey, CA: clientCert}
	k := &keeper{files: files, read: files.readServer, log: quiet}
	name := func() string {
		t.Helper()
		k.looked = time.Time{}
		c, err := k.get()
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.Subject.CommonName
	}
	if name() != "switch.test" {
		t.Fatal("not the file's certificate")
	}
	replace(t, ownKey, newKey) // the other half is not there yet
	if name() != "switch.test" {
		t.Error("a key without its certificate was taken")
	}
	replace(t, ownCert, newCert)
	if name() != "renewed.test" {
		t.Error("the renewed certificate is not in use")
	}
	server, err := files.Server(quiet)
	if err != nil {
		t.Fatal(err)
	}
	next, err := Files{Cert: clientCert, Key: clientKey, CA: newCert,
		ServerName: "renewed.test"}.Client(quiet)
	if err != nil {
		t.Fatal(err)
	}
	client, err := next()
	if err != nil {
		t.Fatal(err)
	}
	if err := shake(t, server, client); err != nil {
		t.Error(err)
	}
}

// shake connects both and sends a byte each way: a refused certificate may show only then.
func shake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	b, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	deadline := time.Now().Add(5 * time.Second)
	for _, c := range []net.Conn{a, b} {
		if err := c.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
	}
	served := make(chan error, 1)
	go func() {
		c := tls.Server(a, server)
		var room [1]byte
		_, err := c.Read(room[:])
		if err == nil {
			_, err = c.Write(room[:])
		}
		served <- err
		_ = a.Close()
	}()
	c := tls.Client(b, client)
	_, err = c.Write([]byte{1})
	if err == nil {
		var room [1]byte
		_, err = c.Read(room[:])
	}
	_ = b.Close()
	if serveErr := <-served; err == nil {
		err = serveErr
	}
	return err
}
