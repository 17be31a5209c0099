//! Who vouches for a component: minisign signatures over its bytes, and trust in the first key that was seen.
//!
//! A minisign file names its key by a number only. So that a first meeting needs nothing else, `plugin publish` writes the
//! public key into the trusted comment (`key:RW…`), which the signature covers. Once a plugin's key is trusted, that one
//! decides, and what a signature says of itself counts only for telling who it is now.

use std::fmt;

use minisign::{KeyPair, SecretKeyBox};
use minisign_verify::{PublicKey, Signature};

/// In a trusted comment: behind it stands the public key.
const KEY: &str = "key:";

/// The variable with the password of a secret key that has one.
pub const PASSWORD: &str = "OPENPISTA_KEY_PASSWORD";

/// A public key, as minisign writes it in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    text: String,
    id: [u8; 8],
}

impl Key {
    /// One line of a `.pub` file, or both.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        let wrong = || SignatureError::NoKey(line.chars().filter(|c| !c.is_control()).take(80).collect());
        PublicKey::from_base64(line).map_err(|_| wrong())?;
        Ok(Self { text: line.to_owned(), id: number(line).ok_or_else(wrong)? })
    }

    /// The line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its number, as minisign shows it.
    pub fn id(&self) -> String {
        shown(self.id)
    }

    fn verifies(&self, bytes: &[u8], signature: &Signature) -> bool {
        PublicKey::from_base64(&self.text).is_ok_and(|key| key.verify(bytes, signature, false).is_ok())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn shown(id: [u8; 8]) -> String {
    format!("{:016X}", u64::from_le_bytes(id))
}

/// The key's number: behind the two letters of the algorithm, in keys and signatures alike.
fn number(line: &str) -> Option<[u8; 8]> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(line).ok()?;
    bytes.get(2..10)?.try_into().ok()
}

/// Why a component is not taken for what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No key.
    #[error("\"{0}\" is not a public key; it is the line of a .pub file that begins with RW")]
    NoKey(String),
    /// No signature.
    #[error("its signature is not a minisign file")]
    Garbled,
    /// Nobody knows the key.
    #[error(
        "it is signed with the key {id}, which it does not show, so the signature cannot be checked: get the key from its author and add --accept-signer KEY"
    )]
    Unknown {
        /// The key's number.
        id: String,
    },
    /// The bytes are not those that were signed.
    #[error("its signature is bad: the file, or the signature, was changed after the key {id} signed it")]
    Bad {
        /// The key's number.
        id: String,
    },
    /// Somebody else signed.
    #[error(
        "it was signed by the key {was} before, and now by {now}. If you know that the author has a new key: openpista-host plugin trust {plugin} {key}"
    )]
    Changed {
        /// The trusted key's number.
        was: String,
        /// The number of the one that signed.
        now: String,
        /// That key.
        key: String,
        /// The plugin.
        plugin: String,
    },
    /// Nobody signed.
    #[error(
        "it was signed by the key {was} before, and now it is not signed. If that is meant: openpista-host plugin trust {plugin} none"
    )]
    Vanished {
        /// The trusted key's number.
        was: String,
        /// The plugin.
        plugin: String,
    },
    /// Nobody signed, and somebody was expected to.
    #[error("it is not signed, and the key {0} was to have signed it")]
    Unsigned(String),
    /// A key for signing that is none.
    #[error("the key cannot be used: {0}")]
    Secret(String),
}

/// Who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The key.
    pub key: Key,
    /// The same key vouched before, or the person named it.
    pub known: bool,
}

