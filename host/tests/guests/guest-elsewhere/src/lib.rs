//! A component without a single export: what a crate is that was built for the right target and no contract.
