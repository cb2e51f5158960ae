//! The migrations of our schema, in the program.

use std::sync::LazyLock;

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The files of `migrations/` by their numbers; a test compares the list with the folder. `sqlx::migrate!` would read the folder
/// itself, but its feature compiles sqlx a second time.
const FILES: [(i64, &str, &str); 4] = [
    (1, "users", include_str!("../../migrations/0001_users.sql")),
    (2, "workloads", include_str!("../../migrations/0002_workloads.sql")),
    (3, "stored functions", include_str!("../../migrations/0003_stored_functions.sql")),
    (4, "idempotency keys", include_str!("../../migrations/0004_idempotency_keys.sql")),
];

/// All of them.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    Migrator::with_migrations(FILES.map(migration).to_vec())
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_file_of_the_folder() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut found: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        found.sort();
        let listed = FILES.map(|(version, name, _)| format!("{version:04}_{}.sql", name.replace(' ', "_")));
        assert_eq!(listed.to_vec(), found);
        for ((_, _, sql), file) in FILES.iter().zip(found) {
            assert_eq!(*sql, std::fs::read_to_string(format!("{folder}/{file}")).unwrap(), "{file}");
        }
    }
}
