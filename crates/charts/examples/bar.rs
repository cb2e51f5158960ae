//! Writes a page with one bar chart to standard output: `cargo run -p charts --example bar > bar.html`.

use charts::bars::{Bar, BarChart, BarValue};
use charts::{Caption, STYLE};

fn main() {
    let caption = Caption {
        id: "rate".to_owned(),
        title: "Requests per second".to_owned(),
        description: "pessimistic 4848, optimistic-version 3120; naive is broken".to_owned(),
    };
    let measured = |label: &str, value: f64, range: (f64, f64)| {
        let figure = BarValue { value, range, text: charts::scale::number(value) };
        Bar { label: label.to_owned(), figure: Ok(figure) }
    };
    let bars = vec![
        measured("pessimistic", 4848.0, (4700.0, 4900.0)),
        measured("optimistic-version", 3120.0, (2900.0, 3300.0)),
        Bar { label: "naive".to_owned(), figure: Err("broken".to_owned()) },
    ];
    let chart = BarChart { caption, unit: "req/s".to_owned(), bars }.draw();
    println!("<!doctype html><meta charset=\"utf-8\"><title>Bars</title><style>{STYLE}</style>{}", chart.into_string());
}
