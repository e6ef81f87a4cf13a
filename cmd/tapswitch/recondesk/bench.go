package recondesk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/layout"
	"github.com/tapswitch/tapswitch/ledger/recon/plant"
	"github.com/tapswitch/tapswitch/ledger/recon/run"
)

// figures are what a measurement gives.
type figures struct {
	Rows    int     `json:"rows_a_side"`
	Planted int     `json:"planted"`
	Found   int     `json:"found"`
	Exact   bool    `json:"every_cause_found_and_none_invented"`
	Seconds float64 `json:"seconds"`
	PerSec  int     `json:"rows_per_second"` // of both sides
	FileMB  int64   `json:"file_mb"`
	// ResidentMB is the most memory that the process held, 0 where the system does not say.
	ResidentMB int    `json:"resident_max_mb"`
	Cores      int    `json:"cores"`
	Digest     string `json:"report_sha256"`
}

func benchCommand() *cobra.Command {
	var rows, planted, workers int
	var dir string
	var form cli.Output
	c := &cobra.Command{
		Use: "bench", Short: "Measure a run with planted differences",
		Long: "Makes a synthetic day, writes the counterparty's side as a file of fixed width, and reconciles " +
			"it with the other side. Exit code 6 when a planted difference is not found with its cause, " +
			"or one is found that was not planted.",
		Example: "  tapswitch recon bench --rows 10000000 --planted 1000",
		Args:    usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := measure(c.Context(), dir, workers, rows, planted)
			if err != nil {
				return err
			}
			if err := printFigures(c.OutOrStdout(), form, f); err != nil {
				return err
			}
			if !f.Exact {
				return cli.WithCode(cli.ExitBreaks, errors.New("the causes found are not those planted"))
			}
			return nil
		},
	}
	form.Add(c)
	c.Flags().IntVar(&rows, "rows", 1_000_000, "rows a side")
	c.Flags().IntVar(&planted, "planted", 1000, "differences among them, of eight causes")
	c.Flags().IntVar(&workers, "workers", 2, "partitions that are matched at once")
	c.Flags().StringVar(&dir, "dir", "", "folder for the file and spill files, the system's if not given")
	return c
}

// measure makes the day, and reconciles it against the clock.
func measure(ctx context.Context, dir string, workers, rows, planted int) (f figures, err error) {
	city, err := plant.New(rows, planted)
	if err != nil {
		return f, cli.WithCode(cli.ExitUsage, err)
	}
	dir, err = os.MkdirTemp(dir, "tapswitch-recon-bench-")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	theirs, size, err := files(ctx, dir, city)
	if err != nil {
		return f, err
	}
	start := time.Now()
	res, err := run.Run(ctx, run.Options{Plan: plant.Plan(), Day: plant.Day, Dir: dir, Workers: workers,
		Ours: []recon.Source{city.Ours()}, Theirs: theirs})
	if err != nil {
		return f, err
	}
	report, err := res.Report()
	if err != nil {
		return f, err
	}
	took := time.Since(start)
	found := map[recon.Cause]int{}
	for _, b := range res.Breaks {
		found[b.Cause]++
	}
	want := city.Planted()
	sum := 0
	for _, n := range want {
		sum += n
	}
	return figures{Rows: rows, Planted: sum, Found: len(res.Breaks), Exact: maps.Equal(found, want),
		Seconds: took.Seconds(), PerSec: int(float64(2*rows) / took.Seconds()), FileMB: size >> 20,
		ResidentMB: residentMax(), Cores: runtime.NumCPU(), Digest: run.Digest(report)}, nil
}

// files writes the counterparty's side.
func files(ctx context.Context, dir string, city *plant.City) (all []recon.Source, size int64, err error) {
	l, err := layout.Read("planted.yaml", []byte(plant.Layout))
	if err != nil {
		return nil, 0, err
	}
	for _, s := range city.Theirs() {
		path := filepath.Join(dir, s.Name())
		f, err := os.Create(path)
		if err != nil {
			return nil, 0, err
		}
		err = plant.WriteFile(ctx, f, s)
		info, statErr := f.Stat()
		if err := errors.Join(err, statErr, f.Close()); err != nil {
			return nil, 0, err
		}
		size += info.Size()
		all = append(all, &layout.File{Layout: l, Path: path, Day: plant.Day,
			Open: func() (io.ReadCloser, error) { return os.Open(path) }})
	}
	return all, size, nil
}

// residentMax reads what Linux says of this process.
func residentMax() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	value := bytes.Fields(rest)
	if len(value) == 0 {
		return 0
	}
	kb, err := strconv.Atoi(string(value[0]))
	if err != nil {
		return 0
	}
	return kb >> 10
}

func printFigures(out io.Writer, form cli.Output, f figures) error {
	if form == cli.JSON {
		return cli.PrintJSON(out, f)
	}
	tab := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tab, "rows a side\t%d\nfile\t%d MB\nplanted\t%d\nfound\t%d\nexact\t%t\ntook\t%.1f s\n"+
		"rows a second\t%d\nresident\t%d MB\ncores\t%d\nreport\t%s\n", f.Rows, f.FileMB, f.Planted, f.Found,
		f.Exact, f.Seconds, f.PerSec, f.ResidentMB, f.Cores, f.Digest)
	return tab.Flush()
}