/// Weighs a signature against the key that is trusted for this plugin, and one that the person accepts now. No signature
/// and no trust is fine: then nobody vouches.
pub fn check(
    plugin: &str,
    bytes: &[u8],
    signature: Option<&str>,
    trusted: Option<&Key>,
    accepted: Option<&Key>,
) -> Result<Option<Signer>, SignatureError> {
    let Some(text) = signature else {
        return match (accepted, trusted) {
            (Some(key), _) => Err(SignatureError::Unsigned(key.id())),
            (None, Some(key)) => Err(SignatureError::Vanished { was: key.id(), plugin: plugin.to_owned() }),
            (None, None) => Ok(None),
        };
    };
    let signature = Signature::decode(text).map_err(|_| SignatureError::Garbled)?;
    let id = text.lines().nth(1).and_then(number).ok_or(SignatureError::Garbled)?;
    let expected = accepted.or(trusted);
    if let Some(key) = expected.filter(|key| key.id == id) {
        return if key.verifies(bytes, &signature) {
            Ok(Some(Signer { key: key.clone(), known: true }))
        } else {
            Err(SignatureError::Bad { id: shown(id) })
        };
    }
    let own = signature.trusted_comment().split_whitespace().find_map(|word| word.strip_prefix(KEY));
    let own = own.and_then(|key| Key::parse(key).ok()).filter(|key| key.id == id);
    match (own, expected) {
        (Some(key), _) if !key.verifies(bytes, &signature) => Err(SignatureError::Bad { id: shown(id) }),
        (Some(key), None) => Ok(Some(Signer { key, known: false })),
        (own, Some(was)) => Err(SignatureError::Changed {
            was: was.id(),
            now: shown(id),
            key: own.map_or_else(|| "KEY".to_owned(), |key| key.text),
            plugin: plugin.to_owned(),
        }),
        (None, None) => Err(SignatureError::Unknown { id: shown(id) }),
    }
}

/// A new key: the file that stays secret, the file for everyone, and the key itself.
pub fn generate() -> Result<(String, String, Key), SignatureError> {
    let failed = |error: minisign::PError| SignatureError::Secret(error.to_string());
    let pair = KeyPair::generate_unencrypted_keypair().map_err(failed)?;
    let secret = pair.sk.to_box(Some("openpista-host: keep this secret")).map_err(failed)?.into_string();
    let public = pair.pk.to_box().map_err(failed)?.into_string();
    let key = Key::parse(&pair.pk.to_base64())?;
    Ok((secret, public, key))
}

