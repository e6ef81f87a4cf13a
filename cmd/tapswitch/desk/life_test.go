package desk

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A release takes two persons, and the second may deny it.
func TestReleaseByTwoPersons(t *testing.T) {
	o := newOffice(t, "handan")
	account := o.enrol(holderA, cardA)
	o.does("done", "report-loss --holder -", holderA)
	o.does("a second person: tapswitch desk confirm 2 --account "+account, "release --card -",
		cardA)
	o.refused(cli.ExitConflict, "same_person: A second person must confirm\n  have a colleague",
		"confirm 2 --account "+account)
	o.refused(cli.ExitConflict, "same_person: 须由另一人复核\n  请另一位",
		"confirm 2 --lang zh --account "+account)
	o.as("han.mei", "desk_confirm")
	o.does("refused", "confirm 2 --deny --account "+account)
	o.refused(cli.ExitConflict, "case_ended", "confirm 2 --account "+account)
	o.refused(cli.ExitFailed, "role_not_permitted", "release --card -", cardA)
	o.as("li.lei", "desk")
	o.does("", "release --card - --carrier -", cardA, cardA)
	o.as("han.mei", "desk_confirm")
	o.does("completed", "confirm 3 --account "+account)
	if len(o.account(account).Restrictions) != 0 {
		t.Error("the card is still frozen")
	}
	o.does("it is not frozen", "card status -", cardA)
	o.silent()
}

// A card that is worn: a temporary credential for the time, and every step on the way.
func TestRenewal(t *testing.T) {
	o := newOffice(t, "handan")
	account := o.enrol(holderA, cardA)
	at := " --account " + account
	o.refused(cli.ExitConflict, "ground_not_allowed", "renew apply --ground lost --card -", cardA)
	o.does("renew accept 1", "renew apply --ground damaged --receive-only"+at)
	o.refused(cli.ExitConflict, "case_not_ready", "renew make 1 --new -"+at, cardB)
	o.does("renew make 1", "renew accept 1"+at)
	o.does("done", "renew send 1"+at)
	o.does("temporary", "renew temporary 1 --new -"+at, cardC)
	o.refused(cli.ExitUsage, "CASE", "renew make one"+at, cardB)
	o.does("renew issue 1", "renew make 1"+at, cardB)
	o.does("****0002", "renew issue 1"+at)
	if doc := o.account(account); len(doc.Carriers) != 1 || doc.Carriers[0].Status != "active" {
		t.Errorf("%+v", doc.Carriers)
	}
	// Refused with a written answer, and withdrawn.
	no := func() string { return fmt.Sprint(o.account(account).Cases[0].No) }
	o.does("", "renew apply --ground damaged"+at)
	o.refused(cli.ExitUsage, "paper", "renew refuse "+no()+at)
	short := o.file("short.json", `{"no":"A-1"}`)
	o.refused(cli.ExitConflict, "paper_incomplete", "renew refuse "+no()+" --paper "+short+at)
	o.refused(cli.ExitUsage, "--paper", "renew refuse "+no()+" --paper "+short+"x"+at)
	paper := o.file("paper.json", `{"no":"A-1","facts":"not worn","reasons":"HD17","remedies":"complain"}`)
	o.does("refused", "renew refuse "+no()+" --paper "+paper+at)
	o.does("", "renew apply --ground damaged"+at)
	o.does("withdrawn", "renew withdraw "+no()+at)
	o.silent()
}

// The old card of a replacement is the account's only chip card, or has to be named.
func TestOldCard(t *testing.T) {
	o := newOffice(t, "handan")
	account := o.enrol(holderA, cardA)
	o.refused(cli.ExitConflict, "not_reported", "replace apply --account "+account)
	o.does("done", "do bind_carrier --account "+account+" --set who.actor=holder --set "+
		"who.channel=agency "+
		"--set who.id=resident_id --set carrier.token=- --set carrier.kind=chip --set "+
		"carrier.family=t_union --set carrier.ready=true", cardB)
	o.does("done", "report-loss --account "+account)
	o.refused(cli.ExitUsage, "2 chip cards", "replace apply --account "+account)
	o.refused(cli.ExitUsage, "--old", "replace apply --old "+cardA+" --account "+account)
	o.does("accepted", "replace apply --old - --account "+account, cardA)
	o.silent()
}

// A cancellation says what is left, and waits for it.
func TestCancellation(t *testing.T) {
	o := newOffice(t, "handan")
	account := o.enrol(holderA, cardA)
	at := " --account " + account
	o.does("", "report-loss"+at)
	o.does("", "replace apply"+at)
	o.does("", "replace make 2 --new -"+at, cardB)
	o.does("20.00", "replace issue 2"+at)
	out := o.does("settle fees", "cancel request --card -", cardB)
	if !strings.Contains(out, "cancel complete 3") {
		t.Errorf("no next step in\n%s", out)
	}
	o.refused(cli.ExitConflict, "Related affairs are not settled: fees", "cancel complete 3"+at)
	o.refused(cli.ExitConflict, "no_reason", "cancel waive 3 --affair fees"+at)
	o.refused(cli.ExitConflict, "not_waivable", "cancel waive 3 --affair cases --why no"+at)
	o.does("done", "do pay_fee --set no=1"+at)
	o.does("closed", "cancel complete 3 --pay-at d1"+at)
	if o.tap(cardB, txn.Purchase, 100, 0) {
		t.Error("a cancelled card was taken")
	}
	o.refused(cli.ExitConflict, "account_closed", "renew apply --ground damaged"+at)
	o.does("for ever", "card status -", cardB)
	o.silent()
}

