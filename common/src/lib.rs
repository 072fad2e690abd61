//! The ABI of the maps that the XDP program and the daemon share.
#![no_std]
