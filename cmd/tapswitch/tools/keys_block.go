package tools

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/keyring"
)

// blockMax bounds a TR-31 block as text.
const blockMax = 9999

func keysImportBlockCommand() *cobra.Command {
	var k ceremony
	var n newKeyFlags
	var under, file string
	c := &cobra.Command{
		Use: "import-block KEY", Short: "Take in a key as a TR-31 block (two persons)",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ref, _, err := n.parse(args[0])
			if err != nil {
				return err
			}
			kek, err := keyring.ParseRef(under)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, fmt.Errorf("--under: %w", err))
			}
			text, err := readBlock(c.InOrStdin(), file)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			return k.with(false, func(r *keyring.Ring) error {
				i, err := r.ImportBlock(keyring.KeyBlock{Ref: ref, Block: text, Under: kek,
					Exportable: n.exportable}, k.actor)
				if err != nil {
					return err
				}
				return n.finish(c.OutOrStdout(), r, i, k.actor)
			})
		},
	}
	k.add(c)
	n.add(c)
	c.Flags().StringVar(&under, "under", "", "the key_exchange key that the block is under")
	c.Flags().StringVar(&file, "block", "-", "file of the block, - for standard input")
	_ = c.MarkFlagRequired("under")
	return c
}

func readBlock(in io.Reader, file string) (string, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, blockMax+2))
	if err != nil {
		return "", fmt.Errorf("reading the key block: %w", err)
	}
	block := strings.TrimSpace(string(text))
	if len(block) > blockMax {
		return "", fmt.Errorf("the key block is longer than %d characters", blockMax)
	}
	return block, nil
}

func keysExportBlockCommand() *cobra.Command {
	var k ceremony
	var under string
	c := &cobra.Command{
		Use: "export-block KEY", Short: "Print a key as a TR-31 block (two persons)",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := keyring.ParseRef(args[0])
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			kek, err := keyring.ParseRef(under)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, fmt.Errorf("--under: %w", err))
			}
			return k.with(false, func(r *keyring.Ring) error {
				block, err := r.ExportBlock(ref, kek, k.actor)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.OutOrStdout(), block)
				return err
			})
		},
	}
	k.add(c)
	c.Flags().StringVar(&under, "under", "", "the key_exchange key to put the block under")
	_ = c.MarkFlagRequired("under")
	return c
}
