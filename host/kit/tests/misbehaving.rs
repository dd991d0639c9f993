//! Modes that break a rule each, and that the suite finds out.

mod guest;

use convoke_mode_kit::conformance::{Check, Outcome, Report, Subject, check};
use convoke_mode_kit::{CallError, Harness};
use guest::{FINE, Guest, MISCONFIGURED, TEMPORARY};
use tempfile::TempDir;

/// The imports of `convoke:host/dns` and `convoke:host/multicast` under short names.
const DNS: &str =
    r#"(import "convoke:host/dns@0.1.0" "lookup-addresses" (func $look-up (param i32 i32 i32)))"#;
const MULTICAST: &str = r#"
    (import "convoke:host/multicast@0.1.0" "[static]group.join"
        (func $join (param i32 i32 i32 i32)))
    (import "convoke:host/multicast@0.1.0" "[method]group.receive"
        (func $receive (param i32 i32 i32 i32)))"#;

/// Looks `a.example` up; where the outcomes are is at 0x2100.
const LOOK_UP: &str = "(call $look-up (i32.const 0x2000) (i32.const 1) (i32.const 0x2100))";

fn report(guest: &Guest, complete: impl FnOnce(Subject) -> Subject) -> Report {
    let folder = TempDir::new().unwrap();
    let subject = Subject::new(guest.write(folder.path())).looks(500, 100);
    check(&complete(subject))
}

/// The words of the one check that failed.
fn failure(report: &Report, failed: Check) -> String {
    assert_eq!(report.failed(), [failed], "{report}");
    let line = report.lines.iter().find(|line| matches!(line.outcome, Outcome::Failed(_)));
    match &line.unwrap().outcome {
        Outcome::Failed(why) => why.clone(),
        _ => unreachable!(),
    }
}

#[test]
fn one_that_breaks_none_conforms() {
    let report = report(&Guest::default(), |mode| mode);
    assert!(report.conforms(), "{report}");
}

#[test]
fn one_that_crashes_on_an_argument_is_found_out() {
    // Crashes where the argument begins with a NUL.
    let configure = format!(
        "(if (local.get 1) (then (if (i32.eqz (i32.load8_u (local.get 0))) (then unreachable)))) {FINE}"
    );
    let why = failure(
        &report(&Guest { configure, ..Guest::default() }, |mode| mode),
        Check::SillyArguments,
    );
    assert!(why.starts_with("\"\\0\": configure: it crashed: "), "{why}");
}

#[test]
fn one_that_never_ends_on_an_argument_of_its_author_is_found_out() {
    let configure = format!(
        "(if (i32.eq (local.get 1) (i32.const 1234)) (then (loop $more (br $more)))) {FINE}"
    );
    let long = "x".repeat(1234);
    let report =
        report(&Guest { configure, ..Guest::default() }, |mode| mode.silly_arguments(&[&long]));
    let why = failure(&report, Check::SillyArguments);
    assert!(
        why.contains("and 1194 more bytes: configure: it computed for more than 950 ms"),
        "{why}"
    );
}

#[test]
fn one_that_blames_the_world_for_its_configuration_is_found_out() {
    let configure = format!("(select {TEMPORARY} {FINE} (local.get 1))");
    let why = failure(
        &report(&Guest { configure, ..Guest::default() }, |mode| mode),
        Check::SillyArguments,
    );
    assert_eq!(why, "\" \": configure: temporary: no");
}

#[test]
fn one_that_refuses_all_configurations_is_not_looked_into() {
    let guest = Guest { configure: MISCONFIGURED.into(), ..Guest::default() };
    let report = report(&guest, |mode| mode);
    assert_eq!(failure(&report, Check::TwoLooks), "configure: misconfigured: no");
    assert_eq!(report.lines.len(), 2, "{report}");
}

