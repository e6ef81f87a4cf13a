package foreign

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A list is text in UTF-8. Its first lines are, in this order,
//
//	source,NAME
//	epoch,N            greater than that of every list before
//	made,INSTANT       RFC 3339
//	expires,INSTANT    until when the next list is due
//	cards,N            how many lines follow
//
// then one card a line: its number of 8 to 20 digits. Lines end in LF or CRLF. The proof is
// over all bytes as they are sent.

// LinesMax bounds the cards of one list.
const LinesMax = 400_000

// futureMax is how far a source's clock may be ahead of ours.
const futureMax txn.Millis = 5 * 60 * 1000

// ErrList reports a list that is not taken as a whole.
var ErrList = errors.New("foreign list")

// wanted is a list that was read.
type wanted struct {
	source        string
	epoch         uint64
	made, expires txn.Millis
	digest        string
	cards         []listed // in the order of tokens, none twice
}

// listed is a card of a list.
type listed struct {
	card  pan.Token
	last4 pan.Last4
	line  int
}

// read reads a list; bad lines are a fault of the whole list, which is the source's to mend.
func read(body []byte, t *pan.Tokenizer) (*wanted, error) {
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	const heads = 5
	if len(lines) < heads {
		return nil, fmt.Errorf("%w: want %d heading lines", ErrList, heads)
	}
	sum := sha256.Sum256(body)
	w := &wanted{digest: hex.EncodeToString(sum[:])}
	var count uint64
	for i, name := range [heads]string{"source", "epoch", "made", "expires", "cards"} {
		key, value, _ := strings.Cut(strings.TrimSpace(lines[i]), ",")
		if key != name {
			return nil, fmt.Errorf("%w: line %d: want %s", ErrList, i+1, name)
		}
		var err error
		switch name {
		case "source":
			w.source = value
		case "epoch":
			w.epoch, err = strconv.ParseUint(value, 10, 53)
		case "made":
			w.made, err = instant(value)
		case "expires":
			w.expires, err = instant(value)
		default:
			count, err = strconv.ParseUint(value, 10, 32)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %s cannot be read", ErrList, i+1, name)
		}
	}
	switch rest := lines[heads:]; {
	case uint64(len(rest)) != count:
		return nil, fmt.Errorf("%w: %d lines of cards, %d were announced", ErrList, len(rest), count)
	case len(rest) > LinesMax:
		return nil, fmt.Errorf("%w: more than %d cards", ErrList, LinesMax)
	default:
		return w, w.take(rest, heads, t)
	}
}

func instant(text string) (txn.Millis, error) {
	at, err := time.Parse(time.RFC3339, text)
	return txn.MillisOf(at), err
}

// take reads the lines of cards; numbers go no further than here.
func (w *wanted) take(lines []string, before int, t *pan.Tokenizer) error {
	w.cards = make([]listed, 0, len(lines))
	for i, text := range lines {
		n, err := pan.Parse(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("%w: line %d: no card number", ErrList, before+i+1)
		}
		w.cards = append(w.cards, listed{t.Token(n), n.Last4(), before + i + 1})
	}
	slices.SortFunc(w.cards, func(a, b listed) int { return bytes.Compare(a.card[:], b.card[:]) })
	for i := 1; i < len(w.cards); i++ {
		if w.cards[i].card == w.cards[i-1].card {
			return fmt.Errorf("%w: lines %d and %d name one card", ErrList, w.cards[i-1].line, w.cards[i].line)
		}
	}
	return nil
}

// Refusal says why a list or a line was not taken.
type Refusal string

// The refusals.
const (
	Unknown      Refusal = "source_unknown"
	ProofWrong   Refusal = "proof_wrong"
	OtherSource  Refusal = "source_other"
	EpochOld     Refusal = "epoch_old"
	EpochReused  Refusal = "epoch_reused"
	MadeInFuture Refusal = "made_in_future"
	Expired      Refusal = "list_expired"
	// The next two are of a line.
	CardHome  Refusal = "card_home"  // an account of ours bears it
	CardOther Refusal = "card_other" // it is enrolled for another institution
)

// Text returns a sentence in each language.
func (r Refusal) Text() (english, chinese string) {
	switch r {
	case Unknown:
		return "The source is not registered", "来源机构未登记"
	case ProofWrong:
		return "The list does not bear the source's proof", "名单签名或校验有误"
	case OtherSource:
		return "The list names another source", "名单属于其他来源"
	case EpochOld:
		return "A later list of the source is in force", "已有更新的名单"
	case EpochReused:
		return "Another list had this epoch", "该期号已用于另一名单"
	case MadeInFuture:
		return "The list was made in the future", "名单生成时间晚于当前时间"
	case Expired:
		return "The list has ended already", "名单已过有效期"
	case CardHome:
		return "The card is one of ours", "该卡为本地发行"
	case CardOther:
		return "The card belongs to another institution", "该卡属于其他机构"
	default:
		return string(r), string(r)
	}
}
