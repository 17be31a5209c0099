//! The secrets of an instance, shared by all its calls, and one call's stand-ins for them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::redact::{Redactor, RedactorError, label};
use super::value::{Declared, SecretValue, Use};
use crate::capability::Error;
use crate::capability::http::Target;

/// Wrong answers to `secrets.matches`, per secret.
const GUESSES: usize = 10;
const GUESSES_WITHIN: Duration = Duration::from_secs(60);

const STAND_IN_LENGTH: usize = 48;
const STAND_IN_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// What an instance's manifest declares, and the person's values for it.
#[derive(Debug, Default)]
pub struct InstanceSecrets {
    instance: String,
    secrets: Vec<Secret>,
    current: RwLock<Values>,
}

#[derive(Debug)]
struct Secret {
    declared: Declared,
    wrong: Mutex<VecDeque<Instant>>,
}

#[derive(Debug, Default)]
struct Values {
    /// In the order of the declared ones.
    values: Vec<Kept>,
    /// For sets of secrets, as indices in order.
    redactors: HashMap<Vec<usize>, Arc<Redactor>>,
    /// For all of them.
    all: Option<Arc<Redactor>>,
}

#[derive(Debug, Clone, Default)]
struct Kept {
    value: Option<SecretValue>,
    /// A refreshed token's predecessor: answers that are on their way may still hold it.
    previous: Option<SecretValue>,
}

/// The instance's secrets and this call's stand-ins for them. Clones share the stand-ins: what a call hands to the host
/// (frames, dials) is filled in with a clone.
#[derive(Debug, Clone, Default)]
pub struct CallSecrets {
    instance: Arc<InstanceSecrets>,
    stand_ins: Arc<Mutex<Vec<(usize, String)>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl InstanceSecrets {
    /// Each declared secret with its value, if the person gave one.
    pub fn new(
        instance: impl Into<String>,
        secrets: impl IntoIterator<Item = (Declared, Option<SecretValue>)>,
    ) -> Result<Self, RedactorError> {
        let (declared, values): (Vec<_>, Vec<_>) = secrets.into_iter().unzip();
        let kept: Vec<Kept> = values.into_iter().map(|value| Kept { value, previous: None }).collect();
        let mut made = Self {
            instance: instance.into(),
            secrets: declared.into_iter().map(|declared| Secret { declared, wrong: Mutex::default() }).collect(),
            current: RwLock::default(),
        };
        made.current = RwLock::new(made.ready(kept)?);
        Ok(made)
    }

    /// A new value (a refreshed token), used from the next send on. `false`: nothing of that name is declared.
    pub fn replace(&self, name: &str, value: Option<SecretValue>) -> Result<bool, RedactorError> {
        let Some(index) = self.secrets.iter().position(|secret| secret.declared.name == name) else { return Ok(false) };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut values = current.values.clone();
        if let Some(kept) = values.get_mut(index) {
            kept.previous = std::mem::replace(&mut kept.value, value).or(kept.previous.take());
        }
        *current = self.ready(values)?;
        Ok(true)
    }

    /// What has to be set and is not.
    pub fn missing(&self) -> Vec<&str> {
        let declared = self.secrets.iter().enumerate();
        declared
            .filter(|(index, secret)| !secret.declared.optional && self.value(*index).is_none())
            .map(|(_, secret)| secret.declared.name.as_str())
            .collect()
    }

    /// Every value with its secret's name: for the redaction of what the host itself shows.
    pub fn values(&self) -> Vec<(String, SecretValue)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let named = self.secrets.iter().zip(&current.values);
        named
            .flat_map(|(secret, kept)| {
                let values = [&kept.value, &kept.previous].into_iter().flatten();
                values.map(|value| (secret.declared.name.clone(), value.clone()))
            })
            .collect()
    }

    /// The same declarations with the same values: an instance of which nothing changed is kept.
    pub fn same_as(&self, other: &Self) -> bool {
        let declared = |all: &Self| all.secrets.iter().map(|secret| secret.declared.clone()).collect::<Vec<_>>();
        let values = |all: &Self| {
            let current = all.current.read().unwrap_or_else(PoisonError::into_inner);
            current.values.iter().map(|kept| kept.value.clone()).collect::<Vec<_>>()
        };
        self.instance == other.instance && declared(self) == declared(other) && values(self) == values(other)
    }

