//! Harness of the black-box suites.

pub mod backend;
pub mod binary;
pub mod canned;
pub mod cli;
pub mod client;
pub mod daemon;
pub mod dissect;
pub mod frames;
pub mod load;
pub mod netns;
pub mod patience;
pub mod pins;
pub mod plain_list;
pub mod simulation;
pub mod terminal;
pub mod tls;
