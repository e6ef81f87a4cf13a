package tools

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// tlsFlags name the PEM files of a simulator that speaks TLS.
type tlsFlags struct{ cert, key, ca string }

func (f *tlsFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.cert, "tls-cert", "", "speak TLS with this certificate, a PEM file")
	flags.StringVar(&f.key, "tls-key", "", "its key")
	flags.StringVar(&f.ca, "tls-ca", "", "want a client certificate of this authority")
}

// config reads the files; nil without a certificate.
func (f *tlsFlags) config() (*tls.Config, error) {
	if f.cert == "" {
		if f.key != "" || f.ca != "" {
			return nil, errors.New("--tls-key and --tls-ca want --tls-cert")
		}
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if f.ca == "" {
		return c, nil
	}
	text, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fmt.Errorf("--tls-ca: %w", err)
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !c.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--tls-ca: %s holds no certificate in PEM", f.ca)
	}
	return c, nil
}
