//! Log messages of a plugin on their way to the host: a plugin has a dispatcher of its own, which the host
//! does not see.

use std::{
    fmt::{self, Write as _},
    sync::Once,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::{Log, Text};

/// From now on sends the log messages of this library to `log`; `most` is the number of the finest level that
/// the host logs.
pub(super) fn to(log: Log, most: u32) {
    static ONCE: Once = Once::new();
    // An error says that there is a dispatcher already, because the program also links the backend: that one
    // stays.
    ONCE.call_once(|| drop(tracing::subscriber::set_global_default(Forward { log, most })));
}

struct Forward {
    log: Log,
    most: u32,
}

/// The number of a level, as [`Log`] takes it.
pub(super) fn number(level: Level) -> u32 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && number(*metadata.level()) <= self.most
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let metadata = event.metadata();
        let target = Text::of(metadata.target().as_bytes());
        (self.log)(number(*metadata.level()), target, Text::of(line.0.as_bytes()));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// The message and the fields of an event, as one line.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        // Writing into a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
    }
}
