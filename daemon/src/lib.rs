//! The Portcullis daemon and its command line.

pub mod enforcer;
