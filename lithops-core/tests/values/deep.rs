//! Deep values: as deep as the format allows on any thread, and an error beyond.

use lithops_core::value::{MAX_DEPTH, decode, encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

#[derive(Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}

/// serde reads it from a buffer of its own.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Tree {
    Leaf(u8),
    Branch(Vec<Tree>),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    End,
    Link { next: Box<Tagged> },
}

/// Nested in `Some` alone.
#[derive(Serialize, Deserialize)]
struct Onion(Option<Box<Onion>>);

trait Deep: Serialize + DeserializeOwned {
    fn make(levels: usize) -> Self;
    fn inner(&mut self) -> Option<Self>;

    /// Counts its levels and drops it, without recursion.
    fn levels(self) -> usize {
        let (mut count, mut value) = (0, self);
        while let Some(inner) = value.inner() {
            value = inner;
            count += 1;
        }
        count
    }
}

impl Deep for Chain {
    fn make(levels: usize) -> Self {
        (0..levels).fold(Self { next: None }, |next, _| Self { next: Some(Box::new(next)) })
    }

    fn inner(&mut self) -> Option<Self> {
        self.next.take().map(|next| *next)
    }
}

impl Deep for Tree {
    fn make(levels: usize) -> Self {
        (0..levels).fold(Self::Leaf(7), |inner, _| Self::Branch(vec![inner]))
    }

    fn inner(&mut self) -> Option<Self> {
        match self {
            Self::Leaf(_) => None,
            Self::Branch(inner) => inner.pop(),
        }
    }
}

impl Deep for Tagged {
    fn make(levels: usize) -> Self {
        (0..levels).fold(Self::End, |next, _| Self::Link { next: Box::new(next) })
    }

    fn inner(&mut self) -> Option<Self> {
        match std::mem::replace(self, Self::End) {
            Self::End => None,
            Self::Link { next } => Some(*next),
        }
    }
}

impl Deep for Onion {
    fn make(levels: usize) -> Self {
        (0..levels).fold(Self(None), |inner, _| Self(Some(Box::new(inner))))
    }

    fn inner(&mut self) -> Option<Self> {
        self.0.take().map(|inner| *inner)
    }
}

/// On a thread with the stack that threads have by default.
fn on_a_thread(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(test).expect("a thread");
    thread.join().expect("no panic");
}

fn comes_back<T: Deep>() {
    on_a_thread(|| {
        for levels in [0, 1, 63, 64, 65, 500, usize::from(MAX_DEPTH) - 2] {
            let sent = T::make(levels);
            let encoded = encode(&sent).expect("encodes");
            assert_eq!(decode::<T>(&encoded).expect("decodes").levels(), levels);
            assert_eq!(sent.levels(), levels);
        }
    });
}

fn is_an_error_when_deeper<T: Deep>() {
    on_a_thread(|| {
        for levels in [usize::from(MAX_DEPTH) + 1, 5_000, 100_000] {
            let sent = T::make(levels);
            let error = encode(&sent).expect_err("too deep");
            assert!(error.is_too_deep(), "{error}");
            assert_eq!(error.to_string(), "the value is nested more than 1024 levels deep");
            sent.levels();
        }
    });
}

#[test]
fn a_deep_value_comes_back() {
    comes_back::<Chain>();
    comes_back::<Tree>();
    comes_back::<Tagged>();
    comes_back::<Onion>();
}

#[test]
fn a_deeper_value_is_an_error() {
    is_an_error_when_deeper::<Chain>();
    is_an_error_when_deeper::<Tree>();
    is_an_error_when_deeper::<Tagged>();
    is_an_error_when_deeper::<Onion>();
}

#[test]
fn deep_bytes_are_an_error() {
    on_a_thread(|| {
        let mut arrays = vec![0x91; 1_000_000];
        arrays.push(1);
        assert!(decode::<Tree>(&arrays).err().expect("too deep").is_too_deep());
        assert!(decode::<serde_json::Value>(&arrays).expect_err("too deep").is_too_deep());
        // What the type does not want to know is passed over at any depth.
        assert!(decode::<serde::de::IgnoredAny>(&arrays).is_ok());
    });
}
