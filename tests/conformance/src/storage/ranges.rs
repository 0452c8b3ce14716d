//! Trials of parts of objects.

use lithops_core::error::ErrorKind;

use super::subject::{Subject, kind};

pub(super) async fn ranges_are_exact_or_refused(subject: Subject) {
    subject.put("digits", "0123456789").await;
    subject.put("empty", "").await;
    for (range, part) in
        [(0..10, "0123456789"), (0..1, "0"), (9..10, "9"), (3..7, "3456"), (4..4, ""), (10..10, "")]
    {
        let read = subject.range("digits", range.clone()).await.expect("it is within");
        assert_eq!(*read, *part.as_bytes(), "{range:?}");
    }
    assert_eq!(*subject.range("empty", 0..0).await.expect("it is within"), *b"");
    for range in [0..11, 9..11, 10..11, 11..11, 11..20, 5..u64::MAX, u64::MAX - 1..u64::MAX] {
        let outcome = subject.range("digits", range.clone()).await;
        assert_eq!(kind(outcome), ErrorKind::InvalidInput, "{range:?}");
    }
    assert_eq!(kind(subject.range("empty", 0..1).await), ErrorKind::InvalidInput);
    let error = subject.range("digits", 8..12).await.expect_err("it ends beyond").to_string();
    let (key, bucket) = (subject.key("digits"), &subject.bucket);
    assert_eq!(
        error,
        format!(
            "the range 8..12 ends beyond object `{key}` in bucket `{bucket}`, which has 10 bytes: end it at 10 at most"
        )
    );
    #[expect(clippy::reversed_empty_ranges, reason = "the very thing that must be refused")]
    let reversed = 7..3;
    let error = subject.range("digits", reversed).await.expect_err("it is reversed").to_string();
    assert!(error.contains("ends before it starts"), "{error}");
}
