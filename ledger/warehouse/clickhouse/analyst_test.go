package clickhouse

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/deploy/analyst"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ask runs a statement as a person would, without the client of the switch, and returns the
// lines of the answer. Database may be empty.
func (s *server) ask(t *testing.T, database, statement string) ([]string, error) {
	t.Helper()
	where := "http://" + s.Addr() + "/?database=" + database
	resp, err := http.Post(where, "text/plain", strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", body)
	}
	if len(body) == 0 {
		return nil, nil
	}
	return strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"), nil
}

func (s *server) mustAsk(t *testing.T, database, statement string) []string {
	t.Helper()
	lines, err := s.ask(t, database, statement)
	if err != nil {
		t.Fatalf("%s\n%v", statement, err)
	}
	return lines
}

// TestAnalystContract compares the views of a fresh database with the contract: every name,
// type and place. Whoever must change this test breaks what others have built.
func TestAnalystContract(t *testing.T) {
	s := startServer(t)
	dsn := s.database(t)
	closeAll(t, mustOpen(t, Options{DSN: dsn}))
	db := dsn[strings.LastIndexByte(dsn, '/')+1:]
	var want []string
	for _, v := range analyst.Contract() {
		for _, c := range v.Columns {
			want = append(want, v.Name+"\t"+c.Name+"\t"+c.Type)
		}
	}
	got := s.mustAsk(t, db, `SELECT table, name, type FROM system.columns WHERE
		database = currentDatabase() AND table LIKE 'analyst%' ORDER BY table, position
		FORMAT TSVRaw`)
	if !slices.Equal(got, want) {
		t.Errorf("the views are\n%s\nthe contract is\n%s", strings.Join(got, "\n"),
			strings.Join(want, "\n"))
	}
	if bare := s.mustAsk(t, db, `SELECT table, name FROM system.columns WHERE
		database = currentDatabase() AND table LIKE 'analyst%' AND comment = ''`); bare != nil {
		t.Errorf("columns without a word on what they are: %s", bare)
	}
	all := s.mustAsk(t, db, `SELECT name FROM system.columns WHERE database = currentDatabase()
		AND table = 'records'`)
	given := slices.Concat(analyst.Roles()[0].Columns, analyst.Hidden())
	slices.Sort(all)
	if slices.Sort(given); !slices.Equal(all, given) {
		t.Errorf("the table has %s, the roles know %s", all, given)
	}
}

// TestAnalystFigures holds the views against the totals of the ledger itself, over records of
// which each arrived twice.
func TestAnalystFigures(t *testing.T) {
	ctx := context.Background()
	s := startServer(t)
	dsn := s.database(t)
	db := dsn[strings.LastIndexByte(dsn, '/')+1:]
	w := mustOpen(t, Options{DSN: dsn})
	chain := warehousetest.NewChain(11)
	records := chain.Batch(3000)
	for b := range txn.Bucket(30) {
		if chain.Last(b).Epoch == 0 {
			records = append(records, chain.Epoch(b))
		}
		records = append(records, chain.Life(b)...)
	}
	records = append(records, chain.CloseDay()...)
	if err := w.Append(ctx, records); err != nil {
		t.Fatal(err)
	}
	s.mustAsk(t, db, "SYSTEM STOP MERGES records")
	again := "INSERT INTO records (" + columnList(recordColumns()) + ") SELECT " +
		columnList(recordColumns()) + " FROM records"
	s.mustAsk(t, db, again)
	totals, err := w.Totals(ctx, warehousetest.Day)
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range analystFigures(&totals) {
		got := s.mustAsk(t, db, strings.ReplaceAll(query, "DAY", "'2026-03-01'"))
		slices.Sort(got) // lines of other currencies come in any order
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s\n%s\nthe ledger has\n%s", query, strings.Join(got, "\n"),
				strings.Join(want, "\n"))
		}
	}
	if n := s.mustAsk(t, db, "SELECT count() = 2 * uniqExact(bucket, epoch, seq) FROM records"); n[0] != "1" {
		t.Error("the records are not there twice: the test tests nothing")
	}
	closeAll(t, w)
}

