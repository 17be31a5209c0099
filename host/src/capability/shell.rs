//! `openpista:shell`: processes.

/// Starts process groups.
pub struct Shell {}

/// A running process group.
pub struct Process {}
