//! [`CommittedChunk`]: the content of a commit.

use serde::{Deserialize, Serialize};

use crate::{
    bytes::Bytes,
    error::{Error, ErrorKind, Result},
};

/// All outcomes of a chunk, as they are committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedChunk {
    /// The name of the worker or client that committed the chunk.
    pub author: String,
    /// The epoch of the claim under which it was committed; 0 if a client committed the chunk as cancelled.
    pub epoch: u64,
    /// The outcomes in the order of the calls, each call once.
    pub parts: Vec<OutcomeRange>,
}

/// The outcomes of some calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeRange {
    /// The number of the first call.
    pub first: u64,
    /// The number of the call after the last.
    pub end: u64,
    /// The outcomes of these calls.
    pub content: Content,
}

/// The outcomes of a range of calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// The outcomes are in a report. Where reports overlap, a report may cover more calls than the
    /// range; the outcomes of the other calls in it do not count.
    Reported {
        /// The number of the first call that the report covers.
        first: u64,
        /// The number of the call after the last.
        end: u64,
        /// The report, as the worker made it.
        report: Bytes,
    },
    /// Too many epochs ended at these calls: they are taken to have killed their workers.
    Lost {
        /// The last of these epochs.
        epoch: u64,
    },
    /// The job was cancelled before these calls were committed.
    Cancelled,
}

impl CommittedChunk {
    /// The bytes of the commit.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        postcard::to_stdvec(self).expect("numbers, texts and bytes can always be encoded").into()
    }

    /// Decodes a commit of the calls `first..end`.
    ///
    /// # Errors
    /// `Unexpected` when the bytes are not an encoded commit, or not every call has exactly one
    /// outcome in it.
    pub fn decode(bytes: &[u8], first: u64, end: u64) -> Result<Self> {
        let malformed = |what: String| Error::new(ErrorKind::Unexpected, format!("malformed commit: {what}"));
        let bundle: Self = postcard::from_bytes(bytes).map_err(|error| malformed(error.to_string()))?;
        let mut next = first;
        for part in &bundle.parts {
            let within = match part.content {
                Content::Reported { first, end, .. } => first <= part.first && part.end <= end,
                Content::Lost { .. } | Content::Cancelled => true,
            };
            if part.first != next || part.end <= part.first || !within {
                return Err(malformed(format!("no outcome of call {next} where it should be")));
            }
            next = part.end;
        }
        if next != end {
            return Err(malformed(format!("calls {first} to {next} of {first} to {end}")));
        }
        Ok(bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_read_back_and_must_cover_its_calls() {
        let reported =
            |first, end, report: &'static [u8]| Content::Reported { first, end, report: Bytes::from(report) };
        let bundle = CommittedChunk {
            author: "w".into(),
            epoch: 2,
            parts: vec![
                OutcomeRange { first: 4, end: 6, content: reported(4, 7, b"abc") },
                OutcomeRange { first: 6, end: 7, content: Content::Lost { epoch: 1 } },
            ],
        };
        let bytes = bundle.encode();
        assert_eq!(CommittedChunk::decode(&bytes, 4, 7).unwrap(), bundle);
        for (first, end) in [(3, 7), (4, 8), (4, 6)] {
            assert!(CommittedChunk::decode(&bytes, first, end).is_err());
        }
        assert!(CommittedChunk::decode(&bytes[..bytes.len() - 1], 4, 7).is_err());
        let beyond = CommittedChunk {
            parts: vec![OutcomeRange { first: 4, end: 6, content: reported(4, 5, b"a") }],
            ..bundle
        };
        assert!(CommittedChunk::decode(&beyond.encode(), 4, 6).is_err(), "the report is about fewer calls");
    }
}
