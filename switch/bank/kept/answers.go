package kept

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// AnswerKeep is how long a long answer is kept: repeats come within minutes.
const AnswerKeep = 48 * time.Hour

// sweepMax bounds one removal of old answers.
const sweepMax = time.Minute

const (
	answerPrefix = "bank/answer/"
	answerHour   = "2006010215"
)

// Answers are the long answers in the registry.
type Answers struct {
	Registry store.Registry
	Log      *slog.Logger

	mu    sync.Mutex // guards the field below
	swept string     // the hour in which old ones were last removed
}

// AnswerKey is where the long answer to a transaction stands that was taken up at an instant.
func AnswerKey(at txn.Millis, id txn.RequestID) string {
	return answerPrefix + at.Time().UTC().Format(answerHour) + "/" + id.String()
}

// Put writes what stands under a key.
func (a *Answers) Put(ctx context.Context, key string, sealed []byte) error {
	_, version, err := a.Registry.Get(ctx, key)
	if err != nil {
		return err
	}
	return a.Registry.Put(ctx, key, sealed, version)
}

// Sweep removes what is too old, once an hour.
func (a *Answers) Sweep(now txn.Millis) {
	hour := now.Time().UTC().Format(answerHour)
	a.mu.Lock()
	done := a.swept == hour
	a.swept = hour
	a.mu.Unlock()
	if done {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), sweepMax)
	defer cancel()
	oldest := answerPrefix + now.Time().Add(-AnswerKeep).UTC().Format(answerHour)
	keys, err := a.Registry.Keys(ctx, answerPrefix)
	for _, key := range keys {
		if err != nil || key >= oldest {
			break
		}
		var version uint64
		if _, version, err = a.Registry.Get(ctx, key); err == nil {
			err = a.Registry.Put(ctx, key, nil, version)
		}
	}
	if err != nil {
		a.Log.Warn("old answers of banks are not removed", "error", err)
	}
}