#[test]
fn one_that_works_once_is_found_out() {
    let guest = Guest {
        items: "(global $looks (mut i32) (i32.const 0))",
        discover: format!(
            "(if (global.get $looks) (then unreachable))
            (global.set $looks (i32.const 1)) {FINE}"
        ),
        ..Guest::default()
    };
    let why = failure(&report(&guest, |mode| mode), Check::TwoLooks);
    assert!(why.starts_with("the second: it crashed"), "{why}");
}

#[test]
fn one_whose_memory_grows_is_found_out() {
    // A page each 64 looks.
    let guest = Guest {
        items: "(global $looks (mut i32) (i32.const 0))",
        discover: format!(
            "(global.set $looks (i32.add (global.get $looks) (i32.const 1)))
            (if (i32.eqz (i32.and (global.get $looks) (i32.const 63)))
                (then (drop (memory.grow (i32.const 1)))))
            {FINE}"
        ),
        ..Guest::default()
    };
    let why = failure(&report(&guest, |mode| mode), Check::ManyLooks);
    assert_eq!(why, "1114112 bytes after 100 looks, 1507328 after 500");
}

#[test]
fn one_that_holds_too_much_is_found_out() {
    let configure = format!("(drop (memory.grow (i32.const 512))) {FINE}");
    let guest = Guest { configure, ..Guest::default() };
    assert_eq!(failure(&report(&guest, |mode| mode), Check::Memory), "33.0 of 16.0 MiB");
    assert!(report(&guest, |mode| mode.memory_max(33 << 20)).conforms());
}

#[test]
fn one_that_imports_more_than_is_declared_is_found_out() {
    let guest =
        Guest { imports: "import convoke:host/dns@0.1.0;", core_imports: DNS, ..Guest::default() };
    let granted = |mode: Subject| mode.working(|mode| mode.grant("dns", "a.example"));
    let why = failure(&report(&guest, granted), Check::Imports);
    assert_eq!(why, "convoke:host/dns is imported, and dns is not declared");
}

/// Looks a name up, and says what `verdict` makes of the outcome.
fn looks_up(verdict: &str) -> Guest {
    Guest {
        imports: "import convoke:host/dns@0.1.0;",
        core_imports: DNS,
        items: r#"(data (i32.const 0x2000) "\00\22\00\00\09\00\00\00") (data (i32.const 0x2200) "a.example")"#,
        discover: format!("{LOOK_UP} {verdict}"),
        ..Guest::default()
    }
}

fn with_dns(mode: Subject) -> Subject {
    mode.declares(&["dns"]).working(|mode| {
        mode.grant("dns", "a.example").world(|world| {
            world.dns.names.insert("a.example".into(), vec!["10.0.0.7".parse().unwrap()]);
        })
    })
}

#[test]
fn one_that_passes_over_refusals_and_failures_is_found_out() {
    let report = report(&looks_up(FINE), with_dns);
    assert_eq!(report.failed(), [Check::Denied, Check::Failing], "{report}");
    let text = report.to_string();
    assert!(
        text.contains("FAILED  denied dns          expected a problem, not 0 candidates"),
        "{text}"
    );
    let excused = report_excused();
    assert!(excused.conforms(), "{excused}");
    assert!(
        excused.to_string().contains("excused denied dns          it does not care"),
        "{excused}"
    );
}

fn report_excused() -> Report {
    report(&looks_up(FINE), |mode| {
        with_dns(mode)
            .excuse(Check::Denied, "it does not care")
            .excuse(Check::Failing, "it does not care")
    })
}

#[test]
fn one_that_takes_a_refusal_for_a_failure_is_found_out() {
    // The first byte of an outcome says whether there is none.
    let verdict =
        format!("(select {TEMPORARY} {FINE} (i32.load8_u (i32.load (i32.const 0x2100))))");
    let why = failure(&report(&looks_up(&verdict), with_dns), Check::Denied);
    assert_eq!(why, "expected denied, not temporary: no");
}

