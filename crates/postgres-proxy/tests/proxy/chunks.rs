//! The same conversation in any chunks gives the same answers and the same units.

use postgres_proxy::{HeldUnits, ProxyEventKind};

use crate::fixture::*;
use crate::raw::*;

/// A generator of chunk lengths that needs no crate (Numerical Recipes' linear congruence).
struct Lengths(u32);

impl Lengths {
    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Mostly a few bytes, so that headers are cut too.
        let bits = (self.0 >> 24) % 8;
        1 + (self.0 >> 8) as usize % (1 << bits)
    }
}

fn script() -> Vec<u8> {
    let long = "x".repeat(3000);
    [
        query("create temp table c (a text); select 1"),
        [parse("s", "select $1::text"), describe_statement("s"), SYNC.to_vec()].concat(),
        [bind("s", &[&long]), execute(), bind("s", &["short"]), execute(), SYNC.to_vec()].concat(),
        [run("select 2"), FLUSH.to_vec(), run("select 1/(random() * 0)::int"), run("select 3"), SYNC.to_vec()].concat(),
        query("selec"),
        [run("copy c from stdin"), SYNC.to_vec(), message(b'd', &[long.as_bytes(), b"\n"]), message(b'c', &[])]
            .concat(),
        SYNC.to_vec(),
        query("copy c to stdout"),
        query("select count(*) from c"),
        TERMINATE.to_vec(),
    ]
    .concat()
}

async fn converse(held_units: HeldUnits, lengths: Option<Lengths>) -> (Vec<u8>, Vec<String>) {
    let mut fixture = Fixture::new(held_units).await;
    let mut client = RawClient::ready(fixture.proxy.address()).await;
    let bytes = script();
    let talking = tokio::spawn(async move {
        let mut rest = bytes.as_slice();
        if let Some(mut lengths) = lengths {
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(lengths.next().min(rest.len()));
                client.send(chunk).await;
                rest = after;
                tokio::task::yield_now().await;
            }
        } else {
            client.send(rest).await;
        }
        client.rest().await
    });
    let mut seen = Vec::new();
    loop {
        match fixture.next().await.kind {
            ProxyEventKind::UnitArrived { unit, .. } => {
                seen.push(format!(
                    "{} {:?} {} {:?} {}",
                    unit.number,
                    unit.kind,
                    unit.sql(),
                    unit.executions,
                    unit.bytes
                ));
            }
            ProxyEventKind::UnitAnswered { answer, .. } => {
                seen.push(format!(
                    "{} {:?} {:?} {:?} {:?}",
                    answer.unit, answer.results, answer.error, answer.status, answer.end
                ));
            }
            ProxyEventKind::Closed(_) => break,
            ProxyEventKind::LostTrack { reason } => panic!("{reason}"),
            _ => {}
        }
    }
    // The order of units and answers is that of the network; the lists of both are not.
    seen.sort();
    (talking.await.unwrap(), seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_chunks_of_the_client_give_the_same_answers_and_the_same_units() {
    let (bytes, seen) = converse(HeldUnits::None, None).await;
    assert_eq!(seen.len(), 20, "ten units and their answers: {seen:#?}");
    for seed in 0..12 {
        for held_units in [HeldUnits::None, HeldUnits::Executing, HeldUnits::All] {
            let other = converse(held_units, Some(Lengths(seed))).await;
            assert_eq!(other.1, seen, "seed {seed}, {held_units:?}");
            assert!(other.0 == bytes, "seed {seed}, {held_units:?}");
        }
    }
}
