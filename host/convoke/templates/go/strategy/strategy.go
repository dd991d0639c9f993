// Package strategy is what the host calls.
package strategy

import (
	types "mode/bindings/convoke_discovery_types"
	log "mode/bindings/convoke_host_log"
	wit "mode/bindings/wit/types"
	"mode/places"
)

// The list never changes: another look is for a host that lost the last one.
const lookAgainMs = 60_000

var known []places.Place

// Configure is called once, before anything else.
func Configure(config types.ModeConfig, _ types.LocalMember) wit.Result[wit.Unit, types.Problem] {
	for _, setting := range config.Settings {
		fields := []wit.Tuple2[string, string]{wit.Pair("setting", setting.F0)}
		log.Log(log.Level_Warn, "unknown setting ignored", fields)
	}
	list, err := places.ParseList(config.Argument)
	if err != nil {
		return wit.Err[wit.Unit](types.MakeProblemMisconfigured(err.Error()))
	}
	known = list
	return wit.Ok[wit.Unit, types.Problem](wit.Unit{})
}

// Discover takes one look.
func Discover() wit.Result[types.Snapshot, types.Problem] {
	snapshot := types.Snapshot{LookAgainMs: wit.Some[uint32](lookAgainMs)}
	for _, place := range known {
		candidate := types.Candidate{Address: place.Address.String()}
		if place.Port != 0 {
			candidate.Port = wit.Some(place.Port)
		}
		snapshot.Candidates = append(snapshot.Candidates, candidate)
	}
	return wit.Ok[types.Snapshot, types.Problem](snapshot)
}
