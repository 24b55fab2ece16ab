package responses

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/errand-dev/errand/server/internal/fault"
)

// reference is what the id of a response stands for: a turn of a task, and how often that
// had waited for people before.
type reference struct {
	task string
	turn int
	part int
}

const responsePrefix, conversationPrefix = "resp_", "conv_"

// String is the id.
func (x reference) String() string {
	id := fmt.Sprintf("%s%s_%d", responsePrefix, x.task, x.turn)
	if x.part > 0 {
		id += "." + strconv.Itoa(x.part)
	}
	return id
}

// before is the id of the response before, nil for none; of a turn before it is the first.
func (x reference) before() *string {
	switch {
	case x.part > 0:
		x.part--
	case x.turn > 1:
		x.turn--
	default:
		return nil
	}
	id := x.String()
	return &id
}

// parseReference reads the id of a response.
func parseReference(id string) (reference, error) {
	rest, is := strings.CutPrefix(id, responsePrefix)
	at := strings.LastIndexByte(rest, '_')
	if !is || at < 1 {
		return reference{}, noResponse(id)
	}
	turn, part, _ := strings.Cut(rest[at+1:], ".")
	x := reference{task: rest[:at]}
	var err error
	if x.turn, err = strconv.Atoi(turn); err == nil && part != "" {
		x.part, err = strconv.Atoi(part)
	}
	if err != nil || x.turn < 1 || x.part == allParts || x.String() != id {
		return reference{}, noResponse(id)
	}
	return x, nil
}

func noResponse(id string) error { return fault.New(fault.NotFound, "no response %q", id) }

// callSeparator parts the turn that has left a call open from the call's own id.
const callSeparator = "/"

// callID is the id of a call that the turn has left open: whoever answers it need not say
// which response it is of.
func (x reference) callID(call string) string { return x.String() + callSeparator + call }

// parseCallID reads it.
func parseCallID(id string) (of reference, call string, err error) {
	response, call, is := strings.Cut(id, callSeparator)
	if !is {
		return reference{}, "", fault.New(fault.NotFound, "no response has left a call %q open", id)
	}
	of, err = parseReference(response)
	return of, call, err
}

// itemID is the id of an item that begins with an event.
func (x reference) itemID(kind string, seq int64) string {
	return fmt.Sprintf("%s_%s_%d", kind, x.task, seq)
}

// parseItemID finds the task and the event of an item.
func parseItemID(id string) (taskID string, seq int64, is bool) {
	_, rest, _ := strings.Cut(id, "_")
	at := strings.LastIndexByte(rest, '_')
	if at < 1 {
		return "", 0, false
	}
	seq, err := strconv.ParseInt(rest[at+1:], 10, 64)
	return rest[:at], seq, err == nil && seq > 0
}
