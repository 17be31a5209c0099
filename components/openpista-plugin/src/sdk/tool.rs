//! Tools: one type for each, its arguments a Rust type of which the schema is made.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Content, Error, Host, Media, ToolDefinition, ToolError, ToolHints, schema};

/// One thing that the model can do.
pub trait Tool {
    /// `weather.now`: letters, digits, `_`, `.` and `-`; unique in the host.
    const NAME: &'static str;
    /// For the model: what it does, and when to use it.
    const DESCRIPTION: &'static str;
    /// What it says of itself to the approval policy.
    const HINTS: ToolHints = ToolHints::empty();
    /// Of a call: the host has checked them against the schema that is made of this type. Comments on its fields are
    /// what the model reads about them.
    type Arguments: JsonSchema + DeserializeOwned;

    /// Does it.
    fn call(arguments: Self::Arguments, host: &impl Host) -> Result<Answer, ToolError>;
}

/// What a tool gives back: `"text".into()`, a `serde_json::Value`, a [`Media`], or several [`Content`]s.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer(pub Vec<Content>);

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self(vec![Content::Text(text)])
    }
}

impl From<&str> for Answer {
    fn from(text: &str) -> Self {
        Self::from(text.to_string())
    }
}

impl From<serde_json::Value> for Answer {
    fn from(value: serde_json::Value) -> Self {
        Self(vec![Content::Json(value.to_string())])
    }
}

impl From<Media> for Answer {
    fn from(media: Media) -> Self {
        Self(vec![Content::Media(media)])
    }
}

impl From<Vec<Content>> for Answer {
    fn from(content: Vec<Content>) -> Self {
        Self(content)
    }
}

impl From<Error> for ToolError {
    fn from(error: Error) -> Self {
        match error {
            Error::AccessDenied(why) => Self::AccessDenied(why),
            Error::TimedOut => Self::TimedOut,
            Error::Cancelled => Self::Cancelled,
            Error::Invalid(why)
            | Error::NotFound(why)
            | Error::TooLarge(why)
            | Error::Unavailable(why)
            | Error::Other(why) => Self::Other(why),
        }
    }
}

impl From<String> for ToolError {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

impl From<&str> for ToolError {
    fn from(why: &str) -> Self {
        Self::Other(why.into())
    }
}

/// A tool in a table.
pub struct Offered<H> {
    name: &'static str,
    definition: fn() -> ToolDefinition,
    call: fn(&str, &H) -> Result<Answer, ToolError>,
}

impl<H: Host> Offered<H> {
    /// Of this type.
    pub const fn of<T: Tool>() -> Self {
        Self { name: T::NAME, definition: definition::<T>, call: typed::<T, H> }
    }
}

fn definition<T: Tool>() -> ToolDefinition {
    ToolDefinition {
        name: T::NAME.into(),
        description: T::DESCRIPTION.into(),
        parameters: schema::<T::Arguments>().to_string(),
        hints: T::HINTS,
    }
}

fn typed<T: Tool, H: Host>(arguments: &str, host: &H) -> Result<Answer, ToolError> {
    match serde_json::from_str(arguments) {
        Ok(arguments) => T::call(arguments, host),
        Err(error) => Err(ToolError::InvalidArguments(format!("{}: {error}", T::NAME))),
    }
}

/// What the model is told of these tools.
pub fn definitions<H>(tools: &[Offered<H>]) -> Vec<ToolDefinition> {
    tools.iter().map(|tool| (tool.definition)()).collect()
}

/// Calls one of these tools, with arguments as the host gives them.
pub fn answer<H: Host>(tools: &[Offered<H>], name: &str, arguments: &str, host: &H) -> Result<Answer, ToolError> {
    match tools.iter().find(|tool| tool.name == name) {
        Some(tool) => (tool.call)(arguments, host),
        None => {
            let names: Vec<&str> = tools.iter().map(|tool| tool.name).collect();
            Err(ToolError::InvalidArguments(format!("there is no tool {name} here; there are {}", names.join(", "))))
        }
    }
}

/// Makes a component of tools: `export_tools!(about(), [Now, Forecast]);` with an [`About`](crate::sdk::About) and the types
/// that are [`Tool`](crate::sdk::Tool)s. Once in a crate, which is a `cdylib`.
#[macro_export]
macro_rules! export_tools {
    ($about:expr, [$($tool:ty),+ $(,)?]) => {
        #[allow(unsafe_code, dead_code, reason = "generated: what the host calls")]
        const _: () = {
            use $crate::sdk::bindings::describe::exports::openpista::plugin::manifest;
            use $crate::sdk::bindings::tools::exports::openpista::plugin::tools;

            struct OpenpistaPlugin;

            const TOOLS: &[$crate::sdk::Offered<$crate::sdk::Real>] = &[$($crate::sdk::Offered::of::<$tool>()),+];

            impl manifest::Guest for OpenpistaPlugin {
                fn describe() -> manifest::Manifest {
                    $crate::sdk::About::manifest($about)
                }
            }

            impl tools::Guest for OpenpistaPlugin {
                fn definitions() -> Result<Vec<$crate::sdk::ToolDefinition>, tools::ToolError> {
                    Ok($crate::sdk::definitions(TOOLS))
                }

                fn call(call: tools::Invocation) -> Result<Vec<$crate::sdk::Content>, tools::ToolError> {
                    $crate::sdk::answer(TOOLS, &call.name, &call.arguments, &$crate::sdk::Real).map(|answer| answer.0)
                }
            }

            #[cfg(target_arch = "wasm32")]
            $crate::sdk::bindings::describe::export!(OpenpistaPlugin with_types_in $crate::sdk::bindings::describe);
            #[cfg(target_arch = "wasm32")]
            $crate::sdk::bindings::tools::export!(OpenpistaPlugin with_types_in $crate::sdk::bindings::tools);
        };
    };
}
