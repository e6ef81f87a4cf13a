package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/agency"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/clickhouse"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store/redisstore"
)

// doctorTimeout bounds the questions to one server.
const doctorTimeout = 10 * time.Second

// finding is one line of the doctor.
type finding struct {
	Name      string `json:"name"`
	OK        bool   `json:"ok"`
	Advice    bool   `json:"advice,omitempty"` // not OK, and money is safe all the same
	Got       string `json:"got"`
	Want      string `json:"want"`
	Fix       string `json:"fix,omitempty"`
	Unreached bool   `json:"unreached,omitempty"` // the server did not answer
}

func doctorCommand() *cobra.Command {
	var flags configFlags
	var form cli.Output
	c := &cobra.Command{
		Use: "doctor", Short: "Check machine and servers against what keeps money safe",
		Long: "Check the machine and the Redis, Kafka and ClickHouse that the configuration names " +
			"against the settings that the durability of an answer rests on. Nothing is made or " +
			"changed. Exit code 1 when a setting can lose money or the data directory of an " +
			"embedded store is missing, 3 when a server does not answer.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := flags.load()
			if err != nil {
				return err
			}
			findings := examine(c.Context(), &loaded.Config)
			if err := writeFindings(c.OutOrStdout(), form, findings); err != nil {
				return err
			}
			return verdict(findings)
		},
	}
	flags.add(c)
	form.Add(c)
	return c
}

var (
	errUnsafe      = errors.New("the switch cannot start so, or can lose money; see above")
	errUnreachable = errors.New("a server does not answer; see above")
)

func verdict(findings []finding) error {
	var unsafe, unreached bool
	for _, f := range findings {
		unreached = unreached || f.Unreached
		unsafe = unsafe || !f.OK && !f.Advice
	}
	switch {
	case unreached:
		return cli.WithCode(cli.ExitUnavailable, errUnreachable)
	case unsafe:
		return cli.WithCode(cli.ExitFailed, errUnsafe)
	default:
		return nil
	}
}

