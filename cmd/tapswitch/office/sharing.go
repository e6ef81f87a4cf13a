package office

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/desk"
)

const (
	consumersPath = "/v1/desk/consumers"
	suppliersPath = "/v1/desk/suppliers"
)

// consumersCommand registers units that are told data, and asks for one.
func consumersCommand(d desk.Client) *cobra.Command {
	c := register{"consumers", "Units that may be told data, with their agreements", consumersPath,
		"transport_office"}.command(d)
	return c
}

// suppliersCommand registers departments that supply data, and takes a batch.
func suppliersCommand(d desk.Client) *cobra.Command {
	c := register{"suppliers", "Departments that supply data, and how timely and complete", suppliersPath,
		"civil_affairs"}.command(d)
	var proof string
	batch := &cobra.Command{
		Use: "deliver NAME FILE", Short: "Take a supplier's signed batch", Args: cobra.ExactArgs(2),
		Example: "  tapswitch desk suppliers deliver civil_affairs deaths-12.csv --signature deaths-12.sig",
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readList(c, args[1])
			if err != nil {
				return err
			}
			signed, err := os.ReadFile(proof)
			if err != nil {
				return desk.Usage("--signature: %w", err)
			}
			form := "text/csv"
			if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
				form = "application/json"
			}
			answer, err := d.Post(c.Context(), suppliersPath+"/"+url.PathEscape(args[0])+"/batches",
				bytes.NewReader(text), map[string]string{"Content-Type": form,
					"Tapswitch-Batch-Signature": strings.TrimSpace(string(signed))})
			if err != nil {
				return err
			}
			return d.Print(c, answer, nil, nil)
		},
	}
	batch.Flags().StringVar(&proof, "signature", "", "file with the supplier's signature, in hexadecimal")
	_ = batch.MarkFlagRequired("signature") // the flag exists
	c.AddCommand(batch)
	return c
}

func placesCommand(d desk.Client) *cobra.Command {
	c := &cobra.Command{
		Use: "places", Short: "Service places where card or code is not read; what a terminal reads",
		Example: "  tapswitch desk places", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return told(d, c, "/v1/desk/places/lacking") },
	}
	c.AddCommand(&cobra.Command{
		Use: "put TERMINAL FILE", Short: "State from a JSON file what a terminal reads and serves",
		Example: "  tapswitch desk places put GATE01 gate01.json", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := jsonFile(c, args[1])
			if err != nil {
				return err
			}
			return d.Call(c, http.MethodPut, "/v1/desk/terminals/"+url.PathEscape(args[0])+"/equipment", body)
		},
	})
	return c
}

func acceptanceCommand(d desk.Client) *cobra.Command {
	var days ledgerSpan
	c := &cobra.Command{
		Use: "acceptance", Short: "Refusals outside the reasons of the rule book, and terminals that took nothing",
		Example: "  tapswitch desk acceptance --from 2026-03-01 --to 2026-03-31", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return told(d, c, "/v1/desk/acceptance?"+days.query().Encode())
		},
	}
	days.flags(c)
	return c
}

func exchangeCommand(d desk.Client) *cobra.Command {
	const path = "/v1/desk/exchange"
	c := &cobra.Command{
		Use: "exchange", Short: "Topics of the city's exchange platform and how late each is",
		Example: "  tapswitch desk exchange", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return told(d, c, path) },
	}
	c.AddCommand(&cobra.Command{
		Use: "put FILE", Short: "Register the topics from a JSON file, for the next start",
		Example: "  tapswitch desk exchange put exchange.json", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := jsonFile(c, args[0])
			if err != nil {
				return err
			}
			return d.Call(c, http.MethodPut, path, body)
		},
	})
	return c
}

func retentionCommand(d desk.Client) *cobra.Command {
	var forget bool
	c := &cobra.Command{
		Use: "retention", Short: "What the periods of the scheme say is to be forgotten; nothing is, without --forget",
		Example: "  tapswitch desk retention\n  tapswitch desk retention --forget", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path := "/v1/desk/retention"
			if forget {
				path += "?dry_run=false"
			}
			return d.Call(c, http.MethodPost, path, nil)
		},
	}
	c.Flags().BoolVar(&forget, "forget", false, "forget it")
	return c
}
