package list

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"mode/endpoints"
)

func entry(address string, port uint16, attributes ...[2]string) Entry {
	return Entry{endpoints.Endpoint{Address: netip.MustParseAddr(address), Port: port}, attributes}
}

func check(t *testing.T, got, want List) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n  got  %+v\n  want %+v", got, want)
	}
}

func TestATextHasOneAddressPerLine(t *testing.T) {
	got := ParseText("\ufeff# members\r\n10.0.0.5\r\n\n  [fd00::5]:6900  # the second\n10.0.0.300\ndb.example")
	check(t, got, List{
		Entries: []Entry{entry("10.0.0.5", 0), entry("fd00::5", 6900)},
		Faults: []Fault{
			{"line 5", `"10.0.0.300" is not an IP address`},
			{"line 6", `"db.example" is not an IP address`},
		},
	})
}

func TestInvalidUTF8IsAFault(t *testing.T) {
	check(t, ParseText("\xff\xfe1\n"), List{Faults: []Fault{{"line 1", `"?1" is not an IP address`}}})
}

func TestAnEmptyListHasNoEntries(t *testing.T) {
	check(t, ParseText(""), List{})
	check(t, ParseText("# none yet\n\n"), List{})
	for _, text := range []string{"", "[]", " [ ]\n", `[{"targets": []}]`} {
		got, err := ParseJSON([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		check(t, got, List{})
	}
}

func TestJSONIsAnArrayOrOneValuePerLine(t *testing.T) {
	want := List{Entries: []Entry{
		entry("10.0.0.5", 0), entry("10.0.0.6", 6900), entry("fd00::7", 6901, [2]string{"zone", "b"}),
	}}
	for _, text := range []string{
		`["10.0.0.5", {"address": "10.0.0.6", "port": 6900},
		  {"address": "fd00::7", "port": 6901, "labels": {"zone": "b"}}]`,
		"\"10.0.0.5\"\n{\"address\": \"10.0.0.6:6900\"}\n{\"targets\": [\"[fd00::7]:6901\"], \"labels\": {\"zone\": \"b\"}}\n",
	} {
		got, err := ParseJSON([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		check(t, got, want)
	}
}

func TestThePrometheusFormatIsSupported(t *testing.T) {
	got, err := ParseJSON([]byte(`[
		{"targets": ["10.0.0.5:6900", "10.0.0.6:6900"], "labels": {"zone": "b", "env": "shop"}},
		{"targets": ["10.0.0.7:6900"]}]`))
	if err != nil {
		t.Fatal(err)
	}
	labels := [][2]string{{"env", "shop"}, {"zone", "b"}}
	check(t, got, List{Entries: []Entry{
		entry("10.0.0.5", 6900, labels...), entry("10.0.0.6", 6900, labels...), entry("10.0.0.7", 6900),
	}})
}

func TestAMalformedEntryIsAFault(t *testing.T) {
	got, err := ParseJSON([]byte(`["10.0.0.5", 7, null, {"host": "a"}, {"address": "a"},
		{"address": "10.0.0.6", "port": 70000}, {"address": 5}, ["10.0.0.7"]]`))
	if err != nil {
		t.Fatal(err)
	}
	check(t, got, List{
		Entries: []Entry{entry("10.0.0.5", 0)},
		Faults: []Fault{
			{"entry 2", "7 is not an address"},
			{"entry 3", "null is not an address"},
			{"entry 4", `{"host": "a"} has neither address nor targets`},
			{"entry 5", `"a" is not an IP address`},
			{"entry 6", `"10.0.0.6:70000" has no port from 1 to 65535 after its address`},
			{"entry 7", `{"address": 5} is not an address`},
			{"entry 8", `["10.0.0.7"] is not an address`},
		},
	})
}

func TestInvalidJSONIsRejected(t *testing.T) {
	for _, text := range []string{"10.0.0.5:6900", `["10.0.0.5"`, `["10.0.0.5"] <html>`} {
		if got, err := ParseJSON([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "is not JSON") {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
}

func FuzzArbitraryBytes(f *testing.F) {
	f.Add([]byte("10.0.0.5:6900 # a\n[fd00::5]"))
	f.Add([]byte(`[{"targets": ["10.0.0.5:6900"], "labels": {"zone": "b"}}]`))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, fault := range ParseText(string(content)).Faults {
			if strings.ToValidUTF8(fault.What, "") != fault.What {
				t.Errorf("%q is not UTF-8", fault.What)
			}
		}
		list, err := ParseJSON(content)
		if err != nil && len(list.Entries)+len(list.Faults) > 0 {
			t.Errorf("both a list and %v", err)
		}
	})
}