    /// A text with every secret of the instance cut out.
    pub fn redact(&self, text: &str) -> String {
        let all = self.current.read().unwrap_or_else(PoisonError::into_inner).all.clone();
        all.map_or_else(|| text.to_string(), |all| all.clean(text))
    }

    /// For what comes from `target`: finds the secrets of which it is an audience, and no others.
    pub fn redactor_from(&self, target: &Target) -> Result<Arc<Redactor>, RedactorError> {
        self.redactor_of(|declared| {
            declared.uses.iter().filter_map(Use::audience).any(|audience| audience.matches(target))
        })
    }

    /// For the lines of a process that may have been given secrets.
    pub fn redactor_from_command(&self, asked: &str) -> Result<Arc<Redactor>, RedactorError> {
        self.redactor_of(|declared| {
            declared.uses.iter().any(|one| matches!(one, Use::Environment { command, .. } if command == asked))
        })
    }

    fn ready(&self, values: Vec<Kept>) -> Result<Values, RedactorError> {
        let everything: Vec<usize> = (0..values.len()).collect();
        let all = Some(Arc::new(self.redactor(&values, &everything)?));
        Ok(Values { values, redactors: HashMap::new(), all })
    }

    fn redactor(&self, values: &[Kept], which: &[usize]) -> Result<Redactor, RedactorError> {
        let chosen = which.iter().filter_map(|index| Some((self.secrets.get(*index)?, values.get(*index)?)));
        Redactor::new(chosen.flat_map(|(secret, kept)| {
            let values = [&kept.value, &kept.previous].into_iter().flatten();
            values.map(|value| (value.expose(), label(&secret.declared.name)))
        }))
    }

    fn redactor_of(&self, chosen: impl Fn(&Declared) -> bool) -> Result<Arc<Redactor>, RedactorError> {
        let which: Vec<usize> =
            (0..).zip(&self.secrets).filter(|(_, one)| chosen(&one.declared)).map(|(at, _)| at).collect();
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = current.redactors.get(&which) {
            return Ok(Arc::clone(ready));
        }
        let made = Arc::new(self.redactor(&current.values, &which)?);
        current.redactors.insert(which, Arc::clone(&made));
        Ok(made)
    }

    fn value(&self, index: usize) -> Option<SecretValue> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.values.get(index).and_then(|kept| kept.value.clone())
    }

    fn find(&self, name: &str) -> Result<(usize, &Secret), Error> {
        let found = (0..).zip(&self.secrets).find(|(_, secret)| secret.declared.name == name);
        found.ok_or_else(|| Error::AccessDenied(format!("the manifest declares no secret {name}")))
    }

    fn set(&self, index: usize, name: &str) -> Result<SecretValue, Error> {
        self.value(index)
            .ok_or_else(|| Error::NotFound(format!("no value is set for the secret {name} of {}", self.instance)))
    }

    /// The value, with the use that the manifest declares for it.
    pub(super) fn for_use(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&Use) -> bool,
    ) -> Result<(SecretValue, &Use), Error> {
        let (index, secret) = self.find(name)?;
        let Some(found) = secret.declared.uses.iter().find(|one| wanted(one)) else {
            return Err(Error::AccessDenied(format!("the manifest does not declare the secret {name} for {what}")));
        };
        Ok((self.set(index, name)?, found))
    }

    /// Whether `candidate` is the secret; at most ten wrong ones a minute.
    pub(super) fn matches(&self, name: &str, candidate: &str) -> Result<bool, Error> {
        let (value, _) = self.for_use(name, "compare", |one| *one == Use::Compare)?;
        let (_, secret) = self.find(name)?;
        let mut wrong = lock(&secret.wrong);
        let now = Instant::now();
        while wrong.pop_front_if(|at| now.duration_since(*at) >= GUESSES_WITHIN).is_some() {}
        if wrong.len() >= GUESSES {
            return Err(Error::TooLarge(format!("at most {GUESSES} wrong values of {name} a minute; wait a minute")));
        }
        // Digests have one length, so that the time says nothing about the secret's.
        let same: bool = Sha256::digest(value.expose()).ct_eq(&Sha256::digest(candidate)).into();
        if !same {
            wrong.push_back(now);
        }
        Ok(same)
    }
}

