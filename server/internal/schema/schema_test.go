package schema

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	const order = `{"type":"object","required":["id","price"],"properties":{"id":{"type":"integer"},"price":{"type":"number","minimum":0},
		"tags":{"type":"array","items":{"type":"string","maxLength":3}}},"additionalProperties":false}`
	for name, c := range map[string]struct{ schema, result, want string }{
		"follows":            {order, `{"id":1,"price":2.5,"tags":["a"]}`, ""},
		"a large integer":    {order, `{"id":123456789012345678901234567890,"price":0}`, ""},
		"all that is wrong":  {order, `{"id":"1","price":-1,"tags":["abcd"],"x":1}`, "/id: |/price: |/tags/0: |the result: additional properties"},
		"what is missing":    {order, `{}`, "the result: missing properties 'id', 'price'"},
		"no JSON":            {order, "Here you are: {}", "the result is not JSON"},
		"more than JSON":     {order, `{"id":1,"price":1} done`, "the result is not JSON"},
		"nothing":            {order, " ", "there is no result"},
		"a name to escape":   {`{"additionalProperties":false}`, `{"a/b~":1}`, "a/b~"},
		"refers to itself":   {`{"properties":{"next":{"$ref":"#"},"v":{"type":"string"}}}`, `{"next":{"next":{"v":1}}}`, "/next/next/v: "},
		"$defs":              {`{"$ref":"#/$defs/n","$defs":{"n":{"type":"null"}}}`, `1`, "the result: "},
		"draft 7":            {`{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"n":{"type":"null"}},"$ref":"#/definitions/n"}`, `1`, "the result: "},
		"too large a number": {`{"multipleOf":3}`, `[1,{"a":-1E+99999999}]`, "over 1,000 digits: -1E+99999999"},
		"asks for nothing":   {`{}`, `1`, ""},
		"of which all fails": {`false`, `1`, "the result: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := Validate(json.RawMessage(c.schema)); err != nil {
				t.Fatal(err)
			}
			found := Check(json.RawMessage(c.schema), &c.result)
			if c.want == "" {
				if found != nil {
					t.Errorf("found %q", found)
				}
				return
			}
			all := strings.Join(found, "\n")
			for part := range strings.SplitSeq(c.want, "|") {
				if !strings.Contains(all, part) {
					t.Errorf("%q is not in %q", part, found)
				}
			}
			if strings.Contains(all, "errand.invalid") {
				t.Errorf("our own address is in %q", found)
			}
		})
	}
}

func TestCheckHasBounds(t *testing.T) {
	t.Parallel()
	many := "[" + strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("é", 1000)+`",`, 100), ",") + "]"
	found := Check(json.RawMessage(`{"items":{"enum":["`+strings.Repeat("x", 1000)+`"]}}`), &many)
	if len(found) != MaxErrors || found[MaxErrors-1] != "and 91 more" {
		t.Errorf("%d: %q", len(found), found)
	}
	for _, line := range found {
		if len(line) > maxError {
			t.Errorf("%d bytes", len(line))
		}
	}
	long := `"` + strings.Repeat("x", maxChecked) + `"`
	if found := Check(json.RawMessage(`{"type":"string"}`), &long); len(found) != 1 || !strings.Contains(found[0], "too long") {
		t.Errorf("%q", found)
	}
	// Each level asks for the next one twice: 2^40 steps.
	defs := []string{`"l40":{"type":"string"}`}
	for i := range 40 {
		defs = append(defs, fmt.Sprintf(`"l%d":{"allOf":[{"$ref":"#/$defs/l%d"},{"$ref":"#/$defs/l%d"}]}`, i, i+1, i+1))
	}
	text := `"x"`
	if found := Check(json.RawMessage(`{"$ref":"#/$defs/l0","$defs":{`+strings.Join(defs, ",")+`}}`), &text); len(found) != 1 || found[0] != errLong.Error() {
		t.Errorf("%q", found)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"type":"strnig"}`:                           "/type",
		`{"properties":[]}`:                           "/properties",
		`{"pattern":"(?=x)"}`:                         "/pattern: ",
		`{"patternProperties":{"a{1,2000}":{}}}`:      "RE2",
		`{"$ref":"https://example.com/s.json"}`:       "it refers to https://example.com/s.json",
		`{"$ref":"file:///etc/hostname"}`:             "it refers to file:///etc/hostname",
		`{"$ref":"#/$defs/none"}`:                     "none",
		`{"$schema":"https://example.com/of-my-own"}`: "https://example.com/of-my-own",
		`{"maximum":1e-99999999}`:                     "over 1,000 digits",
		`{`:                                           "is not JSON",
	} {
		if err := Validate(json.RawMessage(schema)); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "errand.invalid") {
			t.Errorf("%s: %v, want %q", schema, err, want)
		}
	}
	if err := Validate(json.RawMessage(`{"$schema":"https://json-schema.org/draft/2019-09/schema","type":"object"}`)); err != nil {
		t.Error(err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"$ref":"#"}}}`, `{"a":{"a":1}}`)
	f.Add(`{"$dynamicRef":"#x","$dynamicAnchor":"x","items":{"$dynamicRef":"#x"}}`, `[[1]]`)
	f.Add(`{"multipleOf":1e-300,"unevaluatedProperties":false}`, `1e300`)
	f.Fuzz(func(t *testing.T, schema, result string) {
		found := Check(json.RawMessage(schema), &result)
		if len(found) > MaxErrors {
			t.Errorf("%d", len(found))
		}
	})
}
