// Package finance holds the commands of finance: day (status, close, certify), settle (runs,
// adjustments, statements of the bank, the proof of funds, lint) and, below ledger, verify and
// trial-balance.
//
// The commands are thin: ledger/settle decides and keeps. They read the warehouse beside a switch
// that may be running and write below DATA/finance; ledger verify needs files only. Chart and
// terms are those of --chart and --terms, else chart.yaml and terms.yaml in DATA/finance, else
// what the binary carries. Amounts are printed in minor units as JSON, with decimals in tables.
// Exit code 5 says that a day is not in the state for it, 6 that figures contradict each other.
package finance

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/keyfile"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/ledger/person"
	"github.com/tapswitch/tapswitch/ledger/settle/certificate"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/day"
	"github.com/tapswitch/tapswitch/ledger/settle/fund"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/terms"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// KeyID names the key that certificates are signed with.
const KeyID = "finance-1"

// Place is the switch that a command works for.
type Place struct {
	Reader warehouse.Reader
	// Done closes the reader.
	Done func() error
	Dir  string // of finance
	// Zone and CutOff are the scheme's day.
	Zone   *time.Location
	CutOff time.Duration
	// Calendar is a file of years of working days beside the built-in ones; empty for none.
	Calendar string
	// Stream counts the records of a day in the stream; nil where there is none.
	Stream func(context.Context, txn.BusinessDate) (uint64, error)
	// Passed is told of points that tests end the process at; may be nil.
	Passed func(string)
}

// Source finds the Place by flags of a command.
type Source interface {
	// Add gives a command the flags of the configuration.
	Add(c *cobra.Command)
	// Open opens the warehouse for reading; an error has the exit code of its cause.
	Open(ctx context.Context) (*Place, error)
}

// desk is one command at work.
type desk struct {
	source Source
	form   cli.Output
	day    string
	by     string
	chart  string
	terms  string
	key    string
}

// command makes a command with the flags that most have.
func (d *desk) command(c *cobra.Command, withDay bool) *cobra.Command {
	d.source.Add(c)
	d.form.Add(c)
	if withDay {
		c.Flags().StringVar(&d.day, "day", "", "business date, YYYY-MM-DD; must be given")
	}
	c.Flags().StringVar(&d.by, "by", "finance", "who does it, for the journal")
	c.Flags().StringVar(&d.chart, "chart", "", "chart of accounts (YAML)")
	c.Flags().StringVar(&d.terms, "terms", "", "terms of settlement (YAML)")
	if c.Args == nil {
		c.Args = cobra.NoArgs
	}
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		return cli.WithCode(cli.ExitUsage, check(c, args))
	}
	return c
}

var errNoDay = errors.New("--day must be given, such as --day 2026-11-21")

func (d *desk) date() (txn.BusinessDate, error) {
	if d.day == "" {
		return 0, cli.WithCode(cli.ExitUsage, errNoDay)
	}
	date, err := txn.ParseBusinessDate(d.day)
	if err != nil {
		return 0, cli.WithCode(cli.ExitUsage, fmt.Errorf("--day: %w", err))
	}
	return date, nil
}

// code gives an error of ledger/settle its exit code.
func code(err error) error {
	for _, c := range []struct {
		is   error
		code int
	}{
		{day.ErrAdjustment, cli.ExitUsage}, {day.ErrBreaks, cli.ExitBreaks}, {fund.ErrShort, cli.ExitBreaks},
		{certificate.ErrTampered, cli.ExitBreaks}, {day.ErrDamaged, cli.ExitBreaks},
		{warehouse.ErrDamaged, cli.ExitBreaks},
		{journal.ErrDamaged, cli.ExitBreaks}, {chart.ErrUnbalanced, cli.ExitBreaks},
		{terms.ErrFile, cli.ExitUsage}, {fund.ErrStatement, cli.ExitUsage},
		{day.ErrOpen, cli.ExitConflict}, {day.ErrState, cli.ExitConflict},
		{day.ErrSamePerson, cli.ExitConflict},
		{person.ErrName, cli.ExitUsage}, {journal.ErrLocked, cli.ExitConflict},
		{day.ErrUnknown, cli.ExitNotFound}, {day.ErrNoBooks, cli.ExitUsage}, {chart.ErrAccount, cli.ExitUsage},
	} {
		if errors.Is(err, scheme.ErrBeyondCalendar) {
			return cli.WithCode(cli.ExitUsage, fmt.Errorf("%w; give it with --set scheme.calendar_file=FILE, "+
				"which holds at least %q", err, smallestCalendar))
		}
		if errors.Is(err, c.is) {
			return cli.WithCode(c.code, err)
		}
	}
	return err
}

// read is a file, or the one of the finance directory, or what the binary carries.
func read(flag, dir, name string) (terms.Source, error) {
	path := flag
	if path == "" {
		path = filepath.Join(dir, name)
	}
	text, err := os.ReadFile(path)
	if flag == "" && errors.Is(err, fs.ErrNotExist) {
		return terms.BuiltIn(name)
	}
	if err != nil {
		return terms.Source{}, cli.WithCode(cli.ExitUsage, err)
	}
	return terms.Source{Name: path, Text: text}, nil
}

