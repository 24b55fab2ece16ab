package v1

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/fault"
)

// each is an item of a list that is judged for itself: one that is no T refuses no
// other. It is kept as it came until it is read.
type each[T any] struct{ raw json.RawMessage }

// UnmarshalJSON keeps a copy of the item.
func (e *each[T]) UnmarshalJSON(raw []byte) error {
	e.raw = bytes.Clone(raw)
	return nil
}

// Schema implements huma.SchemaProvider.
func (each[T]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{
		r.Schema(reflect.TypeFor[T](), true, ""), {Description: "Anything else is answered with an error of its own."},
	}}
}

// read is the item as T, held to the document; as much of it as can be read if it is
// refused.
func (e each[T]) read(r *routes) (T, error) {
	var item T
	if formFor[T](r).reads(e.raw, reflect.ValueOf(&item).Elem()) {
		return item, nil
	}
	return read[T](r.api.OpenAPI().Components.Schemas, e.raw)
}

// formFor is the form of an item.
func formFor[T any](r *routes) form {
	t := reflect.TypeFor[T]()
	if known, ok := r.forms.Load(t); ok {
		f, _ := known.(form)
		return f
	}
	f := formOfBody(r.api.OpenAPI().Components.Schemas, t)
	r.forms.Store(t, f)
	return f
}

// read reads a value that is not the body of a request of its own, and holds it to the
// document.
func read[T any](schemas huma.Registry, raw json.RawMessage) (T, error) {
	var item T
	mistyped := json.Unmarshal(raw, &item)
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		return item, fault.New(fault.Malformed, "the item is not valid JSON")
	}
	at := huma.NewPathBuffer(nil, 0)
	at.Push("body")
	var found huma.ValidateResult
	huma.Validate(schemas, schemas.Schema(reflect.TypeFor[T](), true, ""), at, huma.ModeWriteToServer, plain, &found)
	for _, err := range found.Errors {
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			field, message := fieldOf(detail)
			field = strings.TrimPrefix(field, "body") // of the item itself
			return item, fault.Field(field, "%s", message)
		}
	}
	if mistyped != nil || len(found.Errors) > 0 {
		return item, fault.New(fault.Invalid, "the item is not what it should be")
	}
	return item, nil
}