// examine asks everything that the configuration names.
func examine(ctx context.Context, c *config.Config) []finding {
	findings := examineMachine(c)
	for _, line := range config.EnvLookAlikes() {
		findings = append(findings, finding{Name: "environment", Advice: true, Got: line,
			Want: "only known settings", Fix: "rename or unset the variable"})
	}
	if c.Bank.File != "" {
		findings = append(findings, examineBank(c))
	}
	if c.Desk.City != "" {
		findings = append(findings, examineDesk(ctx, c)...)
	}
	for _, part := range []struct {
		used bool
		name string
		ask  func(context.Context, *config.Config) ([]finding, error)
	}{
		{c.Store.Kind == "redis", "redis", examineRedis},
		{c.Feed.Kind == "kafka", "kafka", examineKafka},
		{c.Warehouse.Kind == "clickhouse", "clickhouse", examineClickHouse},
	} {
		if !part.used {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
		found, err := part.ask(ctx, c)
		cancel()
		if err != nil {
			found = append(found, finding{Name: part.name, Unreached: true, Got: err.Error(),
				Want: "an answer", Fix: "start the server, or mend its address in the configuration"})
		}
		findings = append(findings, found...)
	}
	return findings
}

// examineBank reads the bank file and what it names.
func examineBank(c *config.Config) finding {
	f := finding{Name: "bank.file", OK: true, Got: c.Bank.File, Want: "a file that can be used"}
	zone, err := c.Scheme.Location()
	if err == nil {
		var file *bank.Config
		if file, err = bank.LoadConfig(c.Bank.File); err == nil {
			err = file.Check(zone)
		}
	}
	if err != nil {
		f.OK, f.Got, f.Fix = false, err.Error(), "tapswitch bank check "+c.Bank.File
	}
	return f
}

// examineDesk looks at the card agency's part: keys, policy, calendar and parties.
func examineDesk(ctx context.Context, c *config.Config) []finding {
	found := []finding{
		examineKey("keys.notice_file", keyPath(c.DataDir, c.Keys.NoticeFile, "notice.key")),
		examineKey("keys.signing_file", keyPath(c.DataDir, c.Keys.SigningFile, "signing.key")),
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	for _, f := range agency.Examine(ctx, agency.Examination{City: c.Desk.City, Now: time.Now(),
		RunFile: filepath.Join(c.DataDir, runFile), Brokers: c.Feed.Kind == "kafka", BankFile: c.Bank.File}) {
		found = append(found, finding(f))
	}
	return found
}

func examineRedis(ctx context.Context, c *config.Config) ([]finding, error) {
	loc, err := c.Scheme.Location()
	if err != nil {
		return nil, err
	}
	days := engine.Calendar{Zone: loc, CutOff: c.Scheme.CutOff}
	options, err := redisOptions(c, clock{now: wallClock, days: days}, quietLog())
	if err != nil {
		return nil, err
	}
	found, err := redisstore.CheckSettings(ctx, options)
	all := make([]finding, 0, len(found))
	for _, f := range found {
		all = append(all, finding{Name: "redis " + f.Node + " " + f.Setting, OK: f.OK,
			Advice: !f.Fatal, Got: f.Got, Want: f.Want, Fix: f.Fix})
	}
	return all, err
}

func examineKafka(ctx context.Context, c *config.Config) ([]finding, error) {
	found, err := feed.CheckSettings(ctx, kafka(c))
	return fromWarehouse(found), err
}

func examineClickHouse(ctx context.Context, c *config.Config) ([]finding, error) {
	dsn, err := warehouseDSN(c)
	if err != nil {
		return nil, err
	}
	found, err := clickhouse.CheckSettings(ctx, clickhouse.Options{DSN: dsn, Log: quietLog()})
	return fromWarehouse(found), err
}

func fromWarehouse(found []warehouse.Finding) []finding {
	all := make([]finding, 0, len(found))
	for _, f := range found {
		all = append(all, finding{Name: f.Name, OK: f.OK, Got: f.Got, Want: f.Want, Fix: f.Fix})
	}
	return all
}

// syncSlow is the time of a sync above which a tap waits noticeably for the disk.
const syncSlow = 5 * time.Millisecond

func examineMachine(c *config.Config) []finding {
	procs := runtime.GOMAXPROCS(0)
	findings := []finding{{Name: "processors", OK: procs >= 2, Advice: true, Got: strconv.Itoa(procs),
		Want: "2 or more", Fix: "a sync holds the only processor: give the process two"}}
	findings = append(findings, examineDataDir(c))
	for _, k := range []struct{ name, configured, file string }{
		{"keys.token_file", c.Keys.TokenFile, "token.key"},
		{"keys.master_file", c.Keys.MasterFile, "master.key"},
		{"keys.signing_file", c.Keys.SigningFile, "signing.key"},
	} {
		findings = append(findings, examineKey(k.name, keyPath(c.DataDir, k.configured, k.file)))
	}
	return findings
}

// examineDataDir looks at the data directory and how long a sync takes there. A directory
// that is missing is told, and not made: most often its name is mistyped.
func examineDataDir(c *config.Config) finding {
	f := finding{Name: "data_dir", Want: "a directory that the switch may write"}
	info, err := os.Stat(c.DataDir)
	switch {
	case errors.Is(err, os.ErrNotExist) && !embedded(c):
		f.OK, f.Got = true, c.DataDir+" is not there yet; the first start makes it for its keys"
		return f
	case errors.Is(err, os.ErrNotExist):
		f.Got = c.DataDir + " does not exist"
		f.Fix = "mend data_dir (--data), or start the switch once: it makes the directory"
		return f
	case err != nil:
		f.Got, f.Fix = err.Error(), "mend data_dir (--data) or the permissions on its path"
		return f
	case !info.IsDir():
		f.Got, f.Fix = c.DataDir+" is no directory", "mend data_dir (--data)"
		return f
	}
	took, err := timeSync(c.DataDir)
	f = finding{Name: "data_dir sync", OK: err == nil && took <= syncSlow, Advice: err == nil,
		Got: took.Round(time.Microsecond).String(), Want: "a sync within " + syncSlow.String(),
		Fix: "use a local disk with power-loss protection"}
	if err != nil {
		f.Got, f.Fix = err.Error(), "make the data directory writable"
	}
	return f
}

// embedded reports whether the data directory holds records: an embedded hot store or
// warehouse.
func embedded(c *config.Config) bool {
	return c.Store.Kind == "local" || c.Warehouse.Kind == "local"
}

func examineKey(name, path string) finding {
	f := finding{Name: name, OK: true, Want: "a file that only its owner may read"}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		f.Got = "not there yet; the first start makes it"
	case err != nil:
		f.OK, f.Got, f.Fix = false, err.Error(), "mend the path"
	case info.Mode().Perm()&0o077 != 0:
		f.OK, f.Got = false, fmt.Sprintf("mode %04o", info.Mode().Perm())
		f.Fix = "chmod 600 " + path + ", and a new key if others had access"
	default:
		f.Got = fmt.Sprintf("mode %04o", info.Mode().Perm())
	}
	return f
}

// timeSync measures the fastest of a few syncs of one block in dir, which must exist. Its
// file is gone afterwards.
func timeSync(dir string) (time.Duration, error) {
	path := filepath.Join(dir, ".doctor")
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer os.Remove(path)
	defer f.Close()
	best := time.Duration(1 << 62)
	block := make([]byte, 4096)
	for range 5 {
		begun := time.Now()
		if _, err := f.WriteAt(block, 0); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		best = min(best, time.Since(begun))
	}
	return best, nil
}

func writeFindings(w io.Writer, form cli.Output, findings []finding) error {
	switch form {
	case cli.JSON:
		return cli.PrintJSON(w, findings)
	case cli.CSV:
		out := csv.NewWriter(w)
		_ = out.Write([]string{"name", "state", "got", "want", "fix"}) // Error reports it
		for _, f := range findings {
			_ = out.Write([]string{f.Name, f.state(), f.Got, f.Want, f.Fix})
		}
		out.Flush()
		return out.Error()
	default:
		tab := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		for _, f := range findings {
			fmt.Fprintf(tab, "%s\t%s\t%s\n", f.state(), f.Name, f.Got)
			if !f.OK {
				fmt.Fprintf(tab, "\t  want\t%s\n\t  fix\t%s\n", f.Want, f.Fix)
			}
		}
		return tab.Flush()
	}
}

func (f *finding) state() string {
	switch {
	case f.OK:
		return "ok"
	case f.Unreached:
		return "DOWN"
	case f.Advice:
		return "advice"
	default:
		return "UNSAFE"
	}
}
