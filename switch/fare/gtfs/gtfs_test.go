package gtfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/gtfs"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// feed is a city with two kinds of buses and a metro by areas.
func feed() map[string]string {
	return map[string]string{
		"rider_categories.txt": "rider_category_id,rider_category_name,is_default_fare_category\n" +
			"adult,Adult,1\nyouth,Youth,0\nguest,Guest,0\n",
		"fare_products.txt": "\ufefffare_product_id,rider_category_id,amount,currency\n" +
			"bus,adult,2.50,USD\nbus,youth,1.25,USD\nnight,adult,4,USD\nnight,youth,2,USD\n" +
			"near,,3.00,USD\nfar,,5.50,USD\nless,,-1.00,USD\nbus,guest,2.50,USD\n",
		"routes.txt": "route_id,network_id,route_short_name,route_type\n" +
			"r1,city,10,3\nr2,city,20,3\nr3,,N1,3\nr4,metro,,1\n",
		"route_networks.txt": "network_id,route_id\nnight,r3\n",
		"stops.txt":          "stop_id,stop_name\ns1,Centre\ns2,Park\ns3,Airport\ns4,Park\n",
		"stop_areas.txt":     "area_id,stop_id\na,s1\na,s2\nb,s3\na,s4\n",
		"fare_leg_rules.txt": "leg_group_id,network_id,from_area_id,to_area_id,fare_product_id\n" +
			"bus,city,,,bus\nbus,night,,,night\nmetro,metro,a,a,near\nmetro,metro,,,far\n",
		"fare_transfer_rules.txt": "from_leg_group_id,to_leg_group_id,transfer_count,duration_limit," +
			"duration_limit_type,fare_transfer_type,fare_product_id\n" +
			"bus,bus,2,7200,1,0,\nbus,metro,,3600,2,1,less\n",
	}
}

