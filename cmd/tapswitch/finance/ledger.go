package finance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/ledger/settle/certificate"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/day"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Ledger returns the commands below "ledger" that are finance's.
func Ledger(source Source) []*cobra.Command {
	return []*cobra.Command{recordsCommand(source), verifyCommand(source), trialCommand(source)}
}

// verification is what ledger verify is told.
type verification struct {
	desk
	keys, previous, run string
	compare             bool
}

// verified is what ledger verify found, for scripts.
type verified struct {
	Date     string `json:"business_date"`
	Number   uint64 `json:"number"`
	Issuer   string `json:"issuer"`
	Records  uint64 `json:"records"`
	Complete bool   `json:"complete"`
	File     bool   `json:"records_file_verified"`
	Follows  bool   `json:"follows_previous"`
	Compared bool   `json:"compared_with_warehouse"`
	Books    bool   `json:"books_verified"`
}

func verifyCommand(source Source) *cobra.Command {
	v := &verification{desk: desk{source: source}}
	c := v.command(&cobra.Command{
		Use: "verify CERTIFICATE [RECORDS]", Short: "Verify a day certificate and its records off line",
		Long: "Verifies the signature of a day certificate, that its counts agree, that it follows the one " +
			"before (--previous), and the file of records (records.chain of a run) record by record. Names " +
			"the first bad record. With --run the directory of the day's settlement run is verified too: " +
			"its records and every file of its books, and the first wrong file is named. Needs the files " +
			"only; --compare holds the records against the warehouse too.",
		Example: "  tapswitch ledger verify --keys certificate-keys.json 2026-11-21.json records.chain",
		Args:    cobra.RangeArgs(1, 2),
		RunE:    func(c *cobra.Command, args []string) error { return code(v.all(c, args)) },
	}, false)
	c.Flags().StringVar(&v.keys, "keys", "", "public keys of certificates; must be given")
	c.Flags().StringVar(&v.previous, "previous", "", "the certificate before")
	c.Flags().StringVar(&v.run, "run", "", "directory of the day's settlement run: verify its books too")
	c.Flags().BoolVar(&v.compare, "compare", false, "hold the records against the warehouse too")
	return c
}

// trusted reads the keys that certificates are verified with.
func (v *verification) trusted() (*receipt.Keys, error) {
	if v.keys == "" {
		return nil, errors.New("--keys must be given: who signs is trusted by key")
	}
	text, err := os.ReadFile(v.keys)
	if err != nil {
		return nil, err
	}
	list, err := receipt.ParseKeys(bytes.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("--keys: %w", err)
	}
	keys, err := receipt.NewKeys(list...)
	if err != nil {
		return nil, fmt.Errorf("--keys: %w", err)
	}
	return keys, nil
}

func (v *verification) all(c *cobra.Command, args []string) error {
	keys, err := v.trusted()
	if err != nil {
		return cli.WithCode(cli.ExitUsage, err)
	}
	made, err := readDay(keys, args[0])
	if err != nil {
		return err
	}
	found := verified{Date: txn.BusinessDate(made.BusinessDate).String(), Number: made.Number,
		Issuer: made.Issuer, Records: made.Records(), Complete: made.Complete()}
	if !found.Complete {
		return fmt.Errorf("%w: the certificate states a break: %+v of %d records", certificate.ErrTampered,
			made.Counts, made.Records())
	}
	if v.previous != "" {
		before, err := readDay(keys, v.previous)
		if err != nil {
			return err
		}
		if err := made.Follows(before); err != nil {
			return fmt.Errorf("%w: %w", certificate.ErrTampered, err)
		}
		found.Follows = true
	}
	if err := v.files(c.Context(), args[1:], made, &found); err != nil {
		return err
	}
	return v.print(c, &found)
}

// files verifies the records, those of the run when no other file of them is given, and the books.
// A record that is wrong is named before the file that it stands in.
func (v *verification) files(
	ctx context.Context, records []string, made *receipt.Day, found *verified,
) error {
	if v.run != "" {
		if _, err := os.Stat(v.run); err != nil {
			return cli.WithCode(cli.ExitNotFound, fmt.Errorf("--run: %w", err))
		}
	}
	if own := filepath.Join(v.run, certificate.FileName); len(records) == 0 && v.run != "" {
		if _, err := os.Stat(own); err == nil { // else the books lack it, and say so
			records = []string{own}
		}
	}
	for _, path := range records {
		if err := v.file(ctx, path, made, found); err != nil {
			return err
		}
	}
	if v.run == "" {
		return nil
	}
	if err := day.VerifyBooks(v.run, made); err != nil {
		return err
	}
	found.Books = true
	return nil
}

