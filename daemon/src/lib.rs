//! The Portcullis daemon and its command line.
