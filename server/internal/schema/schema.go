// Package schema holds results against the JSON Schemas that users give for them
// (draft 2020-12, or the one that a schema's $schema names). Both are hostile: a schema
// cannot have anything read from elsewhere, and a check that would go on for long is
// given up.
package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

const (
	// MaxErrors is how many things a Check tells at most.
	MaxErrors = 10
	// maxError is how many bytes each of them has at most.
	maxError = 300
	// maxChecked is the longest result that is checked, in bytes.
	maxChecked = 4 << 20
	// maxSteps is how often one check may hold a part of a schema against a part of a
	// result: seconds of work.
	maxSteps = 2_000_000
)

// base is where a schema counts as being from, so that what it refers to by a relative
// address is nowhere. It is left out of every message.
const base = "https://errand.invalid/output_schema"

// Validate returns why a schema cannot be used, in words for who gave it, nil if it can.
func Validate(raw json.RawMessage) error {
	_, err := compile(raw)
	return err
}

// Check returns what in a result, which is to be JSON, does not follow a schema, nil
// for nothing: at most MaxErrors, in words for whoever is to repair it. Each begins with
// where it is, as a JSON pointer. A schema that Validate refuses asks for nothing.
func Check(raw json.RawMessage, result *string) []string {
	if result == nil || strings.TrimSpace(*result) == "" {
		if Validate(raw) != nil {
			return nil
		}
		return []string{"there is no result: it must be JSON that follows output_schema"}
	}
	return check(raw, *result, "the result")
}

// CheckInput returns in the same way what in the arguments of a tool does not follow the
// schema of its input.
func CheckInput(raw json.RawMessage, arguments string) []string {
	return check(raw, arguments, "the input")
}

// check holds a text against a schema; what names the whole of it.
func check(raw json.RawMessage, text, what string) []string {
	s, err := compile(raw)
	switch {
	case err != nil:
		return nil
	case len(text) > maxChecked:
		return []string{fmt.Sprintf("%s is too long to be checked: it must not exceed %d bytes", what, maxChecked)}
	}
	instance, err := decode([]byte(text))
	if err != nil {
		return []string{brief(what + " is not JSON: " + err.Error())}
	}
	return s.check(instance, what)
}

// checker is a schema that is used once.
type checker struct {
	compiled *jsonschema.Schema
	steps    int
}

var errLong = errors.New("it takes too long to check: let the schema refer to itself less often")

func compile(raw json.RawMessage) (*checker, error) {
	doc, err := decode(raw)
	if err != nil {
		return nil, errors.New(brief("is not JSON: " + err.Error()))
	}
	s := &checker{}
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	c.RegisterVocabulary(&jsonschema.Vocabulary{URL: base + "/steps", Compile: func(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) {
		return counter{&s.steps}, nil
	}})
	c.AssertVocabs()
	if err := c.AddResource(base, doc); err != nil {
		return nil, explain(err)
	}
	s.compiled, err = c.Compile(base)
	if err != nil {
		return nil, explain(err)
	}
	return s, nil
}

// decode reads JSON, but for numbers that nobody can compute with: the validator
// computes exactly, and 1e1000000000 has a billion digits.
func decode(raw []byte) (any, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err == nil {
		err = computable(value)
	}
	return value, err
}

// maxDigits is how many digits a number may have, written out.
const maxDigits = 1000

func computable(value any) error {
	switch value := value.(type) {
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(value.String()), "e")
		power, err := strconv.Atoi(cmp.Or(exponent, "0"))
		if err != nil || len(value) > maxDigits || power > maxDigits || power < -maxDigits {
			return errors.New(brief("a number of over 1,000 digits: " + value.String()))
		}
	case []any:
		for _, item := range value {
			if err := computable(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, member := range value {
			if err := computable(member); err != nil {
				return err
			}
		}
	}
	return nil
}

// counter counts the steps of a check, and ends one that has too many. It stands in
// every part of a schema.
type counter struct{ steps *int }

// Validate implements jsonschema.SchemaExt.
func (c counter) Validate(*jsonschema.ValidatorContext, any) {
	if *c.steps++; *c.steps > maxSteps {
		panic(errLong) //nolint:forbidigo // the validator knows no other way out; check recovers it
	}
}

func (s *checker) check(instance any, what string) (found []string) {
	defer func() {
		if r := recover(); r != nil {
			if r != errLong { //nolint:errorlint // it is that very value
				panic(r) //nolint:forbidigo // it is none of ours
			}
			found = []string{errLong.Error()}
		}
	}()
	err := s.compiled.Validate(instance)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return leaves(wrong, what)
	}
	return []string{brief(err.Error())}
}

// leaves are the innermost errors, in the order of their places.
func leaves(err *jsonschema.ValidationError, what string) []string {
	var all []string
	english := message.NewPrinter(language.English)
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) == 0 {
			all = append(all, brief(place(e.InstanceLocation, what)+": "+e.ErrorKind.LocalizedString(english)))
		}
	}
	walk(err)
	slices.Sort(all)
	all = slices.Compact(all)
	if more := len(all) - MaxErrors; more > 0 {
		all = append(all[:MaxErrors-1], fmt.Sprintf("and %d more", more+1))
	}
	return all
}

// place is a path as a JSON pointer; what names the whole.
func place(path []string, what string) string {
	if len(path) == 0 {
		return what
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, name := range path {
		b.WriteString("/" + escape.Replace(name))
	}
	return b.String()
}

// nowhere is where schemas may be read from.
type nowhere struct{}

func (nowhere) Load(string) (any, error) { return nil, errors.ErrUnsupported }

// explain says why a schema cannot be used.
func explain(err error) error {
	if of, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		err = of.Err
	}
	if load, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return errors.New(brief(fmt.Sprintf("it refers to %s: what is elsewhere is not read, so put it under $defs", strings.TrimPrefix(load.URL, base))))
	}
	if bad, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		at := leaves(bad, "the schema")[0]
		if strings.Contains(at, "regex") { // it is one in other languages, perhaps
			at += " (patterns are expressions of RE2)"
		}
		return errors.New("is no JSON Schema: " + at)
	}
	return errors.New(brief(strings.ReplaceAll(err.Error(), base, "")))
}

// brief cuts a message, and makes it one line.
func brief(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if len(text) <= maxError {
		return text
	}
	n := maxError - len("…")
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
