package redisstore

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
)

// childEnv names the server for the writing processes of TestProcesses.
const childEnv = "REDISSTORE_TEST_CHILD"

// TestProcesses lets several processes count up one card at the same time.
func TestProcesses(t *testing.T) {
	if addr := os.Getenv(childEnv); addr != "" {
		s := open(t, options(addr))
		if n := countUp(t, s); n != raceEach {
			t.Fatalf("counted %d", n)
		}
		return
	}
	server := startSingle(t)
	const processes = 4
	var wg sync.WaitGroup
	for range processes {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestProcesses$")
			cmd.Env = append(os.Environ(), childEnv+"="+server.Addr())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("a process failed: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	s := open(t, options(server.Addr()))
	l := load(t, s, card(1))
	if len(l.State) != processes*raceEach || l.Version != processes*raceEach {
		t.Fatalf("%d processes counted to %d, version %d", processes, len(l.State), l.Version)
	}
	w := &writers{acked: map[pan.Token]uint64{card(1): processes * raceEach}}
	w.check(t, s)
}

// TestFrozenUnderLoad stops the server for up to three seconds while commits go on: every
// caller is answered in time, and afterwards nothing is lost or done twice.
func TestFrozenUnderLoad(t *testing.T) {
	server := startSingle(t)
	opt := options(server.Addr())
	opt.ReadTimeout = 300 * time.Millisecond
	s := open(t, opt)
	w := startWriters(s, 8)
	for _, pause := range []time.Duration{time.Second, 3 * time.Second} {
		goal := w.count() + 300
		eventually(t, "commits go on", func() bool { return w.count() >= goal })
		if err := server.Pause(); err != nil {
			t.Fatal(err)
		}
		slowest := commitUntil(s, time.Now().Add(pause))
		if err := server.Resume(); err != nil {
			t.Fatal(err)
		}
		if slowest > opt.ReadTimeout+time.Second {
			t.Errorf("a caller waited %v", slowest)
		}
	}
	goal := w.count() + 300
	eventually(t, "commits go on", func() bool { return w.count() >= goal })
	w.end()
	w.check(t, s)
}

// commitUntil commits with a context of 400 ms until at and returns the longest wait.
func commitUntil(s *Store, at time.Time) (slowest time.Duration) {
	for n := 0; time.Now().Before(at); n++ {
		ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
		begun := time.Now()
		_ = s.Commit(ctx, []*store.Commit{{Card: card(900_000 + n)}}) // fails, or is done late
		slowest = max(slowest, time.Since(begun))
		cancel()
	}
	return slowest
}

// TestTLS commits over TLS with a certificate that the client checks.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	roots := makeCertificate(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0") // a free port, for the server in a moment
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	_ = l.Close()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	startSingle(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	opt := options(addr)
	opt.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	mustCommit(t, open(t, opt), write(card(1), 0, "a"))
	opt.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	opt.ReadTimeout = 300 * time.Millisecond
	_, err = Open(context.Background(), opt)
	wantErr(t, err, store.ErrUnavailable)
}

func makeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true,
		BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var cert bytes.Buffer
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der},
		"key.pem":  {Type: "EC PRIVATE KEY", Bytes: secret},
	} {
		text := pem.EncodeToMemory(block)
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if block.Type == "CERTIFICATE" {
			cert.Write(text)
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cert.Bytes()) {
		t.Fatal("certificate not read back")
	}
	return roots
}
