//! [`ShownLogs`]: the output of a job's calls on its way to the terminal, a line at a time, with the call in
//! front.

use std::collections::BTreeMap;

use crate::protocol::LogEntry;

/// What of the output of calls without an outcome was shown.
#[derive(Debug, Default)]
pub(crate) struct ShownLogs {
    calls: BTreeMap<u64, Shown>,
}

#[derive(Debug)]
struct Shown {
    attempt: u32,
    worker: Option<u64>,
    /// How many bytes of the log's head were shown.
    bytes: usize,
}

impl ShownLogs {
    /// The lines to show of an output that may go on. An unfinished line waits for its end.
    pub(crate) fn next(&mut self, entry: &LogEntry, worker: Option<u64>) -> String {
        let shown =
            self.calls.entry(entry.call).or_insert(Shown { attempt: entry.attempt, worker, bytes: 0 });
        if shown.attempt != entry.attempt {
            *shown = Shown { attempt: entry.attempt, worker, bytes: 0 };
        }
        shown.worker = worker.or(shown.worker);
        let new = entry.head.get(shown.bytes..).unwrap_or_default();
        let end = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        shown.bytes += end;
        lines(entry.call, shown, &new[..end])
    }

    /// What is left to show of a call that has got its outcome; `entry` is its whole output.
    pub(crate) fn rest(&mut self, call: u64, entry: Option<&LogEntry>) -> String {
        let (Some(shown), Some(entry)) = (self.calls.remove(&call), entry) else { return String::new() };
        // The output of another attempt than the shown one counts: it is shown from its beginning.
        let bytes = if shown.attempt == entry.attempt { shown.bytes } else { 0 };
        let mut text = lines(call, &shown, entry.head.get(bytes..).unwrap_or_default());
        if entry.dropped > 0 {
            let left_out = format!("[... {} bytes left out ...]", entry.dropped);
            text.push_str(&lines(call, &shown, left_out.as_bytes()));
            text.push_str(&lines(call, &shown, &entry.tail));
        }
        text
    }

    /// The calls of which something was shown, and which had no outcome so far.
    pub(crate) fn open(&self) -> impl Iterator<Item = u64> + '_ {
        self.calls.keys().copied()
    }
}

fn lines(call: u64, shown: &Shown, text: &[u8]) -> String {
    let mut named = format!("[call {call}");
    if shown.attempt > 1 {
        named.push_str(&format!(", attempt {}", shown.attempt));
    }
    if let Some(worker) = shown.worker {
        named.push_str(&format!(", worker {worker}"));
    }
    String::from_utf8_lossy(text).lines().map(|line| format!("{named}] {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attempt: u32, text: &str) -> LogEntry {
        let head = text.as_bytes().to_vec().into();
        LogEntry { call: 7, attempt, head, dropped: 0, tail: Vec::new().into() }
    }

    #[test]
    fn each_line_is_shown_once_as_soon_as_it_is_whole() {
        let mut shown = ShownLogs::default();
        assert_eq!(shown.next(&entry(1, "one\ntw"), Some(3)), "[call 7, worker 3] one\n");
        assert_eq!(shown.next(&entry(1, "one\ntwo"), None), "");
        assert_eq!(shown.next(&entry(1, "one\ntwo\nthree"), None), "[call 7, worker 3] two\n");
        assert_eq!(shown.open().collect::<Vec<_>>(), [7]);
        assert_eq!(shown.rest(7, Some(&entry(1, "one\ntwo\nthree"))), "[call 7, worker 3] three\n");
        assert_eq!(shown.rest(7, Some(&entry(1, "one\ntwo\nthree"))), "", "the call is over");
    }

    #[test]
    fn another_attempt_begins_anew_and_what_was_left_out_is_said() {
        let mut shown = ShownLogs::default();
        assert_eq!(shown.next(&entry(1, "one\n"), None), "[call 7] one\n");
        assert_eq!(shown.next(&entry(2, "one\n"), None), "[call 7, attempt 2] one\n");
        let long = LogEntry { dropped: 5, tail: b"end".to_vec().into(), ..entry(2, "one\ntwo") };
        let expected = "two|[... 5 bytes left out ...]|end".split('|');
        let expected: String = expected.map(|line| format!("[call 7, attempt 2] {line}\n")).collect();
        assert_eq!(shown.rest(7, Some(&long)), expected);
    }
}
