//! Every decision of Portcullis.
#![forbid(unsafe_code)]
