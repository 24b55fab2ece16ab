package v1

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/errand-dev/errand/server/internal/httpapi/edge"
)

// TestSamples: what the page shows of requests and answers follows their schemas.
func TestSamples(t *testing.T) {
	t.Parallel()
	doc := register(http.NewServeMux(), Options{Cookie: edge.SessionCookie{Name: "session"}}).api.OpenAPI()
	follows := func(what, sample string, schema *huma.Schema, mode huma.ValidateMode) {
		var value any
		if err := json.Unmarshal([]byte(sample), &value); err != nil {
			t.Errorf("%s: %v: %s", what, err, sample)
			return
		}
		var found huma.ValidateResult
		huma.Validate(doc.Components.Schemas, schema, huma.NewPathBuffer(nil, 0), mode, value, &found)
		if err := errors.Join(found.Errors...); err != nil {
			t.Errorf("%s: %v: %s", what, err, sample)
		}
	}
	samples := sampler{doc.Components.Schemas.Map()}
	for what, has := range map[*huma.Operation]string{
		doc.Paths["/v1/tasks"].Post: `"text": "Analyze`, doc.Paths["/v1/tasks/stop"].Post: `"agent_id":`, doc.Paths["/v1/tasks/{task_id}"].Patch: `"title":`,
	} {
		if command := samples.curl(what); !strings.Contains(command, has) {
			t.Errorf("%s has no %s: %s", what.OperationID, has, command)
		}
	}
	for _, group := range docsGroups(doc) {
		for _, op := range group.Operations {
			if strings.ContainsAny(strings.SplitN(op.Curl, " -d ", 2)[0], "{}") {
				t.Errorf("%s: a parameter is open: %s", op.OperationID, op.Curl)
			}
			if op.Body != nil {
				follows(op.OperationID, samples.request(op.Body), op.Body, huma.ModeWriteToServer)
			}
			for _, a := range op.Answers {
				if a.Sample != "" {
					follows(op.OperationID+" "+a.Status, a.Sample, a.Schema, huma.ModeReadFromServer)
				}
			}
		}
	}
}
