package v1

import (
	"context"
	"encoding"
	"encoding/json"
	"io"
	"maps"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// A body is read in one of two ways. Huma decodes it into plain values, holds these to
// the document, and decodes it again: what it finds wrong it can name. A form reads in
// one pass what is right in every way, which is almost all that comes, and leaves the
// rest to huma. FuzzQuickReadsWhatHumaReads holds the two together.

// form reads a value into a variable, which holds nothing yet. It answers false for one
// that is wrong, or that only huma can judge; then the variable means nothing.
type form func(c *edge.Cursor, into reflect.Value) bool

// reads reads a text whole.
func (f form) reads(text []byte, into reflect.Value) bool {
	c := edge.NewCursor(text)
	return f != nil && f(c, into) && c.End()
}

// formOf makes the form of a type by its schema in the document; nil if only huma
// can read such values.
func formOf(schemas huma.Registry, s *huma.Schema, t reflect.Type) form {
	for s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return formOfAny(schemas, s)
	}
	if composed(s) || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return nil
	}
	switch t.Kind() { //nolint:exhaustive // the rest is huma's
	case reflect.Pointer:
		return formOfPointer(schemas, s, t)
	case reflect.Struct:
		return formOfObject(schemas, s, t, false)
	case reflect.Slice:
		return formOfList(schemas, s, t)
	case reflect.String:
		return formOfText(s)
	case reflect.Bool:
		return formOfBool(s)
	case reflect.Int, reflect.Int64:
		return formOfInteger(s)
	case reflect.Float64:
		return formOfNumber(s)
	default:
		return nil
	}
}

// composed reports whether a schema asks for what no form looks at.
func composed(s *huma.Schema) bool {
	return s.OneOf != nil || s.AnyOf != nil || s.AllOf != nil || s.Not != nil || s.Const != nil || s.ReadOnly || s.WriteOnly ||
		s.Pattern != "" || s.Format != "" && s.Type == huma.TypeString || s.ContentEncoding != "" || s.UniqueItems || s.MultipleOf != nil ||
		s.ExclusiveMinimum != nil || s.ExclusiveMaximum != nil || s.MinProperties != nil || s.MaxProperties != nil || len(s.DependentRequired) > 0
}

// free reports whether a schema takes anything.
func free(schemas huma.Registry, s *huma.Schema) bool {
	for s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	if len(s.AnyOf) > 0 {
		rest := *s
		rest.AnyOf = nil
		return free(schemas, &rest) && slices.ContainsFunc(s.AnyOf, func(x *huma.Schema) bool { return free(schemas, x) })
	}
	return s.Type == "" && len(s.Enum) == 0 && !composed(s)
}

// formOfAny is the form of what is kept as it came. What null means to such a type
// is huma's to say.
func formOfAny(schemas huma.Registry, s *huma.Schema) form {
	if !free(schemas, s) {
		return nil
	}
	return func(c *edge.Cursor, into reflect.Value) bool {
		if c.Next() == 'n' {
			return false
		}
		raw, ok := c.Value()
		if largeNumber(raw) {
			return false // huma says whether it is too large
		}
		keeper, keeps := reflect.TypeAssert[json.Unmarshaler](into.Addr())
		return ok && keeps && keeper.UnmarshalJSON(raw) == nil
	}
}

// maxPlainDigits is how many digits a number has that is no number too large for a
// float64.
const maxPlainDigits = 300

// largeNumber tells whether JSON may hold a number that no float64 is: one with an
// exponent, or of very many digits.
func largeNumber(raw json.RawMessage) bool {
	digits, inString, escaped := 0, false, false
	for _, b := range raw {
		switch {
		case inString:
			inString = b != '"' || escaped
			escaped = b == '\\' && !escaped
		case b == '"':
			inString, digits = true, 0
		case '0' <= b && b <= '9':
			if digits++; digits > maxPlainDigits {
				return true
			}
		case (b == 'e' || b == 'E') && digits > 0:
			return true
		case b != '.':
			digits = 0
		}
	}
	return false
}

func formOfPointer(schemas huma.Registry, s *huma.Schema, t reflect.Type) form {
	of := formOf(schemas, s, t.Elem())
	if of == nil {
		return nil
	}
	return func(c *edge.Cursor, into reflect.Value) bool {
		x := reflect.New(t.Elem())
		into.Set(x)
		return of(c, x.Elem())
	}
}

