package tabular

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	logical "github.com/parquet-go/parquet-go/format"
)

const (
	// maxText is how many bytes of a cell of a parquet file are read.
	maxText = 32 << 10
	// valuesAtOnce is how many values of a column are read together.
	valuesAtOnce = 64
)

// errColumn: a column has fewer values than the file has rows.
var errColumn = errors.New("one of its columns ends too early")

// parquetFile reads the rows of a parquet file, column by column. The library that it
// reads with believes what a file says of itself, and may need any memory: so this runs
// only in a process that may be lost.
type parquetFile struct {
	columns []*parquetColumn
	unread  []string // Columns that hold lists or records.
	rows    int64    // That are left.
	shown   int64
	cells   []string
	cut     int // Cells that are longer than maxText.
}

// openParquet opens a file that is in memory. A library of others reads hostile files:
// whatever it does is an error.
func openParquet(all []byte) (p *parquetFile, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			p, err = nil, errors.New("it is broken")
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(all), int64(len(all)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	var says int64
	for _, group := range f.Metadata().RowGroups {
		for _, chunk := range group.Columns {
			if says += max(0, chunk.MetaData.TotalUncompressedSize); says > MaxParts {
				return nil, fmt.Errorf("it becomes more than %d MiB when it is unpacked", MaxParts>>20)
			}
		}
	}
	p = &parquetFile{rows: f.NumRows(), shown: maxShown}
	halves := float16s(f.Metadata().Schema)
	for i, c := range f.Root().Columns() {
		if !c.Leaf() || c.Repeated() {
			p.unread = append(p.unread, c.Name())
			continue
		}
		column := &parquetColumn{name: c.Name(), write: writerOf(c, halves[i])}
		for _, group := range f.RowGroups() {
			column.chunks = append(column.chunks, group.ColumnChunks()[c.Index()])
		}
		p.columns = append(p.columns, column)
	}
	p.cells = make([]string, len(p.columns))
	return p, nil
}

// float16s tells which columns are of numbers of 2 bytes, which the library takes for
// bytes. The elements of a schema stand in the order of its tree, behind its root.
func float16s(schema []logical.SchemaElement) map[int]bool {
	found := map[int]bool{}
	for i, column := 1, 0; i < len(schema); column++ {
		if _, is := schema[i].LogicalType.Value.(*logical.Float16Type); is {
			found[column] = true
		}
		for left := 1; left > 0 && i < len(schema); i++ {
			left += max(0, int(schema[i].NumChildren.V)) - 1
		}
	}
	return found
}

func (p *parquetFile) names() []string {
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = c.name
	}
	return names
}

// next returns the cells of the next row, which are valid until the next call; what is
// missing is empty. After the last row it returns io.EOF.
func (p *parquetFile) next() (cells []string, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			cells, err = nil, errors.New("it is broken")
		}
	}()
	if p.rows <= 0 {
		return nil, io.EOF
	}
	p.rows--
	for i, c := range p.columns {
		v, err := c.next()
		if errors.Is(err, io.EOF) {
			err = errColumn
		}
		if err != nil {
			return nil, err
		}
		text := ""
		if !v.IsNull() {
			text = c.write(v)
		}
		if len(text) > maxText {
			p.cut++
			text = strings.ToValidUTF8(text[:maxText], "")
		}
		if p.shown -= int64(len(text)) + 1; p.shown < 0 {
			return nil, fmt.Errorf("its cells have more than %d MiB", maxShown>>20)
		}
		p.cells[i] = text
	}
	return p.cells, nil
}

// notes say what was not read.
func (p *parquetFile) notes() []string {
	var notes []string
	if n := len(p.unread); n > 0 {
		const most = 10
		names := strings.Join(p.unread[:min(n, most)], ", ")
		if n > most {
			names += " and " + strconv.Itoa(n-most) + " more"
		}
		notes = append(notes, count(n, "column holds lists or records, and is not read: ", "columns hold lists or records, and are not read: ")+names+".")
	}
	if p.cut > 0 {
		notes = append(notes, count(p.cut, "cell has", "cells have")+fmt.Sprintf(" more than %d KiB; the rest is left out.", maxText>>10))
	}
	return notes
}

// parquetColumn hands out the values of a column, one after the other.
type parquetColumn struct {
	name   string
	write  func(parquet.Value) string
	chunks []parquet.ColumnChunk
	pages  parquet.Pages
	values parquet.ValueReader
	ahead  []parquet.Value
	room   [valuesAtOnce]parquet.Value
}

func (c *parquetColumn) next() (parquet.Value, error) {
	for len(c.ahead) == 0 {
		if c.values == nil {
			if err := c.turn(); err != nil {
				return parquet.Value{}, err
			}
		}
		n, err := c.values.ReadValues(c.room[:])
		c.ahead = c.room[:n]
		switch {
		case errors.Is(err, io.EOF):
			c.values = nil
		case err != nil:
			return parquet.Value{}, err
		}
	}
	v := c.ahead[0]
	c.ahead = c.ahead[1:]
	return v, nil
}

// turn turns to the next page.
func (c *parquetColumn) turn() error {
	for {
		if c.pages == nil {
			if len(c.chunks) == 0 {
				return io.EOF
			}
			c.pages, c.chunks = c.chunks[0].Pages(), c.chunks[1:]
		}
		page, err := c.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			_ = c.pages.Close() // it was only read
			c.pages = nil
			continue
		}
		if err != nil {
			return err
		}
		c.values = page.Values()
		return nil
	}
}

