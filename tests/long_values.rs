//! Values that are too long for a socket on one machine: they are lent from process to process, and no process overwrites
//! what another still reads.

use std::sync::Mutex;

use lithops::{Bytes, prelude::*};

lithops::test_worker!();

const MIB: usize = 1 << 20;

fn content(seed: usize, len: usize) -> Bytes {
    (0..len).map(|at| (at.wrapping_mul(2 * seed + 1) >> 5) as u8).collect::<Vec<_>>().into()
}

fn turned(bytes: &[u8]) -> Bytes {
    bytes.iter().rev().copied().collect::<Vec<_>>().into()
}

/// Turns the bytes round, so that neither side can have kept what it has.
#[lithops::function]
fn reversed(bytes: Bytes) -> Bytes {
    turned(&bytes)
}

/// Keeps what it is given, and gives what the call before in this process was given.
#[lithops::function]
fn before(bytes: Bytes) -> Option<Bytes> {
    static KEPT: Mutex<Vec<Bytes>> = Mutex::new(Vec::new());
    let mut kept = KEPT.lock().expect("no call has panicked");
    kept.push(bytes);
    kept.len().checked_sub(2).map(|place| kept[place].clone())
}

/// Its process is killed with the bytes in its hands, once.
#[lithops::function(retries = 3)]
fn killed_once(context: CallContext, bytes: Bytes) -> Bytes {
    if context.attempt() == 1 {
        let me = i32::try_from(std::process::id()).expect("a process");
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(me).expect("not 0"),
            rustix::process::Signal::KILL,
        )
        .expect("killed");
    }
    turned(&bytes)
}

async fn executor() -> FunctionExecutor {
    FunctionExecutor::builder().worker_processes(2).build().await.expect("an executor")
}

/// Around where values begin to be lent, longer than what is lent together, and misaligned in every way.
fn lengths() -> Vec<usize> {
    let near = [0, 1, 63, 64, 65].map(|more| (256 << 10) - 32 + more);
    near.into_iter().chain([MIB, 3 * MIB + 7, 8 * MIB - 1, 8 * MIB + 1, 11 * MIB]).collect()
}

#[tokio::test]
async fn of_every_length_they_arrive_whole_both_ways() {
    let fexec = executor().await;
    for chunksize in [1, 4] {
        let inputs: Vec<_> =
            lengths().into_iter().enumerate().map(|(seed, len)| content(seed, len)).collect();
        let futures = fexec.map(reversed, inputs.clone()).chunksize(chunksize).await.expect("a job");
        let results = futures.get_result().await.expect("results");
        assert!(results.iter().zip(&inputs).all(|(result, input)| *result == turned(input)));
    }
}

#[tokio::test]
async fn what_a_client_or_a_function_keeps_is_not_overwritten() {
    let fexec = executor().await;
    // Several times what can be lent at once.
    let inputs: Vec<_> = (0..70).map(|seed| content(seed, MIB + seed)).collect();
    let kept = fexec.map(reversed, inputs.clone()).await.expect("a job").get_result().await.expect("results");
    let others = fexec.map(before, inputs.clone()).await.expect("a job").get_result().await.expect("results");
    let others: Vec<_> = others.into_iter().flatten().collect();
    assert!(others.len() >= 60 && others.iter().all(|other| inputs.contains(other)));
    assert!(kept.iter().zip(&inputs).all(|(result, input)| *result == turned(input)));
}

#[tokio::test]
async fn what_dead_processes_had_borrowed_is_lent_again() {
    let fexec = executor().await;
    // They die with more than what can be lent at once.
    let inputs: Vec<_> = (0..40).map(|seed| content(seed, MIB)).collect();
    for _ in 0..2 {
        let futures = fexec.map(killed_once, inputs.clone()).chunksize(1).await.expect("a job");
        let results = futures.get_result().await.expect("results");
        assert!(results.iter().zip(&inputs).all(|(result, input)| *result == turned(input)));
    }
}
