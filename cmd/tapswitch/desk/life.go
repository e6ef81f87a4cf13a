package desk

import (
	"slices"
	"strconv"

	"github.com/spf13/cobra"
)

// lossCommands report a loss and release a card again.
func lossCommands(d *client) []*cobra.Command {
	return []*cobra.Command{
		reportCommand(d), preReportCommand(d), releaseCommand(d), confirmCommand(d),
	}
}

func reportCommand(d *client) *cobra.Command {
	return d.shortcut(shortcut{step: "report_loss", c: cobra.Command{
		Use: "report-loss", Short: "Report a loss: every card of the account is frozen at once",
		Long: "Takes a loss report down. When the command ends without an error, every card of the\n" +
			"account is refused everywhere on line, and the notices to the parties are on their\n" +
			"way.",
		Example: "  tapswitch desk report-loss --card - --form-no f-12 --bank-told --outlet d1\n" +
			"  tapswitch desk report-loss --holder - --actor agent --form-no authority-3",
	}, setup: func(c *cobra.Command) filler {
		var asks who
		asks.flags(c, "holder", "agency")
		form := c.Flags().String("form", "written", "form of the report: written, oral, electronic")
		formNo := c.Flags().String("form-no", "", "number of the form, or of the agent's authority")
		told := c.Flags().Bool("bank-told", false, "the holder was told to report to the bank too")
		return func(*sheet) (map[string]any, error) {
			with := map[string]any{"who": asks.fields(), "form": *form, "bank_told": *told}
			set(with, map[string]string{"form_no": *formNo})
			return with, nil
		}
	}})
}

func preReportCommand(d *client) *cobra.Command {
	return d.shortcut(shortcut{step: "pre_report", c: cobra.Command{
		Use: "pre-report", Short: "Report a loss by phone until the written report comes",
		Example: "  tapswitch desk pre-report --holder - --why abroad --outlet hotline",
	}, setup: func(c *cobra.Command) filler {
		var asks who
		asks.flags(c, "holder", "phone")
		why := c.Flags().String("why", "", "why a written report is impossible now")
		return func(*sheet) (map[string]any, error) {
			with := map[string]any{"who": asks.fields()}
			set(with, map[string]string{"why": *why})
			return with, nil
		}
	}})
}

func releaseCommand(d *client) *cobra.Command {
	return d.shortcut(shortcut{step: "request_release", c: cobra.Command{
		Use: "release", Short: "Ask for a release; a second person confirms it",
		Example: "  tapswitch desk release --card - --outlet d1",
	}, setup: func(c *cobra.Command) filler {
		var asks who
		asks.flags(c, "holder", "agency")
		carrier := c.Flags().String("carrier", "",
			"the one card that was found again, - or its token; all by default")
		return func(s *sheet) (map[string]any, error) {
			with := map[string]any{"who": asks.fields()}
			return with, s.card(with, "carrier", "--carrier", *carrier)
		}
	}})
}

// card puts a card into a step when a flag gives one.
func (s *sheet) card(with map[string]any, field, flag, value string) error {
	if value == "" {
		return nil
	}
	token, err := s.numbers.card(flag, value, "number of the "+field)
	with[field] = token
	return err
}

func confirmCommand(d *client) *cobra.Command {
	return d.shortcut(shortcut{step: "confirm_release", c: cobra.Command{
		Use: "confirm CASE", Short: "Confirm or deny a case as the second person",
		Long: "Confirms what waits for a second person: a release, an answer, a claim or a finding.",
		Example: "  tapswitch desk confirm 2 --account T\n  tapswitch desk confirm 2 --account " +
			"T --deny",
		Args: cobra.ExactArgs(1),
	}, setup: func(c *cobra.Command) filler {
		deny := c.Flags().Bool("deny", false, "it is refused")
		paper := c.Flags().String("paper", "",
			"JSON file of the written answer: no, facts, reasons, remedies")
		return func(s *sheet) (map[string]any, error) {
			with, err := s.caseFields()
			if err != nil {
				return nil, err
			}
			is, err := s.account()
			if err != nil {
				return nil, err
			}
			if k := is.Document.open(with["case"].(uint32)); k != nil && k.Kind != "release" {
				s.body["step"] = "confirm_case"
				if err := s.paper(with, *paper); err != nil {
					return nil, err
				}
			}
			if *deny {
				with["deny"] = true
			}
			return with, nil
		}
	}})
}

