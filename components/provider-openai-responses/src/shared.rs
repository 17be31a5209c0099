//! What all providers do, in the types of this one's contract.

openpista_plugin::provider!(crate::contract);
