package desk

import "github.com/spf13/cobra"

const deskHelp = "The card agency's desk: a holder's account with all its cards, from the application\n" +
	"to the cancellation. Each command asks a gate that runs the desk\n" +
	"(desk.city) and prints the account as it is afterwards.\n\n" +
	"Numbers of cards and papers are never arguments: where a flag says -, they are read\n" +
	"from standard input, one a line, the account's first; a person is asked. Tokens may\n" +
	"be arguments. Every command has an id. When nobody knows whether it was done, the\n" +
	"error says how to send it again, and it is done once."

// Desk is the command of the card agency's desk, with commands that stand in other packages.
func Desk(more ...func(Client) []*cobra.Command) *cobra.Command {
	var d client
	c := &cobra.Command{
		Use: "desk", Short: "The card agency: accounts, losses, replacements, notices, liability",
		Long: deskHelp,
		Example: "  tapswitch desk report-loss --card - --form-no f-12 --bank-told --outlet d1\n" +
			"  tapswitch desk release --holder -\n" +
			"  tapswitch desk confirm 2 --account T      # by a second person\n" +
			"  tapswitch desk cases --overdue",
	}
	d.add(c)
	c.AddCommand(stepsCommand(&d), doCommand(&d), openCommand(&d), bulkCommand(&d))
	c.AddCommand(lossCommands(&d)...)
	c.AddCommand(newCardCommand(&d, replacing()), newCardCommand(&d, renewing()), cancelCommand(&d))
	c.AddCommand(suspensionCommands(&d)...)
	c.AddCommand(trustCommands(&d))
	c.AddCommand(findCommand(&d), queryCommand(&d), casesCommand(&d), figuresCommand(&d),
		waitingCommand(&d), outletsCommand(&d))
	c.AddCommand(freezesCommand(&d), coverageCommand(&d), noticesCommand(&d), noticeCommand(&d))
	c.AddCommand(partiesCommand(&d), liabilityCommand(&d), judgeCommand(&d))
	c.AddCommand(receiptCommand(&d), receiptKeysCommand(&d))
	c.AddCommand(tellUnitCommand(&d), copyCommand(&d))
	for _, commands := range more {
		c.AddCommand(commands(Client{&d})...)
	}
	usageOnly(c)
	return c
}

// usageOnly makes wrong arguments of all commands a usage error, which does not repeat them:
// what stands there by mistake may be a number.
func usageOnly(c *cobra.Command) {
	for _, sub := range c.Commands() {
		usageOnly(sub)
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if check(c, args) != nil {
				return usage("%d arguments are not what it takes: %s", len(args), c.UseLine())
			}
			return nil
		}
	}
}
