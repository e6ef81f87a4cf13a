package tools

import (
	"fmt"
	"io"
	"os"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/bank/inspect"
)

// isoFiles calls do for every file with what it is called; no file, and -, is standard input.
func isoFiles(stdin io.Reader, files []string, do func(in io.Reader, source string) error) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		if err := isoFile(stdin, name, do); err != nil {
			return err
		}
	}
	return nil
}

func isoFile(stdin io.Reader, name string, do func(in io.Reader, source string) error) error {
	if name == "-" {
		return do(stdin, "stdin")
	}
	f, err := os.Open(name)
	if err != nil {
		return cli.WithCode(cli.ExitUsage, err)
	}
	defer f.Close()
	return do(f, name)
}

// isoFrames are the flags and files of a command that reads frames.
type isoFrames struct {
	flags isoFlags
	input inspect.Input
	json  bool
}

func (i *isoFrames) add(c *cobra.Command) {
	i.flags.add(c)
	i.input = inspect.Auto
	c.Flags().Var(&i.input, "input",
		"hex or base64 (a frame a line), raw (a file is a frame, or a stream of\n"+
			"frames with --framing), or auto")
	c.Flags().BoolVar(&i.json, "json", false, "an object a line")
}

// each calls do for every frame of the files.
func (i *isoFrames) each(c *cobra.Command, o *inspect.Format, files []string,
	do func(inspect.Frame) error) error {
	return isoFiles(c.InOrStdin(), files, func(in io.Reader, source string) error {
		return o.Frames(i.input, in, source, do)
	})
}

func isoDescribeCommand() *cobra.Command {
	var frames isoFrames
	var reveal bool
	c := &cobra.Command{
		Use: "describe [FILE...]", Short: "Print what is in messages, masked",
		Long: "Prints every field of every message with its name, sub-fields and meaning. Of a\n" +
			"card number the first six and last four digits are shown; of tracks, PIN blocks,\n" +
			"keys, chip data and private fields the length. With --reveal everything is\n" +
			"shown, for test data: then the output of --json, an object a line, is the input\n" +
			"of pack. Without FILE, and for -, frames are read from standard input. Text that\n" +
			"could be hex is taken as hex.",
		RunE: func(c *cobra.Command, files []string) error {
			return frames.describe(c, files, reveal)
		},
	}
	frames.add(c)
	c.Flags().BoolVar(&reveal, "reveal", false, "show everything: test data only")
	return c
}

func (i *isoFrames) describe(c *cobra.Command, files []string, reveal bool) error {
	o, err := i.flags.open()
	if err != nil {
		return err
	}
	if reveal {
		fmt.Fprintln(c.ErrOrStderr(),
			"warning: --reveal prints card data; use it for test data only")
	}
	unread := 0
	err = i.each(c, o, files, func(f inspect.Frame) error {
		d := o.Describe(f, reveal)
		if d.Error != "" {
			unread++
		}
		return d.Write(c.OutOrStdout(), i.json)
	})
	if err == nil && unread > 0 {
		err = fmt.Errorf("%d frames cannot be read", unread)
	}
	return err
}

func isoLintCommand() *cobra.Command {
	var frames isoFrames
	c := &cobra.Command{
		Use: "lint [FILE...]", Short: "Say what a strict reader dislikes in messages",
		Long: "Reads frames and says, a line a finding, what is wrong with them beyond that\n" +
			"they can be read: filler nibbles, fields that are missing, the layout of fields\n" +
			"60, 61 and 90, the check digit of the card number and the number on the track,\n" +
			"times that do not exist, unknown response codes, fields behind the MAC, amounts\n" +
			"of zero, combinations of type, processing code, condition and 60.1 that no\n" +
			"terminal sends. No value is shown. Exit code 0 is clean, 6 says that there are\n" +
			"findings, 1 that a frame cannot be read.",
		RunE: func(c *cobra.Command, files []string) error { return frames.lint(c, files) },
	}
	frames.add(c)
	return c
}

func (i *isoFrames) lint(c *cobra.Command, files []string) error {
	o, err := i.flags.open()
	if err != nil {
		return err
	}
	var frames, findings, unread int
	err = i.each(c, o, files, func(f inspect.Frame) error {
		all, readable := o.Lint(f)
		frames++
		if readable {
			findings += len(all)
		} else {
			unread++
		}
		return inspect.WriteFindings(c.OutOrStdout(), f, all, i.json)
	})
	switch {
	case err != nil:
		return err
	case unread > 0:
		return fmt.Errorf("%d of %d frames cannot be read; %d findings in the others", unread,
			frames, findings)
	case findings > 0:
		return cli.WithCode(cli.ExitBreaks,
			fmt.Errorf("%d findings in %d frames", findings, frames))
	}
	return nil
}

func isoPackCommand() *cobra.Command {
	var flags isoFlags
	var raw bool
	c := &cobra.Command{
		Use: "pack [FILE...]", Short: "Write messages of fields given as JSON or YAML",
		Long: "Writes a frame for every message of the files: JSON objects one behind the other\n" +
			"or in a list, as describe --json --reveal prints them, or a YAML file. A message\n" +
			"has mti, fields (number to value), and tpdu and header, or header with\n" +
			"destination and source, where the spec has them. Every value stands in quotes:\n" +
			"0200 and 000000001250 are no numbers. A value hex:… is the content of a field as\n" +
			"bytes. With a MAC key the MAC field is added.",
		Example: `  echo '{"mti":"0800","fields":{"11":"000001","41":"00000001","42":"898310041110001",` +
			"\n" + `    "60":"00000001003"}}' | tapswitch iso8583 pack --framing binary2` + "\n",
		RunE: func(c *cobra.Command, files []string) error {
			p, err := flags.packer(c.Flags().Changed("framing"))
			if err != nil {
				return err
			}
			p.Raw, p.Out = raw, c.OutOrStdout()
			return isoFiles(c.InOrStdin(), files, func(in io.Reader, source string) error {
				if err := p.Pack(in); err != nil {
					return fmt.Errorf("%s: %w", source, err)
				}
				return nil
			})
		},
	}
	flags.add(c)
	c.Flags().BoolVar(&raw, "raw", false, "write bytes instead of a line in hex")
	return c
}

// packer returns what the flags say; framed is whether --framing is given.
func (f *isoFlags) packer(framed bool) (*inspect.Packer, error) {
	o, err := f.open()
	if err != nil {
		return nil, err
	}
	p := &inspect.Packer{Envelope: f.envelope, MAC: o.MAC, YAML: yaml.Parser().Unmarshal}
	if f.spec != "" {
		p.Spec = o.Spec
	}
	if framed && len(o.Framings) == 1 {
		p.Framing = &o.Framings[0]
	}
	return p, nil
}