/// A minisign file over the bytes, made with the text of a secret key's file. The public key is in it.
pub fn sign(bytes: &[u8], secret: &str, password: Option<String>) -> Result<(String, Key), SignatureError> {
    let failed = |error: minisign::PError| SignatureError::Secret(error.to_string());
    let boxed = || SecretKeyBox::from_string(secret).map_err(failed);
    // Without a password in hand, the library would ask at the terminal.
    let secret = match (boxed()?.into_unencrypted_secret_key(), password) {
        (Ok(key), _) => key,
        (Err(_), Some(password)) => boxed()?.into_secret_key(Some(password)).map_err(failed)?,
        (Err(error), None) => {
            let advice = format!("{error}; if it has a password, set it in {PASSWORD}");
            return Err(SignatureError::Secret(advice));
        }
    };
    let public = minisign::PublicKey::from_secret_key(&secret).map_err(failed)?;
    let key = Key::parse(&public.to_base64())?;
    let trusted = format!("{KEY}{}", key.text);
    let signed =
        minisign::sign(Some(&public), &secret, bytes, Some(&trusted), Some("signature of an openpista plugin"));
    Ok((signed.map_err(failed)?.into_string(), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = b"\0asm component";

    fn keys() -> (String, Key) {
        let (secret, public, key) = generate().unwrap();
        assert_eq!(Key::parse(&public).unwrap(), key);
        (secret, key)
    }

    #[test]
    fn the_first_signer_is_believed_and_known_from_then_on() {
        let (secret, key) = keys();
        let (signature, by) = sign(BYTES, &secret, None).unwrap();
        assert_eq!(by, key);
        let first = check("p", BYTES, Some(&signature), None, None).unwrap();
        assert_eq!(first, Some(Signer { key: key.clone(), known: false }));
        let then = check("p", BYTES, Some(&signature), Some(&key), None).unwrap();
        assert_eq!(then, Some(Signer { key: key.clone(), known: true }));
        assert_eq!(check("p", BYTES, None, None, None), Ok(None));
        assert!(key.id().len() == 16 && public_shows(&key));
    }

    /// minisign's own file shows the same number.
    fn public_shows(key: &Key) -> bool {
        let public = minisign::PublicKey::from_base64(key.text()).unwrap().to_box().unwrap().into_string();
        public.contains(&key.id())
    }

    #[test]
    fn another_signer_a_missing_one_and_changed_bytes_are_refused_until_the_person_says_so() {
        let ((secret, key), (others, other)) = (keys(), keys());
        let (signature, _) = sign(BYTES, &secret, None).unwrap();
        let (foreign, _) = sign(BYTES, &others, None).unwrap();
        let changed = check("p", BYTES, Some(&foreign), Some(&key), None).unwrap_err();
        let now =
            SignatureError::Changed { was: key.id(), now: other.id(), key: other.text().into(), plugin: "p".into() };
        assert_eq!(changed, now);
        assert_eq!(
            check("p", BYTES, None, Some(&key), None),
            Err(SignatureError::Vanished { was: key.id(), plugin: "p".into() })
        );
        let accepted = check("p", BYTES, Some(&foreign), Some(&key), Some(&other)).unwrap();
        assert_eq!(accepted, Some(Signer { key: other.clone(), known: true }));
        assert_eq!(check("p", BYTES, None, None, Some(&other)), Err(SignatureError::Unsigned(other.id())));
        for (trusted, accepted) in [(None, None), (Some(&key), None), (Some(&other), Some(&key))] {
            let bad = check("p", b"other bytes", Some(&signature), trusted, accepted);
            assert_eq!(bad, Err(SignatureError::Bad { id: key.id() }));
        }
        // Signed by somebody else who claims to be known: the number is the trusted one's, the bytes are not.
        let stolen = foreign.replace(foreign.lines().nth(1).unwrap(), signature.lines().nth(1).unwrap());
        assert_eq!(check("p", BYTES, Some(&stolen), Some(&key), None), Err(SignatureError::Bad { id: key.id() }));
    }

    #[test]
    fn a_signature_without_its_key_needs_the_key_from_the_person() {
        let (secret, key) = keys();
        let secret = SecretKeyBox::from_string(&secret).unwrap().into_unencrypted_secret_key().unwrap();
        // As minisign itself signs.
        let bare = minisign::sign(None, &secret, BYTES, None, None).unwrap().into_string();
        assert_eq!(check("p", BYTES, Some(&bare), None, None), Err(SignatureError::Unknown { id: key.id() }));
        let given = check("p", BYTES, Some(&bare), None, Some(&key)).unwrap();
        assert_eq!(given, Some(Signer { key, known: true }));
        for garbled in ["", "x", "untrusted comment: a\nAAAA\ntrusted comment: b\nAAAA\n"] {
            assert_eq!(check("p", BYTES, Some(garbled), None, None), Err(SignatureError::Garbled));
        }
    }

    #[test]
    fn what_is_no_key_signs_nothing_and_the_variable_for_a_password_is_named() {
        let error = sign(BYTES, "no key", None).unwrap_err().to_string();
        assert!(error.contains(PASSWORD), "{error}");
        assert!(matches!(Key::parse("RWQ"), Err(SignatureError::NoKey(_))));
    }

    #[test]
    #[ignore = "soak: deriving a key from a password takes a gigabyte of memory, three times"]
    fn soak_a_key_with_a_password_signs_with_it_only() {
        let pair = KeyPair::generate_encrypted_keypair(Some("correct horse".into())).unwrap();
        let secret = pair.sk.to_box(None).unwrap().into_string();
        assert_eq!(sign(BYTES, &secret, Some("correct horse".into())).unwrap().1.text(), pair.pk.to_base64());
        assert!(sign(BYTES, &secret, Some("wrong".into())).is_err());
    }
}