func (s *sheet) paper(with map[string]any, file string) error {
	text, err := readPaper(file)
	if text != nil {
		with["paper"] = text
	}
	return err
}

// caseFields begins a step with the case that the first argument names.
func (s *sheet) caseFields() (map[string]any, error) {
	no, err := strconv.ParseUint(s.args[0], 10, 32)
	if err != nil || no == 0 {
		return nil, usage("CASE: want the number of a case; tapswitch desk find shows it")
	}
	return map[string]any{"case": uint32(no)}, nil
}

// caseCommand is a command about a case whose step wants nothing else but what more adds.
func (d *client) caseCommand(step, name, short, example string,
	more func(*cobra.Command) filler) *cobra.Command {
	return d.shortcut(shortcut{step: step, c: cobra.Command{
		Use: name + " CASE", Short: short, Example: example, Args: cobra.ExactArgs(1),
	}, setup: func(c *cobra.Command) filler {
		var add filler
		if more != nil {
			add = more(c)
		}
		return func(s *sheet) (map[string]any, error) {
			with, err := s.caseFields()
			if err != nil || add == nil {
				return with, err
			}
			fields, err := add(s)
			for name, value := range fields {
				with[name] = value
			}
			return with, err
		}
	}})
}

// newCards is how a new card comes about: in place of a lost one or of one that is there.
type newCards struct {
	name, apply, short, example string
	ground                      bool // a renewal has one
}

func replacing() newCards {
	return newCards{name: "replace", apply: "apply_replacement",
		short: "A new card in place of a lost one: apply, make, issue"}
}

func renewing() newCards {
	return newCards{name: "renew", apply: "apply_renewal", ground: true,
		short: "A new card in place of one that is there: apply, make, issue"}
}

func newCardCommand(d *client, k newCards) *cobra.Command {
	at := "  tapswitch desk " + k.name
	c := &cobra.Command{Use: k.name, Short: k.short,
		Long: k.short + ".\nThe old number is dead once the new card is made; balance and open " +
			"rides go over.",
		Example: at + " apply --card - --outlet d1\n" + at + " make 2 --account T --new -\n" +
			at + " issue 2 --account T",
	}
	c.AddCommand(applyCommand(d, k),
		d.caseCommand("accept_case", "accept", "Accept what was only received",
			at+" accept 2 --account T", nil),
		d.caseCommand("send_production", "send", "Production data was sent",
			at+" send 2 --account T", nil),
		makeCommand(d, at), temporaryCommand(d, at),
		d.caseCommand("issue_card", "issue", "The new card was handed out; only now it works",
			at+" issue 2 --account T", nil),
		refuseCommand(d, at),
		d.caseCommand("withdraw_case", "withdraw", "The holder takes the wish back",
			at+" withdraw 2 --account T", nil))
	return c
}

func applyCommand(d *client, k newCards) *cobra.Command {
	return d.shortcut(shortcut{step: k.apply, c: cobra.Command{
		Use: "apply", Short: "Take the application down, and accept it",
		Example: "  tapswitch desk " + k.name + " apply --card - --outlet d1",
	}, setup: func(c *cobra.Command) filler {
		var asks who
		asks.flags(c, "holder", "agency")
		old := c.Flags().String("old", "",
			"the old card, - or its token; by default that of --card, or the only chip card")
		later := c.Flags().Bool("receive-only", false, "receive it only; accept it later")
		ground := new(string)
		if k.ground {
			c.Flags().StringVar(ground, "ground", "expiry",
				"why: expiry, damaged, unreadable, surface_changed, name_or_id_changed, …")
		}
		return func(s *sheet) (map[string]any, error) {
			with := map[string]any{"who": asks.fields(), "accept": !*later}
			set(with, map[string]string{"ground": *ground})
			if *old != "" {
				return with, s.card(with, "old", "--old", *old)
			}
			return with, s.oldCard(with)
		}
	}})
}

