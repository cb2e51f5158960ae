//! Where a program finds its database: the variables of its environment, and the placeholders in its command line.

use std::net::SocketAddr;

use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use url::Url;

/// The names that can stand in braces.
const PLACEHOLDERS: [&str; 6] = ["database_url", "host", "db_port", "user", "password", "database"];

/// Variables of this process that would lead a program past its address.
pub const REMOVED: [&str; 5] = ["PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE", "PGSSLROOTCERT", "PGTARGETSESSIONATTRS"];

/// What a program needs to log in at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEnvironment {
    address: SocketAddr,
    user: String,
    password: String,
    database: String,
    /// Where an application is to listen.
    port: Option<u16>,
}

impl DatabaseEnvironment {
    /// The user and the password of these options, for a database behind an address.
    #[must_use]
    pub fn new(options: &PgConnectOptions, database: &str, address: SocketAddr) -> Self {
        let password = options
            .to_url_lossy()
            .password()
            .map(|encoded| percent_decode_str(encoded).decode_utf8_lossy().into_owned());
        let user = options.get_username().to_owned();
        Self { address, user, password: password.unwrap_or_default(), database: database.to_owned(), port: None }
    }

    /// The same, with the port at which an application is to listen, as `{port}`.
    #[must_use]
    pub fn with_port(self, port: u16) -> Self {
        Self { port: Some(port), ..self }
    }

    fn url(&self) -> String {
        let plain = format!("postgres://{}/{}", self.address, self.database);
        let Ok(mut url) = Url::parse(&plain) else { return plain };
        // Both fail only for an address without a host.
        let _ = url.set_username(&self.user);
        let _ = url.set_password(Some(self.password.as_str()).filter(|password| !password.is_empty()));
        url.into()
    }

    fn value(&self, placeholder: &str) -> Option<String> {
        Some(match placeholder {
            "database_url" => self.url(),
            "host" => self.address.ip().to_string(),
            "db_port" => self.address.port().to_string(),
            "user" => self.user.clone(),
            "password" => self.password.clone(),
            "database" => self.database.clone(),
            _ => return None,
        })
    }

    /// A text with values in place of the known placeholders. Other braces stay, because a shell uses them too.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        let known = PLACEHOLDERS.iter().filter_map(|name| Some((*name, self.value(name)?)));
        let port = self.port.map(|port| ("port", port.to_string()));
        known.chain(port).fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), &value))
    }

    /// The variables that are set in any case.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.url()),
            ("PGHOST", self.address.ip().to_string()),
            ("PGPORT", self.address.port().to_string()),
            ("PGUSER", self.user.clone()),
            ("PGPASSWORD", self.password.clone()),
            ("PGDATABASE", self.database.clone()),
            // The proxy speaks no TLS, and drivers that ask for it need a round trip for the refusal.
            ("PGSSLMODE", "disable".to_owned()),
            ("PGGSSENCMODE", "disable".to_owned()),
        ]
    }
}

/// The first name in braces that is neither a placeholder nor one of `more`, and the names that are.
#[must_use]
pub fn unknown_placeholder(text: &str, more: &[&str]) -> Option<(String, String)> {
    let is_name =
        |name: &&str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    let mut names = text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).filter(is_name);
    let unknown = names.find(|name| !PLACEHOLDERS.contains(name) && !more.contains(name))?;
    let known: Vec<&str> = more.iter().chain(&PLACEHOLDERS).copied().collect();
    Some((unknown.to_owned(), known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_the_braces_of_a_shell_stay() {
        let options = PgConnectOptions::new_without_pgpass().username("a b").password("p@/w");
        let environment = DatabaseEnvironment::new(&options, "shop", SocketAddr::from(([127, 0, 0, 1], 6000)));
        assert_eq!(
            environment.fill("x {database_url} ${HOME} {print}"),
            "x postgres://a%20b:p%40%2Fw@127.0.0.1:6000/shop ${HOME} {print}"
        );
        assert_eq!(environment.fill("{host}:{db_port} {user} {password} {database}"), "127.0.0.1:6000 a b p@/w shop");
        assert_eq!(unknown_placeholder("{database_url} {}", &[]), None);
        assert_eq!(unknown_placeholder("{port}", &[]).map(|(name, _)| name).as_deref(), Some("port"));
    }
}