func files(f map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range f {
		if text != "" {
			m[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return m
}

var options = gtfs.Options{Tariff: "city", Version: "1", From: 20260101, UTCOffset: -5 * time.Hour,
	Riders: map[string]string{"youth": "student"}}

// The tariff of a feed survives its file, and charges what the feed says.
func TestImport(t *testing.T) {
	f, notes, err := gtfs.Import(files(feed()), options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := tariff.Write(f)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := tariff.Compile(tariff.Source{Name: "x", Text: text})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var s price.State
	at := txn.Millis(1_788_235_200_000)
	for i, c := range []struct {
		tap  price.Tap
		want txn.Minor
	}{
		{price.Tap{Line: price.NameOf("10")}, 250},
		{price.Tap{Line: price.NameOf("N1")}, 0},
		{price.Tap{Line: price.NameOf("20")}, 0},
		{price.Tap{Kind: price.Enter, Mode: price.Metro, Station: price.NameOf("Park")}, 0},
		{price.Tap{Kind: price.Exit, Mode: price.Metro, Station: price.NameOf("Centre")}, 200},
		{price.Tap{Kind: price.Enter, Mode: price.Metro, Station: price.NameOf("Park")}, 0},
		{price.Tap{Kind: price.Exit, Mode: price.Metro, Station: price.NameOf("Airport")}, 550},
		{price.Tap{Line: price.NameOf("N1"), Rider: txn.RiderStudent}, 200},
	} {
		at += 60_000
		c.tap.At = at
		if q := compiled.Price(&s, &c.tap); q.Reason != price.OK || q.Charged != c.want {
			t.Errorf("tap %d: %+v, want %d", i, q, c.want)
		}
	}
	if got := fmt.Sprint(notes); !strings.Contains(got, `rider category "guest" is left out`) ||
		!strings.Contains(got, `priced as network "city"`) {
		t.Errorf("notes %s", got)
	}
}

// Transfer rules of each type, as a discount on the second ride.
func TestTransfers(t *testing.T) {
	head := "from_leg_group_id,to_leg_group_id,transfer_count,duration_limit,duration_limit_type," +
		"fare_transfer_type,fare_product_id\n"
	one := feed()
	one["fare_leg_rules.txt"] = "leg_group_id,network_id,fare_product_id\nbus,city,bus\nbus,night,bus\n" +
		"metro,metro,near\n"
	one["fare_products.txt"] += "small,,0.50,USD\nboth,,4.00,USD\nboth,youth,2.75,USD\n"
	for rule, want := range map[string]string{
		"bus,metro,,3600,2,0,small": "off 250 legs 0 from last_exit",
		"bus,metro,,3600,0,2,both":  "off 150 legs 2 from last_entry",
		"bus,bus,-1,3600,3,2,bus":   "pays 0% legs 0 from last_exit",
		",,1,,,1,":                  "off 0 legs 2 from ",
	} {
		one["fare_transfer_rules.txt"] = head + rule + "\n"
		f, _, err := gtfs.Import(files(one), options)
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		e := f.Transfers[0]
		got := fmt.Sprintf("legs %d from %s", e.Legs, e.Measured)
		if e.Off != nil {
			got = fmt.Sprintf("off %d %s", *e.Off, got)
		} else {
			got = fmt.Sprintf("pays %s %s", *e.Pays, got)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
}

// What riders pay for a transfer is what the feed says for each category, or refused.
func TestTransfersOfRiders(t *testing.T) {
	f := feed()
	f["fare_leg_rules.txt"] = "leg_group_id,network_id,fare_product_id\nbus,city,bus\nbus,night,bus\n" +
		"metro,metro,near\n"
	f["fare_products.txt"] += "near,youth,1.50,USD\nsmall,adult,0.75,USD\nsmall,youth,0.375,USD\n"
	f["fare_products.txt"] = strings.ReplaceAll(f["fare_products.txt"], "USD", "KWD")
	f["fare_transfer_rules.txt"] = "from_leg_group_id,to_leg_group_id,fare_transfer_type,fare_product_id\n" +
		"bus,metro,0,small\n"
	file, _, err := gtfs.Import(files(f), options)
	if err != nil || file.Transfers[0].Off != nil || file.Transfers[0].Pays.String() != "25%" {
		t.Errorf("a share: %v, %+v", err, file)
	}
	f["fare_products.txt"] = strings.Replace(f["fare_products.txt"], "small,youth,0.375", "small,youth,0.75", 1)
	if _, _, err := gtfs.Import(files(f), options); err == nil || !strings.Contains(err.Error(),
		"fare_transfer_rules.txt:2: rider categories pay another price") {
		t.Errorf("%v", err)
	}
	plain := options
	plain.Riders = nil
	if file, _, err := gtfs.Import(files(f), plain); err != nil || *file.Transfers[0].Off != 2250 {
		t.Errorf("without riders: %v", err)
	}
}

// A rider category pays less only where the feed says so.
func TestRidersByMode(t *testing.T) {
	file, _, err := gtfs.Import(files(feed()), options)
	if err != nil || len(file.Riders) != 1 || fmt.Sprint(file.Riders[0].Modes) != "[bus]" ||
		file.Riders[0].Pays.String() != "50%" {
		t.Errorf("%v, %+v", err, file)
	}
}

// Networks with areas of their own need no fare to those of the others.
func TestAreasOfNetworks(t *testing.T) {
	f := feed()
	f["stops.txt"] += "s5,Pier\ns6,Lane\n"
	f["stop_areas.txt"] += "c,s5\n"
	f["fare_leg_rules.txt"] = "leg_group_id,network_id,from_area_id,to_area_id,fare_product_id\n" +
		"bus,city,c,c,bus\nbus,night,,,night\nmetro,metro,a,a,near\nmetro,metro,a,b,far\n" +
		"metro,metro,b,a,far\nmetro,metro,b,b,near\n"
	f["fare_transfer_rules.txt"] = ""
	f["agency.txt"] = "agency_timezone\nAmerica/New_York\nNowhere\n"
	file, notes, err := gtfs.Import(files(f), options)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, e := range file.Fares {
		if e.Matrix != nil {
			got += fmt.Sprint(e.Name, e.Matrix.Stations)
		}
	}
	if all := fmt.Sprint(notes); got != "city[Pier]metro[Airport Centre Park]" ||
		!strings.Contains(all, `"city": 3 stations`) || !strings.Contains(all, `as "Lane"`) ||
		!strings.Contains(all, `time zone "Nowhere" is not known`) {
		t.Errorf("%s, notes %s", got, all)
	}
}

func TestRefusedFeeds(t *testing.T) {
	for _, c := range []struct{ file, old, new, want string }{
		{"fare_products.txt", "night,adult,4,USD", "night,adult,4,CAD", "fare_products.txt:4: currency CAD beside"},
		{"fare_products.txt", "4,USD", "4.005,USD", "more decimals than USD"},
		{"fare_products.txt", "4,USD", "four,USD", "is no number"},
		{"fare_products.txt", "4,USD\n", "4,USD\nnight,adult,5,USD\n", "by fare medium"},
		{"fare_products.txt", "night,adult,4,USD\n", "", "no amount for the default"},
		{"fare_products.txt", "night,youth,2,", "night,youth,3,", "a tariff has one share"},
		{"fare_products.txt", "bus,youth,1.25", "bus,youth,1.23", "share"},
		{"routes.txt", ",1\n", ",7\n", `routes.txt:5: route type "7"`},
		{"routes.txt", "r2,city,20,3", "r2,city,20,1", `network "city" has routes of bus and of metro`},
		{"stop_areas.txt", "b,s3", "b,s9", `stop_areas.txt:4: stop "s9" has no name`},
		{"stop_areas.txt", "b,s3", "b,s3,x", "stop_areas.txt"},
		{"fare_leg_rules.txt", "metro,metro,,,far\n", "", "leaves a gap: no rule from Airport to Airport"},
		{"fare_leg_rules.txt", "a,a,near\n", "a,a,near\nmetro,metro,a,a,far\n", "contradicts another rule"},
		{"fare_leg_rules.txt", "metro,metro,,,far", "metro,metro,,,fast", `product "fast" is not in`},
		{"fare_leg_rules.txt", "bus,city,", "bus,town,", `network "town" has no route`},
		{"fare_leg_rules.txt", "bus,night,,,night\n", "", `leaves a gap: network "night" has no rule`},
		{"fare_leg_rules.txt", "leg_group_id,network_id,from_area_id",
			"leg_group_id,network_id,from_timeframe_group_id", "by time of day"},
		{"fare_leg_rules.txt", "leg_group_id,network_id,from_area_id",
			"leg_group_id,network_id,rule_priority", "rule priorities"},
		{"fare_leg_rules.txt", "bus,night", "late,night", `"bus" and "late" are both bus`},
		{"fare_products.txt", "far,,5.50", "far,,-5.50", "product far costs less than nothing"},
		{"fare_products.txt", "night,adult,4", "night,adult,0", "share"},
		{"agency.txt", "", "agency_timezone\nAsia/Tokyo\n", "agency.txt:2: Asia/Tokyo is 9h0m0s ahead"},
		{"fare_leg_join_rules.txt", "", "from_network_id,to_network_id\ncity,metro\n", "fare_leg_join_rules.txt:2"},
		{"fare_transfer_rules.txt", "bus,bus,2", "tram,bus,2", `leg group "tram" has no rule`},
		{"fare_transfer_rules.txt", "bus,bus,2", "bus,bus,8", "transfer_count"},
		{"fare_transfer_rules.txt", "7200,1", "soon,1", "no number of seconds"},
		{"fare_transfer_rules.txt", "7200,1", "7200,4", `duration_limit_type "4"`},
		{"fare_transfer_rules.txt", "1,less", "1,far", "cannot be said"},
		{"fare_transfer_rules.txt", "1,less", "1,none", `product "none"`},
		{"fare_transfer_rules.txt", "1,less", "2,far", "cannot be said"},
	} {
		f := feed()
		if !strings.Contains(f[c.file], c.old) {
			t.Fatalf("%s has no %q", c.file, c.old)
		}
		f[c.file] = strings.Replace(f[c.file], c.old, c.new, 1)
		if _, _, err := gtfs.Import(files(f), options); !errors.Is(err, gtfs.ErrFeed) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
	for _, name := range []string{"fare_products.txt", "routes.txt", "fare_leg_rules.txt"} {
		f := feed()
		f[name] = ""
		if _, _, err := gtfs.Import(files(f), options); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	unnamed := options
	unnamed.Version = ""
	if _, _, err := gtfs.Import(files(feed()), unnamed); !errors.Is(err, price.ErrTariff) {
		t.Errorf("%v", err)
	}
}
