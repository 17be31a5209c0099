//! The TLS set-up that all connections share: the system's certificate authorities, ring, no client certificates.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// What helps against a certificate that is not trusted.
pub const UNTRUSTED: &str = "; if you trust that server, add its authority to the system's, or name a file with all that you trust in SSL_CERT_FILE";

/// For clients, without a protocol list. `more` are authorities that the person trusts besides the system's.
pub fn client_config(more: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!("a certificate authority of the system cannot be read: {error}");
    }
    roots.add_parsable_certificates(system.certs);
    roots.add_parsable_certificates(more.iter().cloned());
    if roots.is_empty() {
        tracing::warn!(
            "the system has no certificate authorities, so no https server can be trusted; install ca-certificates"
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
