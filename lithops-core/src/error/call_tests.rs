//! Tests of errors of calls.

use super::*;

#[test]
fn display_names_call_and_function() {
    let error = CallError::new(CallErrorKind::Failed, "no such row").with_call(CallId::from(7), "app::load");
    assert_eq!(error.to_string(), "call 7 of `app::load` failed: no such row");
}

#[test]
fn the_report_shows_chain_and_log_tail() {
    let error = CallError::new(CallErrorKind::Failed, "outer")
        .with_chain(vec!["inner".into()])
        .with_log_tail("one\ntwo\n");
    let report = error.report();
    assert!(report.contains("caused by: inner") && report.contains("| two"), "{report}");
}

#[test]
fn a_backtrace_is_shown_once() {
    let printed = "so far\nstack backtrace:\n   0: app::load\n             at ./src/main.rs:3:5\n";
    let error = CallError::new(CallErrorKind::Panicked, "no row")
        .with_backtrace("   0: app::load\n             at ./src/main.rs:3:5\n".into())
        .with_log_tail(printed);
    let report = error.report();
    assert!(report.contains("| so far") && report.matches("app::load").count() == 1, "{report}");
}