// member is a field of an object.
type member struct {
	at   []int
	form form   // nil for one that only huma can read
	bit  uint64 // of its own
}

// maxMembers bounds the members of an object that a form can tell apart.
const maxMembers = 64

// formOfObject reads an object whose members are the fields of a struct. Defaults are
// those of a body's own members.
func formOfObject(schemas huma.Registry, s *huma.Schema, t reflect.Type, isBody bool) form {
	fields := map[string][]int{}
	if open, ok := s.AdditionalProperties.(bool); s.Type != huma.TypeObject || open || !ok || len(s.Properties) > maxMembers || !fieldsOf(t, nil, fields) {
		return nil
	}
	members := make(map[string]member, len(s.Properties))
	var needed uint64
	var defaults []preset
	for name, property := range s.Properties {
		at, ok := fields[name]
		if !ok {
			return nil
		}
		if property.Default != nil {
			defaults = append(defaults, preset{at, reflect.ValueOf(property.Default)})
		}
		m := member{at: at, form: formOf(schemas, property, t.FieldByIndex(at).Type), bit: 1 << len(members)}
		if slices.Contains(s.Required, name) {
			needed |= m.bit
		}
		members[name] = m
	}
	if len(defaults) > 0 && !isBody {
		return nil
	}
	return func(c *edge.Cursor, into reflect.Value) bool {
		var seen uint64
		ok := c.Object(func(name []byte, _ bool) bool {
			m := members[string(name)]
			if m.form == nil || seen&m.bit != 0 {
				return false
			}
			seen |= m.bit
			return m.form(c, into.FieldByIndex(m.at))
		})
		for _, d := range defaults {
			if f := into.FieldByIndex(d.at); f.IsZero() {
				f.Set(d.value.Convert(f.Type()))
			}
		}
		return ok && seen&needed == needed
	}
}

// preset is what a field holds that is left out.
type preset struct {
	at    []int
	value reflect.Value
}

// fieldsOf finds the fields of a struct by their names in JSON. It returns false for
// a struct that only encoding/json understands.
func fieldsOf(t reflect.Type, below []int, fields map[string][]int) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(below), i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "":
			if f.Type.Kind() != reflect.Struct || !fieldsOf(f.Type, at, fields) {
				return false
			}
			continue
		case !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		if fields[name] != nil || strings.Contains(options, "string") {
			return false
		}
		fields[name] = at
	}
	return true
}

func formOfList(schemas huma.Registry, s *huma.Schema, t reflect.Type) form {
	if s.Type != huma.TypeArray || s.Items == nil {
		return nil
	}
	of := formOf(schemas, s.Items, t.Elem())
	if of == nil {
		return nil
	}
	least, most := bounds(s.MinItems, s.MaxItems)
	return func(c *edge.Cursor, into reflect.Value) bool {
		into.Set(reflect.MakeSlice(t, 0, 0))
		n := 0
		return c.List(func() bool {
			if n++; n > most {
				return false
			}
			into.Grow(1)
			into.SetLen(n)
			return of(c, into.Index(n-1))
		}) && n >= least
	}
}

// bounds are those of a length.
func bounds(low, high *int) (least, most int) {
	if most = math.MaxInt; high != nil {
		most = *high
	}
	if low != nil {
		least = *low
	}
	return least, most
}

func formOfText(s *huma.Schema) form {
	if s.Type != huma.TypeString {
		return nil
	}
	least, most := bounds(s.MinLength, s.MaxLength)
	return func(c *edge.Cursor, into reflect.Value) bool {
		text, ok := c.String()
		if !ok || !utf8.ValidString(text) || len(s.Enum) > 0 && !slices.Contains(s.Enum, any(text)) {
			return false
		}
		if len(text) > most || least > 0 { // characters are no more than bytes
			if n := utf8.RuneCountInString(text); n < least || n > most {
				return false
			}
		}
		into.SetString(text)
		return true
	}
}

func formOfBool(s *huma.Schema) form {
	if s.Type != huma.TypeBoolean || len(s.Enum) > 0 {
		return nil
	}
	return func(c *edge.Cursor, into reflect.Value) bool {
		yes := c.Next() == 't'
		into.SetBool(yes)
		return c.Word(strconv.FormatBool(yes))
	}
}

