package model

import (
	"context"
	"fmt"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/model"
	"github.com/errand-dev/errand/server/internal/runtime"
)

// afford asks whether the model may be asked once more (rule B1). An attempt whose
// budget is used up gives its task back, which is then held.
func (t *turn) afford(ctx context.Context, name string) error {
	_, priced := t.prices.Of(t.provider, name)
	err := t.MaySpend(ctx, priced)
	switch fault.CodeOf(err) { //nolint:exhaustive // the others are not the budget's
	case fault.Conflict:
		return &runtime.Later{Reason: err.Error()}
	case fault.Invalid:
		return &failure{err.Error()}
	default:
		return err
	}
}

// bytesPerToken is about how long tokens are, for what nobody has counted.
const bytesPerToken = 4

// paid is what an answer has cost. Of one that broke off before its provider has told,
// it is estimated: it is paid for all the same.
func (t *turn) paid(request model.Request, a answer) runtime.Paid {
	var used model.Usage
	if a.Usage != nil {
		used = *a.Usage
	} else {
		length := len(request.System)
		for _, m := range request.Messages {
			length += len(m.Text) + len(m.Raw)
			for _, r := range m.Results {
				length += len(r.Text)
			}
		}
		used = model.Usage{Prompt: int64(length / bytesPerToken), Completion: int64((len(a.Text) + a.thought) / bytesPerToken)}
	}
	p := runtime.Paid{Use: t.prices.Use(t.provider, a.Model, used), Partial: a.Text, Last: a.Finish == model.Stop && len(a.Calls) == 0}
	p.Use.Estimated = a.Usage == nil
	return p
}

// spend counts an answer that is no step. What broke off before anything came is free.
func (t *turn) spend(ctx context.Context, step string, request model.Request, a answer) error {
	if a.Usage == nil && a.Text == "" && a.thought == 0 {
		return nil
	}
	t.asked++
	return t.Spend(ctx, fmt.Sprintf("%s of attempt %d, %d", step, t.Number, t.asked), t.paid(request, a))
}