/// One stand-in of a call, with what it stands for.
pub(super) struct StandIn<'a> {
    /// What the guest writes.
    pub text: String,
    /// What is declared.
    pub declared: &'a Declared,
    /// The current value; none when it was taken away since.
    pub value: Option<SecretValue>,
}

impl CallSecrets {
    /// For one call of an instance.
    pub fn new(instance: Arc<InstanceSecrets>) -> Self {
        Self { instance, stand_ins: Arc::default() }
    }

    /// What all calls of the instance share.
    pub fn instance(&self) -> &Arc<InstanceSecrets> {
        &self.instance
    }

    /// The text with every secret of the instance cut out, and with names instead of stand-ins.
    pub fn redact(&self, text: &str) -> String {
        let named = self
            .stand_ins()
            .into_iter()
            .fold(text.to_string(), |text, stand_in| text.replace(&stand_in.text, &label(&stand_in.declared.name)));
        self.instance.redact(&named)
    }

    /// `redact`, to keep beyond the call.
    pub fn redactor(&self) -> Arc<dyn Fn(&str) -> String + Send + Sync> {
        let secrets = self.clone();
        Arc::new(move |text| secrets.redact(text))
    }

    /// A stand-in for the secret: the same one for the whole call.
    pub fn stand_in(&self, name: &str) -> Result<String, Error> {
        let (index, _) = self.instance.find(name)?;
        self.instance.set(index, name)?;
        let mut stand_ins = lock(&self.stand_ins);
        if let Some((_, text)) = stand_ins.iter().find(|(of, _)| *of == index) {
            return Ok(text.clone());
        }
        let text = random_text().map_err(|error| Error::Unavailable(format!("no random numbers: {error}")))?;
        stand_ins.push((index, text.clone()));
        Ok(text)
    }

    /// All of this call.
    pub(super) fn stand_ins(&self) -> Vec<StandIn<'_>> {
        let given = lock(&self.stand_ins).clone();
        let known = given.into_iter().filter_map(|(index, text)| {
            let secret = self.instance.secrets.get(index)?;
            Some(StandIn { text, declared: &secret.declared, value: self.instance.value(index) })
        });
        known.collect()
    }

    /// A text from `target` with stand-ins in the place of the secrets that it was given: the address of a redirect, so
    /// that the next hop is checked like the first.
    pub(in crate::capability) fn stand_ins_for_values(&self, target: &Target, text: &str) -> Result<String, Error> {
        let mut known = Vec::new();
        for secret in &self.instance.secrets {
            let given = secret.declared.uses.iter().filter_map(Use::audience).any(|audience| audience.matches(target));
            let value =
                self.instance.find(&secret.declared.name).ok().and_then(|(index, _)| self.instance.value(index));
            if let (true, Some(value)) = (given, value) {
                known.push((value, self.stand_in(&secret.declared.name)?));
            }
        }
        let redactor = Redactor::new(known.iter().map(|(value, stand_in)| (value.expose(), stand_in.clone())));
        let redactor = redactor.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Arc::new(redactor).clean(text))
    }
}

/// 48 characters of which each carries 5.17 bits: 248 bits in all.
fn random_text() -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(STAND_IN_LENGTH);
    let mut bytes = [0_u8; 64];
    while text.len() < STAND_IN_LENGTH {
        getrandom::fill(&mut bytes)?;
        // Bytes past the largest multiple of 36 would make some characters likelier.
        let fair = bytes.iter().filter(|byte| **byte < 252);
        let drawn = fair.filter_map(|byte| STAND_IN_ALPHABET.get(usize::from(*byte) % STAND_IN_ALPHABET.len()));
        text.extend(drawn.take(STAND_IN_LENGTH.saturating_sub(text.len())).map(|byte| char::from(*byte)));
    }
    Ok(text)
}
