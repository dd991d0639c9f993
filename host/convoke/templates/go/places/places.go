// Package places parses where members may listen. It knows nothing of the host, so
// that `go test` can run it.
package places

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
)

// Place is an address and, if one was given, a port.
type Place struct {
	// IPv4 or IPv6.
	Address netip.Addr
	// 1 to 65535; 0 when none was given.
	Port uint16
}

const expected = "expected addresses such as 10.0.0.5, 10.0.0.5:6900 or [fd00::5]:6900"

// ParseList parses places that are separated by commas or white space. There is at
// least one, and all are well formed; otherwise the error says which is not.
func ParseList(list string) ([]Place, error) {
	words := strings.FieldsFunc(list, func(char rune) bool {
		return char == ',' || unicode.IsSpace(char)
	})
	if len(words) == 0 {
		return nil, errors.New("the list is empty; " + expected)
	}
	places := make([]Place, 0, len(words))
	for _, word := range words {
		place, err := Parse(word)
		if err != nil {
			return nil, fmt.Errorf("%w; %s", err, expected)
		}
		places = append(places, place)
	}
	return places, nil
}

// Parse parses `10.0.0.5`, `10.0.0.5:6900`, `fd00::5`, `[fd00::5]` or
// `[fd00::5]:6900`.
func Parse(text string) (Place, error) {
	address, port, hasPort := split(text)
	parsed, err := netip.ParseAddr(address)
	if err != nil || parsed.Zone() != "" || (parsed.Is4() && strings.HasPrefix(text, "[")) {
		return Place{}, fmt.Errorf("%q is not an IP address", text)
	}
	if !hasPort {
		return Place{Address: parsed}, nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return Place{}, fmt.Errorf("%q has no port from 1 to 65535 after its address", text)
	}
	return Place{Address: parsed, Port: uint16(number)}, nil
}

// split parts the address from the port, and takes off brackets.
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