func formOfInteger(s *huma.Schema) form {
	if s.Type != huma.TypeInteger || len(s.Enum) > 0 {
		return nil
	}
	return func(c *edge.Cursor, into reflect.Value) bool {
		raw, ok := c.Number()
		if !ok {
			return false
		}
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || into.OverflowInt(n) || !within(s, float64(n)) {
			return false
		}
		into.SetInt(n)
		return true
	}
}

func formOfNumber(s *huma.Schema) form {
	if s.Type != huma.TypeNumber || len(s.Enum) > 0 {
		return nil
	}
	return func(c *edge.Cursor, into reflect.Value) bool {
		raw, ok := c.Number()
		if !ok {
			return false
		}
		x, err := strconv.ParseFloat(string(raw), 64)
		into.SetFloat(x)
		return err == nil && within(s, x)
	}
}

// within reports whether a number is within a schema's bounds.
func within(s *huma.Schema, x float64) bool {
	return (s.Minimum == nil || x >= *s.Minimum) && (s.Maximum == nil || x <= *s.Maximum)
}

// formOfBody makes the form of a type that stands in the document by itself; nil if
// only huma can read it.
func formOfBody(schemas huma.Registry, t reflect.Type) form {
	s := schemas.Schema(t, true, "")
	for s.Ref != "" {
		s = schemas.SchemaFromRef(s.Ref)
	}
	if t.Kind() != reflect.Struct || composed(s) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return formOf(schemas, s, t)
	}
	return formOfObject(schemas, s, t, true)
}

// quick is the way of an operation whose body has been read by its form.
type quick struct {
	huma.API
	body   form
	of     reflect.Type
	handle func(huma.Context)
}

// Adapter implements huma.API: the operation gets no route of its own.
func (q *quick) Adapter() huma.Adapter { return q }

// Handle implements huma.Adapter.
func (q *quick) Handle(_ *huma.Operation, handle func(huma.Context)) { q.handle = handle }

// ServeHTTP implements huma.Adapter.
func (q *quick) ServeHTTP(w http.ResponseWriter, r *http.Request) { q.API.Adapter().ServeHTTP(w, r) }

// newQuick makes the quick way of an operation that is in the document; nil if it has
// no body, or one that only huma can read.
func newQuick[I, O any](api huma.API, op huma.Operation, handle func(context.Context, *I) (*O, error)) *quick {
	body, ok := reflect.TypeFor[I]().FieldByName("Body")
	if !ok {
		return nil
	}
	q := &quick{API: api, of: body.Type, body: formOfBody(api.OpenAPI().Components.Schemas, body.Type)}
	if q.body == nil {
		return nil
	}
	op.Hidden, op.Middlewares, op.Responses, op.RequestBody = true, nil, maps.Clone(op.Responses), &huma.RequestBody{}
	huma.Register(q, op, func(ctx context.Context, in *I) (*O, error) {
		if read, ok := ctx.Value(bodyKey{}).(reflect.Value); ok { // serve has put it there
			reflect.ValueOf(in).Elem().FieldByIndex(body.Index).Set(read)
		}
		return handle(ctx, in)
	})
	op.RequestBody.Required = false // it is read
	return q
}

// serve answers a request whose body the form can read, and reports whether it has.
func (q *quick) serve(hc huma.Context) bool {
	if q == nil {
		return false
	}
	r, _ := humago.Unwrap(hc)
	text, ok := r.Body.(*edge.Text)
	if !ok {
		return false
	}
	body := reflect.New(q.of).Elem()
	if !q.body.reads(text.Bytes(), body) {
		return false
	}
	q.handle(bodyRead{hc, context.WithValue(hc.Context(), bodyKey{}, body)})
	return true
}

// bodyKey is where the body that was read stands in a request's context.
type bodyKey struct{}

// request is what the document's operations are asked.
type request = huma.Context

// bodyRead is a request whose body has been read.
type bodyRead struct {
	request
	ctx context.Context //nolint:containedctx // it is the request's own
}

// Context implements huma.Context.
func (b bodyRead) Context() context.Context { return b.ctx }

// BodyReader implements huma.Context: there is no more to be read.
func (b bodyRead) BodyReader() io.Reader { return nil }

// Unwrap is for humago.
func (b bodyRead) Unwrap() huma.Context { return b.request }
