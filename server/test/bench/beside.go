package main

import (
	"context"
	"fmt"
	"regexp"
)

// beside measures another build of the program in turn with this one, and prints
// for each figure the median of the paired ratios: above 1 this build is better.
// The parts that need a large store are left out: it is made by this build, and an
// older one cannot open it.
func (b *bench) beside(ctx context.Context, other string, wanted *regexp.Regexp) error {
	for _, p := range parts() {
		if !wanted.MatchString(p.name) || p.name == "lists" || p.name == "start" {
			continue
		}
		pairs := map[string][][2]figure{}
		var order []figure
		for turn := range b.runs {
			var found [2][]figure
			for side := range 2 {
				if turn%2 == 1 { // neither is always the first
					side = 1 - side
				}
				one := &bench{size: b.size, binary: [2]string{b.binary, other}[side], dir: b.dir, out: b.out, quiet: true}
				one.runs = 1
				if err := p.measure(ctx, one); err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				found[side] = one.table.figures
			}
			for i, f := range found[0] {
				pairs[f.section+f.name] = append(pairs[f.section+f.name], [2]figure{f, found[1][i]})
			}
			order = found[0]
		}
		for _, f := range order {
			b.compared(f, pairs[f.section+f.name])
		}
	}
	return nil
}

// compared prints a figure of both builds.
func (b *bench) compared(f figure, pairs [][2]figure) {
	var these, others, ratios, costs []float64
	for _, p := range pairs {
		this, other := p[0].amount, p[1].amount
		these, others = append(these, this), append(others, other)
		if f.less {
			this, other = other, this
		}
		ratios = append(ratios, this/other)
		costs = append(costs, float64(p[1].cost)/float64(max(p[0].cost, 1)))
	}
	line := fmt.Sprintf("%-18s %-46s %12.4g beside %12.4g   ratio %.2f   (each: %.2f)", f.section, f.name, median(these), median(others), median(ratios), ratios)
	if f.cost > 0 {
		line += fmt.Sprintf("   processor %.2f (each: %.2f)", median(costs), costs)
	}
	fmt.Fprintln(b.out, line)
}
