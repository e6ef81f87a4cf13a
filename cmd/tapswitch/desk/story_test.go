package desk

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A day of a clerk: enrolment, loss at a bad moment, receipt, liability, replacement,
// release by two persons, cancellation. Typed as a clerk types it.
func TestAClerksDay(t *testing.T) {
	o := newOffice(t, "handan")
	o.as("root", "admin")
	o.does("bus is told by manual", "parties put bus --kind operator --scopes transit,purse "+
		"--channel manual --contact 'depot 4' --clause HD7")
	o.does("hrss", "parties put hrss --kind department --scopes all --channel manual --contact "+
		"'office 3'")
	o.as("li.lei", "desk")

	account := o.enrol(holderA, cardA)
	o.does("****0001", "find --card -", cardA)
	if !o.tap(cardA, txn.Load, 5000, 0) || !o.tap(cardA, txn.Purchase, 1200, 0) {
		t.Fatal("the card does not work")
	}

	// The loss: an oral report is not taken down here.
	o.refused(cli.ExitConflict, "form_not_allowed: The form of the report is not accepted\n  "+
		"see --form", "report-loss --card - --form oral", cardA)
	report := o.does("report_loss: done", "report-loss --card - --form-no f-1 --bank-told", cardA)
	for _, want := range []string{"lost, all applications",
		"by holder, through agency, written, no. f-1", "taken down by li.lei (d1)"} {
		if !strings.Contains(report, want) {
			t.Errorf("want %q in\n%s", want, report)
		}
	}
	if o.tap(cardA, txn.Purchase, 100, 0) {
		t.Fatal("a lost card was taken")
	}
	o.publish("GATE01")
	o.parties(t)
	o.statusPage(t, account)
	o.receipts(t, account)

	// A replacement, and the old number is dead.
	o.does("desk replace make", "replace apply --card -", cardA)
	no := o.account(account).Cases[0].No
	o.does("desk replace issue", fmt.Sprintf("replace make %d --account %s --new -", no, account),
		cardB)
	o.does("****0002", fmt.Sprintf("replace issue %d --account %s", no, account))
	o.does("replaced: ****0001 -> ****0002", "card status -", cardB)
	o.refused(cli.ExitConflict, "", "release --card -", cardA)
	later := o.does("lost, all", "receipt "+account+" 1") // the reason of the case, not of the card now
	if strings.Contains(later, "replaced") {
		t.Errorf("a receipt of a loss says\n%s", later)
	}
	if !o.tap(cardB, txn.Purchase, 100, 0) {
		t.Error("the new card has no money")
	}
	records := o.does("load", "query --holder - --purpose own_records", holderA)
	for _, want := range []string{"12.00", "50.00", "declined", "****0002"} {
		if !strings.Contains(records, want) {
			t.Errorf("want %q in\n%s", want, records)
		}
	}
	o.silent()
}

// parties records what they say by telephone.
func (o *office) parties(t *testing.T) {
	t.Helper()
	var a struct{ Notices []noticeView }
	o.asks(&a, "notices")
	if len(a.Notices) != 1 || len(a.Notices[0].Clocks) != 2 {
		t.Fatalf("%+v", a.Notices)
	}
	id := a.Notices[0].ID
	at := func(d time.Duration) string { return o.now().Time().Add(d).Format(time.RFC3339Nano) }
	o.pass(time.Minute)
	o.does("bus", fmt.Sprintf("notice confirm %s bus --sent %s --received %s --effective %s "+
		"--note 'call 4'", id,
		at(-30*time.Second), at(-20*time.Second), at(-10*time.Second)))
	o.refused(cli.ExitConflict, "contradiction",
		fmt.Sprintf("notice confirm %s bus --received %s --note again", id, at(-15*time.Second)))
	o.refused(cli.ExitNotFound, "notice_unknown", "notice show nothing")
	o.does("hrss", "notice show "+id)
}

func (o *office) statusPage(t *testing.T, account string) {
	t.Helper()
	page := o.does("lost, all applications", "card status -", cardA)
	for _, want := range []string{"LIST OF FROZEN CARDS", "IN FORCE", "NOTICES", "bus", "hrss",
		"effective",
		"1 of 2 gates (50.0 %)", "BEHIND", "GATE02", "ACCOUNT " + account, "chip, reported_lost"} {
		if !strings.Contains(page, want) {
			t.Errorf("want %q in\n%s", want, page)
		}
	}
	var j struct {
		Token string
		Desk  inForce
	}
	o.asks(&j, "card status --token "+o.account(account).Carriers[0].Token)
	if j.Desk.Entry == nil || j.Desk.Entry.Reason != "lost" || j.Desk.Gates.Total != 2 ||
		j.Token != j.Desk.Token {
		t.Errorf("%+v", j)
	}
	o.does("1/2", "freezes")
	o.does("1 losses reported at desks", "freezes")
	o.does("1 cards are frozen in all", "freezes")
	o.does("1 of 2 gates", "coverage")
}

func (o *office) receipts(t *testing.T, account string) {
	t.Helper()
	keys, saved := o.keys(), t.TempDir()+"/receipt.json"
	o.does("not checked", fmt.Sprintf("receipt %s 1 --save %s", account, saved))
	o.does("genuine, signed with agency-1", fmt.Sprintf("receipt --file %s --verify --keys %s",
		saved, keys))
	text, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	forged := o.file("forged.json", strings.Replace(string(text), `"lost"`, `"risk"`, 1))
	o.refused(cli.ExitFailed, "NOT genuine", fmt.Sprintf("receipt --file %s --verify --keys %s",
		forged, keys))
	if out := o.does("", fmt.Sprintf("receipt --file %s -o json",
		saved)); strings.TrimSpace(out) != strings.TrimSpace(string(text)) {
		t.Error("the receipt is not printed as it was signed")
	}
	o.refused(cli.ExitNotFound, "loss_unknown", "receipt "+account+" 7")
}
