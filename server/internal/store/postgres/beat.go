package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// beat notes that a node was heard, and that any was, where that is a step ago and no
// silence ($2 and $3), and reads the roll as it was before. Whether it says that there is
// something to decide is not for the database: what is noted meanwhile is true. Two nodes
// that note the second at once wait for each other's commit, and then find it done.
const beat = `WITH moment AS MATERIALIZED (` + readClock + ` AS now),
	one AS (UPDATE nodes SET heard = now FROM moment WHERE id = $1 AND heard <= now - $2 AND heard > now - $3),
	any_one AS (UPDATE alive SET heard = now FROM moment WHERE heard <= now - $2 AND heard > now - $3)
	SELECT now, a.heard, a.renewed, a.sweeper, n.id, n.heard FROM moment CROSS JOIN alive a CROSS JOIN nodes n ORDER BY n.id`

// hear is a beat in one statement, which commits by itself. There is nothing to look up
// when its answer is lost: the next beat says the same. It is the writer's, so that nobody
// is heard whose writes do not get through.
func (e *engine) hear(node string) (roll lifecycle.Roll, err error) {
	if err := e.connected(); err != nil {
		return roll, err
	}
	ctx, done := e.trip()
	defer done()
	begun := time.Now()
	rows, err := e.conn.Query(ctx, beat, node, lifecycle.BeatStep.Microseconds(), lifecycle.SilentNode.Microseconds())
	if err != nil {
		return roll, e.failed("beat", err)
	}
	roll.Nodes, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n lifecycle.Node, err error) {
		err = row.Scan(&roll.Now, &roll.Alive.Heard, &roll.Alive.Renewed, &roll.Alive.Sweeper, &n.ID, &n.Heard)
		return n, err
	})
	if err != nil {
		return roll, e.failed("beat", err)
	}
	if len(roll.Nodes) > 0 {
		e.store.clock.set(roll.Now, begun, time.Now())
	}
	return roll, nil
}
