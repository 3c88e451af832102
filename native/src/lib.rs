//! The native leaves of Sealyard: pure functions of bytes, without state, key or I/O.
//!
//! `proxy/core/leaves` has the same functions in Python. Those are the reference: for every input,
//! both return the same. Recursion is bounded, and nothing takes more memory than a few times its
//! input.

#![forbid(unsafe_code)]

pub mod base64url;
pub mod closed;
pub mod fields;
pub mod json;
mod json_names;
mod json_tokens;
pub mod masks;
pub mod spans;
pub mod strings;
pub mod token;
pub mod values;

#[cfg(feature = "python")]
mod border;
#[cfg(feature = "python")]
mod json_border;
