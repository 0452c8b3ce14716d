//! The dispatcher: one loop that waits for the client, the sub-workers and the time, and lets the pool act.

use std::time::Duration;

use lithops_core::{
    error::Result,
    protocol::{FrameReader, Incoming},
};
use tokio::time;

use super::Pool;

/// How often running calls are looked at: timeouts and deadlines are met as exactly as this.
const TICK: Duration = Duration::from_millis(10);
/// How often while a log fills its pipe: a call that prints must not wait for the pool.
const SOON: Duration = Duration::from_millis(1);

/// The timer stops after this many ticks with nothing to look at: an idle worker must not wake up, and a stopped sandbox
/// must not find an expired timer.
const IDLE_TICKS: u32 = 10;

/// Runs the pool until the client goes.
///
/// # Errors
/// When the client or a sub-worker breaks the protocol, or no sub-worker can be started.
pub async fn run(mut pool: Pool, mut client: FrameReader<Incoming>) -> Result<()> {
    let served = serve(&mut pool, &mut client, std::future::pending(), Duration::ZERO).await;
    pool.end();
    served.map(drop)
}

/// Runs the pool until the client goes, or `told` has come: then it begins no further call, and ends when nothing runs any
/// more, or what runs is ended after `grace`. Returns whether it was told.
///
/// # Errors
/// As [`run`].
pub async fn run_until_told(
    mut pool: Pool,
    mut client: FrameReader<Incoming>,
    told: impl Future<Output = ()>,
    grace: Duration,
) -> Result<bool> {
    let served = serve(&mut pool, &mut client, told, grace).await;
    pool.end();
    served
}

async fn serve(
    pool: &mut Pool,
    client: &mut FrameReader<Incoming>,
    told: impl Future<Output = ()>,
    grace: Duration,
) -> Result<bool> {
    tokio::pin!(told);
    let mut is_told = false;
    // To stop and set the timer costs more than some ticks in vain, when the pool is busy again soon.
    let timer = time::sleep(TICK);
    tokio::pin!(timer);
    let mut idle_ticks = 0;
    loop {
        tokio::select! {
            frame = client.next() => {
                let Some(frame) = frame? else { return Ok(is_told) };
                pool.client_frame(&frame)?;
                while let Some(frame) = client.buffered()? {
                    pool.client_frame(&frame)?;
                }
            }
            Some(event) = pool.events.recv() => pool.slot_event(event)?,
            Some(result) = pool.storage.finished.recv() => pool.storage_result(result)?,
            () = &mut told, if !is_told => {
                is_told = true;
                pool.leave(grace);
            }
            () = tokio::task::yield_now(), if pool.starts.go_on => {}
            () = &mut timer, if idle_ticks < IDLE_TICKS => {
                let pause = if pool.tick()? { SOON } else { TICK };
                idle_ticks = if pool.is_busy() { 0 } else { idle_ticks + 1 };
                timer.as_mut().reset(time::Instant::now() + pause);
            }
        }
        // All that has happened is taken in before calls are given out: one turn serves them all.
        while let Ok(event) = pool.events.try_recv() {
            pool.slot_event(event)?;
        }
        pool.turn()?;
        if is_told && !pool.has_calls() {
            return Ok(true);
        }
        if idle_ticks == IDLE_TICKS && pool.is_busy() {
            idle_ticks = 0;
            timer.as_mut().reset(time::Instant::now() + TICK);
        }
    }
}
