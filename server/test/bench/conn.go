package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// conn is one keep-alive connection to the server, used by one goroutine. It
// writes requests as bytes and reads no more of an answer than it must, so that
// the load costs little of the machine that it shares with what it measures.
type conn struct {
	net.Conn
	in   *bufio.Reader
	host string
	out  bytes.Buffer
	body []byte // of the last answer
}

func dial(ctx context.Context, addr string) (*conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: raw, in: bufio.NewReader(raw), host: addr}, nil
}

// send writes a request.
func (c *conn) send(method, path string, body []byte, headers ...string) error {
	c.out.Reset()
	c.out.WriteString(method + " " + path + " HTTP/1.1\r\nHost: " + c.host + "\r\nX-Api-Key: " + key + "\r\n")
	for i := 0; i < len(headers); i += 2 {
		c.out.WriteString(headers[i] + ": " + headers[i+1] + "\r\n")
	}
	if body != nil {
		c.out.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	c.out.WriteString("\r\n")
	c.out.Write(body)
	_, err := c.Write(c.out.Bytes())
	return err
}

// call sends a request and reads its answer, which must be a success. The
// answer is good until the next call.
func (c *conn) call(method, path string, body []byte) ([]byte, error) {
	if err := c.send(method, path, body); err != nil {
		return nil, err
	}
	status, err := c.receive()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if status/100 != 2 {
		return nil, fmt.Errorf("%s %s: %d: %s", method, path, status, c.body)
	}
	return c.body, nil
}

func (c *conn) post(path string, body []byte) ([]byte, error) {
	return c.call(http.MethodPost, path, body)
}

// receive reads an answer into body.
func (c *conn) receive() (status int, err error) {
	line, err := c.line()
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("not HTTP: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length, chunked := 0, false
	for {
		if line, err = c.line(); err != nil {
			return 0, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case "Transfer-Encoding":
			chunked = true
		}
	}
	c.body = c.body[:0]
	if !chunked {
		return status, c.read(length)
	}
	return status, c.chunks()
}

// chunks reads a body that comes in pieces.
func (c *conn) chunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(line), 16, 32)
		if err != nil {
			return err
		}
		if err := c.read(int(n)); err != nil {
			return err
		}
		if line, err := c.line(); err != nil || len(line) > 0 {
			return errors.Join(err, fmt.Errorf("%q after a piece", line))
		}
		if n == 0 {
			return nil
		}
	}
}

// read adds n bytes to body.
func (c *conn) read(n int) error {
	from := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	_, err := io.ReadFull(c.in, c.body[from:])
	return err
}

// line is good until the next read.
func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}
