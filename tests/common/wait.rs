//! Waiting for what happens outside of the test.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Looks until a condition holds; the limit is there to fail instead of hanging, and is not measured.
pub(crate) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(Instant::now() < limit, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
