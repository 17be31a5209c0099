//! `openpista:http`: the one way out.

/// The gate that all requests pass.
pub struct Egress {}

/// An answer whose body is still coming.
pub struct Incoming {}
