package profile

import (
	"strings"
	"unicode"
)

// maxMoney is how many columns of money are added up; one of quantities may join them.
const maxMoney = 3

// chooseMeasures picks the columns worth adding up, such as revenue: those that
// name money, the best name first, then the first one that names a quantity.
func chooseMeasures(columns []*column) []*column {
	var money []*column
	var quantity *column
	best := 0
	for _, c := range columns {
		if !c.additive() {
			continue
		}
		words := nameWords(c.name)
		switch rank := moneyRank(words, c.numbers.unit); {
		case rank > best:
			best = rank
			money = append([]*column{c}, money...)
		case rank > 0:
			money = append(money, c)
		case quantity == nil && isQuantity(words):
			quantity = c
		}
	}
	measures := money[:min(len(money), maxMoney)]
	if quantity != nil {
		measures = append(measures, quantity)
	}
	return measures
}

// nameWords splits a column name such as unitPrice, unit_price or "Unit price".
func nameWords(name string) []string {
	var spaced strings.Builder
	lower := false
	for _, r := range name {
		if !unicode.IsLetter(r) {
			r = ' '
		}
		if lower && unicode.IsUpper(r) {
			spaced.WriteByte(' ')
		}
		lower = unicode.IsLower(r)
		spaced.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(spaced.String())
}

// moneyRank tells how much a column is about an amount of money that can be
// added up; 0 means not at all.
func moneyRank(words []string, unit string) int {
	rank := 0
	if unit != "" {
		rank = 1
	}
	for _, word := range words {
		switch word {
		case "price", "prices", "rate", "avg", "average", "mean", "per", "pct", "percent", "id", "year", "number",
			"units", "quantity", "qty", "count", "margin",
			"preis", "einzelpreis", "stückpreis", "satz", "prix", "precio":
			// A sum of these says nothing, or nothing about money.
			return 0
		case "revenue", "revenues", "sales", "turnover", "umsatz", "erlös", "erlöse", "ventas", "ingresos":
			rank = max(rank, 4)
		case "amount", "total", "income", "earnings", "subtotal", "betrag", "summe", "montant", "importe":
			rank = max(rank, 3)
		case "profit", "cost", "costs", "spend", "spending", "expense", "expenses", "budget", "payment", "tax", "fee",
			"fees", "refund", "gewinn", "kosten", "ausgaben", "coût", "coûts", "costo", "gasto":
			rank = max(rank, 2)
		}
	}
	return rank
}

func isQuantity(words []string) bool {
	found := false
	for _, word := range words {
		switch word {
		case "price", "prices", "cost", "costs", "rate", "avg", "average", "mean", "per", "pct", "percent", "id":
			return false
		case "quantity", "qty", "units", "count", "volume", "orders", "pieces", "items", "sold",
			"menge", "anzahl", "stück", "stückzahl", "quantité", "cantidad":
			found = true
		}
	}
	return found
}