// analystFigures returns what each query must answer, in order of the lines as text.
func analystFigures(totals *warehouse.Totals) map[string][]string {
	kinds := `SELECT kind, outcome, currency, sum(records) AS n, sum(full_fare), sum(charged),
		sum(charged_decimal) = sum(charged) / 100, sum(discount_decimal) * 100 = sum(discount)
		FROM analyst_daily_totals WHERE business_date = DAY GROUP BY ALL
		ORDER BY concat(kind, '\t', outcome)`
	operators := `SELECT operator, currency, sumIf(records, outcome = 'approved'),
		sumIf(records, outcome = 'declined'), sumIf(charged, outcome = 'approved')
		FROM analyst_daily_totals WHERE business_date = DAY AND operator != '' GROUP BY ALL
		ORDER BY operator`
	same := `SELECT operator, currency, countIf(outcome = 'approved'),
		countIf(outcome = 'declined'), sumIf(charged, outcome = 'approved')
		FROM analyst_records WHERE business_date = DAY AND operator != '' GROUP BY ALL
		ORDER BY operator`
	borne := `SELECT operator, currency, sum(records), sum(charged) FROM analyst_liability
		WHERE business_date = DAY AND operator != '' GROUP BY ALL ORDER BY operator`
	declines := `SELECT reason, sum(records) FROM analyst_declines WHERE business_date = DAY
		GROUP BY reason ORDER BY reason`
	accounts := `SELECT account, currency, postings, amount FROM analyst_accounts
		WHERE business_date = DAY ORDER BY concat(account, '\t')`
	days := `SELECT operator, currency, approved, declined, full_fare, charged FROM operator_days
		WHERE business_date = DAY ORDER BY operator`
	moved := `SELECT account, currency, postings, amount FROM account_days WHERE business_date = DAY
		ORDER BY concat(account, '\t')`
	want := map[string][]string{kinds: nil, operators: nil, same: nil, borne: nil, declines: nil,
		accounts: nil, days: nil, moved: nil}
	for _, k := range totals.Kinds {
		if !strings.HasSuffix(k.Kind, "_marker") {
			want[kinds] = append(want[kinds], fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%d\t1\t1", k.Kind,
				k.Outcome, k.Currency, k.Count, k.FullFare, k.Charged))
		}
	}
	for _, o := range totals.Operators {
		line := fmt.Sprintf("%s\t%d\t%d\t%d\t%d", o.Operator, o.Currency, o.Approved, o.Declined,
			o.Charged)
		want[operators], want[same] = append(want[operators], line), append(want[same], line)
		want[days] = append(want[days], fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d", o.Operator, o.Currency,
			o.Approved, o.Declined, o.FullFare, o.Charged))
		want[borne] = append(want[borne], fmt.Sprintf("%s\t%d\t%d\t%d", o.Operator, o.Currency,
			o.Approved, o.Charged))
	}
	for _, d := range totals.Declines {
		want[declines] = append(want[declines], fmt.Sprintf("%s\t%d", d.Reason, d.Count))
	}
	for _, a := range totals.Accounts {
		line := fmt.Sprintf("%s\t%d\t%d\t%d", a.Account, a.Currency, a.Count, a.Amount)
		want[accounts], want[moved] = append(want[accounts], line), append(want[moved], line)
	}
	return want
}

// frozenCard makes the life of one card: a tap before the freeze, two declined and one served
// off line while it stands, one after the release; and of another card that stays frozen.
func frozenCard(chain *warehousetest.Chain) []txn.Record {
	const b = txn.Bucket(1)
	base := txn.MillisOf(warehousetest.Day.Time()) + 3_600_000
	all := []txn.Record{chain.Epoch(b)}
	add := func(kind txn.Kind, minute int, card byte, change func(*txn.Record)) {
		r := chain.Next(b)
		at := base + txn.Millis(minute)*60_000
		n := txn.Record{Version: r.Version, Position: r.Position, BusinessDate: r.BusinessDate,
			Request: r.Request, Kind: kind, Outcome: txn.Approved, Card: r.Card, Place: r.Place,
			Currency: txn.CNY, ServiceAt: at, ReceivedAt: at + 50}
		n.Card[1] = card
		if change != nil {
			change(&n)
		}
		all = append(all, n)
	}
	ride := func(r *txn.Record) { r.FullFare, r.Charged = 200, 200 }
	refused := func(r *txn.Record) { r.Outcome, r.Reason = txn.Declined, txn.CardFrozen }
	add(txn.BusBoarding, 0, 1, ride)
	add(txn.Freeze, 10, 1, func(r *txn.Record) { r.Listing.Actor = "clerk"; r.Listing.Note = "lost" })
	add(txn.MetroEntry, 12, 1, refused)
	add(txn.BusBoarding, 15, 1, func(r *txn.Record) { ride(r); r.Offline = true })
	add(txn.MetroEntry, 20, 1, refused)
	add(txn.Release, 40, 1, nil)
	add(txn.BusBoarding, 50, 1, ride)
	add(txn.Freeze, 55, 2, nil)
	return all
}

