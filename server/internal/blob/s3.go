package blob

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/errand-dev/errand/server/internal/fault"
	"github.com/errand-dev/errand/server/internal/files"
)

const (
	s3Scheme = "s3://"
	// s3Tries is how often the client sends a request that it may repeat.
	s3Tries = 3
	// checkTime bounds how long a start waits for the bucket.
	checkTime = 20 * time.Second
	// whereKeysAre is told to operators.
	whereKeysAre = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the file AWS_SHARED_CREDENTIALS_FILE"
)

// bucket keeps contents as objects, named as the files of a folder are: so each can be
// copied into the other by the tools that there are.
type bucket struct {
	client *minio.Core
	name   string
	prefix string
	log    *slog.Logger
}

// location is what the URL of a bucket says.
type location struct {
	bucket, prefix, region string
	endpoint               *url.URL
}

// parse reads s3://bucket/prefix?endpoint=URL&region=NAME. Its errors do not show what was
// given, which may hold a key by mistake.
func parse(place string) (l location, err error) {
	u, err := url.Parse(place)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return l, errors.New("write s3://bucket/prefix?endpoint=URL&region=NAME")
	case u.User != nil:
		return l, errors.New("keys do not belong into the URL, but into " + whereKeysAre)
	}
	given := u.Query()
	for name := range given {
		if name != "endpoint" && name != "region" {
			return l, errors.New("behind ? only endpoint=URL and region=NAME are known")
		}
	}
	l = location{bucket: u.Host, prefix: strings.Trim(u.Path, "/"), region: cmp.Or(given.Get("region"), os.Getenv("AWS_REGION"), "us-east-1")}
	l.endpoint, err = url.Parse(cmp.Or(given.Get("endpoint"), os.Getenv("AWS_ENDPOINT_URL_S3"), "https://s3."+l.region+".amazonaws.com"))
	if err != nil || l.endpoint.Host == "" || (l.endpoint.Scheme != "http" && l.endpoint.Scheme != "https") || strings.Trim(l.endpoint.Path, "/") != "" {
		return l, errors.New("the endpoint must be an http or https URL without a path, for example https://s3.example.com")
	}
	return l, nil
}

// keys finds the credentials where the tools of S3 look for them.
func keys() *credentials.Credentials {
	chain := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	for _, name := range []string{"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		if os.Getenv(name) != "" {
			chain = append(chain, &credentials.IAM{})
			break
		}
	}
	return credentials.NewChainCredentials(chain)
}

func openBucket(ctx context.Context, place string, log *slog.Logger) (files.Blobs, error) {
	l, err := parse(place)
	if err != nil {
		return nil, err
	}
	creds := keys()
	switch key, err := creds.GetWithContext(&credentials.CredContext{Client: http.DefaultClient, Context: ctx}); {
	case err != nil:
		return nil, fmt.Errorf("its keys cannot be read: %w", err)
	case key.AccessKeyID == "":
		return nil, errors.New("no keys were found: set " + whereKeysAre)
	}
	client, err := minio.NewCore(l.endpoint.Host, &minio.Options{
		Creds: creds, Secure: l.endpoint.Scheme == "https", Region: l.region, MaxRetries: s3Tries,
	})
	if err != nil {
		return nil, errors.New("the name of the bucket or its endpoint is not one")
	}
	b := bucket{client: client, name: l.bucket, prefix: l.prefix, log: log}
	ctx, stop := context.WithTimeout(ctx, checkTime)
	defer stop()
	if err := b.prove(ctx); err != nil {
		return nil, fmt.Errorf("the bucket %q at %s: %w", l.bucket, l.endpoint.Host, why(err))
	}
	return b, nil
}

// prove writes, reads and removes an object, as a server will.
func (b bucket) prove(ctx context.Context) error {
	const content = "written by a server that has started"
	object := path.Join(b.prefix, "start-check-"+rand.Text())
	if err := b.put(ctx, object, strings.NewReader(content), int64(len(content)), ""); err != nil {
		return err
	}
	err := b.same(ctx, object, content)
	if removing := b.client.RemoveObject(ctx, b.name, object, minio.RemoveObjectOptions{}); err == nil {
		err = removing
	}
	return err
}

