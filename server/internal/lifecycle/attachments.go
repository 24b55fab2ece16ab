package lifecycle

import (
	"encoding/json"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
)

// EachAttachment rewrites the URL of every attachment (newer releases of the
// Python client give files as objects with a URL) and keeps the rest.
func EachAttachment(list json.RawMessage, rewrite func(i int, url string) (string, error)) (json.RawMessage, error) {
	if isNull(list) || string(list) == "[]" {
		return list, nil
	}
	var items []map[string]json.RawMessage
	if json.Unmarshal(list, &items) != nil {
		return nil, fault.Field("input.attachments", "must be a list of objects")
	}
	for i, item := range items {
		var url string
		if json.Unmarshal(item["url"], &url) != nil {
			return nil, fault.Field(fmt.Sprintf("input.attachments[%d].url", i), "must be text")
		}
		url, err := rewrite(i, url)
		if err != nil {
			return nil, err
		}
		if item["url"], err = json.Marshal(url); err != nil {
			return nil, fmt.Errorf("encode attachment: %w", err)
		}
	}
	kept, err := json.Marshal(items)
	if err != nil {
		return nil, fmt.Errorf("encode attachments: %w", err)
	}
	return kept, nil
}
