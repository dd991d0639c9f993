//! Modes that violate one rule each, which the suite has to detect.

mod guest;

use convoke_mode_kit::conformance::{Check, Report, Subject, Verdict, check};
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

/// Looks up `a.example`; the address of the results is at 0x2100.
const LOOK_UP: &str = "(call $look-up (i32.const 0x2000) (i32.const 1) (i32.const 0x2100))";

fn report(guest: &Guest, complete: impl FnOnce(Subject) -> Subject) -> Report {
    let folder = TempDir::new().unwrap();
    let subject = Subject::new(guest.write(folder.path())).calls(500, 100);
    check(&complete(subject))
}

/// The text of the only failed check.
fn failure(report: &Report, failed: Check) -> String {
    assert_eq!(report.failed(), [failed], "{report}");
    let line = report.lines.iter().find(|line| matches!(line.verdict, Verdict::Failed(_)));
    match &line.unwrap().verdict {
        Verdict::Failed(why) => why.clone(),
        _ => unreachable!(),
    }
}

#[test]
fn a_correct_mode_conforms() {
    let report = report(&Guest::default(), |mode| mode);
    assert!(report.conforms(), "{report}");
}

#[test]
fn a_crash_on_an_argument_is_detected() {
    // Crashes if the argument starts with a NUL.
    let configure = format!(
        "(if (local.get 1) (then (if (i32.eqz (i32.load8_u (local.get 0))) (then unreachable)))) {FINE}"
    );
    let why = failure(
        &report(&Guest { configure, ..Guest::default() }, |mode| mode),
        Check::InvalidArguments,
    );
    assert!(why.starts_with("\"\\0\": configure: it crashed: "), "{why}");
}

#[test]
fn an_endless_loop_on_an_argument_of_the_author_is_detected() {
    let configure = format!(
        "(if (i32.eq (local.get 1) (i32.const 1234)) (then (loop $more (br $more)))) {FINE}"
    );
    let long = "x".repeat(1234);
    let report =
        report(&Guest { configure, ..Guest::default() }, |mode| mode.invalid_arguments(&[&long]));
    let why = failure(&report, Check::InvalidArguments);
    assert!(
        why.contains("and 1194 more bytes: configure: it computed for more than 950 ms"),
        "{why}"
    );
}

#[test]
fn reporting_an_invalid_argument_as_temporary_is_detected() {
    let configure = format!("(select {TEMPORARY} {FINE} (local.get 1))");
    let why = failure(
        &report(&Guest { configure, ..Guest::default() }, |mode| mode),
        Check::InvalidArguments,
    );
    assert_eq!(why, "\" \": configure: temporary: no");
}

#[test]
fn a_mode_that_rejects_its_working_configuration_is_not_checked_further() {
    let guest = Guest { configure: MISCONFIGURED.into(), ..Guest::default() };
    let report = report(&guest, |mode| mode);
    assert_eq!(failure(&report, Check::TwoCalls), "configure: misconfigured: no");
    assert_eq!(report.lines.len(), 2, "{report}");
}

#[test]
fn a_mode_that_works_only_once_is_detected() {
    let guest = Guest {
        items: "(global $calls (mut i32) (i32.const 0))",
        discover: format!(
            "(if (global.get $calls) (then unreachable))
            (global.set $calls (i32.const 1)) {FINE}"
        ),
        ..Guest::default()
    };
    let why = failure(&report(&guest, |mode| mode), Check::TwoCalls);
    assert!(why.starts_with("the second call: it crashed"), "{why}");
}

#[test]
fn growing_memory_is_detected() {
    // Allocates a page every 64 calls.
    let guest = Guest {
        items: "(global $calls (mut i32) (i32.const 0))",
        discover: format!(
            "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (if (i32.eqz (i32.and (global.get $calls) (i32.const 63)))
                (then (drop (memory.grow (i32.const 1)))))
            {FINE}"
        ),
        ..Guest::default()
    };
    let why = failure(&report(&guest, |mode| mode), Check::ManyCalls);
    assert_eq!(why, "1114112 bytes after 100 calls, 1507328 after 500");
}

