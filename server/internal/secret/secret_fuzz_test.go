package secret

import (
	"bytes"
	"testing"
)

// FuzzSeal holds for any value that it opens under its name as what it was, and
// under no other name and after no change.
func FuzzSeal(f *testing.F) {
	f.Add("task/1", []byte("value"), "task/2", 3)
	f.Add("", []byte{}, "\x00", 0)
	f.Fuzz(func(t *testing.T, name string, value []byte, other string, at int) {
		box, err := NewBox(bytes.Repeat([]byte{7}, keySize))
		if err != nil {
			t.Fatal(err)
		}
		sealed := box.Seal(name, value)
		if got, err := box.Open(name, sealed); err != nil || !bytes.Equal(got, value) {
			t.Fatalf("%q under %q: %q, %v", value, name, got, err)
		}
		if _, err := box.Open(other, sealed); err == nil && other != name {
			t.Errorf("%q opens under %q", name, other)
		}
		changed := bytes.Clone(sealed)
		changed[uint(at)%uint(len(changed))] ^= 1
		if _, err := box.Open(name, changed); err == nil {
			t.Error("it opens after a change")
		}
		if _, err := box.Open(name, value); err == nil {
			t.Errorf("%q opens, and was never sealed", value)
		}
	})
}

// FuzzMAC holds for any parts that they are told apart from the same letters
// parted otherwise.
func FuzzMAC(f *testing.F) {
	f.Add("a", "bc", 1)
	f.Add("1:a", "", 2)
	f.Fuzz(func(t *testing.T, one, other string, at int) {
		box, err := NewBox(bytes.Repeat([]byte{7}, keySize))
		if err != nil {
			t.Fatal(err)
		}
		all := one + other
		cut := int(uint(at) % uint(len(all)+1))
		same := all[:cut] == one
		if bytes.Equal(box.MAC(one, other), box.MAC(all[:cut], all[cut:])) != same {
			t.Errorf("%q and %q, cut at %d", one, other, cut)
		}
		if bytes.Equal(box.MAC(one, other), box.MAC(all)) {
			t.Errorf("%q and %q are one part", one, other)
		}
	})
}
