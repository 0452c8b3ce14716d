//! Panics of calls: caught, with message, place and backtrace.

use std::{
    backtrace::Backtrace,
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

use lithops_core::error::{CallError, CallErrorKind};

thread_local! {
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// Runs a call; a panic becomes its error.
pub(super) fn catch(call: impl FnOnce() -> Result<(), CallError>) -> Result<(), CallError> {
    install();
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let (message, backtrace) = LAST.with(RefCell::take).unwrap_or_else(|| {
            let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            (text.unwrap_or_else(|| "it did not say why".to_owned()), String::new())
        });
        Err(CallError::new(CallErrorKind::Panicked, message).with_backtrace(backtrace))
    })
}

/// Remembers the last panic of each thread; what was installed before still runs, so that the log shows it too.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or("a panic without a message");
            let place = info.location().map(|place| format!(", {place}")).unwrap_or_default();
            let backtrace = Backtrace::force_capture().to_string();
            LAST.with(|last| *last.borrow_mut() = Some((format!("{text}{place}"), backtrace)));
            before(info);
        }));
    });
}
