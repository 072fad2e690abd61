//! Harness of the black-box suites.

pub mod backend;
pub mod binary;
pub mod cli;
pub mod client;
pub mod daemon;
pub mod fake_control;
pub mod frames;
pub mod netns;
