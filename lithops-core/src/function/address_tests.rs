//! Tests of addresses of functions.

use super::*;
use crate::function::Function;

impl Glue {
    const EXAMPLE: Self = Self::new::<()>(|| unreachable!("it is never called"), || None, false, false);
}

fn glue_of<F: Function<K>, K>(_: F) -> &'static Glue {
    F::GLUE
}

#[test]
fn an_address_leads_back_to_the_function() {
    let glue = glue_of(|x: i64| x + 7);
    let address = Address::of(glue).expect("in this program");
    let read: Address = address.to_string().parse().expect("what was written");
    assert_eq!(read, address);
    let found = read.glue("f").expect("it is there");
    assert_eq!((found.name)(), (glue.name)());
}

#[test]
fn a_forged_address_is_refused() {
    static FAKE: Glue = Glue { magic: *b"another constant", ..Glue::EXAMPLE };
    let right = Address::of(glue_of(|x: i64| x + 7)).expect("in this program");
    let on_the_heap = Box::leak(Box::new(Glue::EXAMPLE));
    assert!(Address::of(on_the_heap).is_err());
    let distance_to = |at: *const Glue| at.addr().wrapping_sub((&raw const ORIGIN).addr()).cast_signed();
    let wrong = [
        right.distance + 1,
        right.distance + 16,
        distance_to(on_the_heap),
        distance_to(&raw const FAKE),
        0,
        isize::MAX,
        isize::MIN,
    ];
    for distance in wrong {
        let refused = Address { distance, ..right }.glue("f").expect_err("it is no function");
        assert_eq!(refused.kind(), ErrorKind::NotFound, "{distance}");
    }
    for text in ["", "1", "x:y", "1:2", ":"] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
    let other = Address { program: Digest::of(b"another program"), ..right };
    let refused = other.glue("f").expect_err("it is another program");
    assert!(refused.to_string().contains("another build"), "{refused}");
}

#[test]
fn notes_that_lie_about_their_length_give_no_id() {
    let mut notes = Vec::new();
    for word in [4_u32, 20, 3] {
        notes.extend_from_slice(&word.to_ne_bytes());
    }
    notes.extend_from_slice(b"GNU\0");
    assert_eq!(build_id(&notes), None);
    notes.extend_from_slice(&[7; 20]);
    assert_eq!(build_id(&notes), Some(&[7; 20][..]));
    notes[..4].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(build_id(&notes), None);
}
