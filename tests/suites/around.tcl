# Runs Redis' tests against Convoke: sources tests/test_helper.tcl and replaces what depends on
# Redis' process rather than on its protocol. The tests are unmodified.
#
#  - Settings of memory encodings are emulated here, since tests set them as a precondition and
#    Convoke has none of them; so are MEMORY USAGE and OBJECT REFCOUNT.
#  - FUNCTION FLUSH before each group of tests may fail, since there are no functions.
#  - Connections are distributed over the members in turn (SUITE_PORTS): if one client blocks,
#    watches or subscribes, another client writes or publishes on another member. Counters of INFO
#    are then summed over all members. After a blocking command whose answer is not read
#    immediately there is a short delay, since tests assume that commands are executed in the order
#    in which they are sent, as in a single process.

set around [file normalize [info script]]

rename source original_source
proc source {path} {
    uplevel 1 [list original_source $path]
    # The last file that the helper sources before it starts.
    if {$path eq "tests/support/util.tcl"} {
        adapt
        # Clients of the test server are started by this name.
        info script $::around
    }
}

# Emulated settings by name, for the lifetime of the process.
array set kept {}
set keeping {
    *-max-ziplist-* *-max-listpack-* set-max-intset-entries list-compress-depth
    list-max-ziplist-size list-max-listpack-size sanitize-dump-payload
    proto-max-bulk-len client-query-buffer-limit save
}

proc is_kept {name} {
    foreach pattern $::keeping {
        if {[string match -nocase $pattern $name]} { return 1 }
    }
    return 0
}

proc adapt {} {
    rename ::redis::__dispatch__raw__ ::redis::original_dispatch
    proc ::redis::__dispatch__raw__ {id method argv} {
        if {[string tolower "$method [lindex $argv 0]"] in {"memory usage" "object refcount"}} { return 1 }
        set is_asked [expr {[string equal -nocase $method config] && [is_kept [lindex $argv 1]]}]
        if {$is_asked && $::redis::blocking($id) && !$::redis::deferred($id)} {
            lassign $argv verb name value
            if {[string equal -nocase $verb set] && [llength $argv] == 3} {
                set ::kept($name) $value
                return OK
            }
            if {[string equal -nocase $verb get] && [llength $argv] == 2} {
                if {![info exists ::kept($name)]} { set ::kept($name) 128 }
                return [list $name $::kept($name)]
            }
        }
        set is_later [expr {[info exists ::redis::deferred($id)] && $::redis::deferred($id)}]
        set gets_a_moment [expr {$is_later && [regexp -nocase {^(b[lrz].*|.*subscribe|exec|watch)$} $method]}]
        # One level, as the original: it goes up from where it is.
        set answer [uplevel 1 [list ::redis::original_dispatch $id $method $argv]]
        if {$gets_a_moment} { after $::moment_ms }
        return $answer
    }

    set body [info body run_external_server_test]
    set lenient [string map {"r function flush" "catch {r function flush}"} $body]
    if {$lenient eq $body} { error "around.tcl: it does not support this version of the tests" }
    proc run_external_server_test [info args run_external_server_test] $lenient

    set ::ports [split $::env(SUITE_PORTS) ,]
    set ::turn 0
    set ::moment_ms 5
    rename redis original_redis
    proc redis {{server 127.0.0.1} {port 6379} args} {
        if {$port in $::ports} {
            set port [lindex $::ports [expr {$::turn % [llength $::ports]}]]
            incr ::turn
        }
        original_redis $server $port {*}$args
    }

    rename status original_status
    proc status {client property} {
        # Tests query it to decide whether they are run.
        if {$property eq "mem_allocator"} { return jemalloc }
        set own [original_status $client $property]
        if {[llength $::ports] == 1 || $property ni {blocked_clients expired_keys}} { return $own }
        set sum 0
        foreach port $::ports {
            set other [original_redis $::host $port]
            incr sum [original_status $other $property]
            $other close
        }
        return $sum
    }
}

set argv0 tests/test_helper.tcl
source tests/test_helper.tcl
