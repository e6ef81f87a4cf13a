package office

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/desk"
)

const (
	foreignPath = "/v1/desk/foreign"
	nettingPath = "/v1/desk/netting"
)

// foreignSource is an institution with where its list stands.
type foreignSource struct {
	Source struct {
		Name, Institution, City, Algorithm string
		Epoch                              uint64
		Cards, Refused                     int
		Stale, Unfinished                  bool
	}
	ExpiresAt string `json:"expires_at"`
	TakenAt   string `json:"taken_at"`
}

func (s *foreignSource) state() string {
	switch {
	case s.Source.Unfinished:
		return "UNFINISHED: give the list again"
	case s.Source.Stale:
		return "ENDED, still in force"
	default:
		return "in force"
	}
}

func foreignCommand(d desk.Client) *cobra.Command {
	c := register{"foreign", "Freeze lists of other cities: sources, where they stand", foreignPath,
		"luoyang"}.command(d)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var a struct{ Sources []foreignSource }
		return d.Show(c, foreignPath, &a, func(p desk.Page) {
			rows := [][]string{{"SOURCE", "INSTITUTION", "EPOCH", "CARDS", "REFUSED", "UNTIL", "STATE"}}
			for i := range a.Sources {
				s := &a.Sources[i]
				rows = append(rows, []string{s.Source.Name, s.Source.Institution,
					strconv.FormatUint(s.Source.Epoch, 10), strconv.Itoa(s.Source.Cards),
					strconv.Itoa(s.Source.Refused), desk.Moment(s.ExpiresAt), s.state()})
			}
			p.List("LISTS OF OTHER CITIES", rows)
		})
	}
	c.AddCommand(importForeignCommand(d))
	return c
}

func importForeignCommand(d desk.Client) *cobra.Command {
	var proof string
	c := &cobra.Command{
		Use: "import NAME FILE", Short: "Take a source's list in: freeze what it names, lift what it names no more",
		Long: "Reads the whole list of a source: five heading lines (source, epoch, made, expires, cards)\n" +
			"and a card number a line. With --proof the source's signature is read from a file, in\n" +
			"hexadecimal; without it the list's SHA-256 is sent, for sources that have no key.",
		Example: "  tapswitch desk foreign import luoyang luoyang-42.txt --proof luoyang-42.sig",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readList(c, args[1])
			if err != nil {
				return err
			}
			sum := sha256.Sum256(text)
			header := hex.EncodeToString(sum[:])
			if proof != "" {
				signed, err := os.ReadFile(proof)
				if err != nil {
					return desk.Usage("--proof: %w", err)
				}
				header = strings.TrimSpace(string(signed))
			}
			answer, err := d.Post(c.Context(), foreignPath+"/"+url.PathEscape(args[0])+"/lists",
				bytes.NewReader(text), map[string]string{"Content-Type": "text/plain", "Tapswitch-List-Proof": header})
			if err != nil {
				return err
			}
			var a struct {
				Report struct {
					Epoch                                  uint64
					Cards, Frozen, Already, Released, Kept int
					Replay                                 bool
				}
				Bad []badLine
			}
			return d.Print(c, answer, &a, func(p desk.Page) {
				r := &a.Report
				p.Line("epoch %d of %s: %d cards held; %d frozen now, %d were closed, %d lifted, %d stay for another's sake",
					r.Epoch, args[0], r.Cards, r.Frozen, r.Already, r.Released, r.Kept)
				if r.Replay {
					p.Line("this list was in force already; nothing was done")
				}
				drawBad(p, a.Bad)
			})
		},
	}
	c.Flags().StringVar(&proof, "proof", "", "file with the source's signature, in hexadecimal")
	return c
}

func nettingCommand(d desk.Client) *cobra.Command {
	var days ledgerSpan
	var asCSV bool
	c := &cobra.Command{
		Use: "netting", Short: "What we and other cities' institutions owe each other, by day",
		Example: "  tapswitch desk netting --from 2026-03-01 --to 2026-03-31\n  tapswitch desk netting --csv",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q := days.query()
			if asCSV {
				q.Set("format", "csv")
				text, err := d.Send(c.Context(), http.MethodGet, nettingPath+"?"+q.Encode(), nil)
				if err == nil {
					_, err = c.OutOrStdout().Write(text)
				}
				return err
			}
			var a struct {
				From, To string
				Rows     []struct {
					Day string
					Net struct {
						Institution      string
						Count, Declined  int
						Used, Given, Due int64
					}
				}
				Due map[string]int64
			}
			return d.Show(c, nettingPath+"?"+q.Encode(), &a, func(p desk.Page) {
				rows := [][]string{{"INSTITUTION", "DAY", "RECORDS", "USED HERE", "GIVEN HERE", "DUE TO US", "DECLINED"}}
				for i := range a.Rows {
					n := &a.Rows[i].Net
					rows = append(rows, []string{n.Institution, a.Rows[i].Day, strconv.Itoa(n.Count), desk.Yuan(n.Used),
						desk.Yuan(n.Given), desk.Yuan(n.Due), strconv.Itoa(n.Declined)})
				}
				p.List("NETTING "+a.From+" TO "+a.To, rows)
				for _, name := range sortedKeys(a.Due) {
					p.Line("%s in all: %s", name, desk.Yuan(a.Due[name]))
				}
			})
		},
	}
	days.flags(c)
	c.Flags().BoolVar(&asCSV, "csv", false, "print CSV, amounts in fen (same as the API's format=csv)")
	return c
}
