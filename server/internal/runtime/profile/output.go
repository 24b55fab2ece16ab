package profile

import (
	"context"
	"strings"

	"github.com/errand-dev/errand/server/internal/runtime"
)

// maxChunk is the size of the largest chunk. Written as JSON, one byte of text
// becomes six at worst, which still fits the limit of a chunk.
const maxChunk = 32 << 10

// output collects the report and sends it on. What has been sent and what has
// been kept are the same bytes.
type output struct {
	report runtime.Journal
	text   strings.Builder
	sent   int // How many bytes of text.
}

// add appends a section without sending it.
func (o *output) add(section string) { o.text.WriteString(section) }

// flush sends what has not been sent, in pieces that end with a line if possible.
func (o *output) flush(ctx context.Context) error {
	rest := o.text.String()[o.sent:]
	for rest != "" {
		piece := rest[:chunkEnd(rest)]
		if err := o.report.Chunk(ctx, piece); err != nil {
			return err
		}
		o.sent += len(piece)
		rest = rest[len(piece):]
	}
	return nil
}

// chunkEnd returns how many bytes of text make the next chunk, never cutting a character.
func chunkEnd(text string) int {
	if len(text) <= maxChunk {
		return len(text)
	}
	if end := strings.LastIndexByte(text[:maxChunk], '\n'); end >= 0 {
		return end + 1
	}
	return runtime.PieceEnd(text, maxChunk)
}
