//! [`Connections`]: one connection for each runtime that asks.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use lithops_core::{
    error::Result,
    storage::{Credentials, Locator},
};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisError, aio::MultiplexedConnection,
};
use tokio::runtime::{Handle, Id};

use crate::{config, faults};

const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: the longest, 512 MiB, takes 60 s at 8 MiB/s.
const ANSWER: Duration = Duration::from_secs(60);

/// A connection belongs to the runtime that opened it, and ends with it.
pub(crate) struct Connections {
    client: Client,
    open: Mutex<HashMap<Id, MultiplexedConnection>>,
}

impl Connections {
    pub(crate) fn new(locator: &Locator, credentials: &Credentials) -> Result<Self> {
        let address = locator.endpoint.as_deref().unwrap_or("redis://127.0.0.1:6379/0");
        config::check(address)?;
        let client = || {
            let mut info = address.into_connection_info()?;
            let mut settings = info.redis_settings().clone();
            if let Some(username) = credentials.expose("username") {
                settings = settings.set_username(username);
            }
            if let Some(password) = credentials.expose("password") {
                settings = settings.set_password(password);
            }
            info = info.set_redis_settings(settings);
            debug_assert!(matches!(info.addr(), ConnectionAddr::Tcp(..)));
            Client::open(info)
        };
        let client =
            client().map_err(|error: RedisError| faults::translate(&error, "connect to", address))?;
        Ok(Self { client, open: Mutex::default() })
    }

    pub(crate) async fn get(&self) -> redis::RedisResult<MultiplexedConnection> {
        let runtime = Handle::current().id();
        if let Some(connection) = self.lock().get(&runtime) {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(self.lock().entry(runtime).or_insert(connection).clone())
    }

    /// A connection that has failed is not used again.
    pub(crate) fn forget(&self) {
        self.lock().remove(&Handle::current().id());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Id, MultiplexedConnection>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
