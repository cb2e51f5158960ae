//! For which host a request is, and which pages may show an answer.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::{Lab, Setup};

/// The status of the answer to these bytes.
async fn status(lab: &Lab, request: &str) -> u16 {
    let mut stream = TcpStream::connect(lab.address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = vec![0; 4_096];
    let length = stream.read(&mut answer).await.expect("an answer");
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("a status in {text:?}"))
}

#[tokio::test]
async fn a_request_for_two_hosts_is_refused() {
    let lab = Lab::start().await;
    let own = lab.address.to_string();
    // Address, the lines of its hosts, status
    for (address, hosts, expected) in [
        ("/healthz".to_owned(), vec![own.as_str()], 200),
        ("/healthz".to_owned(), vec![own.as_str(), own.as_str()], 400),
        ("/healthz".to_owned(), vec![own.as_str(), "evil.example"], 400),
        (format!("http://{own}/healthz"), vec![own.as_str()], 200),
        ("http://evil.example/healthz".to_owned(), vec![own.as_str()], 400),
        (format!("http://{own}/healthz"), vec!["localhost"], 400),
    ] {
        let lines = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect::<Vec<_>>().concat();
        let found = status(&lab, &format!("GET {address} HTTP/1.1\r\n{lines}\r\n")).await;
        assert_eq!(found, expected, "{address} {hosts:?}");
    }
}

#[tokio::test]
async fn no_foreign_page_shows_a_page_of_the_documentation_or_guesses_its_type() {
    let lab = Lab::start().await;
    for path in ["/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/problems"] {
        let answer = lab.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

/// The page of a name that resolves to this machine could read every answer of the server (DNS rebinding).
#[tokio::test]
async fn a_read_under_a_name_that_is_not_allowed_is_refused() {
    let lab = Lab::with(Setup { allowed_hosts: vec!["lab.example".to_owned()], ..Setup::default() }).await;
    let own = lab.address.to_string();
    for path in ["/balance/1", "/environment", "/approaches", "/healthz", "/metrics", "/docs", "/nonsense"] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let request = |host: &str| format!("{method} {path} HTTP/1.1\r\n{host}\r\n");
            for host in ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", ""] {
                assert_eq!(status(&lab, &request(&format!("Host: {host}\r\n"))).await, 403, "{method} {path} {host}");
            }
            assert_eq!(status(&lab, &request("")).await, 403, "{method} {path}");
            for host in [own.as_str(), "localhost:1", "[::1]:3000", "10.1.2.3", "LAB.example:80"] {
                assert_ne!(status(&lab, &request(&format!("Host: {host}\r\n"))).await, 403, "{method} {path} {host}");
            }
        }
    }
    // HTTP/1.0 has no Host. The health check of the image sends this request.
    assert_eq!(status(&lab, "GET /readyz HTTP/1.0\r\n\r\n").await, 200);
    assert_eq!(status(&lab, "GET /readyz HTTP/1.0\r\nHost: evil.example\r\n\r\n").await, 403);
    assert_eq!(status(&lab, "DELETE /bookings/1 HTTP/1.0\r\n\r\n").await, 403);
}