#[test]
fn one_that_crashes_on_a_datagram_is_found_out() {
    // Crashes where a payload of more than 40 bytes comes.
    let guest = Guest {
        imports: "import convoke:host/multicast@0.1.0;",
        core_imports: MULTICAST,
        items: r#"
            (data (i32.const 0x2200) "224.2.2.4")
            (global $group (mut i32) (i32.const 0))
            (global $at (mut i32) (i32.const 0))
            (global $left (mut i32) (i32.const 0))"#,
        configure: format!(
            "(call $join (i32.const 0x2200) (i32.const 9) (i32.const 2904) (i32.const 0x2100))
            (global.set $group (i32.load (i32.const 0x2104)))
            {FINE}"
        ),
        discover: format!(
            "(call $receive (global.get $group) (i32.const 256) (i32.const 10) (i32.const 0x2100))
            (global.set $at (i32.load (i32.const 0x2104)))
            (global.set $left (i32.load (i32.const 0x2108)))
            (block $end (loop $next
                (br_if $end (i32.eqz (global.get $left)))
                (if (i32.gt_u (i32.load offset=12 (global.get $at)) (i32.const 40)) (then unreachable))
                (global.set $at (i32.add (global.get $at) (i32.const 16)))
                (global.set $left (i32.sub (global.get $left) (i32.const 1)))
                (br $next)))
            {FINE}"
        ),
    };
    let report = report(&guest, |mode| {
        mode.declares(&["multicast"])
            .working(|mode| mode.grant("multicast", "224.2.2.4:2904"))
            .excuse(Check::Denied, "it does not look at what joining gives")
            .excuse(Check::Failing, "it does not look at what joining gives")
    });
    let why = failure(&report, Check::Datagrams);
    assert!(why.starts_with("after 50 datagrams: discover: it crashed"), "{why}");
}

/// Crashes where more than 64 bytes are in its store under `x`.
fn crashes_on_its_store() -> Guest {
    Guest {
        imports: "import convoke:host/store@0.1.0;",
        core_imports: r#"(import "convoke:host/store@0.1.0" "load" (func $load (param i32 i32 i32)))"#,
        items: r#"(data (i32.const 0x2000) "x")"#,
        discover: format!(
            "(call $load (i32.const 0x2000) (i32.const 1) (i32.const 0x2100))
            (if (i32.load8_u (i32.const 0x2100)) (then (return {TEMPORARY})))
            (if (i32.and (i32.load8_u (i32.const 0x2108))
                    (i32.gt_u (i32.load (i32.const 0x2110)) (i32.const 64)))
                (then unreachable))
            {FINE}"
        ),
        ..Guest::default()
    }
}

#[test]
fn one_that_crashes_on_what_is_in_its_store_is_found_out() {
    let with_store = |mode: Subject| {
        mode.declares(&["store"]).working(|mode| {
            mode.grant("store", "64KiB").world(|world| {
                world.store.insert("x".into(), "10.0.0.7".into());
            })
        })
    };
    let why = failure(&report(&crashes_on_its_store(), with_store), Check::Store);
    assert!(why.contains(": discover: it crashed: "), "{why}");
    let empty =
        |mode: Subject| mode.declares(&["store"]).working(|mode| mode.grant("store", "64KiB"));
    let why = failure(&report(&crashes_on_its_store(), empty), Check::Store);
    assert!(why.starts_with("the working world has nothing in its store"), "{why}");
}

#[test]
fn a_crash_can_be_looked_at_and_got_over() {
    let folder = TempDir::new().unwrap();
    let guest = Guest { discover: "unreachable".into(), ..Guest::default() };
    let mut mode = Harness::load(guest.write(folder.path())).open().unwrap();
    assert!(matches!(mode.discover(), Err(CallError::Trap { .. })));
    assert_eq!(mode.discover(), Err(CallError::Dead));
    mode.restart().unwrap();
    assert!(matches!(mode.discover(), Err(CallError::Trap { .. })));
}
