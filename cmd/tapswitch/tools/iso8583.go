package tools

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/inspect"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// ISO8583 is the command that takes messages apart and puts them together.
func ISO8583() *cobra.Command {
	c := &cobra.Command{
		Use: "iso8583", Short: "Take messages of banks and terminals apart and put them together",
		Long: "Reads and writes ISO 8583 messages in the formats of the links. Nothing of a\n" +
			"card, a key or a PIN is shown unless asked for with --reveal.",
		Example: "  tapswitch iso8583 describe --spec cup_pos frames.hex\n" +
			"  tapswitch iso8583 lint --spec cups --framing ascii4 capture.bin\n" +
			"  tapswitch iso8583 describe --json --reveal test.hex | tapswitch iso8583 pack\n" +
			"  tapswitch iso8583 check vectors.json\n",
	}
	c.AddCommand(isoDescribeCommand(), isoPackCommand(), isoLintCommand(), isoCheckCommand(),
		isoSpecsCommand())
	return c
}

// isoFlags say what is in a frame and around it.
type isoFlags struct {
	spec, envelope, framing string
	macScheme, macKeyFile   string
}

func (f *isoFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.spec, "spec", "",
		"format: a name of `tapswitch iso8583 specs` or a YAML file "+
			"(default "+inspect.DefaultSpec+")")
	flags.StringVar(&f.envelope, "envelope", "",
		"what stands in front of the message: none, tpdu, tpdu_header, cups (default: the spec's)")
	flags.StringVar(&f.framing, "framing", "auto",
		"length in front of a frame: none, binary2, ascii4,\n"+
			"binary2_inclusive, ascii4_inclusive, or auto, which tries them")
	flags.StringVar(&f.macScheme, "mac-scheme", "", "MAC: "+strings.Join(isoSchemeNames(), ", "))
	flags.StringVar(&f.macKeyFile, "mac-key-file", "",
		"file with the MAC key in hex; test keys only")
}

// open reads what the flags name; what is wrong with them is a usage error.
func (f *isoFlags) open() (*inspect.Format, error) {
	o := &inspect.Format{}
	var err error
	if o.Spec, err = isoSpec(f.spec, f.envelope); err != nil {
		return nil, cli.WithCode(cli.ExitUsage, err)
	}
	for _, framing := range inspect.Framings() {
		if f.framing == "auto" || f.framing == framing.Name {
			o.Framings = append(o.Framings, framing)
		}
	}
	if len(o.Framings) == 0 {
		return nil, cli.WithCode(cli.ExitUsage,
			fmt.Errorf("--framing %q: want none, binary2, ascii4, "+
				"binary2_inclusive, ascii4_inclusive or auto", f.framing))
	}
	o.MAC, err = f.openMAC()
	return o, cli.WithCode(cli.ExitUsage, err)
}

// isoSpec opens a spec by name or file.
func isoSpec(name, envelope string) (*message.Spec, error) {
	if name == "" {
		name = inspect.DefaultSpec
	}
	var s *message.Spec
	var err error
	if ext := filepath.Ext(name); ext == ".yaml" || ext == ".yml" {
		s, err = isoSpecFile(name)
	} else {
		s, err = message.Named(name)
	}
	if err != nil || envelope == "" {
		return s, err
	}
	e, err := message.ParseEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	return s.WithEnvelope(e), nil
}

func isoSpecFile(name string) (*message.Spec, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := message.Load(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// isoSchemes are the MACs by the names of the flag.
func isoSchemes() map[string]mac.Scheme {
	return map[string]mac.Scheme{
		"cup-des": mac.CUPDES, "cup-tdes": mac.CUPTDES, "cup-sm4": mac.CUPSM4,
		"x9.9": mac.X99, "x9.19": mac.X919,
		"cbc-sm4": {Algorithm: mac.CBC, Cipher: block.SM4, Padding: mac.Pad1, Size: 8},
	}
}

func isoSchemeNames() []string {
	return []string{"cup-des", "cup-tdes", "cup-sm4", "x9.9", "x9.19", "cbc-sm4"}
}

// isoKeyMax bounds a key file in bytes.
const isoKeyMax = 1 << 10

// openMAC reads the key; its errors show nothing of it.
func (f *isoFlags) openMAC() (*mac.MAC, error) {
	if f.macScheme == "" && f.macKeyFile == "" {
		return nil, nil
	}
	scheme, ok := isoSchemes()[f.macScheme]
	if !ok {
		return nil, fmt.Errorf("--mac-scheme %q: want %s", f.macScheme,
			strings.Join(isoSchemeNames(), ", "))
	}
	if f.macKeyFile == "" {
		return nil, errors.New("--mac-key-file is missing: a MAC needs a key")
	}
	text, err := os.ReadFile(f.macKeyFile)
	if err != nil {
		return nil, err
	}
	if len(text) > isoKeyMax {
		return nil, fmt.Errorf("%s: longer than any key", f.macKeyFile)
	}
	key, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		return nil, fmt.Errorf("%s: the key is not in hex", f.macKeyFile)
	}
	m, err := mac.New(scheme, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.macKeyFile, err)
	}
	return m, nil
}
