package edge

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"net/http"
)

// WriteList answers 200 and a list, item after item, so that nobody holds it: the
// items in JSON between a beginning and an end. An error of the items, which comes too
// late to be answered, cuts the connection: half a list must not be taken for whole.
func WriteList(ctx context.Context, w http.ResponseWriter, log *slog.Logger, begin, end string, items iter.Seq2[any, error]) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	between := begin
	for item, err := range items {
		var text []byte
		if err == nil {
			text, err = json.Marshal(item)
		}
		if err != nil {
			log.ErrorContext(ctx, "an answer broke off", "request_id", RequestID(ctx), "error", err)
			Cut()
		}
		if _, err := w.Write(append([]byte(between), text...)); err != nil {
			return // the reader has gone
		}
		between = ","
	}
	if between != begin {
		begin = ""
	}
	_, _ = w.Write([]byte(begin + end)) // a client that has gone away learns nothing more
}
