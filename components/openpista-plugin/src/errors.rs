//! The contract's error in the words of a channel. Each component has types of its own, made from the contract, so what
//! they share is a macro.

/// `channel_errors!(Error, ChannelError, DeliveryError)`, all three in scope: a refused capability stays refused, what
/// makes no sense is not tried again, all else may work another time. Also `in_words`, for a log: what is made from the
/// contract shows itself as code.
#[macro_export]
macro_rules! channel_errors {
    ($error:ident, $channel:ident, $delivery:ident) => {
        impl From<$error> for $channel {
            fn from(error: $error) -> Self {
                match error {
                    $error::AccessDenied(why) => Self::AccessDenied(why),
                    $error::Invalid(why) | $error::TooLarge(why) => Self::Malformed(why),
                    $error::Unavailable(why) => Self::Unavailable(why),
                    $error::Cancelled | $error::TimedOut => Self::Unavailable(in_words(&error).into()),
                    $error::NotFound(why) | $error::Other(why) => Self::Other(why),
                }
            }
        }

        impl From<$error> for $delivery {
            fn from(error: $error) -> Self {
                match error {
                    $error::AccessDenied(why) => Self::AccessDenied(why),
                    $error::Invalid(why) | $error::TooLarge(why) => Self::Rejected(why),
                    $error::Unavailable(why) => Self::Unavailable(why),
                    $error::Cancelled | $error::TimedOut => Self::Unavailable(in_words(&error).into()),
                    $error::NotFound(why) | $error::Other(why) => Self::Other(why),
                }
            }
        }

        /// For a person.
        pub fn in_words(error: &$error) -> &str {
            match error {
                $error::AccessDenied(why)
                | $error::NotFound(why)
                | $error::Invalid(why)
                | $error::TooLarge(why)
                | $error::Unavailable(why)
                | $error::Other(why) => why,
                $error::Cancelled => "cancelled",
                $error::TimedOut => "there was no answer in time",
            }
        }
    };
}

#[cfg(test)]
mod tests {
    #[derive(Debug, Clone)]
    pub enum Error {
        AccessDenied(String),
        NotFound(String),
        Invalid(String),
        TooLarge(String),
        Unavailable(String),
        Other(String),
        Cancelled,
        TimedOut,
    }

    #[derive(Debug, PartialEq)]
    pub enum ChannelError {
        AccessDenied(String),
        Malformed(String),
        Unavailable(String),
        Other(String),
    }

    #[derive(Debug, PartialEq)]
    pub enum DeliveryError {
        AccessDenied(String),
        Rejected(String),
        Unavailable(String),
        Other(String),
    }

    crate::channel_errors!(Error, ChannelError, DeliveryError);

    #[test]
    fn what_makes_no_sense_is_not_tried_again_and_all_else_may_be() {
        let why = || "why".to_string();
        let late = || "there was no answer in time".to_string();
        let table = [
            (Error::AccessDenied(why()), ChannelError::AccessDenied(why()), DeliveryError::AccessDenied(why())),
            (Error::NotFound(why()), ChannelError::Other(why()), DeliveryError::Other(why())),
            (Error::Invalid(why()), ChannelError::Malformed(why()), DeliveryError::Rejected(why())),
            (Error::TooLarge(why()), ChannelError::Malformed(why()), DeliveryError::Rejected(why())),
            (Error::Unavailable(why()), ChannelError::Unavailable(why()), DeliveryError::Unavailable(why())),
            (Error::Other(why()), ChannelError::Other(why()), DeliveryError::Other(why())),
            (Error::TimedOut, ChannelError::Unavailable(late()), DeliveryError::Unavailable(late())),
        ];
        for (error, channel, delivery) in table {
            assert_eq!(ChannelError::from(error.clone()), channel);
            assert_eq!(DeliveryError::from(error), delivery);
        }
        assert_eq!([in_words(&Error::Cancelled), in_words(&Error::Other(why()))], ["cancelled", "why"]);
    }
}
