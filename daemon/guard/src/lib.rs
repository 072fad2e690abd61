//! Every decision of Portcullis, and nothing else.
//!
//! This crate knows no socket, file, clock, random source or kernel map. Requests, time and entropy come in as
//! arguments; verdicts and [`Effect`](effect::Effect)s go out. What it decides can therefore be tested by value, and
//! replayed.
//!
//! A request passes through types that only the step before can make: a presented signature, a proved one, a
//! [`Bound`](guard::Bound) request, a [`Permit`](guard::Permit). Whoever forwards a request needs
//! the `Permit`, so a check that was skipped does not compile.

#![forbid(unsafe_code)]

pub mod authority;
pub mod behaviour;
pub mod binding;
pub mod blacklist;
pub mod campaign;
pub mod changes;
pub mod cors;
pub mod effect;
pub mod escalation;
pub mod fingerprint;
pub mod forwarded;
pub mod guard;
mod head;
pub mod incident;
pub mod learn;
pub mod ledger;
pub mod path;
pub mod policy;
pub mod reauth;
pub mod refusal;
mod remembered;
pub mod request;
pub mod score;
pub mod sequence;
pub mod session;
mod sextets;
pub mod signal;
pub mod signature;
pub mod sketch;
pub mod source;
pub mod suspects;
pub mod tier;
pub mod time;
pub mod verdict;
