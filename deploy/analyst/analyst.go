// Package analyst holds what lets people read the ledger without harm: the contract of the
// views in ClickHouse (contract.tsv), and the statements that make roles, limits and row
// policies on the server.
//
// The statements are text for an administrator to run; the package connects to nothing and
// keeps no state. No password passes through it: a new user is made from the SHA-256 of one.
// It refuses names that could end a quoted literal or that stand for somebody else.
package analyst

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The roles. A person or a program holds one of them.
const (
	// Analyst reads all views: every operator, and card tokens.
	Analyst = "analyst"
	// FinanceReader reads sums and accounts, and no card tokens.
	FinanceReader = "finance_reader"
	// OperatorReader reads the rows of one operator, which a row policy names.
	OperatorReader = "operator_reader"
)

// Profile is the settings profile with the limits of all three roles.
const Profile = "tapswitch_readers"

// nameMax bounds the names of users, databases and operators, in bytes.
const nameMax = 64

// ErrName reports a name that the statements are not made for.
var ErrName = errors.New("name not usable")

//go:embed contract.tsv
var contract string

// Column is a column of a view, with ClickHouse's own name of its type.
type Column struct{ Name, Type string }

// View is one view of the contract.
type View struct {
	Name    string
	Columns []Column
}

// Contract returns the views and their columns in order. A released column never changes; a
// new one comes at the end of its view.
func Contract() []View {
	var all []View
	for line := range strings.Lines(contract) {
		part := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(part) != 3 {
			panic("analyst: internal error: the contract has the line " + line)
		}
		if len(all) == 0 || all[len(all)-1].Name != part[0] {
			all = append(all, View{Name: part[0]})
		}
		last := &all[len(all)-1]
		last.Columns = append(last.Columns, Column{part[1], part[2]})
	}
	return all
}

// Hidden returns the columns of the table records that no role reads: who froze a card, and
// what they noted.
func Hidden() []string { return []string{"list_actor", "list_note"} }

// freezes are columns that tell of freezes; operators are not told why.
func freezes() []string { return []string{"list_reason", "list_scope"} }

// cards are columns that name a card.
func cards() []string { return []string{"card", "last4", "card_version"} }

// columns are those of the table records, the aliases too, that a reader may be given.
func columns() []string {
	return strings.Fields(`business_date bucket epoch seq version terminal boot counter kind outcome
		reason card last4 card_version application rider operator line station merchant mcc acquirer
		issuer stan rrn auth response settlement_date full_fare discount_causes discount_amounts
		charged currency balance_after offline_counter offline tac list_epoch service_at_ms
		received_at_ms liability accounts amounts original entry_station entry_at_ms mode business
		metres degraded list_reason list_scope previous_epoch previous_seq closed_date record_id request_id service_at
		received_at`)
}

// Role is what one role reads.
type Role struct {
	Name string
	// Views are named in the contract; Columns are of the table records, which the views
	// read with the rights of whoever asks.
	Views, Columns []string
	// Letters allows the columns of dead letters that the lag of the feed needs.
	Letters bool
}

// Roles returns the three roles.
func Roles() []Role {
	sums := []string{"analyst_accounts", "analyst_daily_totals", "analyst_feed_lag",
		"analyst_liability", "analyst_upload_delays"}
	own := []string{"analyst_daily_totals", "analyst_declines", "analyst_liability",
		"analyst_records", "analyst_upload_delays"}
	var every []string
	for _, v := range Contract() {
		every = append(every, v.Name)
	}
	return []Role{
		{Name: Analyst, Views: every, Columns: columns(), Letters: true},
		{Name: FinanceReader, Views: sums, Columns: without(columns(), cards(), freezes()),
			Letters: true},
		{Name: OperatorReader, Views: own, Columns: without(columns(), freezes())},
	}
}

// without returns the names that are in none of the lists.
func without(names []string, lists ...[]string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return slices.Contains(slices.Concat(lists...), n)
	})
}

// Limits returns the settings of the profile: nothing is written, and no query takes the
// server from the ledger. A reader may lower each, not raise it. Read-only is 2, since
// the clients of Grafana and others send settings of their own.
func Limits() []string {
	return []string{
		"readonly = 2 CONST",
		"max_execution_time = 60 MIN 1 MAX 60",
		"max_memory_usage = 4000000000 MIN 1 MAX 4000000000",
		"max_rows_to_read = 2000000000 MIN 1 MAX 2000000000",
		"max_result_rows = 1000000 MIN 1 MAX 1000000",
		"max_threads = 2 MIN 1 MAX 2",
		"read_overflow_mode = 'throw' CONST",
		"result_overflow_mode = 'throw' CONST",
		"timeout_overflow_mode = 'throw' CONST",
	}
}

