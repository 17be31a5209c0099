//! Providers: a model's API as a type.

use super::bindings::provider::exports::openpista::plugin::provider::{Completion, Model, ProviderError, Request};
use super::bindings::provider::openpista::plugin::deltas::{self, Delta};
use super::{Error, Host, Signal};

/// A model's API. Each function is the one of the same name in the contract.
pub trait Provider {
    /// The models on offer.
    fn models(host: &impl Host) -> Result<Vec<Model>, ProviderError>;
    /// One answer; what comes of it is pushed as it comes.
    fn complete(request: Request, out: &dyn Deltas, host: &impl Host) -> Result<Completion, ProviderError>;
}

/// Where the pieces of an answer go.
pub trait Deltas {
    /// Hands one on; `Signal::Stop`: return with what there is.
    fn push(&self, delta: Delta) -> Signal;
}

impl Deltas for deltas::Sink {
    fn push(&self, delta: Delta) -> Signal {
        deltas::Sink::push(self, &delta)
    }
}

/// Keeps what was pushed, for tests.
#[derive(Default)]
pub struct Pushed(pub std::cell::RefCell<Vec<Delta>>);

impl Deltas for Pushed {
    fn push(&self, delta: Delta) -> Signal {
        self.0.borrow_mut().push(delta);
        Signal::Proceed
    }
}

impl From<Error> for ProviderError {
    fn from(error: Error) -> Self {
        match error {
            Error::AccessDenied(why) => Self::AccessDenied(why),
            Error::Invalid(why) => Self::BadRequest(why),
            Error::Unavailable(why) => Self::Transport(why),
            Error::TimedOut => Self::Transport("there was no answer in time".into()),
            Error::Cancelled => Self::Other("cancelled".into()),
            Error::NotFound(why) | Error::TooLarge(why) | Error::Other(why) => Self::Other(why),
        }
    }
}

/// Makes a component of a provider: `export_provider!(about(), Mine);` with an [`About`](crate::sdk::About) and a type that is a
/// [`Provider`](crate::sdk::Provider). Once in a crate, which is a `cdylib`.
#[macro_export]
macro_rules! export_provider {
    ($about:expr, $provider:ty) => {
        #[allow(unsafe_code, dead_code, reason = "generated: what the host calls")]
        const _: () = {
            use $crate::sdk::bindings::describe::exports::openpista::plugin::manifest;
            use $crate::sdk::bindings::provider::exports::openpista::plugin::provider;
            use $crate::sdk::bindings::provider::openpista::plugin::deltas;

            struct OpenpistaPlugin;

            impl manifest::Guest for OpenpistaPlugin {
                fn describe() -> manifest::Manifest {
                    $crate::sdk::About::manifest($about)
                }
            }

            impl provider::Guest for OpenpistaPlugin {
                fn models() -> Result<Vec<provider::Model>, provider::ProviderError> {
                    <$provider as $crate::sdk::Provider>::models(&$crate::sdk::Real)
                }

                fn complete(
                    request: provider::Request,
                    out: &deltas::Sink,
                ) -> Result<provider::Completion, provider::ProviderError> {
                    <$provider as $crate::sdk::Provider>::complete(request, out, &$crate::sdk::Real)
                }
            }

            #[cfg(target_arch = "wasm32")]
    $crate::sdk::bindings::provider::export!(OpenpistaPlugin with_types_in $crate::sdk::bindings::provider);
        };
    };
}
