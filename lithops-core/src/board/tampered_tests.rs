//! Workers and a client on a board on which another program deletes and adds keys.

use super::{
    keys,
    tests::{Board, Luck},
};
use crate::bytes::Bytes;

#[test]
fn a_claim_that_vanishes_lets_its_chunk_go_and_it_is_claimed_anew() {
    for workers in [1, 3] {
        let mut board = Board::new(24, 8, workers, &[]);
        board.until_run(2);
        assert!(board.vanish("claims/") > 0);
        // Longer than the holder may begin calls without a check of its claim.
        board.now += board.lease_config.lease;
        board.finish_with_repeats();
    }
}

#[test]
fn a_claim_of_one_who_is_gone_that_vanishes_frees_its_chunk() {
    let mut board = Board::new(24, 8, 2, &[]);
    board.until_run(2);
    board.workers.iter_mut().for_each(|worker| worker.alive = false);
    board.vanish("claims/");
    board.vanish(keys::BEATS);
    board.finish_with_repeats();
}

#[test]
fn claims_of_absurd_epochs_and_of_nobody_end_nothing() {
    let foreign = [3, 4711, keys::LAST_EPOCH, keys::LAST_EPOCH + 1, 999_999_999_999, u64::MAX];
    for epoch in foreign {
        for name in [&b"nobody"[..], b"\xff\0../beat", b"", b"worker-0"] {
            let mut board = Board::new(24, 8, 2, &[]);
            board.until_run(2);
            board.store.insert(keys::claim(0, epoch), Bytes::from(name.to_vec()));
            board.store.insert(keys::claim(2, epoch), Bytes::from(name.to_vec()));
            board.store.insert(keys::claim(999_999_999_999, 1), Bytes::from(name.to_vec()));
            board.store.insert(format!("{}+1", keys::claims(1)), Bytes::from(name.to_vec()));
            board.finish_with_repeats();
            assert!(board.now < board.lease_config.lease * 20, "{epoch}: {:?}", board.now);
        }
    }
}

#[test]
fn reports_that_vanish_or_that_nobody_wrote_are_done_without() {
    let mut board = Board::new(8, 8, 1, &[]);
    board.until_run(2);
    while !board.store.keys().any(|key| key.starts_with("outcomes/")) {
        board.step_worker(0, 1, Luck::Well);
    }
    board.workers[0].alive = false;
    // These reports are listed but cannot be read.
    board.hidden.extend(board.store.keys().filter(|key| key.starts_with("outcomes/")).cloned());
    for key in [keys::outcome(0, u64::MAX, 0, 8), "outcomes/000000000000/1/2".into()] {
        board.store.insert(key, Bytes::default());
    }
    board.finish_with_repeats();
}

#[test]
fn beats_of_nobody_are_not_read_without_end() {
    let mut board = Board::new(24, 8, 2, &[]);
    for name in ["a/b", "", "\u{1}", "x y"] {
        board.store.insert(format!("{}{name}", keys::BEATS), Bytes::default());
    }
    board.until_run(2);
    assert!(board.vanish(keys::BEATS) > 0);
    board.finish();
    assert_eq!(board.judge(), (vec![], vec![]));
}

#[test]
fn poison_is_found_behind_a_claim_of_the_last_epoch_too() {
    let mut board = Board::new(14, 7, 2, &[3]);
    board.until_run(2);
    board.store.insert(keys::claim(0, keys::LAST_EPOCH), Bytes::from("nobody"));
    board.tampered = true;
    board.finish();
    assert_eq!(board.judge(), (vec![3], vec![]));
}
