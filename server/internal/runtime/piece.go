package runtime

import "unicode/utf8"

// PieceEnd returns how much of a text, in UTF-8, makes a piece of so many bytes at most: it
// cuts no character.
func PieceEnd[T ~string | ~[]byte](text T, most int) int {
	if len(text) <= most {
		return len(text)
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return end
}
