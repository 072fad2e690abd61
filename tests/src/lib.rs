//! Harness of the black-box suites.

pub mod frames;
pub mod netns;
