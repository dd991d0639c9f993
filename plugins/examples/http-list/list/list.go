// Package list parses a list of places, as text or as JSON.
package list

import (
	"mode/places"
)

// Entry is one place, and what the list says about it.
type Entry struct {
	places.Place
	// As (key, value), sorted by key.
	Attributes [][2]string
}

// Fault is a part of a list that is no place. The rest of the list is none the
// worse for it.
type Fault struct {
	// `line 3` or `entry 3`; the first is 1.
	Where string
	// What stands there, and what it lacks.
	What string
}

// List is what was read.
type List struct {
	Entries []Entry
	Faults  []Fault
}

func (list *List) add(where, text string, attributes [][2]string) {
	place, err := places.Parse(text)
	if err != nil {
		list.Faults = append(list.Faults, Fault{where, err.Error()})
		return
	}
	list.Entries = append(list.Entries, Entry{place, attributes})
}
