//! The dispatcher: one loop that waits for the client, the sub-workers and the time, and lets the pool act.

use std::time::Duration;

use lithops_core::{error::Result, protocol::FrameReader};
use tokio::{net::unix::OwnedReadHalf, time};

use super::Pool;

/// How often calls that run are looked at.
const TICK: Duration = Duration::from_millis(10);
/// How often, while a log is filling its pipe.
const SOON: Duration = Duration::from_millis(1);

/// Runs the pool until the client goes.
///
/// # Errors
/// When the client or a sub-worker breaks the protocol, or no sub-worker can be started.
pub async fn run(mut pool: Pool, mut client: FrameReader<OwnedReadHalf>) -> Result<()> {
    let served = serve(&mut pool, &mut client).await;
    pool.end();
    served
}

async fn serve(pool: &mut Pool, client: &mut FrameReader<OwnedReadHalf>) -> Result<()> {
    let mut next_tick = time::Instant::now();
    loop {
        let busy = pool.is_busy();
        tokio::select! {
            frame = client.next() => {
                let Some(frame) = frame? else { return Ok(()) };
                pool.client_frame(&frame)?;
                while let Some(frame) = client.buffered()? {
                    pool.client_frame(&frame)?;
                }
            }
            Some(event) = pool.happened.recv() => pool.slot_event(event)?,
            Some(done) = pool.parcels.happened.recv() => pool.parcel(done)?,
            Some((job, kept)) = pool.stored.recv() => pool.stored(job, kept)?,
            () = tokio::task::yield_now(), if pool.starts_more => {}
            () = time::sleep_until(next_tick), if busy => {
                let pause = if pool.tick() { SOON } else { TICK };
                next_tick = time::Instant::now() + pause;
            }
        }
        while let Ok(event) = pool.happened.try_recv() {
            pool.slot_event(event)?;
        }
        if !busy {
            next_tick = time::Instant::now() + TICK;
        }
        pool.turn()?;
    }
}
