package profile

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxKey is how many bytes of a value tell it from another without a hash.
	maxKey = 256
	// keyMark parts a long value from its hash. Being no UTF-8, it occurs in no value.
	keyMark = "\xff"
)

// tally counts how often each different text occurs, up to a limit.
type tally struct {
	counts map[string]int
	capped bool
}

// count is one text of a tally.
type count struct {
	value string
	times int
}

func (t *tally) add(value string, b *budget) {
	key := tallyKey(value)
	if n, known := t.counts[key]; known {
		t.counts[key] = n + 1
		return
	}
	if t.capped || !b.takeDistinct(len(t.counts)) {
		t.capped = true
		return
	}
	if t.counts == nil {
		t.counts = make(map[string]int)
	}
	// The value is a part of its row; a copy lets go of the rest.
	t.counts[strings.Clone(key)] = 1
}

func (t *tally) distinct() int { return len(t.counts) }

// top returns the most frequent texts, at most n, ties in order of the text.
func (t *tally) top(n int) []count {
	all := make([]count, 0, len(t.counts))
	for value, times := range t.counts {
		all = append(all, count{value: value, times: times})
	}
	slices.SortFunc(all, func(a, b count) int {
		return cmp.Or(cmp.Compare(b.times, a.times), strings.Compare(a.value, b.value))
	})
	all = all[:min(n, len(all))]
	for i := range all {
		all[i].value, _, _ = strings.Cut(all[i].value, keyMark)
	}
	return all
}

// tallyKey shortens a long value to its start and a hash.
func tallyKey(value string) string {
	if len(value) <= maxKey {
		return value
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(value)) // A hash never fails to be written.
	return strings.ToValidUTF8(value[:maxKey], "") + keyMark + strconv.FormatUint(hash.Sum64(), 16)
}
