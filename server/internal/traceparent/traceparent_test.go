package traceparent

import "testing"

const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

func TestParse(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"00-" + trace + "-" + span + "-01":         "00-" + trace + "-" + span + "-01",
		"00-" + trace + "-" + span + "-00":         "00-" + trace + "-" + span + "-00",
		"00-" + trace + "-" + span + "-03":         "00-" + trace + "-" + span + "-01", // the second flag is the sender's own
		"01-" + trace + "-" + span + "-01-what-is": "00-" + trace + "-" + span + "-01", // a later version
	} {
		if c, ok := Parse(given); !ok || c.String() != want {
			t.Errorf("%s: %s %t, want %s", given, c, ok, want)
		}
	}
}

func TestParseTakesNothingElse(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		"", "x", "00-" + trace + "-" + span, "00-" + trace + "-" + span + "-1",
		"ff-" + trace + "-" + span + "-01", "0x-" + trace + "-" + span + "-01",
		"00-" + trace + "-" + span + "-01-more", "01-" + trace + "-" + span + "-01more",
		"00-00000000000000000000000000000000-" + span + "-01", "00-" + trace + "-0000000000000000-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-" + span + "-01", "00-" + trace[1:] + "g-" + span + "-01",
		"00-" + trace + "-" + span + "-0x", "00_" + trace + "-" + span + "-01",
	} {
		if c, ok := Parse(given); ok || c != (Context{}) {
			t.Errorf("%q was taken for %s", given, c)
		}
	}
}
