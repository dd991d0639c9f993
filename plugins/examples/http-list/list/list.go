// Package list parses a list of candidates, as text or as JSON.
package list

import (
	"mode/endpoints"
)

// Entry is one candidate, with its attributes.
type Entry struct {
	endpoints.Endpoint
	// Pairs of key and value, sorted by key.
	Attributes [][2]string
}

// Fault is a malformed entry. The rest of the list is used.
type Fault struct {
	// `line 3` or `entry 3`, starting at 1.
	Where string
	// The text, and what is wrong with it.
	What string
}

// List is the result of parsing.
type List struct {
	Entries []Entry
	Faults  []Fault
}

func (list *List) add(where, text string, attributes [][2]string) {
	endpoint, err := endpoints.Parse(text)
	if err != nil {
		list.Faults = append(list.Faults, Fault{where, err.Error()})
		return
	}
	list.Entries = append(list.Entries, Entry{endpoint, attributes})
}
