//! What the executor writes to the user's terminal: a line below the program's output, and what calls print.

pub(super) mod shown_logs;
pub(super) mod status_line;

pub(super) use shown_logs::ShownLogs;
