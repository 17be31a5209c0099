//! Names to addresses, checked on the way: a connection is only ever made to addresses that came through here.
//!
//! The HTTP client asks at the moment it connects, so there is no second look-up that could answer otherwise.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::address::{Class, Reach, classify};

/// Finds the addresses of a name.
#[async_trait::async_trait]
pub trait Resolver: Send + Sync {
    /// All of them; none is an error.
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The system's resolver, as every program uses it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait::async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A name leads only to where it may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} leads to {address}, which is {what}")]
pub struct Refused {
    name: String,
    address: IpAddr,
    what: &'static str,
    /// A `lan:` entry would allow it.
    pub lan_would_do: bool,
}

impl Refused {
    /// The refusal of `address`, which `name` stands for.
    pub fn new(name: &str, address: IpAddr) -> Self {
        let (what, lan_would_do) = match classify(address) {
            Class::Public => ("not on this machine", true),
            Class::Loopback => ("this machine", true),
            Class::Private => ("on a private network", true),
            Class::Never(what) => (what, false),
        };
        Self { name: name.to_string(), address, what, lan_would_do }
    }
}

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Every address is out of reach.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The name is unknown, or nobody could be asked.
    #[error("the name {name} cannot be resolved: {source}")]
    Unknown {
        /// As asked.
        name: String,
        /// What the resolver said.
        source: std::io::Error,
    },
}

/// A resolver that gives only addresses within reach.
#[derive(Clone)]
pub struct Checked {
    resolver: Arc<dyn Resolver>,
    reach: Reach,
}

impl Checked {
    /// With this reach.
    pub fn new(resolver: Arc<dyn Resolver>, reach: Reach) -> Self {
        Self { resolver, reach }
    }

    /// The addresses of `name` that are within reach, at least one.
    pub async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let unknown = |source| ResolveError::Unknown { name: name.to_string(), source };
        let found = self.resolver.resolve(name).await.map_err(unknown)?;
        let (within, outside): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| self.reach.admits(*address));
        match (within.is_empty(), outside.first()) {
            (false, _) => Ok(within),
            (true, Some(address)) => Err(Refused::new(name, *address).into()),
            (true, None) => Err(unknown(std::io::Error::from(std::io::ErrorKind::NotFound))),
        }
    }
}

impl reqwest::dns::Resolve for Checked {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let checked = self.clone();
        Box::pin(async move {
            let addresses = checked.addresses(name.as_str()).await?;
            // Port 0 stands for the one in the URL.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as reqwest::dns::Addrs)
        })
    }
}
