package bank

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
		server, client TLS
		good           bool
	}{
		{"both verified", TLS{Cert: bankCert, Key: bankKey, CA: ownCert},
			TLS{Cert: ownCert, Key: ownKey, CA: bankCert, ServerName: "bank.test"}, true},
		{"no client certificate wanted", TLS{Cert: bankCert, Key: bankKey},
			TLS{CA: bankCert, ServerName: "bank.test"}, true},
		{"client without certificate", TLS{Cert: bankCert, Key: bankKey, CA: ownCert},
			TLS{CA: bankCert, ServerName: "bank.test"}, false},
		{"client of another authority", TLS{Cert: bankCert, Key: bankKey, CA: ownCert},
			TLS{Cert: strangeCert, Key: strangeKey, CA: bankCert, ServerName: "bank.test"}, false},
		{"server of another authority", TLS{Cert: strangeCert, Key: strangeKey},
			TLS{CA: bankCert, ServerName: "bank.test"}, false},
		{"server of another name", TLS{Cert: bankCert, Key: bankKey},
			TLS{CA: bankCert, ServerName: "other.test"}, false},
	} {
		server, err := serverTLS(&c.server)
		if err != nil {
			t.Fatal(err)
		}
		client, err := clientTLS(&c.client)
		if err != nil {
			t.Fatal(err)
		}
		if err := shake(t, server, client); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := serverTLS(&TLS{Cert: "missing", Key: "missing"}); err == nil {
		t.Error("missing files were read")
	}
	if _, err := clientTLS(&TLS{CA: bankKey}); err == nil {
		t.Error("a key was taken for an authority")
	}
	if c, err := serverTLS(nil); c != nil || err != nil {
		t.Error("no TLS is not no TLS")
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
