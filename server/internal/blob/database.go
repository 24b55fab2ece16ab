package blob

import (
	"context"
	"errors"
	"io"
	"os"
)

const (
	// pieceSize is how much of a content one row has.
	pieceSize = 256 << 10
	// maxInDatabase is the most that a content in the database may have.
	maxInDatabase = 64 << 20
)

// Rows keeps contents in pieces, in a database.
type Rows interface {
	// PutPiece keeps one of the pieces of a content, from 0.
	PutPiece(ctx context.Context, id string, n int, piece []byte) error
	// Piece reads one; nil if there is none such.
	Piece(ctx context.Context, id string, n int) ([]byte, error)
	// DropPieces drops those of a content.
	DropPieces(ctx context.Context, id string) error
}

// database keeps contents in the database that has the record: nothing else is needed,
// and a dump of it has everything.
type database struct{ rows Rows }

// Limit implements files.Blobs.
func (database) Limit() int64 { return maxInDatabase }

// Put implements files.Blobs.
func (d database) Put(ctx context.Context, id string, _ int64, path string) error {
	content, err := os.Open(path) //nolint:gosec // an upload of the shelf's
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // it was only read
	for n := 0; ; n++ {
		piece := make([]byte, pieceSize)
		size, err := io.ReadFull(content, piece)
		if errors.Is(err, io.EOF) && n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return err
		}
		if err := d.rows.PutPiece(ctx, id, n, piece[:size]); err != nil {
			return err
		}
	}
}

// Open implements files.Blobs.
func (d database) Open(ctx context.Context, id string, size int64) (io.ReadSeekCloser, error) {
	first, err := d.rows.Piece(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	if first == nil {
		return nil, os.ErrNotExist
	}
	return &seeker{size: size, from: func(at int64) (io.ReadCloser, error) {
		return &pieces{ctx: ctx, rows: d.rows, id: id, n: int(at / pieceSize), skip: int(at % pieceSize)}, nil
	}}, nil
}

// Erase implements files.Blobs.
func (d database) Erase(ctx context.Context, id string) error { return d.rows.DropPieces(ctx, id) }

// pieces reads a content from one of its pieces on.
type pieces struct {
	ctx  context.Context //nolint:containedctx // of who reads
	rows Rows
	id   string
	n    int
	skip int // of the next piece
	rest []byte
}

func (p *pieces) Read(into []byte) (int, error) {
	if len(p.rest) == 0 {
		piece, err := p.rows.Piece(p.ctx, p.id, p.n)
		if err != nil {
			return 0, err
		}
		if len(piece) <= p.skip {
			return 0, io.EOF
		}
		p.rest, p.skip, p.n = piece[p.skip:], 0, p.n+1
	}
	n := copy(into, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (*pieces) Close() error { return nil }
