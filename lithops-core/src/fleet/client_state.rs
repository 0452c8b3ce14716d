//! [`ClientState`]: what the client of a fleet says of itself, in one short object that workers look at.

use crate::bytes::Bytes;

/// What the client of a fleet says of itself. It overwrites the object regularly, so that workers notice when it is gone;
/// with each new or removed manifest, so that workers need to list nothing while nothing has changed; and when it closes
/// the fleet.
///
/// It is not signed: a program that can write to the storage could remove the manifests as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientState {
    /// A count of the heartbeats.
    pub beat: u64,
    /// A count of the manifests that were put or removed.
    pub news: u64,
    /// Whether the client wants no worker any more.
    pub is_closed: bool,
}

impl ClientState {
    /// The content of the object.
    pub(super) fn encode(self) -> Bytes {
        let Self { beat, news, is_closed } = self;
        format!("{beat} {news} {}", if is_closed { "closed" } else { "open" }).into()
    }

    /// Reads the content; `None` when no client has written it.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
        let (beat, news) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let is_closed = match words.next()? {
            "open" => false,
            "closed" => true,
            _ => return None,
        };
        words.next().is_none().then_some(Self { beat, news, is_closed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_has_written_is_read_and_nothing_else() {
        for state in [ClientState::default(), ClientState { beat: 7, news: u64::MAX, is_closed: true }] {
            assert_eq!(ClientState::decode(&state.encode()), Some(state));
        }
        for text in ["", "1", "1 2", "1 2 3", "1 2 open ", "x 2 open", "-1 2 open", "1 2 open x"] {
            assert_eq!(ClientState::decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(ClientState::decode(b"\xff"), None);
    }
}