#[test]
fn exceeding_the_memory_limit_is_detected() {
    let configure = format!("(drop (memory.grow (i32.const 512))) {FINE}");
    let guest = Guest { configure, ..Guest::default() };
    assert_eq!(failure(&report(&guest, |mode| mode), Check::Memory), "33.0 of 16.0 MiB");
    assert!(report(&guest, |mode| mode.memory_max(33 << 20)).conforms());
}

#[test]
fn an_undeclared_import_is_detected() {
    let guest =
        Guest { imports: "import convoke:host/dns@0.1.0;", core_imports: DNS, ..Guest::default() };
    let granted = |mode: Subject| mode.working(|mode| mode.grant("dns", "a.example"));
    let why = failure(&report(&guest, granted), Check::Imports);
    assert_eq!(why, "convoke:host/dns is imported, and dns is not declared");
}

/// A mode that looks up a name, and evaluates `verdict` on the result.
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
        mode.grant("dns", "a.example").fakes(|fakes| {
            fakes.dns.names.insert("a.example".into(), vec!["10.0.0.7".parse().unwrap()]);
        })
    })
}

#[test]
fn ignoring_denials_and_failures_is_detected() {
    let report = report(&looks_up(FINE), with_dns);
    assert_eq!(report.failed(), [Check::Denied, Check::Failing], "{report}");
    let text = report.to_string();
    assert!(
        text.contains("FAILED  denied dns          expected a problem, got 0 candidates"),
        "{text}"
    );
    let excused = report_excused();
    assert!(excused.conforms(), "{excused}");
    assert!(
        excused.to_string().contains("excused denied dns          it ignores them"),
        "{excused}"
    );
}

fn report_excused() -> Report {
    report(&looks_up(FINE), |mode| {
        with_dns(mode)
            .excuse(Check::Denied, "it ignores them")
            .excuse(Check::Failing, "it ignores them")
    })
}

#[test]
fn reporting_a_denial_as_temporary_is_detected() {
    // The first byte of a result is 0 for success.
    let verdict =
        format!("(select {TEMPORARY} {FINE} (i32.load8_u (i32.load (i32.const 0x2100))))");
    let why = failure(&report(&looks_up(&verdict), with_dns), Check::Denied);
    assert_eq!(why, "expected denied, got temporary: no");
}

#[test]
fn a_crash_on_a_datagram_is_detected() {
    // Crashes on a payload of more than 40 bytes.
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
            .excuse(Check::Denied, "it ignores the result of joining")
            .excuse(Check::Failing, "it ignores the result of joining")
    });
    let why = failure(&report, Check::Datagrams);
    assert!(why.starts_with("after 50 datagrams: discover: it crashed"), "{why}");
}

/// Crashes if the value `x` in its store has more than 64 bytes.
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
fn a_crash_on_the_content_of_the_store_is_detected() {
    let with_store = |mode: Subject| {
        mode.declares(&["store"]).working(|mode| {
            mode.grant("store", "64KiB").fakes(|fakes| {
                fakes.store.insert("x".into(), "10.0.0.7".into());
            })
        })
    };
    let why = failure(&report(&crashes_on_its_store(), with_store), Check::Store);
    assert!(why.contains(": discover: it crashed: "), "{why}");
    let empty =
        |mode: Subject| mode.declares(&["store"]).working(|mode| mode.grant("store", "64KiB"));
    let why = failure(&report(&crashes_on_its_store(), empty), Check::Store);
    assert!(why.starts_with("the store of the working configuration is empty"), "{why}");
}

#[test]
fn a_crashed_mode_can_be_restarted() {
    let folder = TempDir::new().unwrap();
    let guest = Guest { discover: "unreachable".into(), ..Guest::default() };
    let mut mode = Harness::load(guest.write(folder.path())).open().unwrap();
    assert!(matches!(mode.discover(), Err(CallError::Trap { .. })));
    assert_eq!(mode.discover(), Err(CallError::Dead));
    mode.restart().unwrap();
    assert!(matches!(mode.discover(), Err(CallError::Trap { .. })));
}
