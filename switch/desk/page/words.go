package page

import (
	"encoding/json"
	"fmt"
)

// readWords reads the texts of the pages. A key with a point is a stable word of the API
// behind its kind.
func readWords() (map[string]Name, error) {
	text, err := assets.ReadFile("assets/words.json")
	if err != nil {
		return nil, fmt.Errorf("page: texts: %w", err)
	}
	words := map[string]Name{}
	if err := json.Unmarshal(text, &words); err != nil {
		return nil, fmt.Errorf("page: texts: %w", err)
	}
	return words, nil
}