// oldCard puts in the card that is to be replaced: the one that names the account, or its only
// chip card. Of an account without one the gate says what is wrong.
func (s *sheet) oldCard(with map[string]any) error {
	if card, ok := s.body["card"]; ok {
		with["old"] = card
		return nil
	}
	is, err := s.account()
	if err != nil {
		return err
	}
	chips := slices.DeleteFunc(is.Document.Carriers,
		func(k carrier) bool { return k.Kind != "chip" })
	switch len(chips) {
	case 0:
		return nil
	case 1:
		with["old"] = chips[0].Token
		return nil
	default:
		return usage("the account has %d chip cards: name the old one with --old", len(chips))
	}
}

func makeCommand(d *client, at string) *cobra.Command {
	return d.caseCommand("make_card", "make",
		"The new card is made: from now on the old number is dead",
		at+" make 2 --account T --new -", func(c *cobra.Command) filler {
			var n newCarrier
			n.flags(c)
			number := c.Flags().String("new", stdin,
				"- reads the number of the new card, or its token")
			return func(s *sheet) (map[string]any, error) {
				token, err := s.numbers.card("--new", *number, "number of the new card")
				return map[string]any{"carrier": n.fields(token)}, err
			}
		})
}

func temporaryCommand(d *client, at string) *cobra.Command {
	return d.caseCommand("bind_temporary", "temporary",
		"Bind a credential for the time until the new card",
		at+" temporary 2 --account T --new - --as e_card --family "+
			"e_card", func(c *cobra.Command) filler {
			f := c.Flags()
			as := f.String("as", "e_card", "what it is: e_card, qr")
			family := f.String("family", "e_card", "family of its number")
			number := f.String("new", stdin, "- reads its number, or its token")
			return func(s *sheet) (map[string]any, error) {
				token, err := s.numbers.card("--new", *number, "number of the temporary credential")
				return map[string]any{"as": *as, "carrier": map[string]any{"token": token,
					"kind":   "temporary",
					"family": *family, "ready": true}}, err
			}
		})
}

func refuseCommand(d *client, at string) *cobra.Command {
	return d.caseCommand("refuse_case", "refuse", "Refuse it, with a written answer",
		at+" refuse 2 --account T --paper answer.json", func(c *cobra.Command) filler {
			paper := c.Flags().String("paper", "",
				"JSON file of the written answer: no, facts, reasons, remedies")
			return func(s *sheet) (map[string]any, error) {
				if *paper == "" {
					return nil, usage("--paper: a refusal wants a written answer")
				}
				with := map[string]any{}
				return with, s.paper(with, *paper)
			}
		})
}

func cancelCommand(d *client) *cobra.Command {
	const at = "  tapswitch desk cancel"
	c := &cobra.Command{Use: "cancel", Short: "Cancel an account once everything open is settled",
		Example: at + " request --card - --outlet d1\n" + at +
			" waive 4 --account T --affair offline_records --why waited\n" + at + " complete 4 " +
			"--account T --pay-at d1"}
	request := d.shortcut(shortcut{step: "request_cancellation", c: cobra.Command{
		Use: "request", Short: "Ask for the cancellation; says what is still open",
		Example: at + " request --card - --outlet d1",
	}, setup: func(c *cobra.Command) filler {
		var asks who
		asks.flags(c, "holder", "agency")
		decision := c.Flags().String("decision", "",
			"number of the decision when the agency acts by itself")
		return func(*sheet) (map[string]any, error) {
			with := map[string]any{"who": asks.fields()}
			set(with, map[string]string{"decision": *decision})
			return with, nil
		}
	}})
	waive := d.caseCommand("waive_affair", "waive", "Waive what the rules let be waived",
		at+" waive 4 --account T --affair offline_records --why "+
			"waited", func(c *cobra.Command) filler {
			affair := c.Flags().String("affair", "", "what: offline_records, balance, fees, …")
			why := c.Flags().String("why", "", "the reason")
			return func(*sheet) (map[string]any, error) {
				return map[string]any{"affair": *affair, "why": *why}, nil
			}
		})
	complete := d.caseCommand("complete_cancellation", "complete",
		"Cancel, and pay the balance out",
		at+" complete 4 --account T --pay-at d1", func(c *cobra.Command) filler {
			outlet := c.Flags().String("pay-at", "", "where the balance is paid out")
			return func(s *sheet) (map[string]any, error) {
				with := map[string]any{}
				set(with, map[string]string{"outlet": *outlet})
				return with, nil
			}
		})
	c.AddCommand(request, waive, complete, refuseCommand(d, at),
		d.caseCommand("withdraw_case", "withdraw", "The holder takes the wish back",
			at+" withdraw 4 --account T", nil))
	return c
}