func TestSuspension(t *testing.T) {
	o := newOffice(t, "shiyan")
	o.enrol(holderA, cardA)
	line := "suspend --card - --decision 2026-17 --fault rented"
	o.refused(cli.ExitFailed, "role_not_permitted", line, cardA)
	o.as("police.wang", "authority")
	o.refused(cli.ExitConflict, "role_not_allowed", line, cardA)
	o.as("hr_social_security.wang", "authority")
	o.refused(cli.ExitConflict, "no_decision", "suspend --card -", cardA)
	o.does("suspended, social", line, cardA)
	if !o.tap(cardA, txn.Load, 100, 0) {
		t.Error("the suspension reaches another application")
	}
	o.does("restore_function: done", "restore --card - --decision 2026-31", cardA)
	o.silent()
}

func TestPreReport(t *testing.T) {
	o := newOffice(t, "zhoushan")
	o.enrol(holderA, cardA)
	o.refused(cli.ExitConflict, "no_reason", "pre-report --holder -", holderA)
	o.does("pre_reported, all applications", "pre-report --holder - --why abroad", holderA)
	if o.tap(cardA, txn.Load, 100, 0) {
		t.Error("a pre-reported card was taken")
	}
}

// Who bears what, told for one card and for each party; late parties; overdue cases.
func TestLiabilityAndLateness(t *testing.T) {
	o := newOffice(t, "handan")
	o.as("root", "admin")
	o.does("", "parties put transit --kind operator --scopes transit,purse --channel manual "+
		"--contact 'depot 4'")
	o.as("li.lei", "desk")
	account := o.enrol(holderA, cardA)
	if !o.tap(cardA, txn.Load, 5000, 0) {
		t.Fatal("the card does not work")
	}
	o.does("", "report-loss --account "+account)
	o.does("a second person", "release --account "+account+" --outlet d2 --lang en")
	o.does("no transaction", "liability "+account)
	o.pass(3 * time.Hour)
	// A gate that did not know of the freeze uploads a purchase.
	if !o.tap(cardA, txn.Purchase, 700, 10*time.Minute) {
		t.Fatal("the off-line purchase was not booked")
	}
	o.as("feng", "finance")
	o.does("entries booked", "judge")
	o.does("7.00", "liability "+account)
	o.does("7.00", "liability --report")
	o.does("7.00", "liability")
	o.refused(cli.ExitUsage, "not both", "liability --report "+account)
	o.as("li.lei", "desk")
	o.refused(cli.ExitFailed, "role_not_permitted", "judge")
	o.does("LIABILITY", "card status -", cardA)
	o.pass(72 * time.Hour)
	o.does("release", "cases --overdue --kind release --owner d2")
	o.does("none", "cases --overdue --kind complaint")
	o.refused(cli.ExitFailed, "kind_invalid", "cases --kind lost")
	o.as("song", "supervisor")
	o.does("1 release", "figures")
	o.does("none", "notices --late 30")
	o.refused(cli.ExitFailed, "late_invalid", "notices --late 0")
	o.silent()
}

// A trust flag by the body that keeps the trust file, and back.
func TestTrust(t *testing.T) {
	o := newOffice(t, "zhengzhou")
	account := o.enrol(holderA, cardA)
	at := " --account " + account
	until := o.now().Time().AddDate(0, 0, 30).Format(time.DateOnly)
	grant := "trust grant --widen 2000 --decision 2026-17 --until " + until + at
	o.refused(cli.ExitFailed, "role_not_permitted", grant)
	o.as("credit_office.wang", "authority")
	o.refused(cli.ExitConflict, "consent_missing", grant)
	o.as("li.lei", "desk")
	o.does("done", "do give_consent --set party=credit_office --set purpose=credit_incentive --set scope=transit"+at)
	o.as("credit_office.wang", "authority")
	o.does("20.00 yuan more, to "+until+", by credit_office 2026-17", grant)
	o.refused(cli.ExitConflict, "trust_stands", strings.Replace(grant, "2000", "1999", 1))
	if out := o.does("done", "trust withdraw --decision 2026-31"+at); strings.Contains(out, "trust flag") {
		t.Errorf("it still stands:\n%s", out)
	}
	o.refused(cli.ExitConflict, "trust_unknown", "trust withdraw --decision 2026-31"+at)
	o.silent()
}
