package edge

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/errand-dev/errand/server/internal/lifecycle"
)

// ChatTask is the id of the task whose turns are the answers of a chat of another protocol:
// the chat's own if a task may have it, or the prefix with its Sum.
func ChatTask(prefix, chat string) string {
	if lifecycle.CheckID("id", chat) == nil {
		return chat
	}
	return prefix + Sum(chat)
}

// Sum is a name of 32 letters that stands for a text.
func Sum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// Background is what an agent is told beside the prompt, nil for nothing: parts as they
// are, and the lines of what was said before there was its task.
func Background(parts, before []string) *string {
	if len(before) > 0 {
		parts = append(parts, "What was said before:\n"+strings.Join(before, "\n"))
	}
	if len(parts) == 0 {
		return nil
	}
	return new(strings.Join(parts, "\n\n"))
}
