//! [`Envelope`]: frames as text, for platforms whose messages are JSON.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::malformed;
use crate::error::Result;

/// Frames inside a JSON message, in base64: four bytes of text for three bytes of frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The frames, in base64.
    pub frames: String,
    /// Whether the worker streams its answer, piece by piece; otherwise it answers once, at the end.
    #[serde(default)]
    pub stream: bool,
}

impl Envelope {
    /// Encodes frames as text.
    #[must_use]
    pub fn seal(frames: &[u8], stream: bool) -> Self {
        Self { frames: STANDARD.encode(frames), stream }
    }

    /// Decodes the frames.
    ///
    /// # Errors
    /// When the text is not base64.
    pub fn open(&self) -> Result<Vec<u8>> {
        STANDARD.decode(&self.frames).map_err(|error| malformed(format!("not in base64: {error}")))
    }

    /// How many bytes of frames fit into a JSON message of `message` bytes.
    #[must_use]
    pub fn room(message: u64) -> u64 {
        message.saturating_sub(64) / 4 * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_room_fits() {
        for len in [0, 1, 2, 3, 1000, 1001] {
            let frames: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let sealed = Envelope::seal(&frames, true);
            assert_eq!(sealed.open().expect("it was sealed"), frames);
            let message = serde_json::to_vec(&sealed).expect("text").len() as u64;
            assert!(Envelope::room(message + 64) >= len as u64 && Envelope::room(message) <= len as u64 + 3);
        }
        for limit in [100, 1000, 6_291_456] {
            let frames = vec![7; usize::try_from(Envelope::room(limit)).expect("small")];
            let message = serde_json::to_vec(&Envelope::seal(&frames, false)).expect("text");
            assert!(message.len() as u64 <= limit, "{} {limit}", message.len());
        }
        assert!(Envelope { frames: "?".into(), stream: false }.open().is_err());
    }
}
