//! How a row of a query becomes a type.

/// Implements `sqlx::FromRow`: reads each field from the column of its name.
///
/// It does what `#[derive(sqlx::FromRow)]` does. The feature of that derive compiles sqlx and its TLS a second time, for the
/// compiler; that is a fifth of all that a build compiles.
#[macro_export]
macro_rules! from_row {
    ($type:ident: $($field:ident),+) => {
        impl ::sqlx::FromRow<'_, ::sqlx::postgres::PgRow> for $type {
            fn from_row(row: &::sqlx::postgres::PgRow) -> Result<Self, ::sqlx::Error> {
                Ok(Self { $($field: ::sqlx::Row::try_get(row, stringify!($field))?),+ })
            }
        }
    };
}
