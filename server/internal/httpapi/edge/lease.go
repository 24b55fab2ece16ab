package edge

import (
	"bytes"
	"encoding/json"

	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// ShowsLease reports whether a JSON body shows a lease token.
func ShowsLease(body []byte) bool {
	var b struct {
		Token string `json:"lease_token"`
	}
	return json.Unmarshal(body, &b) == nil && b.Token != ""
}

// Mend makes a JSON body acceptable to CheckText and CheckNames: what no text may
// hold becomes U+FFFD, and of members of one name the last one counts, as for any
// decoder. What is no JSON is left to the decoder.
func Mend(body []byte) []byte {
	body = lifecycle.Mend(body)
	if CheckNames(body) == nil {
		return body
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var value any
	if dec.Decode(&value) != nil {
		return body
	}
	once, err := json.Marshal(value)
	if err != nil {
		return body
	}
	return once
}

// Blank makes a member of a JSON object null: what is left is for checks that do not
// look into it. What is no object is left as it is.
func Blank(body []byte, name string) []byte {
	dec := json.NewDecoder(bytes.NewReader(body))
	if begin, err := dec.Token(); err != nil || begin != json.Delim('{') {
		return body
	}
	var left []byte
	kept := 0
	for dec.More() {
		member, err := dec.Token()
		from := int(dec.InputOffset())
		var value json.RawMessage
		if err != nil || dec.Decode(&value) != nil {
			return body
		}
		if member == name {
			left = append(append(left, body[kept:from]...), ":null"...)
			kept = int(dec.InputOffset())
		}
	}
	return append(left, body[kept:]...)
}