// agreed reads chart and terms and the hash that tells them.
func (d *desk) agreed(dir string) (*chart.Chart, *clearing.Terms, string, error) {
	of, err := read(d.chart, dir, terms.ChartFile)
	if err != nil {
		return nil, nil, "", err
	}
	c, err := terms.Chart(of)
	if err != nil {
		return nil, nil, "", err
	}
	with, err := read(d.terms, dir, terms.TermsFile)
	if err != nil {
		return nil, nil, "", err
	}
	t, err := terms.Terms(with, c)
	if err != nil {
		return nil, nil, "", err
	}
	return c, t, terms.Hash(of, with), nil
}

// smallestCalendar is a file of one year in which weekends rest and no other day.
const smallestCalendar = "years: [{year: 2018, provisional: true, basis: none, holidays: [], working: []}]"

// calendar is the built-in one, with the years of a file.
func calendar(path string) (*scheme.Calendar, error) {
	c, err := scheme.BuiltInCalendar()
	if err != nil || path == "" {
		return c, err
	}
	text, err := os.ReadFile(path)
	if err == nil {
		c, err = c.Extend(path, text)
	}
	if err != nil {
		return nil, cli.WithCode(cli.ExitUsage, fmt.Errorf("scheme.calendar_file: %w", err))
	}
	return c, nil
}

// options makes what a desk works with.
func (d *desk) options(p *Place) (day.Options, error) {
	c, t, hash, err := d.agreed(p.Dir)
	if err != nil {
		return day.Options{}, err
	}
	work, err := calendar(p.Calendar)
	if err != nil {
		return day.Options{}, err
	}
	return day.Options{Dir: p.Dir, Reader: p.Reader, Chart: c, Terms: t, TermsHash: hash, Work: work,
		Now: time.Now, Passed: p.Passed,
		DateOf: func(at txn.Millis) txn.BusinessDate { return txn.DateOf(at.Time(), p.Zone, p.CutOff) },
		EndOf: func(date txn.BusinessDate) time.Time {
			y, m, n := date.Next().Time().Date()
			return time.Date(y, m, n, 0, 0, 0, 0, p.Zone).Add(p.CutOff)
		}}, nil
}

// with opens the desk for writing, lets work use it, and closes everything. Taps on the same
// machine come first.
func (d *desk) with(ctx context.Context, work func(*day.Desk, *Place) error) error {
	yieldProcessor()
	p, err := d.source.Open(ctx)
	if err != nil {
		return err
	}
	o, err := d.options(p)
	if err != nil {
		return code(errors.Join(err, p.Done()))
	}
	open, err := day.OpenDesk(o)
	if err != nil {
		return code(errors.Join(err, p.Done()))
	}
	return code(errors.Join(work(open, p), open.Close(), p.Done()))
}

// look lets work read beside whoever writes.
func (d *desk) look(ctx context.Context, work func(*day.Options, []journal.Event) error) error {
	p, err := d.source.Open(ctx)
	if err != nil {
		return err
	}
	o, err := d.options(p)
	if err != nil {
		return code(errors.Join(err, p.Done()))
	}
	events, err := journal.Read(p.Dir)
	if err == nil {
		err = work(&o, events)
	}
	return code(errors.Join(err, p.Done()))
}

// certifier reads the signing key, which the first certificate makes.
func (d *desk) certifier(p *Place, name string) (day.Certifier, error) {
	path := d.key
	if path == "" {
		path = filepath.Join(p.Dir, "certificate.key")
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		seed := make([]byte, ed25519.SeedSize)
		if _, err := rand.Read(seed); err != nil {
			return day.Certifier{}, err
		}
		text = []byte(hex.EncodeToString(seed) + "\n")
		err = keyfile.WriteSecret(path, string(text))
	}
	if err != nil {
		return day.Certifier{}, fmt.Errorf("signing key: %w", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		return day.Certifier{}, fmt.Errorf("signing key %s: others may read it; chmod 600 it", path)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return day.Certifier{}, fmt.Errorf("signing key %s: want %d bytes in hexadecimal", path,
			ed25519.SeedSize)
	}
	signer, err := receipt.NewEd25519Signer(KeyID, ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return day.Certifier{}, err
	}
	keys, err := d.publish(p.Dir, signer)
	return day.Certifier{Issuer: name, Chain: name, Actor: d.by, Signer: signer, Keys: keys,
		Stream: p.Stream}, err
}

// KeysFile is what verifiers carry: the public key, below the finance directory.
const KeysFile = "certificate-keys.json"

func (d *desk) publish(dir string, signer receipt.Signer) (*receipt.Keys, error) {
	key := receipt.Key{ID: signer.KeyID(), Algorithm: signer.Algorithm(), Public: signer.PublicKey()}
	text, err := receipt.EncodeKeys([]receipt.Key{key})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, KeysFile), append(text, '\n'), 0o644); err != nil {
		return nil, err
	}
	return receipt.NewKeys(key)
}
