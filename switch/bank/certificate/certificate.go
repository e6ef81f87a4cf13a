// Package certificate makes TLS of the PEM files that a configuration names, and reads them
// again when they change: a certificate is renewed by writing its files, without a restart.
// Connections that are open keep what they were made with.
//
// TLS is 1.2 or newer. Safe for concurrent use. Files that cannot be read or do not fit each
// other are refused at the start; later the ones before stay in use and the fault is told.
//
// It looks at no revocation list, and a server's clients are whoever has a certificate of its
// authority: their names mean nothing.
package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often files are looked at, at most.
const lookEvery = time.Second

// Files are files in PEM.
type Files struct {
	// Cert and Key are this side's certificate and key.
	Cert, Key string
	// CA verifies the other side: a server's clients, which then need a certificate; a
	// client's server, instead of the system's authorities.
	CA string
	// ServerName is the name that a client's server must have.
	ServerName string
}

// Server returns the TLS of a server.
func (f Files) Server(log *slog.Logger) (*tls.Config, error) {
	k := &keeper{files: f, read: f.readServer, log: log}
	first, err := k.get()
	if err != nil {
		return nil, err
	}
	c := first.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return k.get() }
	return c, nil
}

// Client returns what gives the TLS of a client's next connection.
func (f Files) Client(log *slog.Logger) (func() (*tls.Config, error), error) {
	k := &keeper{files: f, read: f.readClient, log: log}
	_, err := k.get()
	return k.get, err
}

// keeper has the TLS of files as they were when they were last looked at.
type keeper struct {
	files Files
	read  func() (*tls.Config, error)
	log   *slog.Logger

	mu     sync.Mutex // guards the fields below; files are read under it, seldom
	config *tls.Config
	print  string
	looked time.Time
}

func (k *keeper) get() (*tls.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if k.config != nil && now.Sub(k.looked) < lookEvery {
		return k.config, nil
	}
	k.looked = now
	print := k.files.print()
	if k.config != nil && print == k.print {
		return k.config, nil
	}
	c, err := k.read()
	switch {
	case err == nil && k.config != nil:
		k.log.Info("certificates read again", "cert", k.files.Cert, "ca", k.files.CA)
	case err != nil && k.config != nil:
		k.log.Error("certificates changed and cannot be used: those before stay in use",
			"error", err)
		return k.config, nil
	case err != nil:
		return nil, err
	}
	k.config, k.print = c, print
	return c, nil
}

// print changes when a file does.
func (f Files) print() (text string) {
	for _, path := range [...]string{f.Cert, f.Key, f.CA} {
		if info, err := os.Stat(path); err == nil {
			text += fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size(), ";")
		}
	}
	return text
}

func (f Files) readServer() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	if f.CA != "" {
		if c.ClientCAs, err = readAuthorities(f.CA); err != nil {
			return nil, err
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, nil
}

func (f Files) readClient() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: f.ServerName}
	var err error
	if f.CA != "" {
		if c.RootCAs, err = readAuthorities(f.CA); err != nil {
			return nil, err
		}
	}
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("tls: %s holds no certificate in PEM", path)
	}
	return pool, nil
}
