//! What failures mean: whether calls may have begun, and whether a later request may succeed.

use std::time::Duration;

use hyper::{HeaderMap, StatusCode, header::RETRY_AFTER};
use lithops_core::compute::{Answer, ExitReason};

/// The header by which a worker's own answer is known.
const WORKER: &str = "lithops-worker";
/// The most characters of a platform's answer that are shown.
const SHOWN: usize = 300;

/// An answer other than a success.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The text of the answer, as far as it is worth showing.
    pub text: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, headers: HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let words: Vec<_> = text.split_whitespace().collect();
        let text = words.join(" ").chars().take(SHOWN).collect();
        Self { status, headers, text }
    }

    /// What the worker says of itself, if the answer is one of a worker.
    #[must_use]
    pub fn worker(&self) -> Option<&str> {
        self.headers.get(WORKER)?.to_str().ok()
    }

    /// The answer in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self.text.is_empty() {
            true => format!("the service answers {}", self.status),
            false => format!("the service answers {}: {}", self.status, self.text),
        }
    }

    /// The pause that the answer asks for.
    fn pause(&self) -> Duration {
        let seconds = self.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        seconds.map_or(Duration::ZERO, Duration::from_secs)
    }

    /// What the answer means, unless the platform means something else by it.
    pub(crate) fn meaning(&self) -> Answer {
        match (self.worker(), self.status.as_u16()) {
            // The worker has begun none of the calls.
            (Some("busy" | "leaving"), _) => Answer::Silent(ExitReason::Throttled(self.pause())),
            (Some(_), _) => Answer::Denied(self.words()),
            (None, 429) => Answer::Silent(ExitReason::Throttled(self.pause())),
            // The platform has waited long enough for the beginning of an answer. What the worker did until then is
            // unknown: calls may have begun, and may be why.
            (None, 504) => Answer::Said(ExitReason::Lost(self.words())),
            (None, 404 | 410) => Answer::Gone(self.words()),
            (None, 400..=499) => Answer::Denied(self.words()),
            (None, 500..=599) => Answer::Silent(ExitReason::Unanswered(self.words())),
            (None, _) => Answer::Nonsense(self.words()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, headers: &[(&'static str, &'static str)], text: &str) -> Refusal {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        Refusal::new(StatusCode::from_u16(status).expect("a status"), headers.collect(), text.as_bytes())
    }

    #[test]
    fn every_status_has_its_meaning() {
        let never_ran = |answer| matches!(answer, Answer::Silent(ExitReason::Throttled(_)));
        let unknown = |answer| matches!(answer, Answer::Silent(ExitReason::Unanswered(_)));
        assert!(never_ran(refusal(429, &[], "no instance").meaning()));
        assert_eq!(
            refusal(429, &[("retry-after", "7")], "").meaning(),
            Answer::Silent(ExitReason::Throttled(Duration::from_secs(7)))
        );
        assert!(unknown(refusal(502, &[], "EOF").meaning()));
        assert!(unknown(refusal(503, &[], "").meaning()));
        assert!(unknown(refusal(500, &[], "").meaning()));
        // It may have run until then.
        assert!(matches!(
            refusal(504, &[], "activator request timeout").meaning(),
            Answer::Said(ExitReason::Lost(_))
        ));
        assert!(matches!(refusal(404, &[], "").meaning(), Answer::Gone(_)));
        for status in [400, 401, 403, 405, 413, 431] {
            assert!(matches!(refusal(status, &[], "").meaning(), Answer::Denied(_)), "{status}");
        }
        assert!(matches!(refusal(302, &[], "").meaning(), Answer::Nonsense(_)));
    }

    #[test]
    fn a_worker_that_refuses_is_another_thing_than_a_platform_that_does() {
        let of_worker = |status, state| refusal(status, &[("lithops-worker", state)], "words").meaning();
        for (status, state) in [(429, "busy"), (503, "leaving")] {
            assert_eq!(of_worker(status, state), Answer::Silent(ExitReason::Throttled(Duration::ZERO)));
        }
        let Answer::Denied(words) = of_worker(409, "ready") else { panic!("another version never fits") };
        assert!(words.contains("409") && words.ends_with("words"), "{words}");
    }

    #[test]
    fn a_page_is_shown_as_one_line_of_bounded_length() {
        let page = format!("<html>\n  <body>\n{}", "ä ".repeat(1000));
        let words = refusal(403, &[], &page).words();
        assert!(
            words.contains("403 Forbidden: <html> <body> ä ä") && words.chars().count() < SHOWN + 60,
            "{words}"
        );
    }
}
