//! Values in binary format are shown as PostgreSQL writes them.

use postgres_proxy::{HeldUnits, ValueForm};
use tokio_postgres::types::Type;

use crate::fixture::*;

/// Expressions of all types that are decoded, with the values that are special to each.
const EXPRESSIONS: &[&str] = &[
    "true",
    "false",
    "'\\x00ff'::bytea",
    "''::bytea",
    "'x'::\"char\"",
    "'name'::name",
    "9223372036854775807::int8",
    "(-32768)::int2",
    "-1",
    "4294967295::oid",
    "'a ü €'::text",
    "''::text",
    "'{\"a\": [1, null]}'::json",
    "'{\"b\": 1.50}'::jsonb",
    "'ab '::char(5)",
    "'v'::varchar",
    "0::float4",
    "1.5::float4",
    "1234567::float4",
    "0.0001::float4",
    "0.00001::float4",
    "'NaN'::float4",
    "'-Infinity'::float4",
    "0.1::float8",
    "-0.0::float8",
    "100000000000000::float8",
    "1e15::float8",
    "1e-5::float8",
    "1.7976931348623157e308::float8",
    "5e-324::float8",
    "'Infinity'::float8",
    "123456.789::float8",
    "'2000-01-01'::date",
    "'1999-12-31'::date",
    "'2024-02-29'::date",
    "'0044-03-15 BC'::date",
    "'12345-06-07'::date",
    "'infinity'::date",
    "'-infinity'::date",
    "'1900-03-01'::date",
    "'00:00'::time",
    "'23:59:59.999999'::time",
    "'12:30:00.5'::time",
    "'24:00:00'::time",
    "'2024-02-29 12:34:56.789'::timestamp",
    "'1969-12-31 23:59:59.999999'::timestamp",
    "'infinity'::timestamp",
    "'2024-07-01 12:00:00+02'::timestamptz",
    "'0001-01-01 00:00:00+00'::timestamptz",
    "'4713-01-01 00:00:00+00 BC'::timestamptz",
    "0::numeric",
    "0.00::numeric",
    "42::numeric",
    "-1.50::numeric",
    "12345.6789::numeric",
    "0.00001234::numeric",
    "1e20::numeric",
    "100000000::numeric",
    "'NaN'::numeric",
    "'Infinity'::numeric",
    "'-Infinity'::numeric",
    "99999999999999999999.000001::numeric",
    "-0.1::numeric(10,5)",
    "10000::numeric",
    "0.0001::numeric",
    "1000000.0001::numeric",
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    "'{}'::int4[]",
    "'{1,NULL,-3}'::int8[]",
    "array['a b', '', 'null', 'q\"\\', 'x']",
    "array['2024-01-01 00:00:00'::timestamp]",
    "array[1.50, 2]",
    "'{t,f}'::bool[]",
    "array['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid]",
];

/// tokio-postgres asks for binary results, and its simple queries for text.
#[tokio::test(flavor = "multi_thread")]
async fn decoded_values_are_those_that_postgresql_writes() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let client = fixture.client().await;
    client.batch_execute("set timezone to 'UTC'; set datestyle to iso").await.unwrap();
    for expression in EXPRESSIONS {
        let sql = format!("select {expression}, 'end of {}'::text", expression.replace('\'', "''"));
        client.query(&sql, &[]).await.unwrap();
        client.simple_query(&sql).await.unwrap();
        let marker = Some(format!("end of {expression}"));
        let mut answers = Vec::new();
        while answers.len() < 2 {
            let answer = fixture.result().await;
            let rows = &answer.results[0].rows;
            if rows.first().is_some_and(|row| row.last().unwrap().text == marker) {
                answers.push(rows[0][0].clone());
            }
        }
        assert_eq!(answers[0].form, ValueForm::Decoded, "{expression}");
        assert_eq!(answers[0].text, answers[1].text, "{expression}");
        assert_eq!(answers[1].form, ValueForm::Text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_types_of_a_parse_and_of_a_description_decode_bound_values() {
    let mut fixture = Fixture::new(HeldUnits::None).await;
    let client = fixture.client().await;
    // Described by the server before the first Bind.
    let sql = "select $1::int8, $2::text, $3::float8, $4::bool, $5::int4";
    client.query_one(sql, &[&5_000_000_000_i64, &"it's", &0.25_f64, &true, &None::<i32>]).await.unwrap();
    let unit = fixture.executing().await;
    assert_eq!(unit.sql(), sql);
    let texts: Vec<_> = unit.executions[0].values.iter().map(|value| value.text.as_deref()).collect();
    assert_eq!(texts, [Some("5000000000"), Some("it's"), Some("0.25"), Some("t"), None]);
    assert!(unit.executions[0].values.iter().take(4).all(|value| value.form == ValueForm::Decoded));
    // Typed by the Parse.
    let statement = client.prepare_typed("select $1 + 1", &[Type::INT2]).await.unwrap();
    client.query(&statement, &[&7_i16]).await.unwrap();
    let unit = fixture.executing().await;
    assert_eq!((unit.sql().as_str(), unit.executions[0].values[0].text.as_deref()), ("select $1 + 1", Some("7")));
    assert!(unit.executions[0].statement.as_deref().is_some_and(|name| !name.is_empty()));
    // A type that is not decoded.
    let statement = client.prepare("select $1::inet").await.unwrap();
    let address: std::net::IpAddr = "127.0.0.1".parse().unwrap();
    client.query(&statement, &[&address]).await.unwrap();
    let unit = fixture.executing().await;
    let value = &unit.executions[0].values[0];
    assert_eq!((value.form, value.text.as_deref()), (ValueForm::Hex, Some("022000047f000001")));
}
