package flat

import (
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ParseTime reads an RFC 3339 instant with offset, upper case, to the millisecond: finer
// digits are cut off. Leap seconds are refused, as time.Parse refuses them, and so are years
// before 1970.
func ParseTime(b []byte) (txn.Millis, bool) {
	const shape = "2006-01-02T15:04:05"
	if len(b) < len(shape)+1 || !separated(b) {
		return 0, false
	}
	year, ok1 := twoDigits(b[0:])
	century, ok2 := twoDigits(b[2:])
	month, ok3 := twoDigits(b[5:])
	day, ok4 := twoDigits(b[8:])
	hour, ok5 := twoDigits(b[11:])
	minute, ok6 := twoDigits(b[14:])
	second, ok7 := twoDigits(b[17:])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) {
		return 0, false
	}
	year = year*100 + century
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	ms, rest, ok := parseFraction(b[len(shape):])
	if !ok {
		return 0, false
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return 0, false
	}
	seconds := int64(daysFromCivil(year, month, day))*86400 +
		int64(hour*3600+minute*60+second) - int64(offset)
	return txn.Millis(seconds*1000 + int64(ms)), true
}

// separated checks the signs between the digits.
func separated(b []byte) bool {
	return b[4] == '-' && b[7] == '-' && b[10] == 'T' && b[13] == ':' && b[16] == ':'
}

func twoDigits(b []byte) (int, bool) {
	if !isDigit(b[0]) || !isDigit(b[1]) {
		return 0, false
	}
	return int(b[0]-'0')*10 + int(b[1]-'0'), true
}

// parseFraction reads up to nine digits after a point, if there is one.
func parseFraction(b []byte) (ms int, rest []byte, ok bool) {
	if b[0] != '.' {
		return 0, b, true
	}
	n := 1
	for scale := 100; n < len(b) && isDigit(b[n]); n, scale = n+1, scale/10 {
		ms += int(b[n]-'0') * scale
	}
	return ms, b[n:], n > 1 && n <= 10
}

// parseOffset reads Z or ±hh:mm to the end, in seconds east of UTC.
func parseOffset(b []byte) (seconds int, ok bool) {
	if len(b) == 1 && b[0] == 'Z' {
		return 0, true
	}
	if len(b) != len("+08:00") || b[3] != ':' || b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	h, ok1 := twoDigits(b[1:])
	m, ok2 := twoDigits(b[4:])
	if !ok1 || !ok2 || h > 23 || m > 59 {
		return 0, false
	}
	seconds = h*3600 + m*60
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// daysFromCivil counts the days from 1970-01-01 in the proleptic Gregorian calendar: with
// the year beginning in March, the leap day comes last and the months repeat in fives.
func daysFromCivil(year, month, day int) int {
	if month <= 2 {
		year--
		month += 12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 719469
}
