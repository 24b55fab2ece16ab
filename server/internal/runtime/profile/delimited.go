package profile

import (
	"fmt"
	"slices"
	"strings"
)

// maxNamed is how many columns are named one after the other.
const maxNamed = 4

// profileDelimited profiles comma-separated values and their relatives.
func profileDelimited(src *source, extension string) string {
	if len(src.head) == 0 {
		src.drain()
		return emptyFile(src)
	}
	d := sniffDialect(src.head, src.whole(), extension)
	reader := newRecordReader(src.Reader, d.comma)
	data := &delimited{dialect: d, table: src.newTable()}
	for {
		record, line, ok := reader.next()
		if !ok {
			break
		}
		if data.width == 0 {
			data.start(record, reader.width())
			if d.header {
				continue
			}
		}
		data.checkWidth(reader.width(), line)
		data.table.add(record, line)
		src.progress.rows++
	}
	data.table.finish()
	src.drain()
	return data.section(src, reader.flaws)
}

// delimited is a delimited file as far as it has been read.
type delimited struct {
	dialect dialect
	table   *table
	width   int // How many fields the first record has.
	short   flaw
	long    flaw
}

// start names the columns.
func (d *delimited) start(first []string, width int) {
	d.width = width
	for i, name := range first {
		if !d.dialect.header {
			name = ""
		}
		d.table.addColumn(name, d.dialect.formatOf(i))
	}
}

func (d *delimited) checkWidth(width, line int) {
	switch {
	case width < d.width:
		d.short.add(line)
	case width > d.width:
		d.long.add(line)
	}
}

// section writes the report about the file.
func (d *delimited) section(src *source, flaws recordFlaws) string {
	var md markdown
	if d.width == 0 {
		md.para("There are no rows to profile: " + src.sizeText() + " of nothing but " +
			"empty lines or one unclosed quote.")
		md.list(slices.Concat(flaws.notes(), src.notes()))
		return md.String()
	}
	header := "the first line names the columns"
	if !d.dialect.header {
		header = "no header line was found, so columns are named by position"
	}
	md.para(fmt.Sprintf("%s in %s, %s, separated by %s%s; %s.",
		bold(plural(d.table.rows, "row")), bold(plural(d.width, "column")),
		src.sizeText(), commaName(d.dialect.comma), d.decimalCommas(), header))
	notes := slices.Concat(d.notes(), flaws.notes(), src.notes())
	src.found("", d.table, notes)
	writeTable(&md, d.table, notes, 3)
	return md.String()
}

// decimalCommas says which numbers have one.
func (d *delimited) decimalCommas() string {
	general := d.dialect.format
	var others []string
	for _, c := range d.table.columns {
		if c.format != general {
			others = append(others, inline(c.name, maxName))
		}
	}
	if more := len(others) - maxNamed; more > 0 {
		others = append(others[:maxNamed], plural(more, "more column"))
	}
	names := strings.Join(others, " and ")
	switch {
	case general.decimalComma && names != "":
		return ", numbers with a decimal comma, but a decimal point in " + names
	case general.decimalComma:
		return ", numbers with a decimal comma"
	case names != "":
		return ", numbers with a decimal comma in " + names
	default:
		return ""
	}
}

func (d *delimited) notes() []string {
	var notes []string
	if d.width > len(d.table.columns) {
		notes = append(notes, fmt.Sprintf("Only the first %s of %s are profiled.",
			plural(len(d.table.columns), "column"), humanInt(d.width)))
	}
	notes = d.short.note(notes, "row", "fewer fields than the first line; what is not there counts as missing")
	return d.long.note(notes, "row", "more fields than the first line; the surplus is ignored")
}

// note appends "3 rows have ... (first on line 7)." if there is such a flaw.
func (f flaw) note(notes []string, noun, rest string) []string {
	if f.count == 0 {
		return notes
	}
	verb := "have"
	if f.count == 1 {
		verb = "has"
	}
	return append(notes, fmt.Sprintf("%s %s %s (first on line %s).",
		plural(f.count, noun), verb, rest, humanInt(f.line)))
}

func (f recordFlaws) notes() []string {
	var notes []string
	notes = f.nul.note(notes, "cell", "NUL bytes")
	notes = f.stray.note(notes, "character", "been found between a closing quote and the next separator")
	notes = f.cut.note(notes, "cell", "more than "+humanSize(maxField)+"; the rest of it is left out")
	if f.openQuote != 0 {
		notes = append(notes, fmt.Sprintf("The quote opened on line %s is never closed, so everything "+
			"from that row on is left out.", humanInt(f.openQuote)))
	}
	return notes
}

func commaName(comma byte) string {
	switch comma {
	case ';':
		return "semicolons"
	case '\t':
		return "tabs"
	case '|':
		return "pipes"
	default:
		return "commas"
	}
}
