// Package strategy contains the functions that the host calls.
package strategy

import (
	types "mode/bindings/convoke_discovery_types"
	log "mode/bindings/convoke_host_log"
	wit "mode/bindings/wit/types"
	"mode/endpoints"
)

// The list is constant. The interval only matters to a host that has lost the previous result.
const lookAgainMs = 60_000

var known []endpoints.Endpoint

// Configure is called once, before any other function.
func Configure(config types.ModeConfig, _ types.LocalMember) wit.Result[wit.Unit, types.Problem] {
	for _, setting := range config.Settings {
		fields := []wit.Tuple2[string, string]{wit.Pair("setting", setting.F0)}
		log.Log(log.Level_Warn, "unknown setting ignored", fields)
	}
	list, err := endpoints.ParseList(config.Argument)
	if err != nil {
		return wit.Err[wit.Unit](types.MakeProblemMisconfigured(err.Error()))
	}
	known = list
	return wit.Ok[wit.Unit, types.Problem](wit.Unit{})
}

// Discover returns the members that are known now. It is called repeatedly.
func Discover() wit.Result[types.Snapshot, types.Problem] {
	snapshot := types.Snapshot{LookAgainMs: wit.Some[uint32](lookAgainMs)}
	for _, endpoint := range known {
		candidate := types.Candidate{Address: endpoint.Address.String()}
		if endpoint.Port != 0 {
			candidate.Port = wit.Some(endpoint.Port)
		}
		snapshot.Candidates = append(snapshot.Candidates, candidate)
	}
	return wit.Ok[types.Snapshot, types.Problem](snapshot)
}