// Grants returns the grants of a role, without the role: "SELECT ON ledger.analyst_records".
func (r *Role) Grants(database string) []string {
	var all []string
	for _, v := range r.Views {
		all = append(all, fmt.Sprintf("SELECT ON %s.%s", database, v))
	}
	all = append(all, fmt.Sprintf("SELECT(%s) ON %s.records", strings.Join(r.Columns, ", "), database))
	if r.Letters {
		all = append(all, fmt.Sprintf("SELECT(source, bucket, epoch, seq) ON %s.dead_letters", database))
	}
	return all
}

// Base returns the statements that make the roles, the limits and the policies that hold
// for all, in the order in which they are run. They may be run again.
//
// The policies come before the grants. Once a table has a policy, ClickHouse may show nothing
// to those whom none names: so one names everybody but the operators, whose own says no.
func Base(database string) ([]string, error) {
	if err := checkIdentifier("database", database); err != nil {
		return nil, err
	}
	all := []string{fmt.Sprintf("CREATE ROLE IF NOT EXISTS %s, %s, %s",
		Analyst, FinanceReader, OperatorReader)}
	all = append(all,
		fmt.Sprintf("CREATE SETTINGS PROFILE OR REPLACE %s SETTINGS %s TO %s, %s, %s", Profile,
			strings.Join(Limits(), ", "), Analyst, FinanceReader, OperatorReader),
		fmt.Sprintf("CREATE ROW POLICY OR REPLACE tapswitch_others ON %s.records FOR SELECT "+
			"USING 1 TO ALL EXCEPT %s", database, OperatorReader),
		fmt.Sprintf("CREATE ROW POLICY OR REPLACE tapswitch_no_operator ON %s.records FOR SELECT "+
			"USING 0 TO %s", database, OperatorReader))
	roles := Roles()
	for i := range roles {
		for _, g := range roles[i].Grants(database) {
			all = append(all, "GRANT "+g+" TO "+roles[i].Name)
		}
	}
	return all, nil
}

// Reader is somebody at an operator.
type Reader struct {
	// Database is that of the ledger, Operator the name as it stands in the records.
	Database, Operator string
	// User is the user on the server, for one operator only.
	User string
	// PasswordSHA256 makes the user: 64 hex digits. Empty: the user is there already.
	PasswordSHA256 string
}

// Filter is the condition of the operator's row policy.
func (r *Reader) Filter() string { return "operator = '" + r.Operator + "'" }

// Statements returns what gives a reader the rows of the operator and nothing else, in the
// order in which they are run: what the user had is taken first, and the policy stands
// before the role is given. They may be run again.
func (r *Reader) Statements() ([]string, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	var all []string
	if r.PasswordSHA256 != "" {
		all = append(all, fmt.Sprintf(
			"CREATE USER IF NOT EXISTS %s IDENTIFIED WITH sha256_hash BY '%s' DEFAULT ROLE NONE",
			r.User, strings.ToUpper(r.PasswordSHA256)))
	}
	return append(all,
		"REVOKE ALL ON *.* FROM "+r.User,
		fmt.Sprintf("REVOKE %s, %s FROM %s", Analyst, FinanceReader, r.User),
		fmt.Sprintf("CREATE ROW POLICY OR REPLACE tapswitch_operator_%s ON %s.records FOR SELECT "+
			"USING %s TO %s", r.User, r.Database, r.Filter(), r.User),
		"GRANT "+OperatorReader+" TO "+r.User,
		"SET DEFAULT ROLE "+OperatorReader+" TO "+r.User), nil
}

var (
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// operatorName leaves out everything that means something within quotes.
	operatorName = regexp.MustCompile(`^[\pL\pN][\pL\pN ._/-]*$`)
	sha256Hex    = regexp.MustCompile(`^[0-9A-Fa-f]{64}$`)
)

func (r *Reader) check() error {
	if err := checkIdentifier("database", r.Database); err != nil {
		return err
	}
	if err := checkIdentifier("user", r.User); err != nil {
		return err
	}
	taken := []string{"default", "all", "none", "current_user", Analyst, FinanceReader, OperatorReader}
	if slices.Contains(taken, strings.ToLower(r.User)) {
		return fmt.Errorf("%w: user %q stands for somebody else: choose another", ErrName, r.User)
	}
	if !operatorName.MatchString(r.Operator) || len(r.Operator) > nameMax {
		return fmt.Errorf("%w: operator %q: want 1 to %d bytes of letters, digits, space and . _ / -",
			ErrName, r.Operator, nameMax)
	}
	if r.PasswordSHA256 != "" && !sha256Hex.MatchString(r.PasswordSHA256) {
		return fmt.Errorf("%w: the SHA-256 of a password has 64 hex digits", ErrName)
	}
	return nil
}

func checkIdentifier(what, name string) error {
	if !identifier.MatchString(name) || len(name) > nameMax {
		return fmt.Errorf("%w: %s %q: want 1 to %d of A-Z a-z 0-9 _, a letter first",
			ErrName, what, name, nameMax)
	}
	return nil
}
