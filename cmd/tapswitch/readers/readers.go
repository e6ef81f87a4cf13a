// Package readers is the command that prints the statements by which people may read the
// ledger in ClickHouse. It prints text and connects to nothing, so it needs no configuration;
// the statements are deploy/analyst's.
package readers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/deploy/analyst"
)

// errHalf reports an operator without a user, or a user without an operator.
var errHalf = errors.New("--operator and --user go together; without both the roles are printed")

// Command returns "ledger analyst-ddl".
func Command() *cobra.Command {
	var reader analyst.Reader
	var asJSON bool
	c := &cobra.Command{
		Use: "analyst-ddl", Short: "Statements for roles and row policies in ClickHouse",
		Long: "Prints the statements that let people read the ledger in ClickHouse: without flags the roles " +
			"analyst, finance_reader and operator_reader with their limits, once a database; with --operator " +
			"and --user what gives a user the rows of one operator and nothing else. An administrator of " +
			"ClickHouse runs them; they may be run again. The user must be there already, or " +
			"--password-sha256 makes it. All that the user had before is revoked.",
		Example: "  tapswitch ledger analyst-ddl --database ledger | clickhouse-client --multiquery\n" +
			"  tapswitch ledger analyst-ddl --database ledger --operator M1 --user m1_reader",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := statements(&reader)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			return write(c.OutOrStdout(), all, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&reader.Database, "database", "tapswitch", "database of the ledger")
	f.StringVar(&reader.Operator, "operator", "", "operator as it stands in the records")
	f.StringVar(&reader.User, "user", "", "user on the server, for this operator only")
	f.StringVar(&reader.PasswordSHA256, "password-sha256", "",
		"SHA-256 of the password, 64 hex digits: makes the user")
	f.BoolVar(&asJSON, "json", false, "a list of statements as JSON")
	return c
}

func statements(r *analyst.Reader) ([]string, error) {
	switch {
	case (r.Operator == "") != (r.User == ""), r.User == "" && r.PasswordSHA256 != "":
		return nil, errHalf
	case r.User == "":
		return analyst.Base(r.Database)
	}
	return r.Statements()
}

// write prints a statement a line, each with its semicolon.
func write(w io.Writer, all []string, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(all)
	}
	for _, s := range all {
		if _, err := fmt.Fprintf(w, "%s;\n", s); err != nil {
			return err
		}
	}
	return nil
}
