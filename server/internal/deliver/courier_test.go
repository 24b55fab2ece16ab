package deliver

import (
	"strconv"
	"testing"
)

// Pushes that wait until they may have much in memory leave room for others (H20).
func TestWhoWaitsLeavesRoom(t *testing.T) {
	t.Parallel()
	c := NewCourier(Options{})
	taken := 0
	take := func() bool {
		id := strconv.Itoa(taken)
		is := c.take(Push{Key: Key{ID: id}, Target: id})
		if is {
			taken++
		}
		return is
	}
	for take() {
	}
	if taken != atOnce {
		t.Fatalf("%d are taken", taken)
	}
	for range heavy {
		c.loads <- struct{}{}
	}
	over := make(chan error)
	go func() { over <- c.await(t.Context()) }()
	<-c.told
	if !take() || take() {
		t.Errorf("%d are taken while one waits", taken)
	}
	c.loads.give()
	if err := <-over; err != nil || take() {
		t.Errorf("%v, %d are taken", err, taken)
	}
}
