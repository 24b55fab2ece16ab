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

// tally counts how often each different text occurs, up to a limit. The texts
// that it knows are counted to the end; those that come up later are not.
type tally struct {
	known  map[string]int // The positions of the texts in times.
	times  []int
	capped bool
	beyond int // How many values there were that it does not know.
}

// count is one text of a tally.
type count struct {
	value string
	times int
}

// add counts a text and returns its position, or -1 beyond the limit.
func (t *tally) add(value string, b *budget) int {
	key := tallyKey(value)
	if at, known := t.known[key]; known {
		t.times[at]++
		return at
	}
	if t.capped || !b.takeDistinct(len(t.times), len(key)) {
		t.capped = true
		t.beyond++
		return -1
	}
	if t.known == nil {
		t.known = make(map[string]int)
	}
	// The value is a part of its row; a copy lets go of the rest.
	t.known[strings.Clone(key)] = len(t.times)
	t.times = append(t.times, 1)
	return len(t.times) - 1
}

func (t *tally) distinct() int { return len(t.times) }

// top returns the most frequent texts, at most n, ties in order of the text.
func (t *tally) top(n int) []count {
	all := make([]count, 0, len(t.known))
	for value, at := range t.known {
		all = append(all, count{value: value, times: t.times[at]})
	}
	slices.SortFunc(all, func(a, b count) int {
		return cmp.Or(cmp.Compare(b.times, a.times), strings.Compare(a.value, b.value))
	})
	all = all[:min(n, len(all))]
	for i := range all {
		all[i].value = textOfKey(all[i].value)
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

// textOfKey is the value of a key, or its start.
func textOfKey(key string) string {
	text, _, _ := strings.Cut(key, keyMark)
	return text
}
