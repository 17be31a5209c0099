//! The host's errors in the words of a channel.

/// Implements `From<Error>` for the contract's `ChannelError` and `DeliveryError`. Bindings are generated in each
/// component, so this is a macro; it is used where `crate::contract` has them.
#[macro_export]
macro_rules! channel_errors {
    () => {
        $crate::channel_errors!(ChannelError, Malformed);
        $crate::channel_errors!(DeliveryError, Rejected);
    };
    ($name:ident, $never:ident) => {
        impl From<$crate::channel_errors!(@error)> for crate::contract::exports::openpista::plugin::channel::$name {
            fn from(error: $crate::channel_errors!(@error)) -> Self {
                type Error = $crate::channel_errors!(@error);
                match error {
                    Error::AccessDenied(why) => Self::AccessDenied(why),
                    Error::Invalid(why) | Error::TooLarge(why) => Self::$never(why),
                    Error::Unavailable(why) => Self::Unavailable(why),
                    Error::Cancelled => Self::Unavailable("cancelled".into()),
                    Error::TimedOut => Self::Unavailable("timed out".into()),
                    Error::NotFound(why) | Error::Other(why) => Self::Other(why),
                }
            }
        }
    };
    (@error) => {
        crate::contract::openpista::types::types::Error
    };
}
