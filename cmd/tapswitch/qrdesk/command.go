package qrdesk

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/switch/qrtap"
)

// Command is the commands about QR codes.
func Command() *cobra.Command {
	c := &cobra.Command{Use: "qr", Short: "Make and show transit QR codes, with test keys"}
	c.AddCommand(kitCommand(), makeCommand(), showCommand())
	return c
}

// testKit makes the scheme of a seed, whose certificates hold at an instant.
func testKit(seed string, at time.Time) (*qr.Kit, error) {
	return qr.NewKit(qr.Profile{}, qr.NewSeedReader([]byte(seed)), at)
}

func kitCommand() *cobra.Command {
	var seed string
	c := &cobra.Command{
		Use: "kit DIR", Short: "Write the trust file of a synthetic scheme",
		Long: "Writes trust.json, for qr.file, and the CA file of a scheme whose keys the seed decides.\n" +
			"Whoever knows the seed makes codes of it: for tests and the demo only.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := testKit(seed, time.Now())
			if err != nil {
				return err
			}
			text, err := json.MarshalIndent(fileOf{CAs: []string{"ca.hex"}, Revoked: []string{},
				Profile: profileOf{Skew: "30s", Aliases: []aliasOf{}}}, "", "  ")
			if err != nil {
				return err
			}
			if err := os.MkdirAll(args[0], 0o700); err != nil {
				return fmt.Errorf("cannot make the directory of the trust file: %w", err)
			}
			for name, content := range map[string]string{"trust.json": string(text),
				"ca.hex": hex.EncodeToString(k.CAFile)} {
				if err := os.WriteFile(filepath.Join(args[0], name), []byte(content+"\n"), 0o600); err != nil {
					return fmt.Errorf("cannot write the trust file: %w", err)
				}
			}
			return nil
		},
	}
	c.Flags().StringVar(&seed, "seed", "test", "what decides the keys")
	return c
}

// instant reads --at; empty is now.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Now(), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, cli.WithCode(cli.ExitUsage,
			fmt.Errorf("--at %q: want an instant as 2026-11-21T08:00:00+08:00", text))
	}
	return at, nil
}

func makeCommand() *cobra.Command {
	var seed, at string
	var n int
	var limit int64
	c := &cobra.Command{
		Use: "make", Short: "Make the code that a synthetic card's phone shows at an instant",
		Example: "  tapswitch qr make --card 7 --at 2026-11-21T08:00:00+08:00",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			when, err := instant(at)
			if err != nil {
				return err
			}
			k, err := testKit(seed, when)
			if err != nil {
				return err
			}
			spec := k.Spec(n)
			spec.LimitFen = limit
			card, err := k.Issue(spec)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			code, err := card.Code(when)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), base64.StdEncoding.EncodeToString(code))
			return err
		},
	}
	c.Flags().StringVar(&seed, "seed", "test", "what decides the keys, as in qr kit")
	c.Flags().IntVar(&n, "card", 1, "number of the synthetic card")
	c.Flags().StringVar(&at, "at", "", "when the phone shows the code, RFC 3339 (default now)")
	c.Flags().Int64Var(&limit, "limit", 2000, "most that one trip may cost, in fen")
	return c
}

// shown is what qr show tells of a code.
type shown struct {
	Card            string    `json:"card"` // masked
	Institution     string    `json:"institution"`
	Certificate     string    `json:"certificate"`
	CA              int       `json:"ca"`
	AccountType     int       `json:"account_type"`
	LimitFen        int64     `json:"limit"`
	GeneratedAt     time.Time `json:"generated_at"`
	ValiditySeconds int64     `json:"validity_seconds"`
	AuthorisedUntil time.Time `json:"authorised_until"`
	Verdict         string    `json:"verdict,omitempty"`
	ValidatorCode   int       `json:"validator_code,omitempty"`
}

func showCommand() *cobra.Command {
	var trust, at string
	c := &cobra.Command{
		Use: "show [CODE]", Short: "Tell what a code says, and with --trust whether it is taken",
		Long: "Reads a code, base64 or hexadecimal, from the argument or standard input. Card numbers\n" +
			"are masked. Exit code 1 says that the code is refused.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text := strings.Join(args, "")
			if text == "" {
				b, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 4*qr.CodeMax))
				if err != nil {
					return err
				}
				text = strings.TrimSpace(string(b))
			}
			when, err := instant(at)
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), qrtap.Decode(text), trust, when)
		},
	}
	c.Flags().StringVar(&trust, "trust", "", "trust file to verify the code with, as in qr.file")
	c.Flags().StringVar(&at, "at", "", "when it is shown to a gate, RFC 3339 (default now)")
	return c
}

func show(w io.Writer, raw []byte, trust string, at time.Time) error {
	var code *qr.Code
	var verdict, err error
	if trust == "" {
		code, err = (&qr.Profile{}).Parse(raw)
	} else {
		var t *Trust
		if t, err = Open(trust, nil); err == nil {
			code, verdict = t.Verifier().Verify(raw, qr.Tap{Now: at})
		}
	}
	if err != nil {
		return cli.WithCode(cli.ExitUsage, err)
	}
	if code == nil {
		return cli.WithCode(cli.ExitFailed, verdict)
	}
	id := code.Certificate().ID
	out := shown{Card: "****" + code.Card().Last4().String(), Institution: code.Institution().String(),
		Certificate: id.Issuer.String() + "-" + id.Serial.String(), CA: int(code.Certificate().CAIndex),
		AccountType: int(code.AccountType()), LimitFen: code.LimitFen(), GeneratedAt: code.GeneratedAt(),
		ValiditySeconds: int64(code.Validity() / time.Second), AuthorisedUntil: code.AuthorisedUntil()}
	if trust != "" {
		out.Verdict = "accepted"
	}
	if verdict != nil {
		out.Verdict, out.ValidatorCode = verdict.Error(), qrtap.ValidatorCode(qrtap.ReasonOf(verdict))
	}
	if err := cli.PrintJSON(w, out); err != nil || verdict == nil {
		return err
	}
	return cli.WithCode(cli.ExitFailed, verdict)
}