func readDay(keys *receipt.Keys, path string) (*receipt.Day, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, cli.WithCode(cli.ExitNotFound, err)
	}
	made, err := keys.VerifyDay(bytes.TrimSuffix(text, []byte("\n")))
	if err != nil {
		return nil, fmt.Errorf("%w: certificate %s: %w", certificate.ErrTampered, path, err)
	}
	return made, nil
}

// file verifies the records.
func (v *verification) file(
	ctx context.Context, path string, made *receipt.Day, found *verified,
) error {
	f, err := os.Open(path)
	if err != nil {
		return cli.WithCode(cli.ExitNotFound, err)
	}
	_, bad := certificate.Verify(f, made)
	if err := f.Close(); err != nil {
		return err
	}
	if v.compare {
		if err := v.against(ctx, path, txn.BusinessDate(made.BusinessDate)); err != nil {
			return errors.Join(err, bad)
		}
		found.Compared = true
	}
	found.File = bad == nil
	return bad
}

// against holds the file against the warehouse.
func (v *verification) against(ctx context.Context, path string, date txn.BusinessDate) error {
	p, err := v.source.Open(ctx)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return errors.Join(err, p.Done())
	}
	err = certificate.Compare(f, func(yield func(*txn.Record) error) error {
		return p.Reader.Records(ctx, warehouse.Filter{From: date, To: date}, yield)
	})
	return errors.Join(err, f.Close(), p.Done())
}

func (v *verification) print(c *cobra.Command, found *verified) error {
	if v.form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), found)
	}
	fmt.Fprintf(c.OutOrStdout(), "certificate %d of %s by %s is genuine: %d records, all counts agree\n",
		found.Number, found.Date, found.Issuer, found.Records)
	if found.Follows {
		fmt.Fprintln(c.OutOrStdout(), "it follows the certificate before without a hole")
	}
	if found.File {
		fmt.Fprintln(c.OutOrStdout(), "every record of the file is the one that was certified")
	}
	if found.Books {
		fmt.Fprintln(c.OutOrStdout(), "every file of the run is the one that was certified")
	}
	if found.Compared {
		fmt.Fprintln(c.OutOrStdout(), "the warehouse holds the same records")
	}
	return nil
}

func trialCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	var at, position string
	c := d.command(&cobra.Command{
		Use: "trial-balance", Short: "The balance of every account at a past moment",
		Long: "Give one of --day, --at and --position. With --day the trial balance of a settled day, as its " +
			"last run has it. With --at (an instant, RFC 3339) or --position (a record) the balances of " +
			"then: of the switch's records, that one included, and of what finance had posted: settlement, " +
			"adjustments, statements of the bank. Exit code 6 when debits and credits differ.",
		Example: "  tapswitch ledger trial-balance --at 2026-11-21T12:00:00+08:00",
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := moment(d, at, position)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			return d.look(c.Context(), func(o *day.Options, events []journal.Event) error {
				trial, err := d.balances(c.Context(), o, events, m)
				return errors.Join(d.trial(c, trial), err)
			})
		},
	}, true)
	c.Flags().Lookup("day").Usage = "business date of a settled day, YYYY-MM-DD"
	c.Flags().StringVar(&at, "at", "", "instant, such as 2026-11-21T12:00:00+08:00")
	c.Flags().StringVar(&position, "position", "", "record, such as b017-3-42")
	return c
}

func (d *desk) balances(
	ctx context.Context, o *day.Options, events []journal.Event, m day.Moment,
) ([]chart.Balance, error) {
	if m.Date != 0 {
		return day.Trial(o.Dir, events, m.Date)
	}
	books := day.Books{Reader: o.Reader, Dir: o.Dir, Events: events}
	return books.BalancesAt(ctx, m)
}

// moment reads which of the three was given.
func moment(d *desk, at, position string) (m day.Moment, err error) {
	given := 0
	for _, text := range []string{d.day, at, position} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		return m, errors.New("give one of --day, --at and --position")
	}
	switch {
	case at != "":
		instant, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return m, fmt.Errorf("--at: %q: want an instant such as 2026-11-21T12:00:00+08:00", at)
		}
		m.At = txn.MillisOf(instant)
		return m, nil
	case position != "":
		m.Position, err = txn.ParsePosition(position)
		return m, err
	}
	m.Date, err = d.date()
	return m, err
}

func (d *desk) trial(c *cobra.Command, list []chart.Balance) error {
	if d.form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), list)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "Account\tCur\tOpening\tDebit\tCredit\tClosing\t")
	for _, l := range list {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t\n", l.Account, l.Currency,
			pack.Decimal(l.Opening, l.Currency), pack.Decimal(l.Debit, l.Currency),
			pack.Decimal(l.Credit, l.Currency), pack.Decimal(l.Closing, l.Currency))
	}
	return w.Flush()
}
