// Package qrdesk puts the taps of QR codes together: the file that says whose codes are taken,
// which is read again when it or one of its files changes, and the commands that make and show
// codes with test keys.
//
// The file is JSON: profile, cas (paths of CA files, 144 bytes or their hexadecimal digits,
// relative to the file) and revoked (certificates, issuer-serial in hexadecimal). A change that
// cannot be read is logged and the trust before it stays in force, so that a slip of the pen
// closes no gate. A changed file counts within reloadEvery. Trust is safe for concurrent use. The
// package holds no secret and shows no card number.
package qrdesk

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/qr"
)

// Limits of the file.
const (
	// FileMax bounds the file in bytes: a long revocation list.
	FileMax = 32 << 20
	// CAsMax is how many CA files it may name: as many as there are indices.
	CAsMax = 256

	reloadEvery = 2 * time.Second
)

// ErrFile reports a file that says nothing that can be trusted.
var ErrFile = errors.New("QR trust file")

// fileOf is the file.
type fileOf struct {
	Profile profileOf `json:"profile"`
	CAs     []string  `json:"cas"`
	Revoked []string  `json:"revoked"`
}

// profileOf is a qr.Profile in words.
type profileOf struct {
	Order         string    `json:"order"` // custom_first, the default, or signature_first
	Epoch         int64     `json:"epoch"` // Unix seconds
	Skew          string    `json:"skew"`
	ZoneTolerance string    `json:"zone_tolerance"`
	Versions      string    `json:"versions"`      // bytes in hexadecimal
	AccountTypes  string    `json:"account_types"` // bytes in hexadecimal
	Aliases       []aliasOf `json:"aliases"`
}

type aliasOf struct {
	Certificate string `json:"certificate"`
	Institution string `json:"institution"`
}

// Trust is whose codes are taken.
type Trust struct {
	path     string
	log      *slog.Logger
	verifier atomic.Pointer[qr.Verifier]
	read     []byte // all that Verifier was made of; Run's alone
}

// Open reads the file. The Trust does not change until Run watches it.
func Open(path string, log *slog.Logger) (*Trust, error) {
	t := &Trust{path: path, log: log}
	_, err := t.reload()
	return t, err
}

// Verifier returns what verifies codes now.
func (t *Trust) Verifier() *qr.Verifier { return t.verifier.Load() }

// Run reads the file again as it changes, until ctx ends.
func (t *Trust) Run(ctx context.Context) error {
	ticker := time.NewTicker(reloadEvery)
	defer ticker.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		changed, err := t.reload()
		switch {
		case err != nil && err.Error() != last:
			t.log.Error("QR trust stays as it was", "error", err)
		case changed:
			t.log.Info("QR trust read again", "file", t.path)
		}
		last = ""
		if err != nil {
			last = err.Error()
		}
	}
}

// reload makes a new verifier where something has changed.
func (t *Trust) reload() (changed bool, err error) {
	f, all, err := readFile(t.path)
	if err != nil {
		return false, err
	}
	if bytes.Equal(all, t.read) {
		return false, nil
	}
	v, err := f.verifier(filepath.Dir(t.path))
	if err != nil {
		return false, err
	}
	t.read = all
	t.verifier.Store(v)
	return true, nil
}

// readFile returns the file and the bytes of all that it consists of.
func readFile(path string) (*fileOf, []byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > FileMax {
		return nil, nil, fmt.Errorf("%w: %s: %d bytes, at most %d", ErrFile, path, info.Size(), FileMax)
	}
	all, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	f := new(fileOf)
	d := json.NewDecoder(bytes.NewReader(all))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrFile, path, err)
	}
	if n := len(f.CAs); n == 0 || n > CAsMax {
		return nil, nil, fmt.Errorf("%w: %s: %d CA files, want 1 to %d", ErrFile, path, n, CAsMax)
	}
	for _, name := range f.CAs {
		ca, err := os.ReadFile(beside(filepath.Dir(path), name))
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %s: %w", ErrFile, path, err)
		}
		all = append(all, ca...)
	}
	return f, all, nil
}

func beside(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// verifier makes what the file says.
func (f *fileOf) verifier(dir string) (*qr.Verifier, error) {
	p, err := f.Profile.profile()
	if err != nil {
		return nil, fmt.Errorf("%w: profile: %w", ErrFile, err)
	}
	v, err := qr.NewVerifier(qr.Options{Profile: p})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	for _, name := range f.CAs {
		ca, err := readCA(beside(dir, name))
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFile, name, err)
		}
		if err := v.Trust(ca); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrFile, name, err)
		}
	}
	revoked := make([]qr.CertificateID, len(f.Revoked))
	for i, text := range f.Revoked {
		issuer, serial, _ := strings.Cut(text, "-")
		if !fill(revoked[i].Issuer[:], issuer) || !fill(revoked[i].Serial[:], serial) {
			return nil, fmt.Errorf("%w: revoked: %q, want issuer-serial, as 01010000-000002", ErrFile, text)
		}
	}
	if err := v.SetRevoked(revoked); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return v, nil
}

func readCA(path string) (*qr.CA, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if text, err := hex.DecodeString(strings.TrimSpace(string(b))); err == nil {
		b = text
	}
	return qr.ParseCA(b)
}

func fill(dst []byte, text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && copy(dst, b) == len(dst) && len(b) == len(dst)
}

func (o *profileOf) profile() (p qr.Profile, err error) {
	p.Epoch = o.Epoch
	switch o.Order {
	case "", "custom_first":
	case "signature_first":
		p.Order = qr.SignatureFirst
	default:
		return p, fmt.Errorf("order %q, want custom_first or signature_first", o.Order)
	}
	for _, d := range []struct {
		text string
		to   *time.Duration
	}{{o.Skew, &p.Skew}, {o.ZoneTolerance, &p.ZoneTolerance}} {
		if d.text == "" {
			continue
		}
		if *d.to, err = time.ParseDuration(d.text); err != nil {
			return p, err
		}
	}
	if p.Versions, err = hex.DecodeString(o.Versions); err != nil {
		return p, fmt.Errorf("versions: %w", err)
	}
	if p.AccountTypes, err = hex.DecodeString(o.AccountTypes); err != nil {
		return p, fmt.Errorf("account_types: %w", err)
	}
	for _, a := range o.Aliases {
		var alias qr.IssuerAlias
		if !fill(alias.Certificate[:], a.Certificate) || !fill(alias.Institution[:], a.Institution) {
			return p, fmt.Errorf("alias %q of %q, want 8 hex digits each", a.Institution, a.Certificate)
		}
		p.Aliases = append(p.Aliases, alias)
	}
	return p, nil
}
