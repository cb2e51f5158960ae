//! Encrypted connections, also to a server whose certificate sqlx's TLS cannot read.
//!
//! Under `sslmode` prefer and require no certificate is verified, so any is as good as another: psql connects to each. sqlx's TLS (rustls)
//! reads the certificate all the same, because the server signs the handshake with its key, and it knows version 3 of X.509 only.
//! `openssl x509 -req` made version 1 for decades, and many servers still have such a certificate.
//!
//! sqlx has no way to let another check decide. So when a certificate cannot be read and nothing is verified, this program opens the
//! encrypted connection itself, accepts what the server shows, and sqlx talks through it: over a socket that only this user can reach, and
//! that is removed as soon as sqlx has connected. That costs a copy of each message in this process. The connection is what `sslmode=require`
//! promises: encrypted, with a server that is not verified.
//!
//! Under verify-ca and verify-full such a certificate is refused, and the message says what is wrong with it.

use std::fmt;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Once};

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpStream, UnixListener};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme, crypto::ring::default_provider,
};
use uuid::Uuid;

/// The request for an encrypted connection: its length, and a number that is no version of the protocol (`SSLRequest`).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The answer of a server that encrypts.
const ENCRYPTS: u8 = b'S';

/// The name that rustls gives to a certificate of version 1 or 2.
const OLD_VERSION: &str = "UnsupportedCertVersion";

/// A part of the name of a socket, which is alone in its folder.
const PORT: u16 = 5432;

/// Why a certificate is not accepted.
#[derive(Debug, thiserror::Error)]
#[error("sslmode={mode} refuses the server's certificate: {fault}")]
struct CertificateRefused {
    mode: &'static str,
    fault: CertificateFault,
}

/// What is wrong with a certificate, for people.
#[derive(Debug)]
struct CertificateFault(CertificateError);

impl CertificateFault {
    /// The fault for which a connection was not opened, if it is one of the certificate.
    fn of(error: &sqlx::Error) -> Option<Self> {
        let sqlx::Error::Io(error) = error else { return None };
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(fault) => Some(Self(fault.clone())),
            _ => None,
        }
    }
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            CertificateError::Other(other) if other.to_string() == OLD_VERSION => formatter.write_str(
                "it is an X.509 certificate of version 1, and this program can verify only those of version 3. `openssl req -x509` makes one",
            ),
            // A wrong signature: an authority that is trusted only has the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => formatter.write_str(
                "no certificate authority that this machine trusts has signed it. If it has one of its own, name that one's certificate by \
                 sslrootcert",
            ),
            other => other.fmt(formatter),
        }
    }
}

/// Connects as the options say.
///
/// # Errors
/// As sqlx; under verify-ca and verify-full a text that names the fault of the certificate.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let error = match PgConnection::connect_with(options).await {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    let Some(fault) = CertificateFault::of(&error) else { return Err(error) };
    let mode = match options.get_ssl_mode() {
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require => {
            return Box::pin(connect_unverified(options, &fault)).await;
        }
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    };
    Err(sqlx::Error::Tls(Box::new(CertificateRefused { mode, fault })))
}

/// Connects through an encrypted connection of this program's own, on which no certificate is looked at.
async fn connect_unverified(options: &PgConnectOptions, fault: &CertificateFault) -> Result<PgConnection, sqlx::Error> {
    static WARNED: Once = Once::new();
    // sqlx tells the name of the file by the URL only.
    if options.to_url_lossy().query_pairs().any(|(name, _)| name == "sslcert") {
        let reason = format!(
            "the server's certificate cannot be read, and then no client certificate (sslcert) can be shown to it: {fault}"
        );
        return Err(sqlx::Error::Tls(reason.into()));
    }
    WARNED.call_once(|| {
        tracing::warn!(
            %fault,
            "the server's certificate cannot be read; it is accepted, because sslmode prefer and require verify none. Each message is copied once \
             more than with a certificate of version 3"
        );
    });
    let mut server = encrypted(options.get_host(), options.get_port()).await?;
    let socket = PrivateSocket::bind()?;
    let through = options.clone().socket(&socket.folder).port(PORT).ssl_mode(PgSslMode::Disable);
    let accepted = async {
        let (mut client, _) = socket.listener.accept().await?;
        tokio::spawn(async move {
            // Either side may end the connection, and the other one then finds it closed.
            if let Err(error) = copy_bidirectional(&mut client, &mut server).await {
                tracing::debug!(%error, "an encrypted connection to the database ended early");
            }
        });
        Ok(())
    };
    let (connection, ()) = tokio::try_join!(PgConnection::connect_with(&through), accepted)?;
    Ok(connection)
}

/// A TLS connection to a PostgreSQL, whatever its certificate is.
async fn encrypted(host: &str, port: u16) -> Result<TlsStream<TcpStream>, sqlx::Error> {
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&SSL_REQUEST).await?;
    if stream.read_u8().await? != ENCRYPTS {
        return Err(sqlx::Error::Tls("the server does not encrypt connections any more".into()));
    }
    let provider = default_provider();
    let verifier = AnyCertificate { schemes: provider.signature_verification_algorithms.supported_schemes() };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| sqlx::Error::Tls(error.into()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| sqlx::Error::Tls(error.into()))?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// Accepts every certificate. A signature of the handshake by the key of a certificate that nothing vouches for would prove nothing more.
#[derive(Debug)]
struct AnyCertificate {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// A socket in a folder that only this user can enter. Both are removed when it is dropped; a connection that is open stays open.
struct PrivateSocket {
    listener: UnixListener,
    folder: PathBuf,
}

impl PrivateSocket {
    fn bind() -> io::Result<Self> {
        // The path of a socket has about 100 bytes at most, so the folder is not below TMPDIR.
        let folder = PathBuf::from(format!("/tmp/concurrency-lab-{}", Uuid::new_v4().simple()));
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let listener = UnixListener::bind(folder.join(format!(".s.PGSQL.{PORT}"))).inspect_err(|_| {
            // It is empty.
            let _ = std::fs::remove_dir(&folder);
        })?;
        Ok(Self { listener, folder })
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::debug!(%error, folder = %self.folder.display(), "cannot remove the folder of a socket");
        }
    }
}
