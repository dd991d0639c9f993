// Package endpoints parses addresses at which members may listen. It calls no host function, so
// `go test` can run it.
package endpoints

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// Endpoint is an IP address with an optional port.
type Endpoint struct {
	// IPv4 or IPv6.
	Address netip.Addr
	// 1 to 65535; 0 if none was given.
	Port uint16
}

const expected = "expected addresses such as 10.0.0.5, 10.0.0.5:6900 or [fd00::5]:6900"

// ParseList parses endpoints separated by commas or white space. An empty list and a malformed
// endpoint are errors; the error quotes the endpoint.
func ParseList(text string) ([]Endpoint, error) {
	fields := strings.FieldsFunc(text, func(char rune) bool {
		return char == ',' || unicode.IsSpace(char)
	})
	if len(fields) == 0 {
		return nil, errors.New("the list is empty; " + expected)
	}
	list := make([]Endpoint, 0, len(fields))
	for _, field := range fields {
		endpoint, err := Parse(field)
		if err != nil {
			return nil, fmt.Errorf("%w; %s", err, expected)
		}
		list = append(list, endpoint)
	}
	return list, nil
}

// Parse parses `10.0.0.5`, `10.0.0.5:6900`, `fd00::5`, `[fd00::5]` or
// `[fd00::5]:6900`.
func Parse(text string) (Endpoint, error) {
	address, port, hasPort := split(text)
	parsed, err := netip.ParseAddr(address)
	if err != nil || parsed.Zone() != "" || (parsed.Is4() && strings.HasPrefix(text, "[")) {
		return Endpoint{}, fmt.Errorf("%q is not an IP address", text)
	}
	if !hasPort {
		return Endpoint{Address: parsed}, nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return Endpoint{}, fmt.Errorf("%q has no port from 1 to 65535 after its address", text)
	}
	return Endpoint{Address: parsed, Port: uint16(number)}, nil
}

// split separates the address from the port, and removes brackets.
func split(text string) (address, port string, hasPort bool) {
	if inner, isBracketed := strings.CutPrefix(text, "["); isBracketed {
		address, rest, isClosed := strings.Cut(inner, "]")
		if !isClosed {
			return text, "", false
		}
		if rest == "" {
			return address, "", false
		}
		port, hasPort = strings.CutPrefix(rest, ":")
		if !hasPort {
			return text, "", false
		}
		return address, port, true
	}
	if strings.Count(text, ":") == 1 {
		return strings.Cut(text, ":")
	}
	return text, "", false
}
