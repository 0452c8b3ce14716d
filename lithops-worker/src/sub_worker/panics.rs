//! Panics of calls: caught, with message, place and backtrace.

use std::{
    any::{Any, TypeId},
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

use lithops_core::error::{CallError, CallErrorKind};

thread_local! {
    /// Whether this thread runs a call: only then are its panics remembered.
    static RUNS: Cell<bool> = const { Cell::new(false) };
    /// The last panic of the running call.
    static LAST: RefCell<Option<Remembered>> = const { RefCell::new(None) };
}

/// The last panic of the running call on its own thread.
#[derive(Debug)]
struct Remembered {
    of: TypeId,
    text: Option<String>,
    place: String,
    backtrace: String,
}

/// Runs a call; a panic becomes its error.
pub(super) fn catch(call: impl FnOnce() -> Result<(), CallError>) -> Result<(), CallError> {
    install();
    RUNS.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    RUNS.set(false);
    // A panic that the call has caught itself must not be found by the next call. As a rule nothing is remembered, and
    // then nothing is written.
    let last = LAST.with(|last| if last.borrow().is_some() { last.take() } else { None });
    outcome.unwrap_or_else(|payload| Err(error(&*payload, last)))
}

/// The error of a panic. Place and backtrace are those of the remembered panic, if that had the same payload: a call may
/// pass on a panic of another thread, or an older one, and then it is not known where it began.
fn error(payload: &(dyn Any + Send), last: Option<Remembered>) -> CallError {
    let text = text_of(payload);
    let last = last.filter(|last| match &text {
        Some(text) => last.text.as_ref() == Some(text),
        None => last.text.is_none() && last.of == payload.type_id(),
    });
    let text = text.unwrap_or_else(|| "a panic without a message".to_owned());
    let (place, backtrace) = last.map(|last| (last.place, last.backtrace)).unwrap_or_default();
    CallError::new(CallErrorKind::Panicked, format!("{text}{place}")).with_backtrace(backtrace)
}

fn text_of(payload: &(dyn Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
}

/// Installs a hook that remembers the last panic of a call. The hook that was there before still runs, so that the log
/// shows the panic too.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if RUNS.get() {
                let last = Remembered {
                    of: info.payload().type_id(),
                    text: info.payload_as_str().map(str::to_owned),
                    place: info.location().map(|place| format!(", {place}")).unwrap_or_default(),
                    backtrace: Backtrace::force_capture().to_string(),
                };
                LAST.with(|remembered| *remembered.borrow_mut() = Some(last));
            }
            before(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use std::{panic::resume_unwind, thread};

    use super::*;

    fn message(call: impl FnOnce()) -> (String, bool) {
        let caught = catch(|| {
            call();
            Ok(())
        });
        let error = caught.expect_err("it panics");
        (error.message().to_owned(), error.backtrace().is_some_and(|backtrace| !backtrace.is_empty()))
    }

    #[test]
    fn a_panic_is_told_with_its_place() {
        let (text, has_backtrace) = message(|| panic!("number {}", 7));
        assert!(text.starts_with("number 7, ") && text.contains("panics.rs:") && has_backtrace, "{text}");
        let (text, _) = message(|| std::panic::panic_any(7u32));
        assert!(text.starts_with("a panic without a message, ") && text.contains("panics.rs:"), "{text}");
    }

    #[test]
    fn one_that_is_passed_on_is_told_with_its_own_words_and_not_those_of_another() {
        let caught = catch(|| {
            panic::catch_unwind(|| panic!("harmless")).expect_err("it panics");
            Ok(())
        });
        caught.expect("it has caught that itself");
        let other = || thread::spawn(|| panic!("the real reason")).join().expect_err("it panics");
        assert_eq!(message(|| resume_unwind(other())), ("the real reason".to_owned(), false));
        let both = || {
            panic::catch_unwind(|| panic!("harmless")).expect_err("it panics");
            resume_unwind(other())
        };
        assert_eq!(message(both), ("the real reason".to_owned(), false));
        assert_eq!(message(|| resume_unwind(Box::new(7u32))).0, "a panic without a message");
        let own = || resume_unwind(panic::catch_unwind(|| panic!("mine")).expect_err("it panics"));
        assert!(message(own).0.starts_with("mine, "), "it was seen on this thread");
    }
}
