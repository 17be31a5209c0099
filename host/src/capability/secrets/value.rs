//! A secret's value, and what a manifest declares about it.

use zeroize::Zeroizing;

use crate::capability::http::Entry;

/// Shorter values would be found everywhere in what comes back.
const SHORTEST: usize = 8;
const LONGEST: usize = 16 << 10;

/// The value of a secret: wiped from memory when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<String>);

/// Why a text can be no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Under 8 bytes.
    #[error("it has under {SHORTEST} bytes: so short a value cannot be told from ordinary text")]
    TooShort,
    /// Over 16 KiB.
    #[error("it has over {LONGEST} bytes")]
    TooLong,
}

impl SecretValue {
    /// Takes a value over.
    pub fn new(value: impl Into<String>) -> Result<Self, SecretError> {
        let value = Zeroizing::new(value.into());
        match value.len() {
            0..SHORTEST => Err(SecretError::TooShort),
            SHORTEST..=LONGEST => Ok(Self(value)),
            _ => Err(SecretError::TooLong),
        }
    }

    /// For the boundary only.
    pub(in crate::capability) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SecretValue")
    }
}

/// A secret as the manifest declares it; `{setting}` in audiences is filled in already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// `bot-token`.
    pub name: String,
    /// All that may be done with it.
    pub uses: Vec<Use>,
    /// The plugin works without.
    pub optional: bool,
}

/// One thing that may be done with a secret. A place has its audience, a host as in the scope of `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Use {
    /// A request header, alone or after a scheme.
    Header {
        /// Who gets it.
        audience: Entry,
        /// The header's name, in any case.
        name: String,
    },
    /// The password of `Authorization: Basic`.
    Basic {
        /// Who gets it.
        audience: Entry,
        /// The user name.
        name: String,
    },
    /// Within the URL's path.
    Path {
        /// Who gets it.
        audience: Entry,
    },
    /// The value of a query parameter.
    Query {
        /// Who gets it.
        audience: Entry,
        /// The parameter.
        name: String,
    },
    /// A whole string in a JSON body.
    Json {
        /// Who gets it.
        audience: Entry,
        /// A JSON Pointer.
        pointer: String,
    },
    /// The value of a field of a form body.
    Form {
        /// Who gets it.
        audience: Entry,
        /// The field.
        name: String,
    },
    /// A whole string in a JSON text frame of a websocket that was dialled.
    Frame {
        /// Who gets it.
        audience: Entry,
        /// A JSON Pointer.
        pointer: String,
    },
    /// A variable of a process.
    Environment {
        /// The command.
        command: String,
        /// The variable.
        name: String,
    },
    /// `secrets.verify`.
    Verify,
    /// `secrets.matches`.
    Compare,
    /// `secrets.mac`.
    Mac {
        /// Before the secret, in the first key.
        prefix: String,
        /// Exactly so many.
        rounds: u8,
    },
    /// In the data of `secrets.digest`.
    Digest,
    /// `secrets.fact`, with this claim.
    Fact(String),
}

impl Use {
    /// The host that gets the secret by this use.
    pub(super) fn audience(&self) -> Option<&Entry> {
        match self {
            Self::Header { audience, .. }
            | Self::Basic { audience, .. }
            | Self::Path { audience }
            | Self::Query { audience, .. }
            | Self::Json { audience, .. }
            | Self::Form { audience, .. }
            | Self::Frame { audience, .. } => Some(audience),
            Self::Environment { .. }
            | Self::Verify
            | Self::Compare
            | Self::Mac { .. }
            | Self::Digest
            | Self::Fact(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_printed_and_a_short_one_is_refused() {
        assert_eq!(format!("{:?}", SecretValue::new("correct horse")), "Ok(SecretValue)");
        assert_eq!(SecretValue::new("1234567"), Err(SecretError::TooShort));
        assert_eq!(SecretValue::new("x".repeat(LONGEST + 1)), Err(SecretError::TooLong));
    }
}
