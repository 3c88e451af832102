//! The native leaves of Sealyard: pure functions of bytes, without state, key or I/O.
//!
//! `proxy/core/leaves` has the same functions in Python. Those are the reference: for every input,
//! both return the same. Nothing here recurses, and nothing takes more memory than a few times its
//! input.

#![forbid(unsafe_code)]

pub mod base64url;
pub mod json;
pub mod spans;
pub mod strings;
pub mod token;

#[cfg(feature = "python")]
mod border;
