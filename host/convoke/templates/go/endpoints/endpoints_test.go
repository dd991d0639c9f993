package endpoints

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestAllFormsAreParsed(t *testing.T) {
	got, err := ParseList(" 10.0.0.5,10.0.0.6:6900 fd00::5\n[fd00::6], [fd00::7]:6901")
	want := []Endpoint{
		{Address: netip.MustParseAddr("10.0.0.5")},
		{Address: netip.MustParseAddr("10.0.0.6"), Port: 6900},
		{Address: netip.MustParseAddr("fd00::5")},
		{Address: netip.MustParseAddr("fd00::6")},
		{Address: netip.MustParseAddr("fd00::7"), Port: 6901},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

func TestErrorsQuoteTheMalformedEndpoint(t *testing.T) {
	for list, prefix := range map[string]string{
		"":                    "the list is empty; expected addresses such as 10.0.0.5",
		" ,\n":                "the list is empty; ",
		"10.0.0.5,10.0.0.300": `"10.0.0.300" is not an IP address; `,
		"db.example:6900":     `"db.example:6900" is not an IP address; `,
		":6900":               `":6900" is not an IP address; `,
		"10.0.0.5:":           `"10.0.0.5:" has no port from 1 to 65535 after its address; `,
		"10.0.0.5:0":          `"10.0.0.5:0" has no port `,
		"10.0.0.5:65536":      `"10.0.0.5:65536" has no port `,
		"10.0.0.5:+1":         `"10.0.0.5:+1" has no port `,
		"[fd00::5":            `"[fd00::5" is not an IP address; `,
		"[fd00::5]6900":       `"[fd00::5]6900" is not an IP address; `,
		"[10.0.0.5]:6900":     `"[10.0.0.5]:6900" is not an IP address; `,
		"fe80::1%eth0":        `"fe80::1%eth0" is not an IP address; `,
	} {
		got, err := ParseList(list)
		if err == nil || !strings.HasPrefix(err.Error(), prefix) {
			t.Errorf("%q: got %v, %v; want an error with the prefix %s", list, got, err, prefix)
		}
	}
}
