package gtfs_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/fare/gtfs"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// harbour is a feed as the specification of Fares v2 describes one: networks with names, areas,
// leg groups, rider categories, two media, and transfer rules of which one leaves a group open.
func harbour() map[string]string {
	return map[string]string{
		"agency.txt":           "agency_id,agency_name,agency_timezone\nh,Harbour Transit,Asia/Shanghai\n",
		"networks.txt":         "network_id,network_name\nstreet,Street\nwater,Water\nrail,Rail\n",
		"areas.txt":            "area_id,area_name\ninner,Inner\nouter,Outer\n",
		"fare_media.txt":       "fare_media_id,fare_media_name,fare_media_type\ncard,Card,2\napp,App,4\n",
		"rider_categories.txt": "rider_category_id,rider_category_name,is_default_fare_category\nadult,Adult,1\npupil,Pupil,\n",
		"fare_products.txt": "fare_product_id,fare_product_name,rider_category_id,fare_media_id,amount,currency\n" +
			"single,Single,adult,card,2.50,CNY\nsingle,Single,adult,app,2.50,CNY\nsingle,Single,pupil,card,1.25,CNY\n" +
			"tram,Tram,,card,3.00,CNY\nboat,Boat,,card,6.00,CNY\nless,Less,,card,-1.00,CNY\n" +
			"in,In,,card,2.00,CNY\nout,Out,,card,4.00,CNY\n",
		"routes.txt":         "route_id,route_short_name,route_type\nb1,1,3\nt1,T,0\nf1,F,4\nm1,M,1\n",
		"route_networks.txt": "network_id,route_id\nstreet,b1\ntramway,t1\nwater,f1\nrail,m1\n",
		"stops.txt":          "stop_id,stop_name,parent_station\np,Pier,\nq,Quay,\nz,Hill,\nz1,Hill platform 1,z\n",
		"stop_areas.txt":     "area_id,stop_id\ninner,p\ninner,q\nouter,z\n",
		"fare_leg_rules.txt": "leg_group_id,network_id,from_area_id,to_area_id,fare_product_id\n" +
			"bus,street,,,single\ntram,tramway,,,tram\nferry,water,,,boat\n" +
			"rail,rail,inner,inner,in\nrail,rail,inner,outer,out\nrail,rail,outer,inner,out\nrail,rail,outer,outer,in\n",
		"fare_transfer_rules.txt": "from_leg_group_id,to_leg_group_id,transfer_count,duration_limit," +
			"duration_limit_type,fare_transfer_type,fare_product_id\n" +
			"bus,bus,2,7200,1,0,\n,ferry,,3600,2,1,less\n",
	}
}

// fare prices taps of one card in order of their minutes and returns what each was charged.
func fare(t *testing.T, f *price.File, taps map[int]price.Tap) (charged []txn.Minor) {
	t.Helper()
	compiled, err := price.Compile(*f)
	if err != nil {
		t.Fatal(err)
	}
	var s price.State
	for minute := range 24 * 60 {
		tap, ok := taps[minute]
		if !ok {
			continue
		}
		tap.At = 1_788_220_800_000 + txn.Millis(minute)*60_000
		q := compiled.Price(&s, &tap)
		if q.Reason != price.OK {
			t.Fatalf("minute %d: %v", minute, q.Reason)
		}
		charged = append(charged, q.Charged)
	}
	return charged
}

// What a feed says is what rides cost: a transfer rule without a leg group is for the groups that
// no rule names there, counts and limits hold to the ride and the minute.
func TestForeignFeed(t *testing.T) {
	o := options
	o.UTCOffset, o.Riders = 8*3600e9, map[string]string{"pupil": "student"}
	f, notes, err := gtfs.Import(files(harbour()), o)
	if err != nil {
		t.Fatal(err)
	}
	tram, boat := price.Tap{Mode: price.Tram}, price.Tap{Mode: price.Ferry}
	pupil := price.Tap{Rider: txn.RiderStudent}
	at := func(kind price.Kind, station string) price.Tap {
		return price.Tap{Kind: kind, Mode: price.Metro, Station: price.NameOf(station)}
	}
	for name, c := range map[string]struct {
		taps map[int]price.Tap
		want string
	}{
		"three buses, and a fourth": {map[int]price.Tap{0: {}, 30: {}, 60: {}, 90: {}}, "[250 0 0 250]"},
		"a bus after two hours":     {map[int]price.Tap{0: {}, 121: {}}, "[250 250]"},
		"a tram, then a boat":       {map[int]price.Tap{0: tram, 59: boat}, "[300 500]"},
		"too late for the boat":     {map[int]price.Tap{0: tram, 61: boat}, "[300 600]"},
		"a bus, then a boat":        {map[int]price.Tap{0: {}, 10: boat}, "[250 600]"},
		"pupils":                    {map[int]price.Tap{0: pupil, 200: pupil}, "[125 125]"},
		"areas": {map[int]price.Tap{0: at(price.Enter, "Pier"), 9: at(price.Exit, "Quay"), 20: at(price.Enter, "Quay"),
			40: at(price.Exit, "Hill")}, "[0 200 0 400]"},
		"a platform": {map[int]price.Tap{0: at(price.Enter, "Pier"), 9: at(price.Exit, "Hill platform 1")}, "[0 400]"},
	} {
		if got := fmt.Sprint(fare(t, f, c.taps)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	all := fmt.Sprint(notes)
	for _, want := range []string{`fare medium "card"`, `fare medium "app"`} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in %s", want, all)
		}
	}
}

// What a tariff cannot say is refused with the file and line, or named in a note.
func TestForeignFeedSaysWhatItCannot(t *testing.T) {
	o := options
	o.UTCOffset, o.Riders = 8*3600e9, map[string]string{"pupil": "student"}
	for _, c := range []struct{ file, old, new, refused, noted string }{
		{"fare_leg_rules.txt", "rail,rail,outer,inner,out\n", "rail,rail,,,out\n", "", "4 rides, as Hill to Pier"},
		{"fare_leg_rules.txt", "to_area_id,fare", "to_timeframe_group_id,fare", "by time of day", ""},
		{"fare_products.txt", "single,Single,adult,app,2.50", "single,Single,adult,app,2.40", "by fare medium", ""},
		{"fare_transfer_rules.txt", ",ferry,,3600,2", ",ferry,,3600,3", "", "where the next ride begins"},
		{"fare_transfer_rules.txt", ",ferry,,3600,2", ",ferry,,,", "", "no time limit"},
	} {
		feed := maps.Clone(harbour())
		if !strings.Contains(feed[c.file], c.old) {
			t.Fatalf("%s has no %q", c.file, c.old)
		}
		feed[c.file] = strings.Replace(feed[c.file], c.old, c.new, 1)
		_, notes, err := gtfs.Import(files(feed), o)
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s, %s: %v", c.file, c.new, err)
		}
		if all := fmt.Sprint(notes); err == nil && !strings.Contains(all, c.noted) {
			t.Errorf("%s, %s: no %q in %s", c.file, c.new, c.noted, all)
		}
	}
}
