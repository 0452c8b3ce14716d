//! The dispatcher: one loop that waits for the client, the sub-workers and the time, and lets the pool act.

use std::time::Duration;

use lithops_core::{
    error::Result,
    protocol::{FrameReader, Incoming},
};
use tokio::time;

use super::Pool;

/// How often calls that run are looked at.
const TICK: Duration = Duration::from_millis(10);
/// How often, while a log is filling its pipe.
const SOON: Duration = Duration::from_millis(1);

/// After so many with nothing to look at there are no more.
const IDLE_TICKS: u32 = 10;

/// Runs the pool until the client goes.
///
/// # Errors
/// When the client or a sub-worker breaks the protocol, or no sub-worker can be started.
pub async fn run(mut pool: Pool, mut client: FrameReader<Incoming>) -> Result<()> {
    let served = serve(&mut pool, &mut client).await;
    pool.end();
    served
}

async fn serve(pool: &mut Pool, client: &mut FrameReader<Incoming>) -> Result<()> {
    // Setting a timer costs more than letting it run on for a moment, should the pool be busy again soon.
    let timer = time::sleep(TICK);
    tokio::pin!(timer);
    let mut idle_ticks = 0;
    loop {
        tokio::select! {
            frame = client.next() => {
                let Some(frame) = frame? else { return Ok(()) };
                pool.client_frame(&frame)?;
                while let Some(frame) = client.buffered()? {
                    pool.client_frame(&frame)?;
                }
            }
            Some(event) = pool.happened.recv() => pool.slot_event(event)?,
            Some(done) = pool.payload_store.happened.recv() => pool.blob(done)?,
            Some((job, kept)) = pool.stored.recv() => pool.stored(job, kept)?,
            () = tokio::task::yield_now(), if pool.starts_more => {}
            () = &mut timer, if idle_ticks < IDLE_TICKS => {
                let pause = if pool.tick() { SOON } else { TICK };
                idle_ticks = if pool.is_busy() { 0 } else { idle_ticks + 1 };
                timer.as_mut().reset(time::Instant::now() + pause);
            }
        }
        while let Ok(event) = pool.happened.try_recv() {
            pool.slot_event(event)?;
        }
        pool.turn()?;
        if idle_ticks == IDLE_TICKS && pool.is_busy() {
            idle_ticks = 0;
            timer.as_mut().reset(time::Instant::now() + TICK);
        }
    }
}
