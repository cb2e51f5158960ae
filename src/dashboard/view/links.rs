//! Addresses of pages, and how times are written.
//!
//! **Times** are in UTC to the second on every page, as in reports.

use axum::http::{HeaderMap, header};

use crate::explore::findings::{Servers, Subject};
use crate::explore::schedule::Schedule;
use crate::strategy::Approach;

/// The page of the experiment under way.
pub const LIVE: &str = "/lab/experiment";

/// The page of an approach.
#[must_use]
pub fn approach(approach: Approach) -> String {
    format!("/lab/approaches/{approach}")
}

/// The page of an experiment.
#[must_use]
pub fn experiment(id: &str) -> String {
    format!("/lab/runs/{id}")
}

/// The player with an interleaving; `None` if the player cannot reproduce its conditions.
#[must_use]
pub fn player(subject: &Subject, schedule: &Schedule) -> Option<String> {
    let unmodified = subject.file.is_none() && subject.isolation.is_none() && subject.without.is_none();
    if !unmodified || subject.crash.is_some() {
        return None;
    }
    let servers = match subject.servers {
        None | Some(Servers::One) => "one",
        Some(Servers::Each) => "each",
    };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("approach", &subject.approach).append_pair("scenario", &subject.scenario);
    query.append_pair("clients", &subject.clients.to_string()).append_pair("servers", servers);
    query.append_pair("schedule", &schedule.to_string());
    Some(format!("/lab/player?{}", query.finish()))
}

/// The host of a request, for a command line; the default address if a shell would interpret a character of it.
#[must_use]
pub fn host(headers: &HeaderMap) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-.:[]".contains(letter);
    let given = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    given.filter(|host| !host.is_empty() && host.chars().all(plain)).unwrap_or("127.0.0.1:3000").to_owned()
}

/// A time of a report (RFC 3339, UTC) as pages show it: `2026-11-21 12:00:00 UTC`. Any other text is returned unchanged.
#[must_use]
pub fn moment(time: &str) -> String {
    let digits = |text: &str, form: &str| {
        text.len() == form.len()
            && text.chars().zip(form.chars()).all(|(found, wanted)| match wanted {
                '0' => found.is_ascii_digit(),
                _ => found == wanted,
            })
    };
    match (time.get(..10), time.get(11..19)) {
        (Some(day), Some(clock))
            if digits(day, "0000-00-00")
                && digits(clock, "00:00:00")
                && time.ends_with('Z')
                && time.as_bytes()[10] == b'T' =>
        {
            format!("{day} {clock} UTC")
        }
        _ => time.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::explore::findings::ExploreReport;
    use crate::explore::report::sample;

    #[test]
    fn a_host_that_a_shell_would_interpret_is_not_repeated() {
        let table = [
            ("127.0.0.1:3103", "127.0.0.1:3103"),
            ("[::1]:80", "[::1]:80"),
            ("a'; rm -rf ~; '", "127.0.0.1:3000"),
            ("$(x)", "127.0.0.1:3000"),
            ("", "127.0.0.1:3000"),
        ];
        for (given, expected) in table {
            let headers = [(header::HOST, HeaderValue::from_static(given))].into_iter().collect();
            assert_eq!(host(&headers), expected, "{given}");
        }
        assert_eq!(host(&HeaderMap::new()), "127.0.0.1:3000");
    }

    #[test]
    fn times_are_shown_to_the_second_and_other_texts_unchanged() {
        let table = [
            ("2026-11-21T12:00:00Z", "2026-11-21 12:00:00 UTC"),
            ("2026-11-21T12:00:00.123Z", "2026-11-21 12:00:00 UTC"),
            ("2026-11-21T12:00:00+01:00", "2026-11-21T12:00:00+01:00"),
            ("yesterday", "yesterday"),
            ("ääääääääääääääääääääääääZ", "ääääääääääääääääääääääääZ"),
            ("", ""),
        ];
        for (time, expected) in table {
            assert_eq!(moment(time), expected);
        }
    }

    #[test]
    fn the_player_is_linked_only_for_what_it_can_play() {
        let ExploreReport { explorations, .. } = sample::levels();
        let schedule: Schedule = "AB".parse().unwrap();
        let playable: Vec<bool> = explorations.iter().map(|one| player(&one.subject, &schedule).is_some()).collect();
        let unmodified: Vec<bool> =
            explorations.iter().map(|one| one.subject.file.is_none() && one.subject.isolation.is_none()).collect();
        assert_eq!(playable, unmodified);
    }
}
