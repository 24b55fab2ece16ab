package deliver

import "time"

// longestRest is for how long a webhook rests that fails again and again.
const longestRest = time.Minute

// ailment is that of a webhook that has taken nothing since a message failed. It rests,
// longer each time, and one message is posted between two rests: so what waits for it,
// which may be much, costs little and stands in nobody's way.
type ailment struct {
	rests int
	until time.Time
}

// rests reports whether nothing more may be posted to a webhook now.
func (c *Courier) rests(webhook string) bool {
	a := c.ailing[webhook]
	return a != nil && (c.hooks[webhook] > 0 || time.Now().Before(a.until))
}

// ails has a webhook rest that did not take a message, unless it rests already.
func (c *Courier) ails(webhook string, asked time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.ailing[webhook]
	if a == nil {
		a = &ailment{}
		c.ailing[webhook] = a
	}
	if now := time.Now(); !now.Before(a.until) {
		a.rests++
		wait := max(min(backoff(a.rests), longestRest), asked)
		a.until = now.Add(wait)
		c.tellSoon(wait)
	}
}

// well ends the rest of a webhook.
func (c *Courier) well(webhook string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ailing[webhook] != nil {
		delete(c.ailing, webhook)
		c.Told()
	}
}
