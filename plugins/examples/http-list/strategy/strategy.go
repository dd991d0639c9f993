// Package strategy contains the functions that the host calls.
package strategy

import (
	types "mode/bindings/convoke_discovery_types"
	log "mode/bindings/convoke_host_log"
	wit "mode/bindings/wit/types"
	"mode/settings"
	"mode/watch"
	"mode/web"
)

var watcher *watch.Watcher

// Configure is called once, before any other function.
func Configure(config types.ModeConfig, _ types.LocalMember) wit.Result[wit.Unit, types.Problem] {
	var pairs [][2]string
	for _, setting := range config.Settings {
		pairs = append(pairs, [2]string{setting.F0, setting.F1})
	}
	parsed, err := settings.Parse(config.Argument, pairs)
	if err != nil {
		return wit.Err[wit.Unit](types.MakeProblemMisconfigured(err.Error()))
	}
	watcher = &watch.Watcher{Settings: parsed, Fetch: web.Get, Log: logLine}
	return wit.Ok[wit.Unit, types.Problem](wit.Unit{})
}

// Discover returns the current candidates.
func Discover() wit.Result[types.Snapshot, types.Problem] {
	entries, failure := watcher.Look()
	if failure != nil {
		return wit.Err[types.Snapshot](problem(failure))
	}
	snapshot := types.Snapshot{
		Candidates:  make([]types.Candidate, 0, len(entries)),
		LookAgainMs: wit.Some(uint32(watcher.Settings.LookAgain.Milliseconds())),
	}
	for _, entry := range entries {
		candidate := types.Candidate{Address: entry.Address.String()}
		if entry.Port != 0 {
			candidate.Port = wit.Some(entry.Port)
		}
		for _, attribute := range entry.Attributes {
			candidate.Attributes = append(candidate.Attributes, wit.Pair(attribute[0], attribute[1]))
		}
		snapshot.Candidates = append(snapshot.Candidates, candidate)
	}
	// The host drops invalid addresses, and treats a result without valid ones as a failure.
	for _, fault := range watcher.Faults() {
		snapshot.Candidates = append(snapshot.Candidates, types.Candidate{Address: fault.Where})
	}
	return wit.Ok[types.Snapshot, types.Problem](snapshot)
}

func problem(failure *watch.Failure) types.Problem {
	switch failure.Kind {
	case watch.Denied:
		return types.MakeProblemDenied(failure.Text)
	case watch.Failed:
		return types.MakeProblemFailed(failure.Text)
	default:
		return types.MakeProblemTemporary(failure.Text)
	}
}

func logLine(level watch.Level, message string, fields ...string) {
	levels := map[watch.Level]log.Level{watch.Info: log.Level_Info, watch.Warn: log.Level_Warn}
	var pairs []wit.Tuple2[string, string]
	for at := 0; at+1 < len(fields); at += 2 {
		pairs = append(pairs, wit.Pair(fields[at], fields[at+1]))
	}
	log.Log(levels[level], message, pairs)
}
