package profile

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
)

const (
	// maxDepth is how deep JSON may be nested before reading it is given up.
	maxDepth = 1_000
	// maxFlat is how many levels of objects in a row become columns a.b.c.
	maxFlat = 4
	// maxToken is the longest string or number that is read.
	maxToken = 4 << 20
)

var (
	// errTooDeep ends the reading of JSON that is nested beyond reason.
	errTooDeep = errors.New("nested deeper than 1,000 levels")
	// errLongToken ends it before a string has used up all memory.
	errLongToken = errors.New("a value is longer than 4 MiB")
)

// jsonReader walks through JSON token by token, never holding more than one.
type jsonReader struct {
	dec     *json.Decoder
	limit   *tokenLimit
	depth   int
	deepest int
}

func newJSONReader(in io.Reader) *jsonReader {
	limit := &tokenLimit{from: in}
	dec := json.NewDecoder(limit)
	dec.UseNumber()
	return &jsonReader{dec: dec, limit: limit}
}

// tokenLimit ends what is read for the sake of one token when that is too much.
type tokenLimit struct {
	from io.Reader
	read int // Since the last token.
}

func (l *tokenLimit) Read(p []byte) (int, error) {
	if l.read > maxToken {
		return 0, errLongToken
	}
	n, err := l.from.Read(p)
	l.read += n
	return n, err
}

// next returns the next token.
func (j *jsonReader) next() (json.Token, error) {
	j.limit.read = 0
	token, err := j.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) && j.depth > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch token {
	case json.Delim('{'), json.Delim('['):
		j.depth++
		j.deepest = max(j.deepest, j.depth)
		if j.depth > maxDepth {
			return nil, errTooDeep
		}
	case json.Delim('}'), json.Delim(']'):
		j.depth--
	}
	return token, nil
}

// more tells whether the array or object has another element.
func (j *jsonReader) more() bool { return j.dec.More() }

// key returns the next key of an object.
func (j *jsonReader) key() (string, error) {
	token, err := j.next()
	if err != nil {
		return "", err
	}
	key, ok := token.(string)
	if !ok {
		return "", errors.New("a key is not a string")
	}
	return key, nil
}

// rest reads to the end of the value whose first token has been read and
// returns how many elements it has.
func (j *jsonReader) rest(first json.Token) (elements int, err error) {
	open, isDelim := first.(json.Delim)
	if !isDelim {
		return 0, nil
	}
	outside := j.depth - 1
	atKey := open == '{'
	for j.depth > outside {
		direct := j.depth == outside+1
		token, err := j.next()
		if err != nil {
			return elements, err
		}
		switch {
		case !direct || token == json.Delim('}') || token == json.Delim(']'):
		case open == '{' && atKey:
			atKey = false
		default:
			atKey = true
			elements++
		}
	}
	return elements, nil
}

// object reads an object whose brace has been read into cells. Objects within
// are flattened, so that {"a":{"b":1}} has the column a.b.
func (j *jsonReader) object(prefix string, level int, set func(path, cell string)) error {
	for j.more() {
		key, err := j.key()
		if err != nil {
			return err
		}
		token, err := j.next()
		if err != nil {
			return err
		}
		if token == json.Delim('{') && level < maxFlat {
			err = j.object(prefix+key+".", level+1, set)
		} else {
			var elements int
			elements, err = j.rest(token)
			set(prefix+key, cellOf(token, elements))
		}
		if err != nil {
			return err
		}
	}
	_, err := j.next()
	return err
}

// cellOf is the text of a value in a table.
func cellOf(first json.Token, elements int) string {
	switch v := first.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return "true"
		}
		return "false"
	case json.Number:
		return v.String()
	case string:
		return strings.ToValidUTF8(v[:min(len(v), maxField)], "")
	case json.Delim:
		if v == '[' {
			return "list of " + humanInt(elements)
		}
		return "object with " + plural(elements, "key")
	default:
		return ""
	}
}

// typeOf is the type of a value in words.
func typeOf(first json.Token) string {
	switch v := first.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case json.Delim:
		if v == '[' {
			return "list"
		}
		return "object"
	default:
		return "unknown"
	}
}

// jsonReason says why content is not JSON.
func jsonReason(err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends in the middle of a value"
	}
	return inline(err.Error(), maxCell*2)
}

// lineCounter finds the line of an offset in what was read through it.
type lineCounter struct {
	from   io.Reader
	size   int64
	breaks []int64 // The offsets of the latest line breaks.
	passed int     // How many of them have been passed.
	before int     // How many line breaks came before them.
}

func (l *lineCounter) Read(p []byte) (int, error) {
	l.before += l.passed
	l.breaks = append(l.breaks[:0], l.breaks[l.passed:]...)
	l.passed = 0
	n, err := l.from.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.breaks = append(l.breaks, l.size+int64(i))
		}
	}
	l.size += int64(n)
	return n, err
}

// line returns the line of an offset. Offsets must not go back.
func (l *lineCounter) line(offset int64) int {
	for l.passed < len(l.breaks) && l.breaks[l.passed] < offset {
		l.passed++
	}
	return l.before + l.passed + 1
}
