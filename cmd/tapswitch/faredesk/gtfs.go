package faredesk

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/fare/gtfs"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func importCommand() *cobra.Command {
	o := gtfs.Options{}
	var from string
	c := &cobra.Command{
		Use: "import-gtfs FEED", Short: "Make a tariff file of a GTFS feed's fares (Fares v2)",
		Long: "Reads a GTFS feed, a directory or a zip file, and prints the tariff file of its fares. " +
			"What a tariff cannot say is refused with the file and line of the feed; what the feed leaves " +
			"open is noted on standard error.",
		Example: "  tapswitch fare import-gtfs --tariff city --from 2027-01-01 --rider youth=student feed.zip",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.From, err = txn.ParseBusinessDate(from); err != nil {
				return cli.WithCode(cli.ExitUsage, fmt.Errorf("--from: %w", err))
			}
			return importGTFS(c.OutOrStdout(), c.ErrOrStderr(), args[0], o)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.Tariff, "tariff", "imported", "name of the tariff")
	flags.StringVar(&o.Version, "version-name", "1", "name of its version")
	flags.StringVar(&from, "from", "", "first day on which it holds, YYYY-MM-DD; must be given")
	flags.DurationVar(&o.UTCOffset, "utc-offset", 8*time.Hour, "how far local time is ahead of UTC")
	flags.StringToStringVar(&o.Riders, "rider", nil,
		"a rider category of the feed and ours for it, as youth=student; may be repeated")
	return c
}

func importGTFS(out, notes io.Writer, feed string, o gtfs.Options) (err error) {
	info, err := os.Stat(feed)
	if err != nil {
		return cli.WithCode(cli.ExitNotFound, err)
	}
	fsys := fs.FS(os.DirFS(feed))
	if !info.IsDir() {
		z, err := zip.OpenReader(feed)
		if err != nil {
			return fmt.Errorf("%s: %w", feed, err)
		}
		defer func() { err = errors.Join(err, z.Close()) }()
		fsys = z
	}
	f, open, err := gtfs.Import(fsys, o)
	if err != nil {
		return cli.WithCode(cli.ExitBreaks, fmt.Errorf("%s: %w", feed, err))
	}
	for _, note := range open {
		fmt.Fprintln(notes, "note:", note)
	}
	text, err := tariff.Write(f)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}