// same compares an object with what was written to it.
func (b bucket) same(ctx context.Context, object, content string) error {
	got, err := b.get(ctx, object, 0)
	if err != nil {
		return err
	}
	defer got.Close() //nolint:errcheck // it was only read
	raw, err := io.ReadAll(got)
	if err == nil && string(raw) != content {
		err = errors.New("it does not return what was written to it")
	}
	return err
}

// why says what an operator may do about an error of S3.
func why(err error) error {
	told := minio.ToErrorResponse(err)
	switch told.Code {
	case minio.NoSuchBucket:
		return errors.New("there is no such bucket: make it first")
	case minio.AccessDenied:
		return errors.New("the key may not do this: it needs GetObject, PutObject and DeleteObject below the prefix")
	case "RequestTimeTooSkewed", "RequestExpired":
		return errors.New("its clock and this machine's differ by too much: set them")
	case "AuthorizationHeaderMalformed", "PermanentRedirect":
		return errors.New("it is in another region: name that with &region=")
	}
	if told.StatusCode == http.StatusForbidden || told.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("it refuses the key (%s): see %s", told.Code, whereKeysAre)
	}
	return err
}

func (b bucket) object(id string) string { return path.Join(b.prefix, id[:2], id) }

// Limit implements files.Blobs: what one request may bring is more than a file may have.
func (bucket) Limit() int64 { return files.MaxSize }

// Put implements files.Blobs. The server compares what has come with the hash.
func (b bucket) Put(ctx context.Context, id string, size int64, path string) error {
	content, err := os.Open(path) //nolint:gosec // an upload of the shelf's
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // it was only read
	return b.trouble(b.put(ctx, b.object(id), content, size, id))
}

func (b bucket) put(ctx context.Context, object string, content io.Reader, size int64, sha256 string) error {
	_, err := b.client.PutObject(ctx, b.name, object, content, size, "", sha256, minio.PutObjectOptions{
		DisableContentSha256: true, // that of the chunks on their way: the one of the whole is compared
	})
	return err
}

// Open implements files.Blobs.
func (b bucket) Open(ctx context.Context, id string, size int64) (io.ReadSeekCloser, error) {
	found, err := b.client.StatObject(ctx, b.name, b.object(id), minio.StatObjectOptions{})
	if err != nil {
		return nil, b.trouble(err)
	}
	if found.Size != size {
		return nil, fmt.Errorf("the object has %d bytes in place of %d", found.Size, size)
	}
	return &seeker{size: size, from: func(at int64) (io.ReadCloser, error) {
		content, err := b.get(ctx, b.object(id), at)
		return body{content, b}, b.trouble(err)
	}}, nil
}

// body is an object on its way. What breaks it off names the bucket's address.
type body struct {
	io.ReadCloser

	from bucket
}

func (o body) Read(into []byte) (int, error) {
	n, err := o.ReadCloser.Read(into)
	if err != nil && !errors.Is(err, io.EOF) {
		err = o.from.trouble(err)
	}
	return n, err
}

// get reads an object from a place on.
func (b bucket) get(ctx context.Context, object string, at int64) (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if at > 0 {
		if err := o.SetRange(at, 0); err != nil {
			return nil, err
		}
	}
	content, _, _, err := b.client.GetObject(ctx, b.name, object, o)
	return content, err
}

// Erase implements files.Blobs.
func (b bucket) Erase(ctx context.Context, id string) error {
	return b.trouble(b.client.RemoveObject(ctx, b.name, b.object(id), minio.RemoveObjectOptions{}))
}

// trouble makes of an error of the bucket what callers are told: the object is not there,
// or the bucket cannot be used now, and the log says why. A caller who has left is neither.
func (b bucket) trouble(err error) error {
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case minio.ToErrorResponse(err).StatusCode == http.StatusNotFound && minio.ToErrorResponse(err).Code != minio.NoSuchBucket:
		return os.ErrNotExist
	}
	b.log.Warn("the bucket that has the files cannot be used", "bucket", b.name, "error", why(err))
	return fault.New(fault.Unavailable, "the bucket that has the files cannot be used now: try again")
}
