package desk

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/receipt"
)

// receiptFlags say where a receipt comes from and what is done with it.
type receiptFlags struct {
	file, save, keys string
	verify           bool
}

func receiptCommand(d *client) *cobra.Command {
	var in receiptFlags
	c := &cobra.Command{
		Use:   "receipt [ACCOUNT CASE]",
		Short: "The signed receipt of a freeze: fetch, read, verify off line",
		Long: "Fetches the signed statement of a loss report: when it was received, who was told,\n" +
			"and from when the card was refused. With --file it reads one that was saved, and\n" +
			"asks nobody. --verify checks the signature with the trusted keys of a file (see\n" +
			"receipt-keys).",
		Example: "  tapswitch desk receipt ACCOUNT 1 --save receipt.json\n" +
			"  tapswitch desk receipt --file receipt.json --verify --keys keys.json",
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			envelope, err := in.read(c, d, args)
			if err != nil {
				return err
			}
			if in.save != "" {
				if err := os.WriteFile(in.save, envelope, 0o600); err != nil {
					return fmt.Errorf("--save: %w", err)
				}
			}
			return in.tell(c, d, envelope)
		},
	}
	f := c.Flags()
	f.StringVar(&in.file, "file", "", "a saved receipt, - for standard input")
	f.StringVar(&in.save, "save", "", "keep the receipt in this file")
	f.BoolVar(&in.verify, "verify", false, "check the signature")
	f.StringVar(&in.keys, "keys", "", "file with the trusted keys")
	return c
}

// read returns the receipt as it was signed.
func (in *receiptFlags) read(c *cobra.Command, d *client, args []string) ([]byte, error) {
	switch {
	case in.verify != (in.keys != ""):
		return nil, usage("--verify and --keys FILE go together")
	case in.file == stdin:
		text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), receipt.SizeMax+1))
		return bytes.TrimSpace(text), err
	case in.file != "":
		text, err := os.ReadFile(in.file)
		if err != nil {
			return nil, usage("--file: %w", err)
		}
		return bytes.TrimSpace(text), nil
	case len(args) != 2 || !isToken(args[0]):
		return nil, usage("want ACCOUNT, its token, and CASE, the number of the loss; or --file")
	}
	if _, err := strconv.ParseUint(args[1], 10, 32); err != nil {
		return nil, usage("CASE: want the number of a case; tapswitch desk find shows it")
	}
	text, err := d.send(c.Context(), http.MethodGet,
		"/v1/desk/accounts/"+args[0]+"/receipts/"+args[1], nil)
	return bytes.TrimSpace(text), err
}

// tell prints a receipt. One that does not verify is not told at all.
func (in *receiptFlags) tell(c *cobra.Command, d *client, envelope []byte) error {
	e, err := receipt.ParseEnvelope(envelope)
	if err != nil {
		return fmt.Errorf("not a receipt: %w", err)
	}
	verified := "not checked: give --verify --keys FILE"
	if in.verify {
		if err := in.check(envelope); err != nil {
			return err
		}
		verified = "genuine, signed with " + e.KeyID
	}
	if d.Form == cli.JSON {
		_, err := c.OutOrStdout().Write(append(envelope, '\n'))
		return err
	}
	s, err := receipt.ParseStatement(e.Statement)
	if err != nil {
		return fmt.Errorf("not a receipt: %w", err)
	}
	f, ok := s.(*receipt.Freeze)
	if !ok {
		return errors.New("this is a signed statement, but no receipt of a freeze")
	}
	var p page
	p.receipt(f, e, verified)
	return p.flush(c.OutOrStdout())
}

func (in *receiptFlags) check(envelope []byte) error {
	text, err := os.ReadFile(in.keys)
	if err != nil {
		return usage("--keys: %w", err)
	}
	list, err := receipt.ParseKeys(bytes.TrimSpace(text))
	if err != nil {
		return usage("--keys: %w", err)
	}
	keys, err := receipt.NewKeys(list...)
	if err != nil {
		return usage("--keys: %w", err)
	}
	if _, err := keys.VerifyFreeze(envelope); err != nil {
		return fmt.Errorf("the receipt is NOT genuine: %w", err)
	}
	return nil
}

func (p *page) receipt(f *receipt.Freeze, e *receipt.Envelope, verified string) {
	p.line("Freeze receipt %s of %s, issued %s   times are %s", f.Number, f.Issuer,
		local(f.IssuedAt), zone())
	p.table([][]string{
		{"card", strings.TrimSpace(f.Masked + " " + hex.EncodeToString(f.Token[:]))},
		{"frozen for", f.Reason + ", " + scope(f.Scope)},
		{"report received", local(f.ReceivedAt)},
		{"from when it counts", local(f.Boundary.At) + " (" + f.Boundary.Rule + ")"},
		{"entry of the list", fmt.Sprintf("epoch %d, number %d", f.ListEpoch, f.ListSeq)},
		{"signature", verified},
		{"key", fmt.Sprintf("%s, %s, fingerprint %s", e.KeyID, e.Algorithm,
			hex.EncodeToString(e.Fingerprint[:8]))},
	})
	rows := [][]string{{"PARTY", "RECEIVED", "EFFECTIVE"}}
	for _, q := range f.Parties {
		rows = append(rows, []string{q.Name, local(q.ReceivedAt), local(q.EffectiveAt)})
	}
	p.list("TOLD", "no party", rows)
	rows = [][]string{{"AT", "GATES THAT HELD IT"}}
	for _, g := range f.Gates {
		rows = append(rows, []string{local(g.At), fmt.Sprintf("%d of %d", g.Covered, g.Total)})
	}
	p.list("GATES", "not told", rows)
}

func local(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Local().Format("2006-01-02 15:04:05")
}

func receiptKeysCommand(*client) *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:   "receipt-keys SIGNING-FILE",
		Short: "Print the public key that receipts and lists are verified with",
		Long: "Reads the signing key of a switch (keys.signing_file, or keys/signing.key in its\n" +
			"data directory) and prints the public key as the file that verifiers carry. The\n" +
			"secret stays.",
		Example: "  tapswitch desk receipt-keys data/keys/signing.key > keys.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return usage("SIGNING-FILE: %w", err)
			}
			seed, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil || len(seed) != ed25519.SeedSize {
				return usage("SIGNING-FILE: want %d bytes in hexadecimal", ed25519.SeedSize)
			}
			public, _ := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
			clear(seed)
			file, err := receipt.EncodeKeys([]receipt.Key{{ID: id, Algorithm: receipt.Ed25519,
				Public: public}})
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(append(file, '\n'))
			return err
		},
	}
	c.Flags().StringVar(&id, "id", "agency-1", "id of the key")
	return c
}
