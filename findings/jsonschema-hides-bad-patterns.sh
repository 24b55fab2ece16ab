#!/usr/bin/env bash
# github.com/santhosh-tekuri/jsonschema/v6 v6.0.3: a schema whose pattern Go's regexp
# cannot read is refused when it is compiled, and there is an exported error for that,
# *InvalidRegexError, with the place and the expression. But the compiler holds the
# schema against its metaschema first, whose format "regex" refuses the pattern: what
# arrives is a *SchemaValidationError, which unwraps to nothing. errors.As never finds
# an *InvalidRegexError in it; the reason stands in the Err field, as a
# *ValidationError whose innermost causes say it in words only. Whoever wants to tell
# a user that patterns are RE2 has to open that field, and to look for the place.
#
# Seen for draft 2020-12 and draft-07, with the pattern (?=x), which is valid in the
# regular expressions of ECMA-262 that JSON Schema recommends.
#
# Needs Go and the module proxy. Exits 0 while the behaviour is as described.
set -euo pipefail
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
cd "$tmp"
export GOWORK=off GOFLAGS=-mod=mod GOMODCACHE="$tmp/cache"
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/santhosh-tekuri/jsonschema/v6 v6.0.3
MOD
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func main() {
	for _, draft := range []string{"https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(`{"$schema": "` + draft + `", "pattern": "(?=x)"}`))
		if err != nil {
			panic(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("https://example.com/schema", doc); err != nil {
			panic(err)
		}
		_, err = c.Compile("https://example.com/schema")
		var pattern *jsonschema.InvalidRegexError
		var schema *jsonschema.SchemaValidationError
		var inside *jsonschema.ValidationError
		isPattern, isSchema := errors.As(err, &pattern), errors.As(err, &schema)
		unwrapped := errors.As(err, &inside)
		held := isSchema && errors.As(schema.Err, &inside)
		fmt.Printf("%s\n  InvalidRegexError %v, SchemaValidationError %v, ValidationError in its chain %v, in its field %v\n",
			draft, isPattern, isSchema, unwrapped, held)
		if isPattern || !isSchema || unwrapped || !held {
			fmt.Println("the behaviour has changed")
			os.Exit(1)
		}
	}
}
GO
go run .