// writerOf returns what writes the values of a column, by its logical type: its
// physical one alone would make 1234 of 12.34.
func writerOf(c *parquet.Column, half bool) func(parquet.Value) string {
	if half {
		return func(v parquet.Value) string { return float16Text(v.ByteArray()) }
	}
	if of := c.Type().LogicalType(); of != nil {
		switch t := of.Value.(type) {
		case *logical.DecimalType:
			return func(v parquet.Value) string { return decimalText(v, int(t.Scale)) }
		case *logical.DateType:
			return func(v parquet.Value) string {
				return time.Unix(int64(v.Int32())*24*60*60, 0).UTC().Format(time.DateOnly)
			}
		case *logical.TimeType:
			unit := unitOf(t.Unit)
			return func(v parquet.Value) string {
				return time.Time{}.Add(time.Duration(wholeOf(v)) * unit).Format("15:04:05.999999999")
			}
		case *logical.TimestampType:
			unit, layout := unitOf(t.Unit), "2006-01-02 15:04:05.999999999"
			if t.IsAdjustedToUTC {
				layout += "Z"
			}
			return func(v parquet.Value) string { return momentOf(v.Int64(), unit).Format(layout) }
		case *logical.IntType:
			if !t.IsSigned {
				return unsignedText
			}
		case *logical.StringType, *logical.EnumType, *logical.JsonType:
			return func(v parquet.Value) string { return strings.ToValidUTF8(string(v.ByteArray()), "\ufffd") }
		case *logical.UUIDType:
			return uuidText
		case *logical.BsonType, *logical.GeometryType, *logical.GeographyType:
			return func(v parquet.Value) string { return binaryText(v.ByteArray()) }
		}
	}
	return physicalText
}

// physicalText writes a value that says no more of itself.
func physicalText(v parquet.Value) string {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.FormatBool(v.Boolean())
	case parquet.Int32, parquet.Int64:
		return strconv.FormatInt(wholeOf(v), 10)
	case parquet.Int96:
		return int96Text(v)
	case parquet.Float:
		return floatText(float64(v.Float()), 32)
	case parquet.Double:
		return floatText(v.Double(), 64)
	case parquet.ByteArray, parquet.FixedLenByteArray: // old programs do not say that it is text
		if b := v.ByteArray(); v.Kind() == parquet.ByteArray && utf8.Valid(b) {
			return string(b)
		}
	}
	return binaryText(v.ByteArray())
}

func wholeOf(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

func unsignedText(v parquet.Value) string {
	if v.Kind() == parquet.Int32 {
		return strconv.FormatUint(uint64(v.Uint32()), 10)
	}
	return strconv.FormatUint(v.Uint64(), 10)
}

// decimalText writes a whole number of units of a power of ten.
func decimalText(v parquet.Value, scale int) string {
	n := new(big.Int)
	if v.Kind() == parquet.Int32 || v.Kind() == parquet.Int64 {
		n.SetInt64(wholeOf(v))
	} else { // two's complement, the highest byte first
		b := v.ByteArray()
		if n.SetBytes(b); len(b) > 0 && b[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
		}
	}
	sign, digits := "", n.String()
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		sign, digits = "-", rest
	}
	if scale <= 0 || scale > maxText {
		return sign + digits
	}
	if short := scale + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

func unitOf(u logical.TimeUnit) time.Duration {
	switch u.Value.(type) {
	case *logical.MilliSeconds:
		return time.Millisecond
	case *logical.MicroSeconds:
		return time.Microsecond
	default:
		return time.Nanosecond
	}
}

func momentOf(n int64, unit time.Duration) time.Time {
	perSecond := int64(time.Second / unit)
	return time.Unix(n/perSecond, n%perSecond*int64(unit)).UTC()
}

// int96Text writes a moment as old programs store it: nanoseconds of a day, and the day.
func int96Text(v parquet.Value) string {
	const unixDay = 2_440_588 // of those that Int96 counts
	n := v.Int96()
	day, clock := int64(n[2])-unixDay, int64(uint64(n[1])<<32|uint64(n[0])) //nolint:gosec // of a day
	return time.Unix(day*24*60*60, clock).UTC().Format("2006-01-02 15:04:05.999999999")
}

func uuidText(v parquet.Value) string {
	b := v.ByteArray()
	if len(b) != 16 {
		return binaryText(b)
	}
	text := hex.EncodeToString(b)
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

func float16Text(b []byte) string {
	if len(b) != 2 {
		return binaryText(b)
	}
	bits := binary.LittleEndian.Uint16(b)
	exponent, fraction := int(bits>>10&0x1f), float64(bits&0x3ff)/1024
	value := 1 + fraction
	switch exponent {
	case 0x1f:
		return "NaN"
	case 0:
		value, exponent = fraction, 1
	}
	for ; exponent > 15; exponent-- {
		value *= 2
	}
	for ; exponent < 15; exponent++ {
		value /= 2
	}
	if bits>>15 == 1 {
		value = -value
	}
	return floatText(value, 32)
}

func binaryText(b []byte) string { return fmt.Sprintf("binary of %d bytes", len(b)) }
