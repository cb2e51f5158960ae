//! A strict reader of the OpenMetrics text format. It accepts nothing that Prometheus would reject, and rejects some of
//! what Prometheus would accept.

use std::collections::{BTreeMap, BTreeSet};

/// Every sample by its name and labels, as they were written: `name{label="value"}`.
pub type Samples = BTreeMap<String, f64>;

/// A family, as its comments declare it.
#[derive(Debug)]
struct Family {
    name: String,
    kind: String,
}

/// Reads a whole exposition, or returns what is wrong with it.
pub fn read(text: &str) -> Result<Samples, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF")?;
    let mut samples = Samples::new();
    let mut names = BTreeSet::new();
    let mut family: Option<Family> = None;
    let mut lines = body.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').ok_or(format!("no help: {line}"))?;
            let kind =
                lines.next().and_then(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
            let kind = kind.ok_or(format!("no type of {name}"))?;
            if help.is_empty() || !is_name(name) || !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(format!("{name:?} is a {kind:?}: {help:?}"));
            }
            if let Some(unit) = lines.next_if(|line| line.starts_with("# UNIT ")) {
                let (of, unit) = unit["# UNIT ".len()..].split_once(' ').ok_or(format!("no unit: {unit}"))?;
                if of != name || !name.ends_with(&format!("_{unit}")) {
                    return Err(format!("{name} has the unit {unit} of {of}"));
                }
            }
            if !names.insert(name.to_owned()) {
                return Err(format!("{name} is declared twice"));
            }
            family = Some(Family { name: name.to_owned(), kind: kind.to_owned() });
            continue;
        }
        let family = family.as_ref().ok_or(format!("belongs to no family: {line}"))?;
        let (series, value) = line.rsplit_once(' ').ok_or(format!("no value: {line}"))?;
        let number: f64 = value.parse().map_err(|_| format!("not a number: {line}"))?;
        check_series(family, series)?;
        if family.kind != "gauge" && (number < 0.0 || !number.is_finite()) {
            return Err(format!("not a count: {line}"));
        }
        if samples.insert(series.to_owned(), number).is_some() {
            return Err(format!("twice: {line}"));
        }
    }
    check_histograms(body)?;
    Ok(samples)
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn check_series(family: &Family, series: &str) -> Result<(), String> {
    let (name, labels) = parts(series)?;
    let suffix = name.strip_prefix(&family.name).ok_or(format!("{series} is not of {}", family.name))?;
    let fits = match family.kind.as_str() {
        "counter" => suffix == "_total",
        "gauge" => suffix.is_empty(),
        _ => ["_bucket", "_sum", "_count"].contains(&suffix),
    };
    let bucket = labels.iter().any(|(label, _)| *label == "le");
    if !fits || bucket != (suffix == "_bucket") {
        return Err(format!("{series} does not fit a {}", family.kind));
    }
    Ok(())
}

/// The labels of a series, with their values.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// The name of a series and its labels. No value needs an escape, so the reader supports none.
fn parts(series: &str) -> Result<(&str, Labels<'_>), String> {
    let Some((name, rest)) = series.split_once('{') else { return Ok((series, Vec::new())) };
    let labels = rest.strip_suffix('}').ok_or(format!("not closed: {series}"))?;
    let mut read = Vec::new();
    for label in labels.split(',') {
        let (key, value) = label.split_once('=').ok_or(format!("no label: {series}"))?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let value = value.filter(|value| !value.contains(['"', '\\', '\n'])).ok_or(format!("no value: {series}"))?;
        if !is_name(key) || read.iter().any(|(other, _)| *other == key) {
            return Err(format!("label {key:?}: {series}"));
        }
        read.push((key, value));
    }
    Ok((name, read))
}

/// Buckets ascend in bound and in count, and the last one is the count.
fn check_histograms(body: &str) -> Result<(), String> {
    let mut last: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_default();
        let value: f64 = value.parse().map_err(|_| format!("not a number: {line}"))?;
        let (name, labels) = parts(series)?;
        let others: Vec<_> = labels.iter().filter(|(label, _)| *label != "le").collect();
        if let Some(histogram) = name.strip_suffix("_bucket") {
            let bound = labels.iter().find(|(label, _)| *label == "le").map_or("", |(_, bound)| bound);
            let bound: f64 = bound.parse().map_err(|_| format!("not a bound: {line}"))?;
            let before = last.insert(format!("{histogram} {others:?}"), (bound, value));
            if before.is_some_and(|(smaller, fewer)| smaller >= bound || fewer > value) {
                return Err(format!("not ascending: {line}"));
            }
        } else if let Some(histogram) = name.strip_suffix("_count") {
            counts.insert(format!("{histogram} {others:?}"), value);
        }
    }
    let ends = last.into_iter().map(|(series, (bound, value))| (series, (bound == f64::INFINITY).then_some(value)));
    let counts = counts.into_iter().map(|(series, value)| (series, Some(value)));
    if ends.ne(counts) { Err("a histogram's last bucket is not its count".to_owned()) } else { Ok(()) }
}

#[test]
fn text_that_is_not_openmetrics_is_refused() {
    let head = "# HELP a_s Help\n# TYPE a_s histogram\n# UNIT a_s s\n";
    let good = "a_s_sum 1.5\na_s_count 2\na_s_bucket{le=\"1.0\"} 1\na_s_bucket{le=\"+Inf\"} 2\n";
    let whole = format!("{head}{good}# EOF\n");
    assert_eq!(read(&whole).expect("a good one").len(), 4);
    for (part, wrong) in [
        ("# EOF\n", ""),
        ("# UNIT a_s s", "# UNIT a_s m"),
        ("# TYPE a_s histogram\n", ""),
        ("histogram", "counter"),
        ("a_s_sum", "b_s_sum"),
        ("a_s_sum 1.5", "a_s_sum x"),
        ("a_s_sum 1.5\n", "a_s_sum 1.5\na_s_sum 1.5\n"),
        ("a_s_count 2", "a_s_count 3"),
        ("le=\"1.0\"", "le=1.0"),
        ("le=\"1.0\"} 1", "le=\"1.0\"} 3"),
        ("{le=\"1.0\"}", "{le=\"1.0\""),
        ("a_s_bucket{le=\"+Inf\"} 2\n", ""),
        ("le=\"1.0\"", "le=\"1.0\",1=\"a\""),
    ] {
        assert!(whole.contains(part), "{part}");
        assert!(read(&whole.replacen(part, wrong, 1)).is_err(), "{part:?} as {wrong:?}");
    }
}
