//! The Portcullis daemon and its command line.
//!
//! A request goes `listener → proxy → guard → proxy`; what the guard wants done goes `gate → enforcer → kernel`. An
//! operator's word goes `cli → control → guard → gate`. [`run`] puts the parts together.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod conclusion;
pub mod config;
pub mod confine;
pub mod control;
pub mod enforcer;
pub mod gate;
pub mod helper;
pub mod hold;
pub mod latest;
pub mod listener;
pub mod memory;
pub mod openapi;
pub mod packets;
pub mod preflight;
pub mod proxy;
pub mod random;
pub mod readable;
pub mod rehearsal;
pub mod reload;
pub mod run;
pub mod safety;
pub mod service;
pub mod signals;
pub mod span;
pub mod start;
pub mod state;
pub mod stats;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod unprivileged;