// suspensionCommands close one application and open it again, by a department.
func suspensionCommands(d *client) []*cobra.Command {
	suspend := d.shortcut(shortcut{step: "suspend_function", c: cobra.Command{
		Use: "suspend", Short: "Suspend one application, as the department with the power",
		Example: "  tapswitch desk suspend --card - --app social --decision 2026-17 --fault rented",
	}, setup: func(c *cobra.Command) filler {
		app, decision := suspensionFlags(c)
		fault := c.Flags().String("fault", "",
			"ground: lent, rented, handed_over, careless, not_reported")
		return func(*sheet) (map[string]any, error) {
			with := map[string]any{"app": *app}
			set(with, map[string]string{"decision": *decision, "fault": *fault})
			return with, nil
		}
	}})
	restore := d.shortcut(shortcut{step: "restore_function", c: cobra.Command{
		Use: "restore", Short: "Restore an application that was suspended",
		Example: "  tapswitch desk restore --card - --app social --decision 2026-31",
	}, setup: func(c *cobra.Command) filler {
		app, decision := suspensionFlags(c)
		return func(*sheet) (map[string]any, error) {
			with := map[string]any{"app": *app}
			set(with, map[string]string{"decision": *decision})
			return with, nil
		}
	}})
	return []*cobra.Command{suspend, restore}
}

// trustCommands set a trust flag and take it back, by the body that keeps the trust file.
func trustCommands(d *client) *cobra.Command {
	c := &cobra.Command{Use: "trust", Short: "Trust flags, which widen post-paid riding",
		Example: "  tapswitch desk trust withdraw --holder - --decision 2026-31"}
	grant := d.shortcut(shortcut{step: "grant_trust", c: cobra.Command{
		Use: "grant", Short: "Set a trust flag, as the body that keeps the trust file",
		Long: "Widens how much every card of the account may owe for rides, up to and with a day.\n" +
			"It takes the holder's consent to the purpose for this body, for as long as the flag\n" +
			"lasts. A flag in force gives way only to one that is as wide and as long.",
		Example: "  tapswitch desk trust grant --holder - --widen 2000 --until 2026-12-31 \\\n" +
			"    --purpose credit_incentive --decision 2026-17",
	}, setup: func(c *cobra.Command) filler {
		widen := c.Flags().Int64("widen", 0, "what comes on top of the limit, in fen")
		until := c.Flags().String("until", "", "the last day, as 2026-12-31")
		purpose := c.Flags().String("purpose", "credit_incentive", "the purpose of the scheme")
		decision := c.Flags().String("decision", "", "number of the decision")
		return func(*sheet) (map[string]any, error) {
			with := map[string]any{"widen": *widen}
			set(with, map[string]string{"until": *until, "purpose": *purpose, "decision": *decision})
			return with, nil
		}
	}})
	withdraw := d.shortcut(shortcut{step: "withdraw_trust", c: cobra.Command{
		Use: "withdraw", Short: "Take a trust flag back; the scheme's own limit stays",
		Example: "  tapswitch desk trust withdraw --holder - --decision 2026-31",
	}, setup: func(c *cobra.Command) filler {
		decision := c.Flags().String("decision", "", "number of the decision")
		return func(*sheet) (map[string]any, error) {
			with := map[string]any{}
			set(with, map[string]string{"decision": *decision})
			return with, nil
		}
	}})
	c.AddCommand(grant, withdraw)
	return c
}

func suspensionFlags(c *cobra.Command) (app, decision *string) {
	app = c.Flags().String("app", "social", "the application")
	decision = c.Flags().String("decision", "", "number of the decision")
	return app, decision
}
