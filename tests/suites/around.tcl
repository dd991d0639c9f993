# Runs the tests of Redis or Valkey against Convoke: sources tests/test_helper.tcl and replaces what
# depends on the process rather than on its protocol. The tests are unmodified.
#
#  - Settings of memory encodings are emulated here, since tests set them as a precondition and
#    Convoke has none of them; so are MEMORY USAGE and OBJECT REFCOUNT.
#  - Units that Redis runs only on servers that it starts itself (SUITE_LIFTED) are run too, since
#    they need no more than DEBUG SET-ACTIVE-EXPIRE, which is emulated: expired fields are never
#    visible on Convoke, so it makes no difference whether they are already deleted.
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
    proto-max-bulk-len client-query-buffer-limit save hz bind
}

proc is_kept {name} {
    foreach pattern $::keeping {
        if {[string match -nocase $pattern $name]} { return 1 }
    }
    return 0
}

# Accepts tests with one tag that excludes servers that are running already. Tests that start a
# further server have a second one.
proc lift_tags {} {
    rename tags_acceptable original_acceptable
    proc tags_acceptable {tags err_return} {
        upvar $err_return err
        foreach tag {external:skip needs:debug} {
            set at [lsearch -exact $tags $tag]
            if {$at >= 0} { set tags [lreplace $tags $at $at] }
        }
        original_acceptable $tags err
    }
}

proc adapt {} {
    if {$::env(SUITE_LIFTED)} { lift_tags }
    if {$::env(SUITE_TARGET) ne "convoke"} return

    # The client library is a namespace of this name, and so is the command that connects.
    set ::library [expr {[namespace exists ::valkey] ? "valkey" : "redis"}]
    set dispatch ::${::library}::__dispatch__raw__
    rename $dispatch ::${::library}::original_dispatch
    proc $dispatch {id method argv} {
        upvar #0 ::${::library}::blocking blocking ::${::library}::deferred deferred
        if {[string tolower "$method [lindex $argv 0]"] in {"memory usage" "object refcount"}} { return 1 }
        if {[string tolower "$method [lindex $argv 0]"] eq "debug set-active-expire"} { return OK }
        set is_asked [expr {[string equal -nocase $method config] && [is_kept [lindex $argv 1]]}]
        if {$is_asked && $blocking($id) && !$deferred($id)} {
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
        if {[string equal -nocase "$method [lindex $argv 0]" "config resetstat"]} {
            foreach port $::ports {
                set other [original_connect $::host $port]
                $other write "CONFIG RESETSTAT\r\n"
                $other flush
                $other read
                $other close
            }
        }
        set is_later [expr {[info exists deferred($id)] && $deferred($id)}]
        set gets_a_moment [expr {$is_later && [regexp -nocase {^(b[lrz].*|.*subscribe|exec|watch)$} $method]}]
        # One level, as the original: it goes up from where it is.
        set answer [uplevel 1 [list ::${::library}::original_dispatch $id $method $argv]]
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
    rename $::library original_connect
    proc $::library {{server 127.0.0.1} {port 6379} args} {
        if {$port in $::ports} {
            set port [lindex $::ports [expr {$::turn % [llength $::ports]}]]
            incr ::turn
        }
        original_connect $server $port {*}$args
    }

    rename status original_status
    proc status {client property} {
        # Tests query it to decide whether they are run.
        if {$property eq "mem_allocator"} { return jemalloc }
        set own [original_status $client $property]
        if {[llength $::ports] == 1 || $property ni {blocked_clients expired_keys expired_subkeys}} { return $own }
        set sum 0
        foreach port $::ports {
            set other [original_connect $::host $port]
            incr sum [original_status $other $property]
            $other close
        }
        return $sum
    }
}

set argv0 tests/test_helper.tcl
source tests/test_helper.tcl
