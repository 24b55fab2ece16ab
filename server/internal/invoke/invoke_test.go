package invoke

import "testing"

func TestATurnsNameIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	for _, turn := range []Turn{{Task: "a", Number: 1}, {Task: "a:b", Number: 20}} {
		if task, number, ok := ParseTurn(turn.String()); !ok || task != turn.Task || number != turn.Number {
			t.Errorf("%s is read as turn %d of %q, %v", turn, number, task, ok)
		}
	}
	for _, name := range []string{"", "a", "~1", "a~", "a~0", "a~-1", "a~+1", "a~01", "a~1~1", "a~x", "a~9999999999999999999", "\xff~1"} {
		if _, _, ok := ParseTurn(name); ok {
			t.Errorf("%q is taken for a turn's name", name)
		}
	}
}
