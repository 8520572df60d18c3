//! TLS in the middle of a handshake: the certificate that clients are shown, and the one that is believed of
//! servers. Encrypting is rustls's.

use super::stream::{Plain, Stream};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// What is to be believed of servers is no certificate.
    #[error("the certificate of the database servers is no certificate in PEM: {0}")]
    Authority(rustls::pki_types::pem::Error),
    /// A certificate of our own could not be made.
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Certificate and key do not go together, or are of a kind that is not supported.
    #[error(transparent)]
    Config(#[from] rustls::Error),
}

/// Accepts TLS from clients.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// With a new certificate, signed by nobody else, as servers make by themselves.
    pub fn self_signed(name: &str) -> Result<Self, TlsError> {
        let made = rcgen::generate_simple_self_signed([name.to_owned()])?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Self::new(vec![made.cert.der().clone()], key.into())
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        // A client goes on at another splitter with the keys it has.
        config.enable_secret_extraction = true;
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }

    /// One, and who believes it, of one cipher and version.
    #[cfg(test)]
    pub(crate) fn with_connector(
        suite: rustls::SupportedCipherSuite,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> (Self, Connector) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let acceptor = Self::new(vec![made.cert.der().clone()], key.into()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (acceptor, Connector(TlsConnector::from(Arc::new(config))))
    }

    /// After a client's wish for TLS. `read` is what was read behind it: the beginning of the client's hello.
    pub async fn accept(&self, stream: Plain, read: Vec<u8>) -> io::Result<Stream> {
        let accepted = self.0.accept(stream.with_read(read)).await?;
        Ok(Stream::Accepted(Box::new(accepted)))
    }
}

/// Begins TLS with servers.
#[derive(Clone)]
pub struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl Connector {
    /// Believes these certificates (PEM) and what they have signed, for the name that is asked for; without any,
    /// nobody.
    pub fn trusting(authorities: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            roots.add(certificate.map_err(TlsError::Authority)?)?;
        }
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Connector(TlsConnector::from(Arc::new(config))))
    }

    /// After the wish for TLS was sent. `name` is the server's name or address.
    pub async fn connect(&self, stream: Plain, name: &str) -> io::Result<Stream> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let connected = self.0.connect(name, stream).await?;
        Ok(Stream::Connected(Box::new(connected)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
