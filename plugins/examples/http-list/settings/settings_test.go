package settings

import (
	"testing"
	"time"
)

func TestAURLIsSufficient(t *testing.T) {
	got, err := Parse(" http://10.0.0.2:8080/members ", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.URL.String() != "http://10.0.0.2:8080/members" || got.Format != Auto ||
		got.LookAgain != 5*time.Second || got.Timeout != 3*time.Second || got.Authorization != "" {
		t.Errorf("got %+v", got)
	}
}

func TestAllSettingsAreParsed(t *testing.T) {
	got, err := Parse("https://lists.example/a", [][2]string{
		{"authorization", "Bearer x"}, {"format", "json"},
		{"look-again-ms", "500"}, {"timeout-ms", "8000"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Authorization != "Bearer x" || got.Format != JSON ||
		got.LookAgain != 500*time.Millisecond || got.Timeout != 8*time.Second {
		t.Errorf("got %+v", got)
	}
}

func TestInvalidValuesAreRejected(t *testing.T) {
	const url = "http://lists.example/"
	for _, test := range []struct {
		argument, key, value, want string
	}{
		{"", "", "", `the argument is empty; expected a URL such as http://10.0.0.2:8080/members`},
		{"lists.example", "", "", `"lists.example" is not an HTTP URL; expected a URL such as http://10.0.0.2:8080/members`},
		{"ftp://lists.example/", "", "", `"ftp://lists.example/" is not an HTTP URL; expected a URL such as http://10.0.0.2:8080/members`},
		{"http:///members", "", "", `"http:///members" is not an HTTP URL; expected a URL such as http://10.0.0.2:8080/members`},
		{"http://a:b@lists.example/", "", "", `"http://a:xxxxx@lists.example/" holds a user; use the setting authorization`},
		{url, "authorization", "Bearer x\r\nHost: y", `authorization has a character that is not allowed in a header`},
		{url, "format", "yaml", `format = "yaml" is not auto, text or json`},
		{url, "look-again-ms", "499", `look-again-ms = "499" is not a number of milliseconds from 500 to 3600000`},
		{url, "timeout-ms", "-1", `timeout-ms = "-1" is not a number of milliseconds from 100 to 8000`},
		{url, "timeout-ms", "3s", `timeout-ms = "3s" is not a number of milliseconds from 100 to 8000`},
		{url, "interval", "5", `"interval" is not a setting of this mode; it has authorization, format, look-again-ms and timeout-ms`},
	} {
		var pairs [][2]string
		if test.key != "" {
			pairs = [][2]string{{test.key, test.value}}
		}
		if _, err := Parse(test.argument, pairs); err == nil || err.Error() != test.want {
			t.Errorf("%q %s=%q:\n  got  %v\n  want %s", test.argument, test.key, test.value, err, test.want)
		}
	}
}
