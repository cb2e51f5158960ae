//! How many connections PostgreSQL allows this program.

use sqlx::postgres::PgConnection;

/// Connections beside the pool at the same time: a reset, two health checks, the expiry of keys, the sampler of locks.
const BESIDE_POOL: usize = 5;

/// The smallest pool: with one connection, no two sessions meet.
const POOL_MIN: usize = 2;

/// A role's limit and a database's limit do not hold for superusers, and the reserved connections are theirs.
const READ: &str = "select \
     current_setting('max_connections')::int as max_connections, \
     case when rolsuper then 0 else current_setting('superuser_reserved_connections')::int \
          + coalesce(nullif(current_setting('reserved_connections', true), ''), '0')::int end as reserved, \
     case when rolsuper then null else nullif(rolconnlimit, -1) end as of_role, \
     case when rolsuper then null else (select nullif(datconnlimit, -1) from pg_database \
          where datname = current_database()) end as of_database \
     from pg_roles where rolname = session_user";

/// The limits, whatever other programs use of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimit {
    /// The setting `max_connections`.
    pub max_connections: i32,
    /// Those of them that this role cannot use.
    pub reserved: i32,
    /// The limit of the role, if it has one.
    pub of_role: Option<i32>,
    /// The limit of the database, if it has one.
    pub of_database: Option<i32>,
}

impl ConnectionLimit {
    pub(super) async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let (max_connections, reserved, of_role, of_database) = sqlx::query_as(READ).fetch_one(connection).await?;
        Ok(Self { max_connections, reserved, of_role, of_database })
    }

    /// The connections that this role can open, if no other program uses any.
    #[must_use]
    pub fn usable(self) -> usize {
        let limits = [Some(self.max_connections - self.reserved), self.of_role, self.of_database];
        let smallest = limits.into_iter().flatten().min().unwrap_or_default();
        usize::try_from(smallest).unwrap_or_default()
    }

    /// The size of a pool that was to have `wanted` connections: connections beside the pool must be possible too.
    #[must_use]
    pub fn pool_size(self, wanted: usize) -> usize {
        wanted.min(self.usable().saturating_sub(BESIDE_POOL)).max(POOL_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_decides_and_leaves_connections_beside_the_pool() {
        let limit = ConnectionLimit { max_connections: 100, reserved: 3, of_role: None, of_database: None };
        assert_eq!((limit.usable(), limit.pool_size(32), limit.pool_size(200)), (97, 32, 92));
        let limit = ConnectionLimit { of_role: Some(20), of_database: Some(12), ..limit };
        assert_eq!((limit.usable(), limit.pool_size(32)), (12, 7));
        let limit = ConnectionLimit { of_role: Some(2), ..limit };
        assert_eq!(limit.pool_size(32), 2);
    }
}
