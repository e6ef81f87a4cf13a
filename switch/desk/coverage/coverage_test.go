package coverage

import (
	"encoding/json"
	"testing"
)

// The answer of the API is read by its names; what a reader does not know is passed over.
func TestAnswerIsRead(t *testing.T) {
	const answer = `{"epoch":7,"published_at":"2026-03-01T09:00:00+08:00","confirmed_at":null,"covered":3,
 "total":5,"share":0.6,"operators":[{"name":"metro","covered":1,"total":2}],"lines":[],
 "behind":[{"device":{"terminal":"G4","operator":"metro","line":"1","station":"East"},"epoch":6,
 "seen":"2026-03-01T08:00:00+08:00"}],"more_behind":1}`
	var c Coverage
	if err := json.Unmarshal([]byte(answer), &c); err != nil {
		t.Fatal(err)
	}
	if c.Epoch != 7 || c.PublishedAt == nil || c.ConfirmedAt != nil || c.Missing() != 2 || c.More != 1 ||
		len(c.Operators) != 1 || c.Operators[0] != (Part{"metro", 1, 2}) || len(c.Behind) != 1 ||
		c.Behind[0].Device.Station != "East" || c.Behind[0].Epoch != 6 || c.Behind[0].Seen == nil {
		t.Errorf("%+v", c)
	}
}