func TestAnalystFreezes(t *testing.T) {
	s := startServer(t)
	dsn := s.database(t)
	db := dsn[strings.LastIndexByte(dsn, '/')+1:]
	w := mustOpen(t, Options{DSN: dsn})
	if err := w.Append(context.Background(), frozenCard(warehousetest.NewChain(3))); err != nil {
		t.Fatal(err)
	}
	got := s.mustAsk(t, db, `SELECT frozen_at, released_at, frozen_seconds, declined_after,
		first_declined_at, approved_after, approved_charged, approved_charged_decimal,
		last_approved_at FROM analyst_freezes ORDER BY frozen_at`)
	want := []string{
		strings.Join([]string{"2026-03-01 01:10:00.050", "2026-03-01 01:40:00.050", "1800", "2",
			"2026-03-01 01:12:00.000", "1", "200", "2", "2026-03-01 01:15:00.000"}, "\t"),
		strings.Join([]string{"2026-03-01 01:55:00.050", `\N`, `\N`, "0", `\N`, "0", "0", "0", `\N`},
			"\t"),
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	lag := s.mustAsk(t, db, `SELECT bucket, epoch, seq, last_received_at, lag_seconds > 0,
		open_dead_letters FROM analyst_feed_lag`)
	if want := "1\t1\t8\t2026-03-01 01:55:00.050\t1\t0"; !slices.Equal(lag, []string{want}) {
		t.Errorf("feed lag %q, want %q", lag, want)
	}
	delay := s.mustAsk(t, db, `SELECT sum(records), max(max_seconds) FROM analyst_upload_delays`)
	if !slices.Equal(delay, []string{"8\t0.05"}) {
		t.Errorf("upload delays %q", delay)
	}
	closeAll(t, w)
}

// usersFile makes the only user of the engine a reader. The engine has no store for roles
// that statements make, so the very grants, limits and filter of the package are written into the
// file from which it takes its users.
func usersFile(database string, role analyst.Role, filter string) string {
	var b strings.Builder
	b.WriteString("<clickhouse><profiles><default>")
	var bounds strings.Builder
	for _, limit := range analyst.Limits() {
		name, rest, _ := strings.Cut(limit, " = ")
		value, bound, _ := strings.Cut(rest, " ")
		fmt.Fprintf(&b, "<%s>%s</%s>", name, strings.Trim(value, "'"), name)
		fmt.Fprintf(&bounds, "<%s>", name)
		if f := strings.Fields(bound); len(f) == 4 {
			fmt.Fprintf(&bounds, "<min>%s</min><max>%s</max>", f[1], f[3])
		} else {
			bounds.WriteString("<const/>")
		}
		fmt.Fprintf(&bounds, "</%s>", name)
	}
	fmt.Fprintf(&b, "<constraints>%s</constraints></default></profiles>", bounds.String())
	b.WriteString("<users><default><password/><networks><ip>::/0</ip></networks>" +
		"<profile>default</profile><quota>default</quota><grants>")
	for _, g := range role.Grants(database) {
		fmt.Fprintf(&b, "<query>GRANT %s</query>", g)
	}
	b.WriteString("</grants>")
	if filter != "" {
		fmt.Fprintf(&b, "<databases><%s><records><filter>%s</filter></records></%s></databases>",
			database, filter, database)
	}
	b.WriteString("</default></users><quotas><default/></quotas></clickhouse>")
	return b.String()
}

const configFile = `<clickhouse><user_directories><users_xml><path>users.xml</path></users_xml>
</user_directories></clickhouse>`

// startAs starts the engine anew with the users of a file.
func (s *server) startAs(t *testing.T, users string) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"config.xml": configFile, "users.xml": users} {
		if err := os.WriteFile(filepath.Join(s.Dir(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestAnalystRights gives the user of the engine the rights of each role in turn: what a role
// may read, that it reads no more, and that an operator sees its own rows in every view.
func TestAnalystRights(t *testing.T) {
	s := startServer(t)
	dsn := s.database(t)
	db := dsn[strings.LastIndexByte(dsn, '/')+1:]
	w := mustOpen(t, Options{DSN: dsn})
	chain := warehousetest.NewChain(12)
	if err := w.Append(context.Background(), chain.Batch(1000)); err != nil {
		t.Fatal(err)
	}
	closeAll(t, w)
	want := s.mustAsk(t, db, "SELECT count() FROM analyst_records WHERE operator = 'M5'")
	for _, role := range analyst.Roles() {
		filter := ""
		if role.Name == analyst.OperatorReader {
			filter = (&analyst.Reader{Operator: "M5"}).Filter()
		}
		s.startAs(t, usersFile(db, role, filter))
		checkViews(t, s, db, &role)
		checkDenied(t, s, db, &role)
		if filter == "" {
			continue
		}
		for _, view := range role.Views {
			got := s.mustAsk(t, db, "SELECT DISTINCT operator FROM "+view)
			if !slices.Equal(got, []string{"M5"}) {
				t.Errorf("%s shows an operator the rows of %s", view, got)
			}
		}
		for _, from := range []string{"analyst_records", "(SELECT operator FROM records FINAL)",
			"(SELECT operator FROM records WHERE 1 OR operator = 'M1' GROUP BY operator, bucket, epoch, seq)"} {
			if got := s.mustAsk(t, db, "SELECT count() FROM "+from); !slices.Equal(got, want) {
				t.Errorf("%s has %s rows, the operator has %s", from, got, want)
			}
		}
	}
}

// checkViews reads every view of the contract whole: those of the role answer, the others are
// refused for want of a grant.
func checkViews(t *testing.T, s *server, db string, role *analyst.Role) {
	t.Helper()
	for _, v := range analyst.Contract() {
		_, err := s.ask(t, db, "SELECT * FROM "+v.Name+" FORMAT Null")
		switch may := slices.Contains(role.Views, v.Name); {
		case may && err != nil:
			t.Errorf("%s cannot read %s: %v", role.Name, v.Name, err)
		case !may && (err == nil || !strings.Contains(err.Error(), "ACCESS_DENIED")):
			t.Errorf("%s reads %s: %v", role.Name, v.Name, err)
		}
	}
}

// checkDenied tries what no reader may do.
func checkDenied(t *testing.T, s *server, db string, role *analyst.Role) {
	t.Helper()
	denied := []string{
		"INSERT INTO proven_positions VALUES (1, 1, 1, '2026-03-01')", "ALTER TABLE records DELETE WHERE 1",
		"DROP VIEW analyst_records", "SELECT list_note FROM records", "SELECT list_actor FROM records",
		"SELECT * FROM records", "SELECT record FROM dead_letters", "SELECT * FROM records_final",
		"SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
		"CREATE TABLE mine (a UInt8) ENGINE = Memory",
		"SELECT 1 SETTINGS readonly = 0", "SELECT 1 SETTINGS max_execution_time = 0",
		"SELECT 1 SETTINGS max_execution_time = 61", "SELECT 1 SETTINGS max_memory_usage = 0",
		"SELECT 1 SETTINGS max_rows_to_read = 0", "SELECT 1 SETTINGS max_result_rows = 2000000",
		"SELECT 1 SETTINGS result_overflow_mode = 'break'", "SELECT number FROM system.numbers",
	}
	if role.Name == analyst.FinanceReader {
		denied = append(denied, "SELECT card FROM records", "SELECT last4 FROM records")
	}
	for _, statement := range denied {
		if _, err := s.ask(t, db, statement); err == nil {
			t.Errorf("%s may: %s", role.Name, statement)
		}
	}
	s.mustAsk(t, db, "SELECT 1 SETTINGS max_execution_time = 10, max_threads = 1")
}

// TestAnalystStatements lets the engine read every statement for the server. It knows them
// all; those that make something it refuses last of all, for want of a store to put it in.
func TestAnalystStatements(t *testing.T) {
	s := startServer(t)
	dsn := s.database(t)
	db := dsn[strings.LastIndexByte(dsn, '/')+1:]
	closeAll(t, mustOpen(t, Options{DSN: dsn}))
	base, err := analyst.Base(db)
	if err != nil {
		t.Fatal(err)
	}
	one := analyst.Reader{Database: db, Operator: "邯郸公交 1", User: "bus_reader",
		PasswordSHA256: strings.Repeat("0a", 32)}
	own, err := one.Statements()
	if err != nil {
		t.Fatal(err)
	}
	s.startAs(t, `<clickhouse><profiles><default/></profiles><users><default><password/>
		<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
		<access_management>1</access_management></default></users><quotas><default/></quotas></clickhouse>`)
	for _, statement := range append(base, own...) {
		quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(statement)
		s.mustAsk(t, db, "SELECT formatQuery('"+quoted+"')")
		_, err := s.ask(t, db, statement)
		if err == nil || strings.Contains(err.Error(), "SYNTAX_ERROR") {
			t.Errorf("%s: %v", statement, err)
		}
		simple := strings.HasPrefix(statement, "CREATE ROLE") || strings.HasPrefix(statement, "CREATE USER")
		if simple && err != nil && !strings.Contains(err.Error(), "ACCESS_STORAGE_FOR_INSERTION_NOT_FOUND") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if _, err := s.ask(t, db, "CREATE ROW POLICY p ON "+db+".records FOR SELECT USING TO ALL"); err == nil ||
		!strings.Contains(err.Error(), "SYNTAX_ERROR") {
		t.Errorf("the engine reads nonsense: %v", err)
	}
}
