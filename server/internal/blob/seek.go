package blob

import (
	"errors"
	"io"
)

// seeker reads a content of a known size of which a reader can be had from any place on:
// only when somebody reads there, since who serves a range looks for the end first.
type seeker struct {
	size int64
	from func(at int64) (io.ReadCloser, error)

	at      int64
	content io.ReadCloser // at that place; nil is none yet
}

func (s *seeker) Read(into []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	if s.content == nil {
		content, err := s.from(s.at)
		if err != nil {
			return 0, err
		}
		s.content = content
	}
	n, err := s.content.Read(into[:min(int64(len(into)), s.size-s.at)])
	s.at += int64(n)
	if errors.Is(err, io.EOF) {
		if err = nil; s.at < s.size {
			err = io.ErrUnexpectedEOF // else a part would pass for the whole
		}
	}
	return n, err
}

func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	if offset == s.at {
		return offset, nil
	}
	s.at = offset
	return offset, s.Close()
}

func (s *seeker) Close() error {
	if s.content == nil {
		return nil
	}
	content := s.content
	s.content = nil
	return content.Close()
}
