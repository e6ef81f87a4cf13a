package desk

import (
	"slices"
	"strconv"
	"strings"
)

// fieldsOf are the columns of a list of people, and where the gate wants each in the step.
var fieldsOf = map[string]string{
	"card": "carrier.token", "kind": "carrier.kind", "family": "carrier.family", "issuer": "carrier.issuer",
	"ready": "carrier.ready", "existing": "carrier.existing", "checked": "checked",
	"rider": "rider.category", "rider_source": "rider.source", "rider_until": "rider.until",
	"expires_on": "expires_on", "apps": "functions", "id_kind": "who.id", "actor": "who.actor",
	"channel": "who.channel",
}

// columns are those that stand elsewhere in the call.
func columns() []string { return []string{"holder", "holder_kind", "outlet", "id", "made"} }

// printedKinds are the columns of other printed numbers.
func printedKinds() []string { return []string{"social_security", "serial", "bank_card"} }

func known(name string) bool {
	_, ok := fieldsOf[name]
	return ok || slices.Contains(columns(), name) || slices.Contains(printedKinds(), name)
}

// person makes the call of one line. What is wrong is told by the column's name, never by
// what stands in it.
func (b *bulk) person(line int, values map[string]string) person {
	p := person{line: line, masked: masked(values["card"]), keys: keysOf(values["holder"],
		values["card"])}
	if values["holder"] == "" || values["card"] == "" {
		p.bad = "holder or card is missing"
		return p
	}
	with := map[string]any{"who": b.who.fields(), "carrier": b.carrier.fields(""),
		"checked": b.checked}
	body := map[string]any{"with": with}
	var others []any
	for name, text := range values {
		if text == "" {
			continue
		}
		field, inStep := fieldsOf[name]
		switch {
		case slices.Contains(printedKinds(), name):
			others = append(others, map[string]any{"kind": name, "value": text})
			p.keys = append(p.keys, name+" "+text)
		case !inStep:
			body[name] = text
		default:
			value, ok := cell(name, text)
			if !ok || put(with, field, value) != nil {
				p.bad = name + ": want true or false"
				return p
			}
		}
	}
	if len(others) > 0 {
		with["numbers"] = others
	}
	p.body = body
	return p
}

// cell reads what stands in a column.
func cell(name, text string) (any, bool) {
	switch name {
	case "ready", "existing", "checked":
		value, err := strconv.ParseBool(text)
		return value, err == nil
	case "apps":
		return strings.Fields(text), true
	case "card":
		return strings.ReplaceAll(text, " ", ""), true
	default:
		return text, true
	}
}

// masked shows the last digits of a card, so that a clerk finds the line again.
func masked(number string) string {
	number = strings.ReplaceAll(number, " ", "")
	if isToken(number) || len(number) < 8 {
		return ""
	}
	return "****" + number[len(number)-4:]
}

// keysOf names a person's paper and card, to find who stands twice in a list. The first word is
// the column.
func keysOf(holder, card string) []string {
	return []string{"holder " + holder, "card " + strings.ReplaceAll(card, " ", "")}
}

// numberKeys are the keys of printed numbers in a step.
func numberKeys(with map[string]any) (keys []string) {
	all, _ := with["numbers"].([]any)
	for _, n := range all {
		number, _ := n.(map[string]any)
		kind, _ := number["kind"].(string)
		value, _ := number["value"].(string)
		keys = append(keys, kind+" "+value)
	}
	return keys
}
