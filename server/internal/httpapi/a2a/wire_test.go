package a2a

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

// FuzzCamel: what is written once like taskId stays as it is, and says what its members
// said; what is the sender's own keeps every byte's meaning.
func FuzzCamel(f *testing.F) {
	f.Add([]byte(`{"message_id":"a","parts":[{"media_type":"x","data":{"a_b":1}}],"metadata":{"c_d":9007199254740993}}`))
	f.Add([]byte(`[1.5e300, null, {"": {"_": 0}}]`))
	f.Add([]byte(`{"taskId":1,"task_id":2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if checkBody(raw) != nil {
			return
		}
		once, err := camel(raw)
		if err != nil {
			return
		}
		again, err := camel(once)
		if err != nil || !bytes.Equal(once, again) {
			t.Fatalf("%s becomes %s, and that %s, %v", raw, once, again, err)
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(raw, &before) != nil || json.Unmarshal(once, &after) != nil {
			return
		}
		for _, own := range []string{"metadata", "data"} {
			var was, is bytes.Buffer
			if before[own] == nil {
				continue
			}
			if json.Compact(&was, before[own]) != nil || json.Compact(&is, after[own]) != nil || !bytes.Equal(was.Bytes(), is.Bytes()) {
				t.Errorf("%s: %s became %s", own, &was, &is)
			}
		}
	})
}

func TestNamesMayBeWrittenInTwoWays(t *testing.T) {
	t.Parallel()
	var p sendParams
	err := decode(json.RawMessage(`{"message":{"message_id":"m","task_id":"t~1","parts":[{"media_type":"text/plain","data":{"a_b":1}}],"metadata":{"c_d":1}},
		"configuration":{"return_immediately":true}}`), &p)
	m := p.Message
	if err != nil || m.ID != "m" || m.TaskID != "t~1" || m.Parts[0].MediaType != "text/plain" || string(m.Parts[0].Data) != `{"a_b":1}` ||
		string(m.Metadata) != `{"c_d":1}` || !p.Config.ReturnImmediately {
		t.Errorf("read as %+v, %v", m, err)
	}
	if err := decode(json.RawMessage(`{"id":"a","history_length":1,"historyLength":2}`), &taskParams{}); err == nil {
		t.Error("a member that is given in both ways is taken")
	}
}

// What is nested deep is not copied at each level. It is not parallel: it measures what
// this process sets aside.
func TestDeepDataIsReadOnce(t *testing.T) { //nolint:paralleltest // see above
	const depth, size = 500, 1 << 20
	deep := strings.Repeat(`{"a_b":`, depth) + `"` + strings.Repeat("x", size) + `"` + strings.Repeat("}", depth)
	body := json.RawMessage(`{"message":{"message_id":"m","other":` + deep + `,"parts":[{"data":` + deep + `}]}}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var p sendParams
	err := decode(body, &p)
	runtime.ReadMemStats(&after)
	if err != nil || p.Message.ID != "m" || string(p.Message.Parts[0].Data) != deep {
		t.Errorf("read as %+v, %v", p.Message.ID, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 30*size {
		t.Errorf("%d MiB are read with %d MiB", len(body)>>20, used>>20)
	}
}
