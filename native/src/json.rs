//! The strict scan of JSON (RFC 8259) that finds selected values.
