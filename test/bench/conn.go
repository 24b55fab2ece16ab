package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// conn is one keep-alive connection to the server, used by one goroutine. It
// writes requests as bytes and reads answers with the standard library, so that
// the load costs little of the machine that it shares with what it measures.
type conn struct {
	net.Conn
	in   *bufio.Reader
	host string
	out  bytes.Buffer
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

// call sends a request and reads its answer, which must be a success.
func (c *conn) call(method, path string, body []byte) ([]byte, error) {
	if err := c.send(method, path, body); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer answer.Body.Close() //nolint:errcheck // it has been read
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, content)
	}
	return content, err
}

// post is call with a JSON body and, if into is not nil, a JSON answer.
func (c *conn) post(path string, body []byte, into any) error {
	content, err := c.call(http.MethodPost, path, body)
	if err != nil || into == nil {
		return err
	}
	return json.Unmarshal(content, into)
}
