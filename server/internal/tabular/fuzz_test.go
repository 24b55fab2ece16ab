package tabular

import (
	"strings"
	"testing"
)

// FuzzWorkbook holds for any parts of a workbook that its rows come in order, with cells
// within a sheet's bounds, and end.
func FuzzWorkbook(f *testing.F) {
	f.Add(`<sheetData><row r="2"><c r="B2" t="s" s="1"><v>0</v></c><c t="inlineStr"><is><t>x</t></is></c></row></sheetData><mergeCells><mergeCell ref="A1:B2"/></mergeCells>`,
		`<sst><si><t>a_x000D_b</t><rPh><t>c</t></rPh></si></sst>`, `<styleSheet><numFmts><numFmt numFmtId="165" formatCode="[h]:mm;@"/></numFmts><cellXfs><xf/><xf numFmtId="165"/></cellXfs></styleSheet>`)
	f.Add(`<row><c t="d"><v>2025-01-01T00:00:00</v></c><c t="e"><f>1</f><v>#N/A</v></c><c s="1"><v>1E99</v></c></row>`, ``, `<cellXfs><xf numFmtId="14"/><xf numFmtId="46"/>`)
	f.Add(`<cols><col min="1" max="9" hidden="1"/></cols><row r="9"/><row r="1"><c r="ZZZZZ1"/>`, `<si><r><t>x</t></r></si>`, `<numFmt numFmtId="1" formatCode="\"`)
	f.Fuzz(func(t *testing.T, sheet, texts, formats string) {
		if len(sheet)+len(texts)+len(formats) > 1<<16 {
			return
		}
		content := archive(t,
			file(t, "xl/workbook.xml", `<workbook xmlns:r="x"><sheets><sheet name="One" r:id="rId1"/></sheets></workbook>`),
			file(t, "xl/_rels/workbook.xml.rels", `<Relationships><Relationship Id="rId1" Type="http://x/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`),
			file(t, sheetPart, sheet), file(t, textsPart, texts), file(t, "xl/styles.xml", formats))
		c := Open(t.Context(), "a.xlsx", content[:HeadSize], strings.NewReader(string(content)))
		defer c.Close()
		for _, s := range c.Sheets {
			rows, last := s.Rows(), 0
			for {
				row, more := rows.Next()
				if !more {
					break
				}
				if row.Number <= last || len(row.Cells) == 0 || len(row.Cells) > maxColumn || row.Cells[len(row.Cells)-1] == (Cell{}) {
					t.Errorf("row %d after %d has %d cells", row.Number, last, len(row.Cells))
				}
				last = row.Number
			}
			for _, note := range rows.Notes() {
				if note == "" {
					t.Error("an empty note")
				}
			}
		}
	})
}
