package a2a

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/a2aproject/a2a-go/v2/a2a"

	"github.com/errand-dev/errand/server/internal/runtime"
	"github.com/errand-dev/errand/server/internal/task"
)

// answer is what a remote agent has brought: its artifacts in the order in which they
// came.
type answer struct {
	artifacts []*artifact
	told      strings.Builder // what the log has of it as chunks
	// files are those that were kept as outputs: by their names what they hold.
	files map[string][sha256.Size]byte
}

type artifact struct {
	id   a2a.ArtifactID
	text strings.Builder
}

// text is the text of all artifacts, with a line between them.
func (n *answer) text() string {
	var parts []string
	for _, x := range n.artifacts {
		if x.text.Len() > 0 {
			parts = append(parts, x.text.String())
		}
	}
	return strings.Join(parts, "\n\n")
}

// of is the artifact of an id.
func (n *answer) of(id a2a.ArtifactID) *artifact {
	for _, x := range n.artifacts {
		if x.id == id {
			return x
		}
	}
	n.artifacts = append(n.artifacts, &artifact{id: id})
	return n.artifacts[len(n.artifacts)-1]
}

// artifact tells the log what an artifact adds to the answer: only what is new of one
// that comes as a whole, and all of it anew if it has become another.
func (x *exchange) artifact(ctx context.Context, given *a2a.Artifact, more bool) error {
	if given == nil {
		return nil
	}
	to := x.answer.of(given.ID)
	if !more {
		to.text.Reset()
	}
	before := to.text.Len()
	for _, p := range given.Parts {
		if p == nil {
			continue
		}
		if content := p.Raw(); content != nil {
			if err := x.keep(ctx, p.Filename, content); err != nil {
				return err
			}
			continue
		}
		to.text.WriteString(partText(p))
	}
	if before > 0 && to == x.answer.artifacts[len(x.answer.artifacts)-1] { // it only grows at its end
		return x.tell(ctx, to.text.String()[before:])
	}
	now := x.answer.text()
	rest, grown := strings.CutPrefix(now, x.answer.told.String())
	if !grown {
		if err := x.void(ctx); err != nil {
			return err
		}
		rest = now
	}
	return x.tell(ctx, rest)
}

// keep makes a file an output of the turn, once, under a name of its own.
func (x *exchange) keep(ctx context.Context, given string, content []byte) error {
	sum := sha256.Sum256(content)
	base := path.Base(strings.ReplaceAll(given, "\\", "/"))
	if base == "." || base == "/" || base == ".." {
		base = "file"
	}
	name := base
	for n := 2; ; n++ {
		had, taken := x.answer.files[name]
		if taken && had == sum {
			return nil
		}
		if !taken {
			break
		}
		name = fmt.Sprintf("%d-%s", n, base)
	}
	if x.answer.files == nil {
		x.answer.files = map[string][sha256.Size]byte{}
	}
	x.answer.files[name] = sum
	_, err := x.Output(ctx, name, bytes.NewReader(content))
	return err
}

// tell adds text to the log.
func (x *exchange) tell(ctx context.Context, rest string) error {
	for rest != "" {
		piece := rest[:runtime.PieceEnd(rest, maxChunk)]
		if err := x.Chunk(ctx, piece); err != nil {
			return err
		}
		x.answer.told.WriteString(piece)
		rest = rest[len(piece):]
	}
	return nil
}

// void takes back the text that viewers have seen of the turn.
func (x *exchange) void(ctx context.Context) error {
	x.answer.told.Reset()
	return x.Events(ctx, []runtime.Event{{Type: task.TaskCompactization, Data: task.VoidData()}})
}

// maxChunk is the most bytes of a chunk: as JSON each may take six.
const maxChunk = 32 << 10

// text is what a message says.
func text(m *a2a.Message) string {
	if m == nil {
		return ""
	}
	var said strings.Builder
	for _, p := range m.Parts {
		if p != nil {
			said.WriteString(partText(p))
		}
	}
	return said.String()
}

// partText is a part in words: data as JSON, and where a file is.
func partText(p *a2a.Part) string {
	switch {
	case p.Text() != "":
		return p.Text()
	case p.URL() != "":
		return string(p.URL())
	case p.Data() != nil:
		if data, err := json.Marshal(p.Data()); err == nil {
			return string(data)
		}
	}
	return ""
}
