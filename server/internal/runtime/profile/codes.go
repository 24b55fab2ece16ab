package profile

// codeDigits is how many digits numbers have, all of them different, before they are
// taken for labels whatever their column is called: telephone and account numbers,
// articles, seconds since 1970.
const codeDigits = 9

// additive tells whether a sum of the numbers says something. It does not for
// percentages, codes, years and places.
func (c *column) additive() bool {
	return c.numeric() && c.numbers.unit != "%" && !c.isCode()
}

// isCode tells whether the numbers of a column are labels.
func (c *column) isCode() bool {
	n := &c.numbers
	if n.unit != "" {
		return false
	}
	words := nameWords(c.name)
	if len(words) == 0 {
		return false
	}
	last := words[len(words)-1]
	if isDayName(words) {
		return true
	}
	if n.scale > 0 {
		return isPlaceWord(last)
	}
	switch {
	case isPlaceWord(last), isCodeWord(last), len(words) > 1 && isNumberWord(last):
		return true
	case hasYearWord(words):
		return n.min.approx >= 1000 && n.max.approx < 3000
	}
	return n.count >= minSummed && n.digits() >= codeDigits && c.tally.distinct() == c.values &&
		moneyRank(words, "") == 0 && !isQuantity(words)
}

// digits is how many digits all of the numbers have, 0 if they differ.
func (n *numbers) digits() int {
	least, most := n.min.exact.rat().Num(), n.max.exact.rat().Num()
	if least.Sign() <= 0 || len(least.String()) != len(most.String()) {
		return 0
	}
	return len(least.String())
}

func isCodeWord(word string) bool {
	switch word {
	case "id", "ids", "uid", "code", "codes", "key", "sku", "ean", "upc", "gtin", "isbn", "issn", "iban", "ssn", "vin",
		"zip", "zipcode", "postcode", "plz", "phone", "telephone", "tel", "mobile", "fax", "telefon", "handy", "imei",
		"center", "centre", "kostenstelle", "konto", "kontonummer", "kundennummer", "bestellnummer", "artikelnummer",
		"rechnungsnummer", "postleitzahl", "identifier", "barcode", "fips", "timestamp", "epoch", "unix":
		return true
	default:
		return false
	}
}

// isNumberWord knows the words that make a code of the word before them.
func isNumberWord(word string) bool {
	switch word {
	case "number", "no", "nr", "num", "nummer", "numero", "número", "numéro":
		return true
	default:
		return false
	}
}

// isDayName tells whether a column is named after days, which its numbers then stand
// for: 20240131, or what a spreadsheet counts since 1900. Sales to date are no days.
func isDayName(words []string) bool {
	last := len(words) - 1
	if last < 0 {
		return false
	}
	switch words[last] {
	case "date", "datum", "fecha", "datetime", "yyyymmdd", "yyyymm", "birthdate", "geburtsdatum":
		return last == 0 || words[last-1] != "to"
	default:
		return false
	}
}

func isPlaceWord(word string) bool {
	switch word {
	case "lat", "lon", "lng", "latitude", "longitude":
		return true
	default:
		return false
	}
}

func hasYearWord(words []string) bool {
	for _, word := range words {
		switch word {
		case "year", "yr", "jahr", "année", "annee", "año", "anno", "ano", "rok", "år", "fy":
			return true
		}
	}
	return false
}
