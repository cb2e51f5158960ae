//! The open connections of a proxy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::ConnectionId;
use crate::proxied::ProxiedConnection;

/// The connections that are open, by id.
#[derive(Debug, Default)]
pub struct OpenConnections(Mutex<HashMap<ConnectionId, Arc<ProxiedConnection>>>);

impl OpenConnections {
    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, Arc<ProxiedConnection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn insert(&self, connection: &Arc<ProxiedConnection>) {
        self.lock().insert(connection.id, Arc::clone(connection));
    }

    pub fn remove(&self, id: ConnectionId) {
        self.lock().remove(&id);
    }

    pub fn get(&self, id: ConnectionId) -> Option<Arc<ProxiedConnection>> {
        self.lock().get(&id).cloned()
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<Arc<ProxiedConnection>> {
        let mut all: Vec<_> = self.lock().values().cloned().collect();
        all.sort_unstable_by_key(|connection| connection.id);
        all
    }

    /// The session that a cancel request means.
    pub fn session_of(&self, backend_pid: i32, backend_key: &[u8]) -> Option<ConnectionId> {
        let is_meant = |connection: &Arc<ProxiedConnection>| {
            let conversation = connection.conversation();
            conversation.backend_pid == backend_pid && conversation.backend_key == backend_key
        };
        self.all().into_iter().find(is_meant).map(|connection| connection.id)
    }
}
