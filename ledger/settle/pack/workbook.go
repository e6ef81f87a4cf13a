package pack

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// rowsMax is the most rows of a sheet, the head among them; a longer table goes on in another.
const rowsMax = 1 << 20

// sheetHead and others are the fixed parts of a workbook (ECMA-376, part 1).
const (
	xmlHead   = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	mainSpace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
	relSpace  = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	packRels  = "http://schemas.openxmlformats.org/package/2006/relationships"
	typeSpace = "http://schemas.openxmlformats.org/package/2006/content-types"
	sheetType = "application/vnd.openxmlformats-officedocument.spreadsheetml."
	// bookStyles has every part that the schema wants in it, as Excel writes them: readers that
	// check it refuse a workbook without.
	bookStyles = `<styleSheet xmlns="` + mainSpace + `">` +
		`<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>` +
		`<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>` +
		`<fills count="2"><fill><patternFill patternType="none"/></fill>` +
		`<fill><patternFill patternType="gray125"/></fill></fills>` +
		`<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>` +
		`<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>` +
		`<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>` +
		`<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>` +
		`<xf numFmtId="4" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>` +
		`<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>`
)

// workbook writes the tables as sheets. Equal tables give equal bytes: entries are in a fixed
// order and bear a fixed time.
func workbook(tables []*table) ([]byte, error) {
	sheets := split(tables)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	var types, rels, list strings.Builder
	for i, s := range sheets {
		n := i + 1
		fmt.Fprintf(&types, `<Override PartName="/xl/worksheets/sheet%d.xml" ContentType="%sworksheet+xml"/>`,
			n, sheetType)
		fmt.Fprintf(&rels, `<Relationship Id="rId%d" Type="%s/worksheet" Target="worksheets/sheet%d.xml"/>`,
			n, relSpace, n)
		fmt.Fprintf(&list, `<sheet name="%s" sheetId="%d" r:id="rId%d"/>`, s.Name, n, n)
	}
	parts := []struct{ name, text string }{
		{"[Content_Types].xml", `<Types xmlns="` + typeSpace + `">` +
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
			`<Default Extension="xml" ContentType="application/xml"/>` +
			`<Override PartName="/xl/workbook.xml" ContentType="` + sheetType + `sheet.main+xml"/>` +
			`<Override PartName="/xl/styles.xml" ContentType="` + sheetType + `styles+xml"/>` +
			types.String() + `</Types>`},
		{"_rels/.rels", `<Relationships xmlns="` + packRels + `"><Relationship Id="rId1" Type="` + relSpace +
			`/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
		{"xl/workbook.xml", `<workbook xmlns="` + mainSpace + `" xmlns:r="` + relSpace + `"><sheets>` +
			list.String() + `</sheets></workbook>`},
		{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="` + packRels + `">` + rels.String() +
			fmt.Sprintf(`<Relationship Id="rId%d" Type="%s/styles" Target="styles.xml"/>`, len(sheets)+1,
				relSpace) + `</Relationships>`},
		{"xl/styles.xml", bookStyles},
	}
	for i, s := range sheets {
		parts = append(parts, struct{ name, text string }{
			fmt.Sprintf("xl/worksheets/sheet%d.xml", i+1), s.sheet()})
	}
	for _, p := range parts {
		w, err := z.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Deflate,
			Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(xmlHead + p.text)); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// split cuts tables that are longer than a sheet.
func split(tables []*table) []*table {
	var sheets []*table
	for _, t := range tables {
		rows, n := t.Rows, 1
		for {
			part := &table{Name: t.Name, Head: t.Head, Rows: rows[:min(len(rows), rowsMax-1)]}
			if n > 1 {
				part.Name = fmt.Sprintf("%s %d", t.Name, n)
			}
			sheets = append(sheets, part)
			rows, n = rows[len(part.Rows):], n+1
			if len(rows) == 0 {
				break
			}
		}
	}
	return sheets
}

// sheet writes the table as a worksheet: a frozen, bold head, inline texts, and numbers.
func (t *table) sheet() string {
	var b strings.Builder
	b.WriteString(`<worksheet xmlns="` + mainSpace + `"><sheetViews><sheetView workbookViewId="0">` +
		`<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>` +
		`<sheetFormatPr defaultRowHeight="15"/>`)
	fmt.Fprintf(&b, `<cols><col min="1" max="%d" width="20" customWidth="1"/></cols><sheetData><row r="1">`,
		len(t.Head))
	for _, h := range t.Head {
		b.WriteString(`<c t="inlineStr" s="1"><is><t>` + escape(h) + `</t></is></c>`)
	}
	b.WriteString(`</row>`)
	for i, row := range t.Rows {
		fmt.Fprintf(&b, `<row r="%d">`, i+2)
		for _, c := range row {
			switch {
			case c.number && strings.Contains(c.text, "."):
				b.WriteString(`<c s="2"><v>` + c.text + `</v></c>`)
			case c.number:
				b.WriteString(`<c><v>` + c.text + `</v></c>`)
			default:
				b.WriteString(`<c t="inlineStr"><is><t xml:space="preserve">` + escape(c.text) + `</t></is></c>`)
			}
		}
		b.WriteString(`</row>`)
	}
	b.WriteString(`</sheetData></worksheet>`)
	return b.String()
}

// escape makes text safe in XML; what XML cannot hold becomes U+FFFD.
func escape(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer never fails
	return b.String()
}
